"""A blast radius, a plan and a certificate for people: what would go, what would stay, what would come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from recant.cli.output import Output, kinds, local_time

SHOWN_OPERATIONS = 50
SHOWN_IDS = 100
SHOWN_RECORDS = 8
SHOWN_SOURCES = 3


def show_blast_radius(output: Output, radius: Mapping[str, Any]) -> None:
    """Operations with why they are in it, for certain and possibly; what they come to; the first records that would change."""
    if not radius["operations"]:
        output.print("Nothing published matches.")
        return
    columns = ["op#", "relation", "certainty", "seen", "kind", "agent", "session", "run", "via#", "only"]
    counts = radius.get("counts", {})
    definite = _of_certainty(radius, "definite")
    _show_operations(output, columns, definite, _operation, counts.get("selected", 0) + counts.get("definite", 0))
    if possible := _of_certainty(radius, "possible"):
        columns = [
            "op#",
            "relation",
            "via#",
            "kind",
            "agent",
            "session",
            "wrote after searching for",
            "at",
            "and being shown",
        ]
        title = "may have been built on it"
        _show_operations(output, columns, possible, _possible, counts.get("possible", 0), title)
    output.table(["", "in the blast radius"], list(_totals(radius)))
    if radius.get("sample"):
        rows = [_record(record) for record in radius["sample"][:SHOWN_RECORDS]]
        output.table(["record", "", "now", "then"], rows, title=_sample_title(radius["sample"]))


def show_plan(output: Output, plan: Mapping[str, Any]) -> None:
    """The blast radius, and what the policy makes of it."""
    show_blast_radius(output, plan)
    rows = [["policy", plan["policy"]], ["withdraws", _targets(plan, "withdraw") or plan.get("message")]]
    rows.append(["brings back", _targets(plan, "bring_back")])
    rows.append(["seen again", _ids(plan.get("shows"))])
    rows.append(["stay, though built on it", _targets(plan, "left")])
    rows.append(["selected, but kept", _targets(plan, "kept")])
    rows.append(["may have been built on it", _doubt(plan)])
    rows.append(["blocks", _blocked(plan.get("block"))])
    rows += [
        [f"brought back from {source['path']}", f"{len(source['versions']):,} versions, {source['chunks']:,} chunks"]
        for source in plan.get("revival", {}).get("sources", ())
    ]
    output.table(["", f"plan {plan['plan_id']}"], [row for row in rows if row[1]])


def show_rollback(output: Output, report: Mapping[str, Any]) -> None:
    """What was done, what came back, and the certificate."""
    output.print(str(report["message"]))
    if report["applied"] and report["revived"]:
        output.print(f"Seen again: {kinds(report['revived'])}.")
    if report.get("block") and report["applied"]:
        output.print(f"Blocked: {_blocked(report['block'])}. `recant block list` shows what, `lift` lets it in again.")
    elif report.get("block"):
        output.print("Nothing was blocked either: `recant block add` blocks without a rollback.")
    if report.get("certificate"):
        show_certificate(output, report["certificate"])


def show_certificate(output: Output, certificate: Mapping[str, Any]) -> None:
    """The digests, and whether what is seen is what would be seen had the withdrawn never been published."""
    rows = [["verified", "ok" if certificate.get("verified") else "failed"]]
    names = ("digest_before", "digest_after", "digest_expected", "approved_by", "residue")
    rows += [[name.replace("_", " "), str(certificate[name])] for name in names if certificate.get(name)]
    output.table(["", "certificate"], rows)


def _show_operations(
    output: Output,
    columns: Sequence[str],
    operations: Sequence[Mapping[str, Any]],
    row: Callable[[Mapping[str, Any]], list[object]],
    total: int,
    title: str | None = None,
) -> None:
    output.table(columns, [row(operation) for operation in operations[:SHOWN_OPERATIONS]], title=title)
    unshown = max(total, len(operations)) - SHOWN_OPERATIONS
    if unshown > 0:
        output.print(f"… and {unshown:,} more operations.")


def _of_certainty(radius: Mapping[str, Any], certainty: str) -> list[Mapping[str, Any]]:
    return [operation for operation in radius["operations"] if operation["certainty"] == certainty]


def _possible(operation: Mapping[str, Any]) -> list[object]:
    """With the first search that showed its session what is selected; none for what was built on such a one."""
    first: Mapping[str, Any] = next(iter(operation.get("evidence") or ()), {})
    search = [first.get("query"), local_time(first.get("searched_at")), first.get("source")]
    return [*(operation.get(name) for name in ("operation_id", "relation", "via", "kind", "agent", "session")), *search]


def _doubt(plan: Mapping[str, Any]) -> str:
    """What the plan makes of possible dependents."""
    ids = _ids(sorted({operation["operation_id"] for operation in _of_certainty(plan, "possible")}))
    if not ids:
        return ""
    return (
        f"{ids}: counted as built on it"
        if plan.get("include_possible")
        else f"{ids}: left alone, see --include-possible"
    )


def _blocked(block: Mapping[str, Any] | None) -> str:
    if not block:
        return ""
    told = f"{block['contents']:,} content{'' if block['contents'] == 1 else 's'}"
    named, more = block["first_sources"], block["sources"] - len(block["first_sources"])
    sources = f" and the source{'' if block['sources'] == 1 else 's'} {', '.join(named)}" if named else ""
    return told + sources + (f" and {more:,} more" if more else "")


def _operation(operation: Mapping[str, Any]) -> list[object]:
    names = ("operation_id", "relation", "certainty")
    seen = "yes" if operation.get("visible", True) else "withdrawn"
    who = (operation.get(name) for name in ("kind", "agent", "session", "run_id"))
    only = _some(operation.get("narrowed_to") or ())
    return [*(operation[name] for name in names), seen, *who, operation.get("via"), only]


def _totals(radius: Mapping[str, Any]) -> Iterable[list[object]]:
    for name in ("agents", "sessions", "possible_agents", "possible_sessions", "datasets", "artifacts"):
        if radius.get(name):
            yield [name.replace("_", " "), _ids(_name(entry) for entry in radius[name])]
    labels = {"records": "withdrawn", "revived": "comes back", "vanishing": "leaves a gap"}
    for name, label in labels.items():
        if radius.get(name):
            yield [label, kinds(radius[name])]


def _record(record: Mapping[str, Any]) -> list[object]:
    now = _head(record.get("before_operation"), record.get("absent_before"))
    return [record["kind"], record["key"], now, _head(record.get("after_operation"), record.get("absent_after"))]


def _head(operation: int | None, absent: bool | None) -> str:
    if operation is None:
        return "never there"
    return f"removed by {operation}" if absent else f"as {operation} wrote it"


def _sample_title(sample: list[Any]) -> str:
    return f"first {SHOWN_RECORDS} records that change" if len(sample) > SHOWN_RECORDS else "records that change"


def _name(entry: Any) -> str:
    return str(entry.get("name") or entry.get("path") or entry) if isinstance(entry, Mapping) else str(entry)


def _ids(ids: Any) -> str:
    every = list(ids or ())
    more = f" and {len(every) - SHOWN_IDS:,} more" if len(every) > SHOWN_IDS else ""
    return ", ".join(str(entry) for entry in every[:SHOWN_IDS]) + more


def _targets(plan: Mapping[str, Any], name: str) -> str:
    """Whole operations, and documents of others."""
    documents: dict[int, list[str]] = {}
    for record in plan.get(f"{name}_records") or ():
        documents.setdefault(record["operation_id"], []).append(record["source"])
    parts = [f"{_some(sources)} of {operation_id}" for operation_id, sources in documents.items()]
    return "; ".join([*filter(None, [_ids(plan.get(name))]), *parts])


def _some(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - SHOWN_SOURCES} more" if len(sources) > SHOWN_SOURCES else ""
    return ", ".join(sources[:SHOWN_SOURCES]) + more
