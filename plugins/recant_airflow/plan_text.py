"""A rollback's plan, refusal and certificate as Markdown that also reads well in a log.

Names that agents chose (their own, sessions', documents') are shown as code, so that none of them can write a heading, a
link or an image into what a person approves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_ROWS = 50
MAX_NAME_CHARACTERS = 80
MAX_MESSAGE_CHARACTERS = 600
NAME_START = 24
UNTOUCHED = {"left": "stay, though built on what goes", "kept": "selected, but kept as others were built on them"}
POSSIBLE_COLUMNS = ("operation", "why", "kind", "agent", "session", "had searched for", "at", "and been shown")
OPERATION_COLUMNS = ("operation", "now", "why", "kind", "agent", "session", "collection")
"""Short ones first: the approval's page is narrow, and what doesn't fit has to be scrolled to."""


def plan_text(plan: Mapping[str, Any], message: str | None = None) -> str:
    """What is withdrawn, what comes back, who is affected, and why. `plan` is `recant.rollback.Plan.to_dict()`."""
    parts = [
        f"**Withdraws {withdrawn_text(plan)}**: {_listed(_targets(plan, 'withdraw'))}. "
        f"Policy {code(plan['policy'])}, worked out at position {plan['position']}, plan {code(plan['plan_id'])}.",
        f"Asked for: {_conditions(plan['selector'])}; by {code(plan['agent'])}.",
        f"Reason given: {code(message, MAX_MESSAGE_CHARACTERS)}" if message else "",
        _effects(plan),
        _untouched(plan),
        operations_table(plan["operations"]),
        possible_table(plan["operations"], counted=plan["include_possible"]),
        _changed_records(plan["sample"]),
        "Rejecting changes nothing. Once applied, a redo of the rollback brings everything back.",
    ]
    return "\n\n".join(part for part in parts if part)


def withdrawn_text(plan: Mapping[str, Any]) -> str:
    """How much a plan withdraws, in words."""
    whole, documents = len(plan["withdraw"]), len({record["record_id"] for record in plan["withdraw_records"]})
    words = [_count(whole, "operation")] * bool(whole or not documents) + [_count(documents, "document")] * bool(
        documents
    )
    return " and ".join(words)


def dependents_text(message: str, details: Mapping[str, Any]) -> str:
    """Why a plan was refused, with the whole blast radius."""
    radius = details.get("blast_radius")
    if not radius:
        return message
    operations = radius["operations"]
    parts = [message, _effects(radius), operations_table(operations), possible_table(operations)]
    return "\n\n".join(part for part in parts if part)


def certificate_text(certificate: Mapping[str, Any]) -> str:
    """What was proved about a rollback. `certificate` is `recant.rollback.Certificate.to_dict()`."""
    verdict = "verified" if certificate["verified"] else "NOT VERIFIED"
    kinds = [[kind, c["before"], c["after"], c["expected"]] for kind, c in certificate["kinds"].items()]
    lines = [
        f"Rollback {certificate['operation_id']} at position {certificate['position']}: {verdict}.",
        f"Withdrawn: {_listed(_certified(certificate))}. Approved by {code(certificate['approved_by'])}.",
        _table(("records", "before", "after", "expected"), kinds),
        f"digest before   {certificate['digest_before']}\n"
        f"digest after    {certificate['digest_after']}\n"
        f"digest expected {certificate['digest_expected']}",
        certificate["residue"],
    ]
    return "\n\n".join(lines)


def operations_table(operations: Sequence[Mapping[str, Any]]) -> str:
    """One line for each definite operation of a blast radius, the first 50."""
    return _cut_table(OPERATION_COLUMNS, [_operation_row(o) for o in operations if o["certainty"] == "definite"])


def possible_table(operations: Sequence[Mapping[str, Any]], *, counted: bool = False) -> str:
    """The possible dependents of a blast radius, apart: each with the search that showed its session what is selected.

    `counted`: whether they count as definite ones. Empty where there are none.
    """
    rows = [_possible_row(operation) for operation in operations if operation["certainty"] == "possible"]
    becomes = "They count as dependents here" if counted else "They stay"
    said = f"**May have been built on it**, as their sessions were shown it before they wrote. {becomes}:"
    return f"{said}\n\n{_cut_table(POSSIBLE_COLUMNS, rows)}" if rows else ""


def code(text: Any, longest: int = MAX_NAME_CHARACTERS) -> str:
    """Foreign text as inline code: one line, cut in the middle, without what would end the code or the table's cell."""
    if text is None:
        return "–"
    line = "".join(c if c.isprintable() else " " for c in str(text)).replace("`", "'").replace("|", "¦").strip()
    if len(line) > longest:
        line = f"{line[:NAME_START]}…{line[NAME_START + 1 - longest :]}"
    return f"`{line}`" if line else "–"


