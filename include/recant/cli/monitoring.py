"""`metrics show`, `check`, `alerts`, `history`, `serve`; and the part of `status` that says how the knowledge base is doing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import JsonFlag
from recant.cli.output import Output, local_time, write
from recant.cli.services import _duration as duration
from recant.cli.services import settings
from recant.errors import RecantError
from recant.times import parse_time

if TYPE_CHECKING:
    from recant.monitoring import Alert
    from recant.settings import Settings

app = typer.Typer(no_args_is_help=True, help="How the knowledge base is doing: metrics, their history, alerts.")
WindowFlag = Annotated[
    int, typer.Option(metavar="MINUTES", min=1, max=1440, help="Rates and latencies are over so many minutes.")
]
TOKEN_FILE = "metrics_token"  # noqa: S105 - a file's name


@app.command("show")
def show(window: WindowFlag = 60, json: JsonFlag = False) -> None:
    """Print all metrics as Prometheus reads them. Nothing is kept."""
    import recant
    from recant.monitoring import prometheus_text
    from recant.monitoring.health import values

    with recant.connect(settings=settings()) as kb:
        metrics = kb.health.metrics(window_seconds=window * 60)
    if json:
        Output(json).document({"metrics": values(metrics)})
    else:
        write(prometheus_text(metrics))


@app.command("check")
def check(
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Thresholds. Default: alerts.yml in RECANT_HOME, if there.")
    ] = None,
    window: WindowFlag = 60,
    keep_days: Annotated[int, typer.Option(metavar="DAYS", min=1, max=3650, help="History is kept so long.")] = 30,
    json: JsonFlag = False,
) -> None:
    """Measure, keep what was measured, and hold it against the thresholds; ends with 1 while an alert fires."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        report = kb.health.check(rules=rules, window_seconds=window * 60, keep_days=keep_days)
    if json:
        output.document(report.to_dict())
    else:
        _table(output, [*report.firing, *report.pending, *report.resolved], "No threshold is passed.")
    if report.firing:
        raise typer.Exit(1)


@app.command("alerts")
def alerts(
    all_: Annotated[bool, typer.Option("--all", help="Those too that are over, newest first.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many.")] = 100,
    json: JsonFlag = False,
) -> None:
    """The alerts that stand, as the last check left them."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found, checked = kb.health.alerts(include_resolved=all_, limit=limit), kb.health.checked_at()
    if json:
        document = {"checked_at": checked.isoformat() if checked else None, "alerts": [a.to_dict() for a in found]}
        output.document(document)
    else:
        _table(output, found, f"No alert. Last check: {local_time(checked) or 'never'}.")


@app.command("history")
def history(
    series: Annotated[
        str, typer.Argument(metavar="SERIES", help='As `recant metrics show` has it: name{label="value"}.')
    ],
    since: Annotated[str, typer.Option(metavar="TIME", help="From when on.")] = "1d",
    json: JsonFlag = False,
) -> None:
    """What a metric was at each check, newest first."""
    import recant

    output = Output(json)
    try:
        begin = parse_time(since)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with recant.connect(settings=settings()) as kb:
        found = kb.health.history(series, begin)
    if json:
        output.document({"series": series, "values": [{"taken_at": t.isoformat(), "value": v} for t, v in found]})
    elif found:
        output.table(["when", "value#"], [[local_time(taken), value] for taken, value in found])
    else:
        output.print(f"Nothing is kept of {series} since then.")


@app.command("serve")
def serve(
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0: any that is free.")] = 9187,
    window: WindowFlag = 60,
    json: JsonFlag = False,
) -> None:
    """Answer Prometheus on 127.0.0.1 until Ctrl-C. It has to show the token that is kept in secrets/metrics_token."""
    import recant
    from recant.installation.secrets import keep_secret
    from recant.monitoring import MetricsServer, prometheus_text

    output, configuration = Output(json), settings()
    token_file = configuration.home / "secrets" / TOKEN_FILE
    with recant.connect(settings=configuration) as kb:
        kb.position()  # a database that can't be reached is said now, not to the first who asks
        server = MetricsServer(
            lambda: prometheus_text(kb.health.metrics(window_seconds=window * 60)), keep_secret(token_file), port
        )
        if json:
            output.document({"url": server.url, "token_file": str(token_file)})
        else:
            output.print(f"{server.url} answers whoever shows the token in {token_file}. Ctrl-C ends it.")
        server.serve()


def health_summary(configuration: Settings) -> dict[str, Any] | None:
    """What `status` shows: the alerts that stand, and the metrics that people ask about; None where it can't be said."""
    import recant
    from recant.monitoring.health import values

    try:
        with recant.connect(settings=configuration) as kb:
            found = values(kb.health.metrics())
            alerts, checked = kb.health.alerts(), kb.health.checked_at()
    except RecantError:
        return None
    return {
        "checked_at": checked.isoformat() if checked else None,
        "alerts": [alert.to_dict() for alert in alerts if alert.state == "firing"],
        "metrics": found,
    }


