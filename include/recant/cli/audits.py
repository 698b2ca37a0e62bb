"""`audit`, `audit history`, `show`, `docs`, `check-suite`: what is published, held against each collection's suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recant.cli.flags import CollectionFlag, JsonFlag, with_flag_groups
from recant.cli.output import Output, local_time
from recant.cli.proposals import SHOWN_DOCUMENTS, SuiteFlag
from recant.cli.services import settings
from recant.cli.undo import Undoing
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.quality import AuditEntry, Suite
    from recant.rollback import RollbackReport

SHOWN_ROWS = 10
app = typer.Typer(help="Hold what is published against a suite of expectations: now, and over time.")
AuditArgument = Annotated[
    int | None, typer.Argument(metavar="AUDIT", help="Its number in the history. Default: the collection's last.")
]


def audit(
    context: typer.Context,
    undoing: Undoing,
    collection: CollectionFlag = None,
    suite: SuiteFlag = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Hide the documents that fail, until they are released or rolled back.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Whether it goes into the history, with a page of Data Docs.")
    ] = True,
    pages: Annotated[int, typer.Option(min=0, max=1000, help="How many pages of a collection are kept; 0: none.")] = 30,
    json: JsonFlag = False,
) -> None:
    """Check what is published against its collection's suite. Ends with 1 when something critical fails."""
    if context.invoked_subcommand is not None:
        return
    import recant
    from recant.proposals import quarantine_failing

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        who = kb.attribution(agent=undoing.by, message=undoing.message)
        run = partial(kb.audits.run, agent=who.agent, pages=pages) if keep else kb.audits.look
        found = run(collection, suite=suite)
        hidden = quarantine_failing(kb.rollbacks, found, who) if quarantine else []
        if keep and hidden:
            kb.audits.note_quarantines(found, _operations(hidden))
        page = kb.audits.data_docs.site / found.data_docs if found.data_docs else None
    report = found.to_dict() | {"data_docs": page and str(page)}
    if json:
        output.document(report | ({"quarantines": _operations(hidden)} if quarantine else {}))
    else:
        _show_audit(output, report)
        for one in hidden:
            output.print(one.message)
    if not report["success"]:
        raise typer.Exit(1)