def _cut_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    more = f"\n\nand {len(rows) - MAX_ROWS} more" if len(rows) > MAX_ROWS else ""
    return _table(columns, rows[:MAX_ROWS]) + more


def _possible_row(operation: Mapping[str, Any]) -> list[str]:
    first: Mapping[str, Any] = next(iter(operation["evidence"]), {})
    names = ("kind", "agent", "session")
    search = [code(first.get("query")), first.get("searched_at", "–"), code(first.get("source"))]
    why = f"{operation['relation']} from {operation['via']}"
    return [str(operation["operation_id"]), why, *(code(operation[name]) for name in names), *search]


def _operation_row(operation: Mapping[str, Any]) -> list[str]:
    via = f" from {operation['via']}" if operation["via"] else ""
    only = f", only {_listed(map(code, operation['narrowed_to']))}" if operation["narrowed_to"] else ""
    return [
        str(operation["operation_id"]),
        "seen" if operation["visible"] else "withdrawn",
        f"{operation['relation']}{via}{only}",
        operation["kind"],
        code(operation["agent"]),
        code(operation["session"]),
        code(operation["collection"]),
    ]


def _effects(radius: Mapping[str, Any]) -> str:
    lines = [
        f"- withdrawn: {_kinds(radius['records'])}",
        f"- comes back: {_kinds(radius['revived'])}",
        f"- gone without a replacement: {_kinds(radius['vanishing'])}",
        f"- agents: {_listed(map(code, radius['agents']))}",
        f"- sessions: {_listed(map(code, radius['sessions']))}",
        *(f"- possibly also {name}: {_listed(map(code, found))}" for name, found in _possible_names(radius) if found),
        f"- datasets: {_listed(sorted({code(d['name']) for d in radius['datasets']}))}",
    ]
    if radius["artifacts"]:
        lines.append(f"- files to be made again: {_listed(code(a.get('path', a)) for a in radius['artifacts'])}")
    return "\n".join(lines)


def _possible_names(radius: Mapping[str, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    return ((name, radius.get(f"possible_{name}", ())) for name in ("agents", "sessions"))


def _untouched(plan: Mapping[str, Any]) -> str:
    """What the policy leaves as it is, though it was built on what goes, or selected."""
    found = {words: list(_targets(plan, name)) for name, words in UNTOUCHED.items()}
    lines = [f"- {words}: {_listed(targets)}" for words, targets in found.items() if targets]
    return "\n".join(lines)


def _targets(plan: Mapping[str, Any], name: str) -> Iterable[str]:
    """Whole operations by id, and documents of others."""
    yield from map(str, plan[name])
    yield from (f"{code(record['source'])} of {record['operation_id']}" for record in plan[f"{name}_records"])


def _certified(certificate: Mapping[str, Any]) -> Iterable[str]:
    yield from map(str, certificate["withdrawn"])
    yield from (f"{code(record['source'])} of {record['operation_id']}" for record in certificate["withdrawn_records"])


def _changed_records(sample: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [row["kind"], code(row["key"]), _head(row, "before"), _head(row, "after")]
        for row in sample
        if row["kind"] != "watermark"
    ][:MAX_ROWS]
    return _table(("record", "name", "seen now from", "seen afterwards from"), rows) if rows else ""


def _head(row: Mapping[str, Any], when: str) -> str:
    absent = row[f"absent_{when}"] or row[f"{when}_operation"] is None
    return "absent" if absent else f"operation {row[f'{when}_operation']}"


def _conditions(selector: Mapping[str, Any]) -> str:
    shown = {name: value if isinstance(value, list) else [value] for name, value in selector.items()}
    return "; ".join(f"{name} {_listed(map(code, values))}" for name, values in shown.items())


def _kinds(counts: Mapping[str, int]) -> str:
    return _listed(_count(count, kind) for kind, count in sorted(counts.items()))


def _listed(items: Iterable[str]) -> str:
    every = list(items)
    more = [f"and {len(every) - MAX_ROWS} more"] if len(every) > MAX_ROWS else []
    return ", ".join([*every[:MAX_ROWS], *more]) or "none"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)
