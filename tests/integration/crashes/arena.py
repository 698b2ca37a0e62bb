"""Runs a scenario once to learn its points and the states between its transactions, then again and again into a crash."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from recant.errors import DatabaseUnreachable
from recant.installation.postgres import EmbeddedPostgres
from recant.rollback import verify_log
from recant.store import Database
from tests.conftest import create_database, execute
from tests.integration.crashes.client import TOLD
from tests.integration.crashes.scenarios import FLAWED, SCENARIOS, Facts
from tests.integration.crashes.snapshot import Snapshot, difference, snapshot, story, without_projections
from tests.integration.library import Library

TEMPLATE = "mortal_template"
KILLED = -9
VICTIMS = ("client", "backend", "server")
_CRASH_POINT = """
CREATE FUNCTION public.crash_point() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  seen integer := coalesce(nullif(current_setting('crash.seen', true), ''), '0')::integer + 1;
BEGIN
  PERFORM set_config('crash.seen', seen::text, false);
  IF seen::text = current_setting('crash.at', true) THEN
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -9 ' || current_setting('crash.victims'));
    PERFORM pg_sleep(60);
  END IF;
  RETURN NULL;
END $$
"""


@dataclass(frozen=True)
class Point:
    """`before` the exchange of that number, `in flight` of it, or `inside` the server after that many changes of tables."""

    victim: str
    moment: str
    number: int

    def __str__(self) -> str:
        return f"{self.victim} killed {self.moment} {self.number}"


@dataclass
class Reference:
    """An undisturbed run: its exchanges, and what the database held before, between and after."""

    facts: Facts
    template: str
    initial: Snapshot
    exchanges: list[dict[str, Any]]
    view: dict[str, str]

    @cached_property
    def points(self) -> list[Point]:
        """Everything that can be interrupted, in order."""
        found = []
        for exchange in self.exchanges:
            found += [Point(victim, "before", exchange["number"]) for victim in VICTIMS]
            found += [Point(v, "in flight", exchange["number"]) for v in VICTIMS if exchange["has_flight"]]
            inside = range(self._changes_before(exchange) + 1, exchange.get("changes", 0) + 1)
            found += [Point(victim, "inside", n) for n in inside for victim in ("backend", "server")]
        return found

    def allowed(self, point: Point) -> list[Snapshot]:
        """What may be found after the crash: the last state that was committed, or that which was being committed."""
        number = point.number
        if point.moment == "inside":
            number = next(e["number"] for e in self.exchanges if e.get("changes", 0) >= point.number)
        before = [e["snapshot"] for e in self.exchanges if e["snapshot"] and e["number"] < number]
        during = [e["snapshot"] for e in self.exchanges if e["snapshot"] and e["number"] == number]
        return [(before or [self.initial])[-1], *(during if point.moment == "in flight" else [])]

    @property
    def final(self) -> Snapshot:
        """What the undisturbed run came to."""
        return self.exchanges[-1]["snapshot"]

    def _changes_before(self, exchange: dict[str, Any]) -> int:
        return max((e.get("changes", 0) for e in self.exchanges if e["number"] < exchange["number"]), default=0)


@dataclass
class Client:
    """Sends orders to client.py."""

    process: subprocess.Popen[str]
    complaints: Path

    def order(self, **order: Any) -> int:
        """How the fork ended: 0, TOLD, or minus the signal's number."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        status = int(json.loads(self.process.stdout.readline())["status"])
        assert status in (0, TOLD, KILLED), f"{order}: {self.complaints.read_text('utf-8')[-4000:]}"
        return status


@dataclass
class Arena:
    """Crashes, and what is left after them."""

    server: EmbeddedPostgres
    client: Client
    folder: Path
    references: dict[str, Reference] = field(default_factory=dict)

    def reference(self, name: str) -> Reference:
        """The undisturbed run; made once."""
        if name not in self.references:
            self.references[name] = self._undisturbed(name)
        return self.references[name]

    def _undisturbed(self, name: str) -> Reference:
        template, record = f"template of {name}", self.folder / name
        create_database(self.server, template, template=TEMPLATE)
        with Database(self.server.dsn(template)) as database:
            facts = (SCENARIOS | FLAWED)[name].prepare(Library(database))
        initial, copy = snapshot(self.server.dsn(template)), self._copy(template)
        self.client.order(scenario=name, facts=facts, dsn=self.server.dsn(copy), record=str(record))
        with Database(self.server.dsn(copy)) as database:
            view = Library(database).view()
        self._drop(copy)
        return Reference(facts, template, initial, json.loads(record.read_text("utf-8")), view)

    def check(self, name: str, point: Point) -> None:
        """Crash there; then what is found is whole, the log is sound, and the work can be done after all."""
        reference, copy = self.reference(name), self._copy(self.reference(name).template)
        given = {"victim": point.victim, "moment": point.moment, "number": point.number}
        status = self.client.order(
            scenario=name,
            facts=reference.facts,
            dsn=self.server.dsn(copy),
            point=given | {"postmaster": self.server.pid},
        )
        self._recover(copy)
        told = f"{name}, {point}"
        assert (status == KILLED) == (point.victim == "client"), f"{told}: the client ended with {status}"
        self._is_whole(reference, snapshot(self.server.dsn(copy)), point, told, done=status == 0)
        with Database(self.server.dsn(copy)) as database:
            self._is_sound(database, told)
            (SCENARIOS | FLAWED)[name].act(Library(database), reference.facts)
            assert Library(database).view() == reference.view, f"{told}: done again, it comes to something else"
            self._is_sound(database, told)
        self._drop(copy)

    def _is_whole(self, reference: Reference, found: Snapshot, point: Point, told: str, *, done: bool) -> None:
        allowed = reference.allowed(point)
        if done:  # only a projection was being refreshed: that is made good by the next operation
            allowed, found = [without_projections(reference.final)], without_projections(found)
        assert found in allowed, f"{told}, then:\n{difference(found, allowed[0])}"
        ends = [story(reference.initial), story(reference.final)]
        assert done or story(found) in ends, (
            f"{told}: neither wholly there nor wholly not:\n{difference(story(found), ends[0])}"
        )

    def _is_sound(self, database: Database, told: str) -> None:
        report = verify_log(database)
        assert report.ok, f"{told}: {[check for check in report.checks if not check.ok]}"

    def _recover(self, database: str) -> None:
        """As whoever runs it would: `recant up`, and waiting until it answers and the dead client's work is over."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self.server.start()
                with psycopg.connect(self.server.dsn("postgres"), autocommit=True) as connection:
                    busy = connection.execute("SELECT FROM pg_stat_activity WHERE datname = %s", [database]).fetchone()
                if busy is None:
                    return
            except (psycopg.OperationalError, DatabaseUnreachable):
                pass
            assert time.monotonic() < deadline, "the server did not come back within 30 seconds"
            time.sleep(0.01)

    def _copy(self, template: str) -> str:
        name = f"crash_{uuid.uuid4().hex[:12]}"
        create_database(self.server, name, template=template)
        return name

    def _drop(self, name: str) -> None:
        execute(self.server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def plant_crash_points(dsn: str) -> None:
    """After every statement that changes a table of ours, the server looks whether it is to die now."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_CRASH_POINT)
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'recant'").fetchall()
        for (table,) in tables:
            connection.execute(
                sql.SQL(
                    "CREATE TRIGGER zz_crash_point AFTER INSERT OR UPDATE OR DELETE ON recant.{} "
                    "FOR EACH STATEMENT EXECUTE FUNCTION public.crash_point()"
                ).format(sql.Identifier(table))
            )
