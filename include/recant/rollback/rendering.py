"""A plan, a refusal and a certificate as Markdown: for a pull request, a ticket, a chat, an approval, and a log.

Names and reasons that people and agents chose are shown as code, so that none of them can write a heading, a link or an
image into what a person approves. Every list is cut, with the number of what isn't shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

MAX_ROWS = 50
MAX_NAME_CHARACTERS = 80
MAX_MESSAGE_CHARACTERS = 600
NAME_START = 24
MAX_STEPS = 6
NAMED_DOCUMENTS = 3
_UNTOUCHED = {"left": "stay, though built on what goes", "kept": "selected, but kept as others were built on them"}
_POSSIBLE_COLUMNS = ("operation", "why", "kind", "agent", "session", "had searched for", "at", "and been shown")
_OPERATION_COLUMNS = ("operation", "now", "why", "kind", "agent", "session", "collection")
"""Short ones first: the approval's page is narrow, and what doesn't fit has to be scrolled to."""


def plan_document(plan: Mapping[str, Any], *, position: int | None = None) -> str:
    """All of a stored plan: its state, what it does, who approved, and its certificate, once there is one.

    `plan` is `Plan.to_dict()`; `position` the log's last one, to tell how old the answer is.
    """
    moved = f", the log is at {position} now" if position is not None and position != plan["position"] else ""
    parts = [
        f"## {_noun(plan)} plan {code(plan['plan_id'])}: {plan['state']}",
        "\n".join(f"- {line}" for line in _life(plan)),
        plan_markdown(plan, moved=moved),
    ]
    if plan.get("certificate"):
        parts += ["### Certificate", certificate_markdown(plan["certificate"])]
    return "\n\n".join(parts) + "\n"


def plan_markdown(plan: Mapping[str, Any], message: str | None = None, *, moved: str = "") -> str:
    """What is withdrawn, what comes back, who is affected, and why. `plan` is `Plan.to_dict()`."""
    parts = [
        f"{_verdicts(plan)} Policy {code(plan['policy'])}, worked out at position {plan['position']}{moved}, "
        f"plan {code(plan['plan_id'])}.",
        f"Asked for: {_conditions(plan['selector'])}; by {code(plan['agent'])}.",
        f"Reason given: {code(message, MAX_MESSAGE_CHARACTERS)}" if message else "",
        effects(plan),
        _untouched(plan),
        _blocked(plan.get("block")),
        _brought_back(plan.get("revival")),
        operations_table(plan["operations"], _total(plan, "selected", "definite")),
        possible_table(plan["operations"], _total(plan, "possible"), counted=plan["include_possible"]),
        _changed_records(plan["sample"]),
        _applying(plan),
    ]
    return "\n\n".join(part for part in parts if part)


def _brought_back(revival: Mapping[str, Any] | None) -> str:
    """What comes out of archives, where something does."""
    sources = (revival or {}).get("sources", ())
    files = [f"{len(source['versions'])} from {code(source['path'])}" for source in sources]
    return f"Brought back from archives, as it was reclaimed: {_listed(files)}." if files else ""


def dependents_markdown(message: str, details: Mapping[str, Any]) -> str:
    """Why a plan was refused, with the whole blast radius."""
    radius = details.get("blast_radius")
    if not radius:
        return message
    operations = radius["operations"]
    definite = operations_table(operations, _total(radius, "selected", "definite"))
    possible = possible_table(operations, _total(radius, "possible"))
    parts = [message, effects(radius), definite, possible]
    return "\n\n".join(part for part in parts if part)


def certificate_markdown(certificate: Mapping[str, Any]) -> str:
    """What was proved about a rollback. `certificate` is `Certificate.to_dict()`."""
    verdict = "verified" if certificate["verified"] else "NOT VERIFIED"
    kinds = [[kind, c["before"], c["after"], c["expected"]] for kind, c in certificate["kinds"].items()]
    digests = [["digest", *(code(certificate[f"digest_{n}"], 64) for n in ("before", "after", "expected"))]]
    withdrawn = [*map(str, certificate["withdrawn"]), *_records(certificate["withdrawn_records"])]
    lines = [
        f"Operation {certificate['operation_id']} at position {certificate['position']}: {verdict}.",
        f"Withdrawn: {_listed(withdrawn)}. Approved by {code(certificate['approved_by'])}.",
        table(("records", "before", "after", "expected"), [*kinds, *digests]),
        str(certificate["residue"]),
    ]
    return "\n\n".join(lines)


def operations_table(operations: Sequence[Mapping[str, Any]], total: int = 0) -> str:
    """One line for each definite operation of a blast radius, the first 50, each with the path that leads there.

    `total`: how many there are, where only the first are at hand.
    """
    steps = {operation["operation_id"]: operation for operation in operations}
    rows = [_operation_row(o, steps) for o in operations if o["certainty"] == "definite"]
    return _cut(_OPERATION_COLUMNS, rows, total)


def possible_table(operations: Sequence[Mapping[str, Any]], total: int = 0, *, counted: bool = False) -> str:
    """The possible dependents of a blast radius, apart: each with the search that showed its session what is selected.

    `counted`: whether they count as definite ones. Empty where there are none.
    """
    steps = {operation["operation_id"]: operation for operation in operations}
    rows = [_possible_row(operation, steps) for operation in operations if operation["certainty"] == "possible"]
    becomes = "They count as dependents here" if counted else "They stay"
    said = f"**May have been built on it**, as their sessions were shown it before they wrote. {becomes}:"
    return f"{said}\n\n{_cut(_POSSIBLE_COLUMNS, rows, total)}" if rows else ""


def effects(radius: Mapping[str, Any]) -> str:
    """Records by kind that go, come back, or leave a gap; whose they are; datasets and files. As a list."""
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


def code(text: Any, longest: int = MAX_NAME_CHARACTERS) -> str:
    """Foreign text as inline code: one line, cut in the middle, without what would end the code or the table's cell."""
    if text is None:
        return "–"
    line = "".join(c if c.isprintable() else " " for c in str(text)).replace("`", "'").replace("|", "¦").strip()
    if len(line) > longest:
        line = f"{line[:NAME_START]}…{line[NAME_START + 1 - longest :]}"
    return f"`{line}`" if line else "–"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table whose columns are also aligned as plain text. Cells are taken as they are."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def path(operation: Mapping[str, Any], steps: Mapping[int, Mapping[str, Any]]) -> str:
    """How an operation came into a blast radius: `derived from 7, affirmed from 4`, back to what was selected.

    `steps` are the operations by id; a hidden one that the path leads through may be missing, and ends it.
    """
    words: list[str] = []
    at: Mapping[str, Any] | None = operation
    while at is not None and at.get("via") and len(words) < MAX_STEPS:
        words.append(f"{at['relation']} from {at['via']}")
        at = steps.get(at["via"])
    if at is not None and at.get("via"):
        words.append("…")
    return ", ".join(words) or str(operation["relation"])


