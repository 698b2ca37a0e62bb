"""Holds what everyone was told against the log: nothing lost, nothing half there, nothing that wasn't said."""

from __future__ import annotations

from recant.rollback import verify_log
from recant.store import Database
from tests.integration.concurrency.stress import Documents, Target, Told
from tests.integration.replay import Entry, Replay, State, replay


def complaints(dsn: str, told: Told) -> list[str]:
    """Everything that is wrong; at most some of each kind."""
    found = list(told.failures[:3])
    with Database(dsn) as database:
        report = verify_log(database)
        found += [f"verify: {check.name}: {check.detail}" for check in report.checks if not check.ok]
        try:
            log = replay(database)
        except AssertionError as gap:
            return [*found, str(gap)]
    found += _not_as_told(log, told)[:3]
    observed: dict[int, list[Documents]] = {}
    for position, documents in told.observations:
        observed.setdefault(position, []).append(documents)
    updates, views = [], _wrong_views(State(), observed.get(0, []))
    for entry, before, after in log.states():
        updates += _lost_updates(entry, before)
        views += _wrong_views(after, observed.get(entry.position, []))
    return found + updates[:3] + views[:3]


def _not_as_told(log: Replay, told: Told) -> list[str]:
    """Everyone's own word: what was published is there, at its position; what was refused or given up is not."""
    at = {entry.position: entry for entry in log.entries}
    wrong = [f"operation {i} was told position {p}" for p, i in told.published.items() if p not in at or at[p].id != i]
    wrong += [f"operation {e.id} was given up, and is published" for e in log.entries if e.id in set(told.aborted)]
    wrong += [f"operation {e.id} was published, and nobody was told" for e in log.entries if _is_untold(e, told)]
    for position, withdrawn in told.withdrawn.items():
        if position not in at or _hidden_by(at[position]) != withdrawn:
            wrong.append(f"the rollback at {position} took back something else than {withdrawn}")
    return wrong


def _hidden_by(entry: Entry) -> set[Target]:
    records = {pair for pair, shows in entry.record_verdicts.items() if not shows}
    return {(i, None) for i, shows in entry.verdicts.items() if not shows} | records


def _is_untold(entry: Entry, told: Told) -> bool:
    return entry.position not in {*told.published, *told.withdrawn, *told.reclaimed}


def _lost_updates(entry: Entry, before: State) -> list[str]:
    """Each version is over what was seen when it was published: so whatever it replaced, its writer knew."""
    if entry.last_wins:
        return []
    heads = {record: head.operation for record, head in before.heads.items()}
    return [
        f"operation {entry.id} wrote {version.source} over {version.over}, the head was {heads.get(record)}"
        for record, version in entry.versions.items()
        if heads.get(record) != version.over
    ]


def _wrong_views(state: State, observations: list[Documents]) -> list[str]:
    """A search shows the state of one position, whole: never some of an operation's documents, or of a document's chunks.

    Of what was reclaimed since, which operation's it was is still known.
    """
    heads = [v for v in state.heads.values() if not v.tombstone]
    wanted = {v.source: (v.operation, tuple(sorted(v.chunks))) for v in heads if v.payload == "kept"}
    gone = {v.source: v.operation for v in heads if v.payload == "reclaimed"}
    return [
        f"at {state.position} a search showed {o}, it should be {wanted} and {gone}"
        for o in observations
        if {s: found for s, found in o.items() if s not in gone} != wanted
        or {s: operation for s, (operation, _) in o.items() if s in gone} != gone
    ]
