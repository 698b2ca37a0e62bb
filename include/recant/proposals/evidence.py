"""From an audit and from feedback to candidates: which operation, which of its documents, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recant.feedback import NEGATIVE
from recant.oplog import Selector
from recant.quality import AuditReport
from recant.store import Connection, Row, load

_SQL = load(__package__, "proposals.sql")
Piece = tuple[int, str]
"""One piece of evidence: a document's version and the expectation that it fails, or a feedback's version and ''."""


@dataclass(slots=True)
class DocumentEvidence:
    """What speaks against one document of an operation."""

    record_id: int
    source: str
    expectations: tuple[str, ...] = ()
    """Critical expectations that it fails."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """How often each was given."""

    @property
    def is_disliked(self) -> bool:
        """More negative verdicts than helpful ones."""
        return sum(self.verdicts[name] for name in NEGATIVE) > self.verdicts["helpful"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "record_id": self.record_id,
            "source": self.source,
            "expectations": list(self.expectations),
            "verdicts": dict(sorted(self.verdicts.items())),
        }


@dataclass(slots=True)
class Candidate:
    """An operation against which something speaks that nobody has decided about."""

    operation_id: int
    documents: dict[int, DocumentEvidence] = field(default_factory=dict)
    """By record."""
    pieces: set[Piece] = field(default_factory=set)
    givers: set[str] = field(default_factory=set)
    """Who gave the negative verdicts."""
    suite: str | None = None
    whole: bool = False
    """Its readers speak against more than half of its documents: all of it is proposed."""

    def document(self, record_id: int, source: str) -> DocumentEvidence:
        """The evidence about a document, begun when there is none."""
        return self.documents.setdefault(record_id, DocumentEvidence(record_id, source))

    @property
    def selector(self) -> Selector:
        """What is proposed to be taken back."""
        documents = () if self.whole else tuple(sorted(self.documents))
        return Selector(operations=(self.operation_id,), documents=documents)

    @property
    def causes(self) -> list[str]:
        """`quality`, `feedback`, or both."""
        failing = any(document.expectations for document in self.documents.values())
        return ["quality"] * failing + ["feedback"] * bool(self.givers)

    def evidence(self) -> dict[str, Any]:
        """JSON-ready: what is shown to whoever decides."""
        documents = sorted(self.documents.values(), key=lambda document: document.source)
        return {
            "causes": self.causes,
            "suite": self.suite,
            "givers": sorted(self.givers),
            "whole": self.whole,
            "documents": [document.to_dict() for document in documents],
        }


@dataclass(frozen=True, slots=True)
class Burst:
    """How much negative feedback is a reason to ask: on one operation's documents, published after a position."""

    after_position: int
    least_negative: int = 5
    least_agents: int = 2


def candidates(connection: Connection, audit: AuditReport, burst: Burst) -> list[Candidate]:
    """What speaks against what is seen, by operation. What a person has decided about is left out."""
    found: dict[int, Candidate] = {}
    _add_failures(connection, audit, found)
    given = {"collection": audit.collection, "after": burst.after_position}
    _add_feedback(connection, connection.execute(_SQL["feedback_since"], given).fetchall(), burst, found)
    return [found[operation_id] for operation_id in sorted(found)]


def _add_failures(connection: Connection, audit: AuditReport, found: dict[int, Candidate]) -> None:
    failing = [(o.operation_id, d, name) for o in audit.operations for d in o.documents for name in d.expectations]
    given = {"versions": [d.version_id for _, d, _ in failing], "expectations": [name for _, _, name in failing]}
    rows = connection.execute(_SQL["undecided_failures"], given)
    undecided = {(row["version_id"], row["expectation"]) for row in rows}
    for operation_id, document, name in failing:
        if (document.version_id, name) in undecided:
            candidate = found.setdefault(operation_id, Candidate(operation_id, suite=audit.suite))
            known = candidate.document(document.record_id, document.source)
            known.expectations = (*known.expectations, name)
            candidate.pieces.add((document.version_id, name))


def _add_feedback(connection: Connection, rows: Sequence[Row], burst: Burst, found: dict[int, Candidate]) -> None:
    by_operation: dict[int, list[Row]] = {}
    for row in rows:
        by_operation.setdefault(row["operation_id"], []).append(row)
    bursts = {operation_id: said for operation_id, said in by_operation.items() if _is_burst(said, burst)}
    counted = connection.execute(_SQL["count_documents"], {"operations": list(bursts)}).fetchall()
    written = {row["operation_id"]: row["documents"] for row in counted}
    for operation_id, said in bursts.items():
        disliked = _disliked(said)
        candidate = found.setdefault(operation_id, Candidate(operation_id))
        candidate.whole = 2 * len(disliked) > written.get(operation_id, 0)
        for row in (row for row in said if row["record_id"] in disliked):
            candidate.document(row["record_id"], row["source"]).verdicts[row["verdict"]] += len(row["versions"])
            if row["verdict"] in NEGATIVE:
                candidate.givers.add(row["given_by"])
                candidate.pieces |= {(version_id, "") for version_id in row["versions"]}


def _is_burst(said: Sequence[Row], burst: Burst) -> bool:
    negative = [row for row in said if row["verdict"] in NEGATIVE]
    count = sum(len(row["versions"]) for row in negative)
    helpful = sum(len(row["versions"]) for row in said) - count
    givers = {row["given_by"] for row in negative}
    return count >= burst.least_negative and len(givers) >= burst.least_agents and count > helpful


def _disliked(said: Sequence[Row]) -> Mapping[int, DocumentEvidence]:
    """The documents of an operation that got more negative verdicts than helpful ones."""
    documents: dict[int, DocumentEvidence] = {}
    for row in said:
        document = documents.setdefault(row["record_id"], DocumentEvidence(row["record_id"], row["source"]))
        document.verdicts[row["verdict"]] += len(row["versions"])
    return {record_id: document for record_id, document in documents.items() if document.is_disliked}
