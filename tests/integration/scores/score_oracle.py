"""Scores told again in Python, from versions, verdicts and positions alone; slow, and in no way the database's own."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from recant.store import Database
from tests.integration.replay import State, replay

WEIGHTS = {"helpful": 10, "incorrect": -10, "outdated": -8, "confusing": -5, "duplicate": -5}
Parts = tuple[float, float, float, float, bool]
"""Score, feedback, access, freshness, pinned."""


@dataclass
class Facts:
    """Everything that a score follows from, as it is stored."""

    operations: dict[int, dict[str, Any]]
    chunks: list[dict[str, Any]]
    feedback: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    accesses: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    state: State
    words: dict[int, dict[str, tuple[int, str]]] = field(default_factory=lambda: defaultdict(dict))


QUERIES = {
    "operations": "SELECT id, position, kind, agent, closed_at, parameters, life::text AS life FROM operation",
    "chunks": """SELECT c.id, c.index, c.version_id, v.record_id, v.operation_id, d.attributes FROM chunk c
                 JOIN version v USING (version_id) JOIN document_version d USING (version_id)""",
    "feedback": """SELECT f.*, v.operation_id, v.record_id FROM feedback f JOIN version v USING (version_id)
                   JOIN operation o ON o.id = v.operation_id WHERE o.position IS NOT NULL ORDER BY o.position""",
    "rules": """SELECT v.record_id, v.operation_id, v.tombstone, y.doc_type, y.half_life_days, y.grace_days, y.floor,
                       n.target_record_id, n.score
                FROM version v JOIN record r ON r.id = v.record_id JOIN operation o ON o.id = v.operation_id
                LEFT JOIN quality_policy y USING (version_id) LEFT JOIN quality_pin n USING (version_id)
                WHERE r.kind LIKE 'quality%%' AND o.position IS NOT NULL ORDER BY o.position""",
    "accesses": "SELECT id, operation_id, record_id, shown, reformulated FROM access_count",
    "citations": "SELECT operation_id, input_version_id FROM dependency WHERE class = 'cited'",
}


def expected_scores(database: Database) -> dict[int, Parts]:
    """By chunk; neutral ones left out."""
    with database.snapshot() as connection:
        rows = {name: connection.execute(query).fetchall() for name, query in QUERIES.items()}
    log = replay(database)
    operations = {row["id"]: row for row in rows.pop("operations")}
    facts = Facts(operations, state=log.at(len(log.entries)), **rows)
    for said in facts.feedback:
        if _seen(facts, said):
            facts.words[said["target_version_id"], said["chunk_index"]][said["given_by"]] = said["verdict"]
    basis = max(
        (o for o in operations.values() if o["kind"] == "recalculate_quality" and o["id"] in facts.state.seen),
        key=lambda o: o["position"],
        default=None,
    )
    scores = {chunk["id"]: _parts(facts, chunk, basis) for chunk in facts.chunks}
    return {chunk: parts for chunk, parts in scores.items() if parts != (50.0, 0, 0, 0, False)}


def stored_scores(database: Database) -> dict[int, Parts]:
    """The same, as searches find them."""
    with database.snapshot() as connection:
        rows = connection.execute("SELECT * FROM current_quality").fetchall()
    names = ("score", "feedback", "access", "freshness")
    return {row["chunk_id"]: (*(round(row[name], 1) for name in names), row["pinned"]) for row in rows}


def _seen(facts: Facts, version: dict[str, Any]) -> bool:
    pair = (version["operation_id"], version["record_id"])
    return pair[0] in facts.state.seen and pair not in facts.state.withheld


def _heads(facts: Facts, before: float) -> list[dict[str, Any]]:
    heads: dict[int, dict[str, Any]] = {}
    for rule in facts.rules:
        if _seen(facts, rule) and facts.operations[rule["operation_id"]]["position"] < before:
            heads[rule["record_id"]] = rule
    return [rule for rule in heads.values() if not rule["tombstone"]]


def _parts(facts: Facts, chunk: dict[str, Any], basis: dict[str, Any] | None) -> Parts:
    wrote = facts.operations[chunk["operation_id"]]
    if wrote["life"] != "published":
        return (50.0, 0, 0, 0, False)
    pins = {r["target_record_id"]: r["score"] for r in _heads(facts, math.inf) if r["target_record_id"]}
    feedback = _feedback(facts.words.get((chunk["version_id"], chunk["index"]), {}))
    access = freshness = 0.0
    if basis and wrote["position"] < basis["position"]:
        access = _access(facts, chunk, basis)
        freshness = 0.0 if chunk["record_id"] in pins else _freshness(facts, chunk, wrote, basis)
    pin = pins.get(chunk["record_id"])
    score = min(100.0, max(0.0, round(50 + feedback + access + freshness, 1))) if pin is None else pin
    return (score, feedback, access, freshness, pin is not None)


def _feedback(words: dict[str, str]) -> float:
    weights = [WEIGHTS[verdict] for verdict in words.values()]
    return _round(Decimal(50 * sum(weights)) / (sum(map(abs, weights)) + 40))


def _access(facts: Facts, chunk: dict[str, Any], basis: dict[str, Any]) -> float:
    version = (chunk["operation_id"], chunk["record_id"])
    counted = [
        row
        for row in facts.accesses
        if (row["operation_id"], row["record_id"]) == version and row["id"] <= basis["parameters"]["access_until"]
    ]
    shown, again = (sum(row[name] for row in counted) for name in ("shown", "reformulated"))
    cited = {
        facts.operations[row["operation_id"]]["agent"]
        for row in facts.citations
        if row["input_version_id"] == chunk["version_id"]
        and row["operation_id"] in facts.state.seen
        and facts.operations[row["operation_id"]]["position"] < basis["position"]
    }
    used = _round(Decimal(min(3, math.log10(1 + shown)) - min(3, math.log10(1 + again))))
    return round(used + min(6, 2 * len(cited)), 1)


def _freshness(facts: Facts, chunk: dict[str, Any], wrote: dict[str, Any], basis: dict[str, Any]) -> float:
    policies = {r["doc_type"]: r for r in _heads(facts, basis["position"]) if r["doc_type"] is not None}
    policy = policies.get(chunk["attributes"].get("doc_type"), policies.get(""))
    if policy is None or policy["half_life_days"] is None:
        return 0.0
    at = datetime.fromisoformat(basis["parameters"]["at"])
    days = (at - wrote["closed_at"]).total_seconds() / 86400 - policy["grace_days"]
    if days <= 0:
        return 0.0
    return _round(Decimal((policy["floor"] - 50) * (1 - 0.5 ** (days / policy["half_life_days"]))))


def _round(number: Decimal) -> float:
    return float(number.quantize(Decimal("0.1"), ROUND_HALF_UP))