def withdrawn_text(plan: Mapping[str, Any], name: str = "withdraw") -> str:
    """How much a plan withdraws, in words: `2 operations`, `1 document`, or both."""
    whole, documents = len(plan[name]), len({record["record_id"] for record in plan[f"{name}_records"]})
    words = [_count(whole, "operation")] if whole or not documents else []
    return " and ".join([*words, *([_count(documents, "document")] if documents else [])])


def _noun(plan: Mapping[str, Any]) -> str:
    return str(plan.get("kind") or "rollback").capitalize()


def _life(plan: Mapping[str, Any]) -> Iterable[str]:
    yield f"made {_moment(plan['created_at'])} by {code(plan['agent'])}"
    if plan["approved_at"]:
        yield f"approved {_moment(plan['approved_at'])} by {code(plan['approved_by'])}"
    elif plan["applied_at"] or plan["state"] == "open":
        yield "not approved by anybody" if plan["applied_at"] else "waits for approval"
    if plan["applied_at"]:
        yield f"applied {_moment(plan['applied_at'])} as operation {plan['applied_as']}"
    if plan["verified_at"]:
        yield f"verified {_moment(plan['verified_at'])}"
    if plan["aborted_at"]:
        reason = f": {code(plan['abort_reason'], MAX_MESSAGE_CHARACTERS)}" if plan["abort_reason"] else ""
        yield f"aborted {_moment(plan['aborted_at'])} by {code(plan['aborted_by'])}{reason}"
    elif plan["expires_at"] and not plan["applied_at"]:
        yield f"{'expired' if plan['state'] == 'expired' else 'can be applied until'} {_moment(plan['expires_at'])}"


