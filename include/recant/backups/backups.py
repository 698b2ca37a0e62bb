"""What `kb.backups` offers. A restore needs no knowledge base yet: `Backups(settings)`."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from recant.backups.creation import create_backup
from recant.backups.manifest import Backup, read_backup, require_copy
from recant.backups.programs import run
from recant.backups.restoring import restore_backup
from recant.errors import RecantError, UsageError
from recant.installation import dsn_for
from recant.settings import Settings
from recant.store import Database, load

FOLDER = "backups"
"""Where backups go unless another place is named: under RECANT_HOME, and so perhaps on the disk that is lost with it."""
_SQL = load(__package__, "backups.sql")


class Backups:
    """Making, listing, verifying, restoring and dropping backups of one installation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def place(self, place: Path | str | None = None) -> Path:
        """The folder that backups are in."""
        return self.settings.home / FOLDER if place is None else Path(place).expanduser().absolute()

    def create(self, kind: str = "logical", *, to: Path | str | None = None) -> Backup:
        """A backup in a new folder. `logical`: the schema, from any server, as of one position. `physical`: the embedded
        server whole, Airflow's metadata too, which archived WAL can bring forward.

        Everything goes on meanwhile. Raises UsageError, BackupFailed, OutOfSpace.
        """
        backup = create_backup(self.settings, self.place(to), kind)
        with suppress(RecantError), Database(dsn_for(self.settings)) as database, database.transaction() as connection:
            given = {
                name: getattr(backup, name)
                for name in ("name", "kind", "position", "taken_at", "seconds", "size_bytes")
            }
            connection.execute(_SQL["record_backup"], given | {"place": str(backup.folder)})
        return backup

    def find(self, *, place: Path | str | None = None) -> list[Backup]:
        """Backups in a place, newest first. What is no backup is passed over."""
        folder = self.place(place)
        found = []
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.name.startswith("."):
                with suppress(UsageError):
                    found.append(read_backup(path))
        return sorted(found, key=lambda backup: backup.taken_at, reverse=True)

    def get(self, name: str) -> Backup:
        """The backup of that name in the usual place, in a folder of that path, or the newest one (`latest`).

        Raises UsageError.
        """
        if name == "latest":
            known = self.find()
            if not known:
                raise UsageError(f"There is no backup in {self.place()}.")
            return known[0]
        path = Path(name).expanduser()
        return read_backup(path.absolute() if path.is_dir() else self.place() / name)

    def verify(self, backup: Backup) -> None:
        """Reads all of it: every file is what was written; `pg_restore` understands a logical one, and each file of a physical
        one is what PostgreSQL's own manifest says.

        Raises VerificationFailed, BackupFailed. What it proves is that it can be read; a restore into another home proves more.
        """
        backup.require_whole()
        assert backup.folder is not None
        if backup.kind == "physical":
            require_copy(backup.folder)
        else:
            run("pg_restore", ["--file=/dev/null", backup.folder / "knowledge.dump"], {})

    def restore(self, backup: Backup, *, wal_archive: Path | str | None = None, until: str | None = None) -> Backup:
        """Puts it back: into an installation that has nothing yet, or an empty database of one's own. Nothing may run there.

        With `wal_archive`, a physical one is brought forward to `until` (a time with its zone), or as far as the WAL goes.
        Returns what the restored log stands at. Raises Refused, VerificationFailed, UsageError, BackupFailed.
        """
        archive = None if wal_archive is None else Path(wal_archive).expanduser().absolute()
        return restore_backup(self.settings, backup, wal_archive=archive, until=until)

    def prune(self, keep: int, *, kind: str, place: Path | str | None = None) -> list[str]:
        """Deletes all but the newest so many of a kind; returns the names of those that are gone. Raises UsageError."""
        if keep < 1:
            raise UsageError(f"{keep}: at least one backup is kept.")
        old = [backup for backup in self.find(place=place) if backup.kind == kind][keep:]
        for backup in old:
            assert backup.folder is not None
            shutil.rmtree(backup.folder)
        return [backup.name for backup in old]
