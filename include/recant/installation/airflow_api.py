"""The few questions that the installation asks Airflow's REST API. Loopback only, no proxy, standard library only."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from recant.errors import TransientError

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class AirflowUnreachable(TransientError):
    """Airflow's API server did not answer, or not as it should."""


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """The API server at a URL, as one user."""

    url: str
    user: str
    password: str = field(repr=False)
    timeout_seconds: float = 30
    """The first calls after a start take seconds: the server loads its parts when they are asked for."""

    def health(self) -> dict[str, dict[str, str | None]]:
        """Status and last heartbeat of each component; needs no login. Raises AirflowUnreachable."""
        answer: dict[str, dict[str, str | None]] = self._request("GET", "/api/v2/monitor/health", {})
        return answer

    def get(self, path: str) -> Any:
        """What a path under `/api/v2` answers, as `user`. Raises AirflowUnreachable."""
        return self._request("GET", f"/api/v2{path}", {"Authorization": f"Bearer {self._token()}"})

    def _token(self) -> str:
        credentials = {"username": self.user, "password": self.password}
        answer = self._request("POST", "/auth/token", {"Content-Type": "application/json"}, json.dumps(credentials))
        return str(answer["access_token"])

    def _request(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> Any:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port or 80, timeout=self.timeout_seconds
        )
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
            if response.status >= 400:
                raise AirflowUnreachable(f"Airflow at {self.url} answered {response.status} to {method} {path}")
            return json.loads(content)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AirflowUnreachable(f"Airflow at {self.url} does not answer: {error}") from error
        finally:
            connection.close()