def _verdicts(plan: Mapping[str, Any]) -> str:
    goes, comes = [*_targets(plan, "withdraw")], [*_targets(plan, "bring_back")]
    words = [f"**Withdraws {withdrawn_text(plan)}**: {_listed(goes)}."] if goes else []
    words += [f"**Brings back {withdrawn_text(plan, 'bring_back')}**: {_listed(comes)}."] if comes else []
    if not words:
        return f"**Does nothing.** {plan['message']}".strip()
    if plan["shows"] and not comes:
        words.append(f"Seen again: {_listed(map(str, plan['shows']))}.")
    return " ".join(words)


def _targets(plan: Mapping[str, Any], name: str) -> Iterable[str]:
    """Whole operations by id, and documents of others."""
    yield from map(str, plan[name])
    yield from _records(plan[f"{name}_records"])


def _records(records: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (f"{code(record['source'])} of {record['operation_id']}" for record in records)


def _applying(plan: Mapping[str, Any]) -> str:
    if plan.get("applied_as"):
        return f"A redo of operation {plan['applied_as']} takes this back."
    return "Rejecting changes nothing. Once applied, a redo takes it back."


def _operation_row(operation: Mapping[str, Any], steps: Mapping[int, Mapping[str, Any]]) -> list[str]:
    narrowed = operation["narrowed_to"]
    more = f" and {len(narrowed) - NAMED_DOCUMENTS} more" if len(narrowed) > NAMED_DOCUMENTS else ""
    only = f", only {_listed(map(code, narrowed[:NAMED_DOCUMENTS]))}{more}" if narrowed else ""
    return [
        str(operation["operation_id"]),
        "seen" if operation["visible"] else "withdrawn",
        f"{path(operation, steps)}{only}",
        operation["kind"],
        code(operation["agent"]),
        code(operation["session"]),
        code(operation["collection"]),
    ]


def _possible_row(operation: Mapping[str, Any], steps: Mapping[int, Mapping[str, Any]]) -> list[str]:
    first: Mapping[str, Any] = next(iter(operation["evidence"]), {})
    names = ("kind", "agent", "session")
    search = [code(first.get("query")), first.get("searched_at", "–"), code(first.get("source"))]
    return [str(operation["operation_id"]), path(operation, steps), *(code(operation[name]) for name in names), *search]


def _total(radius: Mapping[str, Any], *names: str) -> int:
    counts = radius.get("counts", {})
    return sum(counts.get(name, 0) for name in names)


def _cut(columns: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> str:
    unshown = max(total, len(rows)) - MAX_ROWS
    more = f"\n\nand {unshown} more" if unshown > 0 else ""
    return table(columns, rows[:MAX_ROWS]) + more


def _possible_names(radius: Mapping[str, Any]) -> Iterable[tuple[str, Sequence[str]]]:
    return ((name, radius.get(f"possible_{name}", ())) for name in ("agents", "sessions"))


def _untouched(plan: Mapping[str, Any]) -> str:
    """What the policy leaves as it is, though it was built on what goes, or selected."""
    found = {words: [*_targets(plan, name)] for name, words in _UNTOUCHED.items()}
    return "\n".join(f"- {words}: {_listed(targets)}" for words, targets in found.items() if targets)


def _blocked(block: Mapping[str, Any] | None) -> str:
    """What no ingest brings back afterwards."""
    if not block:
        return ""
    named, more = list(map(code, block["first_sources"])), block["sources"] - len(block["first_sources"])
    sources = f", and everything from {_listed(named)}{f' and {more} more' if more else ''}" if named else ""
    return f"**Blocks {_count(block['contents'], 'content')}** from then on{sources}."


def _changed_records(sample: Sequence[Mapping[str, Any]]) -> str:
    documents = [row for row in sample if row["kind"] != "watermark"]
    rows = [[row["kind"], code(row["key"]), _head(row, "before"), _head(row, "after")] for row in documents[:MAX_ROWS]]
    return table(("record", "name", "seen now from", "seen afterwards from"), rows) if rows else ""


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


def _moment(text: str | datetime) -> str:
    """To the minute, with the zone: a plan is read in several."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    return moment.isoformat(sep=" ", timespec="minutes")
