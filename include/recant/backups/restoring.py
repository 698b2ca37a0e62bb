"""Putting a backup back: into an installation that has nothing yet, or into an empty database of one's own."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

from recant.backups.creation import DUMP, describe
from recant.backups.manifest import Backup
from recant.backups.programs import BackupFailed, run
from recant.errors import Refused, UsageError, VerificationFailed
from recant.installation import dsn_for
from recant.installation.databases import create_knowledge, prepare_knowledge
from recant.installation.dsn import embedded_postgres
from recant.installation.home import Home
from recant.installation.postgres import SUPERUSER, EmbeddedPostgres, binaries
from recant.installation.server_user import ServerUser, server_user
from recant.settings import Settings
from recant.store import connect_once, load, migrate, program_environment

_SQL = load(__package__, "backups.sql")
RECOVERY_SECONDS = 24 * 3600.0


def restore_backup(
    settings: Settings, backup: Backup, *, wal_archive: Path | None = None, until: str | None = None
) -> Backup:
    """Restores into `settings`' database, and returns what its log stands at then, as a backup would note it.

    A physical one may be brought forward with archived WAL, `until` a time or to its end. Raises Refused where there is
    something already, VerificationFailed where the log isn't what the backup noted, UsageError, BackupFailed.
    """
    if (wal_archive or until) and backup.kind != "physical":
        raise UsageError("Only a physical backup can be brought forward with archived WAL.")
    if until and wal_archive is None:
        raise UsageError("Say where the archived WAL is, besides until when.")
    backup.require_whole()
    home = Home(settings.home).prepare()
    with home.lock():
        if backup.kind == "physical":
            _restore_files(settings, backup, wal_archive, until)
        else:
            _restore_dump(settings, backup)
    return _compare(settings, backup, exactly=backup.kind == "logical")


def _restore_dump(settings: Settings, backup: Backup) -> None:
    assert backup.folder is not None
    postgres = embedded_postgres(settings) if settings.dsn is None else None
    if postgres is not None:
        postgres.start()
        create_knowledge(postgres)
    dsn = dsn_for(settings, "admin")
    _make_room(dsn, backup)
    environment = program_environment(dsn)
    environment["PGOPTIONS"] = f"{environment.get('PGOPTIONS', '')} -c maintenance_work_mem=1GB".strip()
    arguments = [
        "--exit-on-error",
        "--single-transaction",
        "--no-password",
        "--dbname",
        environment.get("PGDATABASE", ""),
    ]
    run("pg_restore", [*arguments, backup.folder / DUMP], environment)
    with connect_once(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
    if postgres is not None:
        prepare_knowledge(postgres, settings.init_scripts)
    else:
        migrate(dsn, settings.init_scripts)


def _make_room(dsn: str, backup: Backup) -> None:
    with connect_once(dsn) as connection:
        there = connection.execute(_SQL["has_schema"]).fetchone()
        if there and there["there"]:
            filled = connection.execute(_SQL["has_operations"]).fetchone()
            if filled and filled["any"]:
                raise Refused(
                    "There is a knowledge base already: a restore goes into an empty one. Name another RECANT_HOME or RECANT_DSN."
                )
            connection.execute(_SQL["drop_empty_schema"])
        for role in sorted(backup.roles, key=lambda role: len(role["member_of"])):
            members = "{" + ",".join(role["member_of"]) + "}"
            connection.execute("SELECT set_config('recant.role', %s, true)", [role["name"]])
            connection.execute("SELECT set_config('recant.member_of', %s, true)", [members])
            connection.execute(_SQL["create_role"])
        connection.execute(_SQL["create_extension"])


def _restore_files(settings: Settings, backup: Backup, wal_archive: Path | None, until: str | None) -> None:
    assert backup.folder is not None
    if settings.dsn is not None:
        raise UsageError("A physical backup is of the embedded server: restore it with RECANT_DSN unset.")
    postgres = embedded_postgres(settings)
    if postgres.data_dir.exists() and any(postgres.data_dir.iterdir()):
        raise Refused(
            f"{postgres.data_dir} is there already: a restore goes into a new place. Name another RECANT_HOME."
        )
    user = server_user(postgres.data_dir)
    draft = postgres.data_dir.with_name(f"{postgres.data_dir.name}.restored")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    try:
        _unpack(backup.folder / "base.tar.gz", draft)
        _unpack(backup.folder / "pg_wal.tar.gz", draft / "pg_wal")
        _configure(
            draft, ["archive_mode = 'off'"]
        )  # a copy's WAL would send the next recovery from that archive astray
        if wal_archive is not None:
            _ask_for_recovery(draft, wal_archive, until)
        for path in [draft, *draft.rglob("*")]:
            user.own(path)
        user.reach(
            [draft.parent, *([wal_archive] if wal_archive else [])],
            [binaries().parent / n for n in ("bin", "lib", "share")],
        )
        if wal_archive is not None:
            user.reach([], [wal_archive])
            _recover(postgres, draft)
        _set_password(draft, user, postgres.password())
        draft.replace(postgres.data_dir)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    postgres.start()
    prepare_knowledge(postgres, settings.init_scripts)


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def _ask_for_recovery(data_dir: Path, wal_archive: Path, until: str | None) -> None:
    """With hot standby off the server calls itself ready once it is promoted, and not while it replays."""
    quoted = str(wal_archive.absolute()).replace("'", "''")
    lines = [
        "hot_standby = 'off'",
        f'restore_command = \'cp "{quoted}/%f" "%p"\'',
        "recovery_target_action = 'promote'",
    ]
    if until is not None:
        moment = until.replace("'", "''")
        lines.append(f"recovery_target_time = '{moment}'")
    _configure(data_dir, lines)
    (data_dir / "recovery.signal").touch(mode=0o600)


def _configure(data_dir: Path, lines: list[str]) -> None:
    with (data_dir / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _recover(postgres: EmbeddedPostgres, data_dir: Path) -> None:
    """Lets the server replay archived WAL until it is ready, and stops it: nobody can log in yet."""
    recovering = EmbeddedPostgres(data_dir, secrets_dir=postgres.secrets_dir, log_file=postgres.log_file)
    try:
        recovering.start(timeout_seconds=RECOVERY_SECONDS)
    finally:
        recovering.stop()
    kept = (data_dir / "postgresql.auto.conf").read_text("utf-8").splitlines()
    settled = [line for line in kept if not line.startswith(("hot_standby", "restore_command", "recovery_target"))]
    (data_dir / "postgresql.auto.conf").write_text("\n".join(settled) + "\n", "utf-8")


def _set_password(data_dir: Path, user: ServerUser, password: str) -> None:
    """The new installation's, by a server that listens nowhere: passwords are in no backup. Replays the WAL that it holds."""
    statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n"
    done = subprocess.run(
        [binaries() / "postgres", "--single", "-D", data_dir, "-c", "log_statement=none", "postgres"],
        cwd=data_dir, env={"PATH": str(binaries()), "LC_ALL": "C"}, input=statement, capture_output=True, text=True,
        **user.popen_arguments(),
    )  # fmt: skip
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise BackupFailed(f"The restored server can't be started: {done.stderr.strip()[-2000:]}")


def _compare(settings: Settings, backup: Backup, *, exactly: bool) -> Backup:
    with connect_once(dsn_for(settings, "admin")) as connection:
        found = describe(connection)
        at = connection.execute(
            "SELECT encode(chain, 'hex') AS chain FROM recant.operation WHERE position = %s", [backup.position]
        ).fetchone()
    chain = at["chain"] if at else None
    if chain != backup.chain or (exactly and found["position"] != backup.position):
        raise VerificationFailed(
            f"The restored log stands at position {found['position']}; the backup noted {backup.position} with another chain.",
            found=found["position"],
            expected=backup.position,
        )
    return replace(backup, position=found["position"], chain=found["chain"], migrations=found["migrations"])