def show_health(output: Output, health: dict[str, Any]) -> None:
    """The summary as a compact table, and the alerts that fire."""
    output.table(["", "now"], [[name, shown] for name, shown in _lines(health["metrics"]) if shown])
    if health["alerts"]:
        rows = [[a["severity"], a["rule"], a["series"], a["value"], a["summary"]] for a in health["alerts"]]
        output.table(["severity", "alert", "of", "value#", "what"], rows)
    elif health["checked_at"]:
        output.print(f"No alert fires, as of {local_time(datetime.fromisoformat(health['checked_at']))}.")


def _lines(found: dict[str, float]) -> list[tuple[str, str]]:
    def number(name: str) -> int:
        return int(found.get(f"recant_{name}", 0))

    def total(name: str) -> float:
        return sum(value for series, value in found.items() if series.partition("{")[0] == f"recant_{name}")

    def ago(name: str) -> str:
        return duration(found.get(f"recant_{name}"))

    slowest = found.get("recant_search_p95_seconds")
    searches = f"{number('search_calls'):,} in the last hour" + (f", 95 % within {slowest:.3f} s" if slowest else "")
    written = f"{total('published_operations'):,.0f} in the last hour, {total('aborted_operations'):,.0f} given up"
    opened = f"{number('open_operations'):,} open, {number('leases_expired'):,} left behind"
    lineage = f"{total('lineage_pending'):,.0f} owed, {total('lineage_dead'):,.0f} refused"
    recall = min((v for s, v in found.items() if s.startswith("recant_vector_index_recall")), default=None)
    backup = min((v for s, v in found.items() if s.startswith("recant_backup_age_seconds")), default=None)
    return [
        ("searches", searches),
        ("operations", written),
        ("open operations", opened),
        ("last write", f"{ago('log_age_seconds')} ago" if ago("log_age_seconds") else ""),
        ("lineage events", lineage),
        ("undo reaches back", ago("undo_reach_seconds")),
        ("database", _size(found.get("recant_database_bytes", 0))),
        ("disk free", _size(found.get("recant_disk_free_bytes", 0))),
        ("index recall", "" if recall is None else f"{recall:.3f}"),
        ("last backup", "" if backup is None else f"{duration(backup)} ago"),
    ]


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:,.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.0f} MB"


def _table(output: Output, alerts: list[Alert], none: str) -> None:
    if not alerts:
        output.print(none)
        return
    columns = ["state", "severity", "alert", "of", "value#", "threshold#", "since", "what"]
    output.table(columns, [_row(alert) for alert in alerts])


def _row(alert: Alert) -> list[object]:
    since = local_time(alert.resolved_at or alert.fired_at or alert.seen_at)
    return [alert.state, alert.severity, alert.rule, alert.series, alert.value, alert.threshold, since, alert.summary]
