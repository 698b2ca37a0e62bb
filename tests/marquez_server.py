"""A real Marquez for the tests that ask: the one at MARQUEZ_URL, or one of their own from MARQUEZ_JAR."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from recant.installation import marquez
from recant.installation.home import Home
from recant.installation.postgres import EmbeddedPostgres
from recant.settings import Settings


@dataclass(frozen=True)
class Marquez:
    """Its API, read as anybody would."""

    url: str
    restart: Any = None
    """Stops it and starts it again, in the middle of whatever it does; None of one that isn't the tests' own."""

    def get(self, *path: str, **query: object) -> Any:
        """What is at /api/v1 and these parts of a path. None: nothing is."""
        address = f"{self.url}/api/v1/{'/'.join(quote(part, safe='') for part in path)}"
        try:
            with urllib.request.urlopen(f"{address}?{urlencode(query)}") as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def post(self, event: bytes) -> int:
        """The status that it answers to an event with."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1/lineage", event, headers, method="POST")
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def jobs(self, namespace: str) -> dict[str, dict[str, Any]]:
        """Jobs by name."""
        found = self.get("namespaces", namespace, "jobs", limit=1000)
        return {job["name"]: job for job in found["jobs"]}

    def runs(self, namespace: str, job: str) -> list[dict[str, Any]]:
        """A job's runs, the latest first."""
        found = self.get("namespaces", namespace, "jobs", job, "runs", limit=1000)
        return list(found["runs"])

    def versions(self, namespace: str, dataset: str) -> list[dict[str, Any]]:
        """A dataset's versions, the latest first."""
        found = self.get("namespaces", namespace, "datasets", dataset, "versions", limit=1000)
        return list(found["versions"])

    def edges(self, namespace: str) -> dict[str, tuple[list[str], list[str]]]:
        """What each job reads and writes, by the job's name: the graph that the web pages show."""
        return {
            name: (sorted(d["name"] for d in job["inputs"]), sorted(d["name"] for d in job["outputs"]))
            for name, job in self.jobs(namespace).items()
        }


def own_marquez(jar: Path, postgres: EmbeddedPostgres, home: Path) -> Iterator[Marquez]:
    """Runs the jar as `recant up` does, on the tests' server; it is gone afterwards."""
    settings = Settings(home=home, embedder="local")
    Home(home).prepare()

    def start() -> str:
        address = marquez.start(settings, jar, postgres, print).marquez_url
        marquez.wait_until_healthy(settings)
        assert address
        return address

    def restart() -> None:
        marquez.stop(settings)
        start()

    try:
        yield Marquez(start(), restart)
    finally:
        marquez.stop(settings)
