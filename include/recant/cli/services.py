"""`up`, `down`, `status`, `doctor`, `migrate`: the installation, its processes and its database's schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output
from recant.cli.progress import told
from recant.errors import DatabaseUnreachable, RecantError, UsageError

if TYPE_CHECKING:
    from recant.installation import Installation
    from recant.settings import Settings
    from recant.store import ServerState


NO_MARQUEZ = "none: events wait; MARQUEZ_URL, or --marquez-jar FILE, attaches one with the whole history"


def settings() -> Settings:
    """What the environment says. Raises UsageError naming the variable that can't be understood."""
    from recant.settings import read_settings

    try:
        return read_settings()
    except ValueError as error:
        raise UsageError(str(error)) from error


def up(
    airflow: Annotated[bool, typer.Option("--airflow/--no-airflow", help="With Airflow, or only the database.")] = True,
    marquez_jar: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run Marquez from this jar, on Java 17. Remembered. Default: MARQUEZ_JAR."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Start the database, the embedder, the lineage relay and Airflow; what runs already stays."""
    from recant import installation

    output, configuration = Output(json), settings()
    if marquez_jar is not None:
        configuration = replace(configuration, marquez_jar=marquez_jar.expanduser().absolute())
    with told(output, "Starting") as progress:
        started = installation.up(configuration, airflow=airflow, progress=progress)
    if json:
        output.document(_up_document(started))
        return
    rows: list[list[object]] = [["home", str(started.home)], ["PostgreSQL", started.postgres_address or "RECANT_DSN"]]
    if started.airflow_url:
        rows += [["Airflow", started.airflow_url], ["user", started.airflow_user]]
        rows += [["passwords in", str(started.airflow_passwords_file)]]
    rows.append(["Marquez", started.marquez_url or NO_MARQUEZ])
    output.table(["part", "where"], rows)


def down(json: JsonFlag = False) -> None:
    """Stop everything that `up` started. Data stays."""
    from recant import installation

    output, configuration = Output(json), settings()
    with told(output, "Stopping") as progress:
        stopped = installation.down(configuration, progress=progress)
    if json:
        output.document({"stopped": stopped})
    else:
        output.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def status(json: JsonFlag = False) -> None:
    """What runs, where, since when; ends with 3 when the database can't be reached."""
    from recant import installation
    from recant.cli.monitoring import health_summary, show_health

    output, configuration = Output(json), settings()
    parts = installation.status(configuration)
    database = _database_state(configuration)
    health = health_summary(configuration) if database["reachable"] else None
    servers = _servers(configuration)
    if json:
        output.document(
            {
                "home": str(configuration.home),
                "database": database | {"servers": [server.to_dict() for server in servers]},
                "parts": parts,
                "health": health,
            }
        )
    else:
        columns = ["part", "state", "pid", "up for", "address"]
        output.table(columns, [_part_row(name, part) for name, part in parts.items()])
        output.print(_database_sentence(database))
        if servers:
            rows = [[f"{server.host}:{server.port}", server.said, server.behind_seconds] for server in servers]
            output.table(["server", "role", "seconds behind#"], rows)
        if health:
            show_health(output, health)
    if not database["reachable"]:
        raise typer.Exit(DatabaseUnreachable.exit_code)


def doctor(json: JsonFlag = False) -> None:
    """Look for what is wrong with the installation, and say what to do; ends with 1 when something failed."""
    from dataclasses import asdict

    from recant import installation

    output = Output(json)
    checks = installation.doctor(settings())
    ok = all(check.state != "failed" for check in checks)
    if json:
        output.document({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        rows = [[c.state, c.name, c.detail if not c.advice else f"{c.detail}. {c.advice}."] for c in checks]
        output.table(["state", "check", "found"], rows)
    if not ok:
        raise typer.Exit(1)


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is missing; ends with 1 when something is.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Apply the SQL files of init-scripts/ that the database lacks."""
    from recant import store
    from recant.installation import dsn_for

    output, configuration = Output(json), settings()
    act = store.pending_migrations if check else store.migrate
    names = act(dsn_for(configuration, "admin"), configuration.init_scripts)
    if json:
        output.document({"pending" if check else "applied": names})
    else:
        word = "Missing" if check else "Applied"
        output.print(f"{word}: {', '.join(names)}." if names else "The schema is up to date.")
    if check and names:
        raise typer.Exit(1)


def _up_document(started: Installation) -> dict[str, Any]:
    airflow = {
        "url": started.airflow_url,
        "user": started.airflow_user,
        "passwords_file": str(started.airflow_passwords_file),
    }
    return {
        "home": str(started.home),
        "postgres": started.postgres_address,
        "airflow": airflow if started.airflow_url else None,
        "marquez": started.marquez_url,
        "migrations": list(started.migrations),
    }


def _database_state(configuration: Settings) -> dict[str, Any]:
    from recant.installation import dsn_for
    from recant.oplog import OperationLog
    from recant.storage import Storage
    from recant.store import Database

    try:
        with Database(dsn_for(configuration)) as database:
            position, horizon = OperationLog(database).position(), Storage(database, configuration).horizon().position
            return {"reachable": True, "position": position, "horizon": horizon, "problem": None}
    except RecantError as error:
        return {"reachable": False, "position": None, "horizon": None, "problem": str(error)}


def _servers(configuration: Settings) -> list[ServerState]:
    """Those that RECANT_DSN names, where they are several."""
    from recant.store import names_several, server_states

    dsn = configuration.dsn
    return server_states(dsn) if dsn is not None and names_several(dsn) else []


def _database_sentence(database: dict[str, Any]) -> str:
    if database["reachable"]:
        horizon = f"; its horizon is {database['horizon']:,}" if database["horizon"] else ""
        return f"The log is at position {database['position']:,}{horizon}."
    return str(database["problem"])


def _part_row(name: str, part: dict[str, Any]) -> list[object]:
    pid = str(part["pid"]) if part["pid"] else None
    return [name, "running" if part["running"] else "stopped", pid, _duration(part["uptime_seconds"]), part["address"]]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.0f} days"
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 1 else f"{seconds:.0f} s"