def history(
    collection: CollectionFlag = None,
    every: Annotated[bool, typer.Option("--all", help="Of all collections.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="So many, the newest.")] = 20,
    json: JsonFlag = False,
) -> None:
    """Show how audits came out over time, and which expectations fail more or fewer rows than before."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        found = kb.audits.history(collection, limit=limit, every=every)
    if json:
        output.document({"audits": [entry.to_dict() for entry in found]})
        return
    if not found:
        output.print("There was no audit yet.")
        return
    rows = [
        [e.audit_id, local_time(e.ended_at), e.collection, e.suite, e.position, e.documents, e.failing_documents,
         *(_shown(e.summary.get(name)) for name in ("reject_rate", "drift_p_value"))] for e in found
    ]  # fmt: skip
    output.table(
        ["audit#", "when", "collection", "suite", "position#", "documents#", "fail#", "rejected#", "drift p#"], rows
    )
    if not every:
        _show_trend(output, found)


def show(audit: AuditArgument = None, collection: CollectionFlag = None, json: JsonFlag = False) -> None:
    """Show an audit of the history: every expectation, failing rows by id, and its page."""
    import recant

    output = Output(json)
    with recant.connect(settings=settings()) as kb:
        if audit is not None:
            entry = kb.audits.get(audit)
        else:
            last = kb.audits.history(collection, limit=1)
            if not last:
                raise UsageError("There was no audit of it yet: `recant audit` makes one.")
            entry = last[0]
        page = kb.audits.page(entry)
    if json:
        output.document(entry.to_dict() | {"data_docs": page and str(page)})
        return
    title = f"audit {entry.audit_id} of {entry.collection}, {local_time(entry.ended_at)}, suite {entry.suite}"
    told = [
        [e["name"], e["severity"], "holds" if e["success"] else "fails", e["checked"], e["unexpected"]]
        for e in entry.expectations
    ]
    output.table(["expectation", "severity", "", "rows#", "fail#"], told, title=title)
    _show_rows(output, entry.failing_rows)
    output.table(["about all of it", "value#"], [[name, _shown(value)] for name, value in entry.summary.items()])
    if entry.quarantines:
        output.print(f"Hidden because of it by operation {', '.join(map(str, entry.quarantines))}.")
    output.print(f"Its page: {page}" if page else "It has no page (any more).")


def docs(json: JsonFlag = False) -> None:
    """Say where the pages of Data Docs are."""
    import recant

    with recant.connect(settings=settings()) as kb:
        index = kb.audits.data_docs.index
    if json:
        Output(json).document({"index": str(index), "exists": index.is_file()})
    else:
        Output(json).print(str(index) if index.is_file() else f"No page yet; it will be {index}.")


def check_suite(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A suite. Default: every file of the folder of suites.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Check suites without data: what they say, and that every expectation can be evaluated. Ends with 1 if one can't."""
    from recant.quality import BadSuite, check_suite, load_suite, suite_files, suites_folder

    output, known = Output(json), settings()
    files = [(None, file)] if file else list(suite_files(known))
    told: list[dict[str, Any]] = []
    for collection, path in files:
        try:
            suite = check_suite(load_suite(path))
        except BadSuite as error:
            told.append({"file": str(path), "collection": collection, "ok": False, "error": str(error)})
        else:
            told.append(_described(suite) | {"file": str(path), "collection": collection, "ok": True})
    if json:
        output.document({"folder": str(suites_folder(known)), "suites": told})
    else:
        _show_checked(output, told, suites_folder(known))
    if not all(one["ok"] for one in told):
        raise typer.Exit(1)


def _described(suite: Suite) -> dict[str, Any]:
    shown = [{"name": e.name, "severity": e.severity, "expectation": e.kind, "columns": list(e.columns),
              "arguments": suite.arguments_of(e)} for e in suite.expectations]  # fmt: skip
    return {"name": suite.name, "digest": suite.digest, "expectations": shown}


def _show_checked(output: Output, told: Sequence[Mapping[str, Any]], folder: Path) -> None:
    if not told:
        output.print(f"There is no suite in {folder}: every collection has the built-in one.")
    for one in told:
        if not one["ok"]:
            output.note(one["error"], style="bold red")
            continue
        rows = [[e["name"], e["severity"], e["expectation"], _arguments(e["arguments"])] for e in one["expectations"]]
        output.table(["expectation", "severity", "is", "with"], rows, title=f"{one['name']}, {one['file']}")


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def _show_audit(output: Output, report: Mapping[str, Any]) -> None:
    counted = f"{report['documents']:,} documents, {report['rows']:,} chunks, suite {report['suite']}"
    rows = list(_failing(report["operations"]))
    if rows:
        output.table(["op#", "agent", "document", "fails"], rows[:SHOWN_DOCUMENTS])
    if len(rows) > SHOWN_DOCUMENTS:
        output.print(f"… and {len(rows) - SHOWN_DOCUMENTS:,} more documents.")
    lesser = [e for e in report["expectations"] if not e["success"] and e["severity"] != "critical"]
    if lesser:
        output.table(
            ["also", "severity", "rows#", "fail#"],
            [[e["name"], e["severity"], e["checked"], e["unexpected"]] for e in lesser],
        )
    if report["beyond_documents"]:
        output.print(f"Failed as a whole: {', '.join(report['beyond_documents'])}.")
    failing = f"{report['failing_documents']:,} of them fail" if rows else "something critical fails"
    told = "nothing critical fails" if report["success"] else failing
    output.print(f"{counted}: {told}.")
    if report["audit_id"] is not None:
        output.print(f"Rows by id: recant audit show {report['audit_id']}.")
    if report["data_docs"]:
        output.print(f"Data Docs: {report['data_docs']}")


def _failing(operations: Iterable[Mapping[str, Any]]) -> Iterable[list[object]]:
    for operation in operations:
        for document in operation["documents"]:
            names = ", ".join(document["expectations"])
            yield [operation["operation_id"], operation["agent"], document["source"], names]


def _show_rows(output: Output, failing: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    rows = [
        [name, row["chunk_id"], row["source"], row["chunk_index"]]
        for name, found in failing.items()
        for row in found[:SHOWN_ROWS]
    ]
    if rows:
        output.table(["fails", "chunk#", "document", "number#"], rows)


def _show_trend(output: Output, found: Sequence[AuditEntry]) -> None:
    """How many rows fail each expectation: oldest to newest of those shown, where they ever failed."""
    oldest_first = list(reversed(found))
    names = dict.fromkeys(name for entry in found for name, count in entry.unexpected.items() if count)
    rows = []
    for name in names:
        counts = [entry.unexpected.get(name) for entry in oldest_first]
        known = [count for count in counts if count is not None]
        change = known[-1] - known[-2] if len(known) > 1 else 0
        rows.append([name, _bars(counts), known[-1], f"{change:+d}" if change else ""])
    if rows:
        output.table(["rows that fail", "over time", "now#", "change#"], rows)


def _bars(counts: Sequence[int | None]) -> str:
    most = max((count for count in counts if count), default=1)
    signs = "▁▂▃▄▅▆▇█"
    return "".join("·" if count is None else signs[round(count / most * (len(signs) - 1))] for count in counts)


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:g}"


def _operations(hidden: Iterable[RollbackReport]) -> list[int]:
    return [one.rollback_operation_id for one in hidden if one.rollback_operation_id is not None]


app.callback(invoke_without_command=True)(with_flag_groups(audit))
COMMANDS: dict[str, Callable[..., None]] = {"history": history, "show": show, "docs": docs, "check-suite": check_suite}
for name, command in COMMANDS.items():
    app.command(name)(command)
