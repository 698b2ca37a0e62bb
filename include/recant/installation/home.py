"""Where an installation keeps what: the layout of `RECANT_HOME`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from recant.errors import Refused
from recant.installation.secrets import private_folder


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one installation. Nothing exists before `prepare`."""

    root: Path

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded server."""
        return self.root / "postgres"

    @property
    def secrets(self) -> Path:
        """Generated passwords and keys: mode 0700, its files 0600."""
        return self.root / "secrets"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME."""
        return self.root / "airflow"

    @property
    def logs(self) -> Path:
        """One log a process; Airflow's task logs under `airflow/`."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Who runs: pid files and state files, worth nothing after a reboot."""
        return self.root / "run"

    @property
    def lineage(self) -> Path:
        """Delivered OpenLineage events."""
        return self.root / "lineage"

    @property
    def marquez(self) -> Path:
        """Configuration of a Marquez that `recant up` runs, and which jar it is."""
        return self.root / "marquez"

    @property
    def certificates(self) -> Path:
        """What rollbacks from Airflow proved: one JSON and one Markdown file each."""
        return self.root / "certificates"

    def prepare(self) -> Home:
        """Make the folders, closed to other users. (Root opens the outermost for passing through to PostgreSQL's.)"""
        if not self.root.exists():
            private_folder(self.root)
        for folder in (self.secrets, self.airflow, self.logs, self.run, self.lineage):
            private_folder(folder)
        return self

    @contextmanager
    def lock(self, *, timeout_seconds: float = 15) -> Iterator[None]:
        """Held while parts are started or stopped. Raises Refused when somebody else holds it for too long."""
        try:
            with filelock.FileLock(self.root / "installation.lock", timeout=timeout_seconds):
                yield
        except filelock.Timeout as error:
            message = f"Another `recant up` or `recant down` is at work on {self.root}: wait until it has ended"
            raise Refused(message) from error
