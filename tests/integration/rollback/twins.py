"""One history, told to the reference model and to Postgres: the same calls, the same answers, the same refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from recant.errors import Refused as DatabaseRefused
from recant.oplog import Attribution, Selector
from recant.rollback import Plan as DatabasePlan
from recant.rollback import RollbackReport, verify_log
from recant.search import Searcher
from recant.sessions import Sessions
from recant.settings import read_settings
from recant.storage import Storage
from tests.integration.library import Library
from tests.integration.replay import replay
from tests.semantics_model import Model
from tests.semantics_types import (
    NOW,
    TOMB,
    WHOLE,
    HasDependents,
    InputWithdrawn,
    Op,
    PastHorizon,
    Plan,
    PlanStale,
    Refused,
    Selection,
    Target,
    WriteConflict,
)

RECORDS = [f"r{i}" for i in range(6)]
AGENTS = ["A", "B"]
SESSIONS = [None, "s", "t"]
NAMED = (HasDependents, InputWithdrawn, WriteConflict, PlanStale, PastHorizon)
BY = Attribution("x", message="as told")
Conditions = Mapping[str, Any]
"""agents, sessions, sources, touching: names. operations, positions, window: numbers that pick among what is there."""


def pick(things: list[Any], number: int) -> Any:
    """One of them; the smaller the number, the earlier. So that a shrunk history stays a history."""
    return things[number % len(things)]


@dataclass
class Twins:
    """Model operations and database operations are matched by number. A call that makes no sense yet does nothing."""

    library: Library
    model: Model = field(default_factory=Model)
    ids: dict[int, int] = field(default_factory=dict)
    plans: list[tuple[Plan, DatabasePlan]] = field(default_factory=list)
    stale: list[Plan] = field(default_factory=list)
    """Plans that were refused: they are open as before, and what they speak of isn't reclaimed."""
    tags: dict[str, int] = field(default_factory=dict)
    written: int = 0

    def __post_init__(self) -> None:
        self.storage = Storage(self.library.database, read_settings({"RECANT_COLLECTION": self.library.name}))
        self.searcher = Searcher(self.library.database, self.library.model.vector)

    # ---- writing

    def open(self, agent: str, session: str | None, last_wins: bool = False) -> None:
        number = self.model.open(agent, session, last_wins=last_wins)
        self.ids[number] = self.library.open(agent, session, last_wins=last_wins)

    def write(self, number: int, record: str, retire: bool) -> None:
        """A worker that is refused tries again without the document: an unfinished batch can't be published."""
        opened = [n for n in self._of("open") if record not in self.model.ops[n].versions]
        if not opened:
            return
        chosen, self.written = pick(opened, number), self.written + 1
        value, key = None if retire else f"value {self.written}", f"write {self.written}"
        try:
            self.both(
                lambda: self.model.write(chosen, record, TOMB if value is None else value),
                lambda: self.library.write(self.ids[chosen], {record: value}, key=key),
            )
        finally:
            if record not in self.model.ops[chosen].versions:
                self.library.write(self.ids[chosen], {}, key=key)

    def build_on(self, number: int, record: str, kind: str, own: int) -> None:
        """An open operation names what it sees of a record; for one of the versions it wrote, or for all of it."""
        opened = [n for n in self._of("open") if record not in self.model.ops[n].versions]
        chosen = pick(opened, number) if opened else 0
        if not opened or record not in self.model.view(session=self.model.ops[chosen].session):
            return
        owned = pick([*sorted(self.model.ops[chosen].versions), WHOLE], own) if kind == "derived" else WHOLE
        self.both(
            lambda: self.model.build_on(chosen, record, kind, owned),
            lambda: self.library.build_on(self.ids[chosen], record, kind, owned or None),
        )

    def write_and_publish(self, agent: str, records: list[str], grounds: list[tuple[str, str, int]]) -> None:
        """One operation from its opening to its publishing."""
        self.open(agent, None)
        for record in records:
            self.write(-1, record, False)
        for ground in grounds:
            self.build_on(-1, *ground)
        self.publish(-1)

    def publish(self, number: int) -> None:
        if opened := self._of("open"):
            chosen = pick(opened, number)
            self.both(lambda: self.model.publish(chosen), lambda: self.library.log.publish(self.ids[chosen]))

    def merge(self, session: str) -> None:
        if opened := sorted(self.model.own(session)):
            sessions = Sessions(self.library.database)
            self.both(lambda: self.model.publish(*opened), lambda: sessions.merge(session))

    def discard_or_not(self, session: str, sure: bool) -> None:
        """Seldom: it ends much of what a history is about."""
        if sure:
            self.discard(session)

    def discard(self, session: str) -> None:
        if opened := sorted(self.model.own(session)):
            sessions = Sessions(self.library.database)
            self.both(lambda: self.model.abort(*opened), lambda: sessions.discard(session))

    def abort_or_not(self, number: int, sure: bool) -> None:
        """Seldom: it ends much of what a history is about."""
        if sure:
            self.abort(number)

    def abort(self, number: int) -> None:
        if opened := self._of("open"):
            chosen = pick(opened, number)
            self.both(lambda: self.model.abort(chosen), lambda: self.library.log.abort(self.ids[chosen], "no"))

    # ---- taking back

    def rollback(self, conditions: Conditions, policy: str, hops: int) -> None:
        selection, selector = self.selected(conditions)
        self.control(
            lambda: self.model.rollback(selection, policy, hops),
            lambda: self.library.rollback.run(self._plan(selector, policy, hops), BY),
        )

    def plan(self, conditions: Conditions, policy: str, hops: int) -> None:
        """Made now, applied when more has happened."""
        selection, selector = self.selected(conditions)
        made = self.both(lambda: self.model.plan(selection, policy, hops), lambda: self._plan(selector, policy, hops))
        if made is not None:
            self.plans.append(made)
            self._same_answer(*made)

    def _plan(self, selector: Selector, policy: str, hops: int) -> DatabasePlan:
        """`hops`: 0 leaves possible dependents out."""
        reads = {"include_possible": bool(hops), "possible_hops": max(1, hops)}
        return self.library.rollback.plan(selector, policy=policy, agent="x", **reads)

    def apply(self, number: int) -> None:
        """What the model finds done already may be stale for the database: either way nothing changes."""
        if not self.plans:
            return
        mine, stored = self.plans.pop(number % len(self.plans))
        if stored.is_empty:
            assert not self.library.rollback.run(stored, BY).applied
            return
        done = False
        if self.model.is_done(mine):
            assert _outcome(lambda: self.library.rollback.run(stored, BY).applied) in (False, "PlanStale")
        else:
            done = self.control(lambda: self.model.apply(mine), lambda: self.library.rollback.run(stored, BY))
        if not done:
            self.stale.append(mine)

    def call_off(self, number: int) -> None:
        """The plan is closed for good, and keeps nothing from being reclaimed."""
        if self.plans:
            _, stored = self.plans.pop(number % len(self.plans))
            self.library.rollback.plans.abort(stored.plan_id, "x")
            assert _outcome(lambda: self.library.rollback.run(stored, BY)) == "PlanClosed"

    def redo(self, number: int, policy: str) -> None:
        controls = [o.id for o in self.model.ops.values() if o.verdicts]
        if controls:
            chosen = pick(controls, number)
            self.control(
                lambda: self.model.redo(chosen, policy),
                lambda: self.library.rollback.redo(self.ids[chosen], BY, policy),
            )

    def quarantine(self, conditions: Conditions) -> None:
        selection, selector = self.selected(conditions)
        self.control(lambda: self.model.quarantine(selection), lambda: self.library.rollback.quarantine(selector, BY))

    def release(self, conditions: Conditions, force: bool) -> None:
        selection, selector = self.selected(conditions)
        self.control(
            lambda: self.model.release(selection, force),
            lambda: self.library.rollback.release(selector, BY, "force" if force else "refuse"),
        )

    def restore_or_not(self, number: int, sure: bool) -> None:
        """Seldom: it ends much of what a history is about."""
        if sure:
            self.restore(number)

    def restore(self, number: int) -> None:
        """Afterwards everything is as it was then."""
        position = number % (self.model.position + 1)
        then = _outcome(lambda: self.model.view(position))
        done = self.control(
            lambda: self.model.restore(position),
            lambda: self.library.rollback.restore(self.library.name, position, BY),
        )
        assert not done or self.model.view() == then

    # ---- reading, and destroying

    def search(self, session: str, records: list[str]) -> None:
        """The session is shown these: what it writes next may have been built on them."""
        found = self.searcher.search(
            "all", collection=self.library.name, limit=100, session=session, filters={"source": list(records)}
        )
        assert {hit.source: hit.text for hit in found.hits} == self.model.search(session, records)

    def erase_or_not(self, record: str, sure: bool) -> None:
        """Seldom: there is no way back."""
        if sure:
            self.erase(record)

    def erase(self, record: str) -> None:
        if any(record in o.versions for o in self.model.ops.values()):
            number, erasure = self.model.erase(record), self.storage.erase(record, BY)
            assert erasure.applied == (number is not None), erasure.message
            if number is not None:
                self.ids[number] = erasure.operation_id

    def reclaim_or_not(self, number: int, sure: bool) -> None:
        """Seldom: there is no way back."""
        if sure:
            self.reclaim(number)

    def reclaim(self, number: int) -> None:
        """To a position from the horizon on."""
        asked = self.model.horizon + number % (self.model.position - self.model.horizon + 1)
        plans = [mine for mine, stored in self.plans if not stored.is_empty] + self.stale
        told = self.storage.reclaim(BY, horizon=asked, dry_run=True)
        made, report = self.model.reclaim(asked, plans), self.storage.reclaim(BY, horizon=asked)
        assert (report.versions, report.chunks) == (told.versions, told.chunks)
        assert (report.operation_id is not None) == (made is not None), f"the model: {made}; {report.message}"
        if made is not None:
            self.ids[made] = report.operation_id
            assert report.horizon == self.model.horizon

    def tag(self, number: int) -> None:
        position, name = number % (self.model.position + 1), f"tag-{len(self.tags)}"
        if self.both(lambda: self.model.check_horizon(position) or True, lambda: self.storage.tag(name, at=position)):
            self.tags[name] = position
            self.model.pins.add(position)

    def untag(self, number: int) -> None:
        if self.model.pins:
            position = pick(sorted(self.model.pins), number)
            self.model.pins.discard(position)
            for name in [name for name, p in self.tags.items() if p == position]:
                self.storage.untag(name)
                self.tags[name] = -1

    # ---- both sides

    def both(self, on_model: Callable[[], Any], on_database: Callable[[], Any]) -> tuple[Any, Any] | None:
        """The two answers; None when both refused, and for the same reason."""
        expected, found = _outcome(on_model), _outcome(on_database)
        assert isinstance(expected, str) == isinstance(found, str), f"the model: {expected}; the database: {found}"
        if isinstance(expected, str):
            assert expected == found, f"the model refuses as {expected}, the database as {found}"
            return None
        return expected, found

    def control(self, on_model: Callable[[], int | None], on_database: Callable[[], RollbackReport]) -> bool:
        """Whether it was applied; then it is certified."""
        made = self.both(on_model, on_database)
        if made is None:
            return False
        number, report = made
        assert report.applied == (number is not None), f"the model: {number}; the database: {report.message}"
        if number is not None:
            self.ids[number] = report.rollback_operation_id
            assert report.certificate is not None
            assert report.certificate.verified, report.certificate
        return number is not None

    def selected(self, conditions: Conditions) -> tuple[Selection, Selector]:
        """The same conditions for both."""
        given = {k: tuple(v) for k, v in conditions.items() if k in ("agents", "sessions", "sources", "touching")}
        tests: list[Callable[[Op], bool]] = []
        if "agents" in given:
            tests.append(lambda o: o.agent in given["agents"])
        if "sessions" in given:
            tests.append(lambda o: o.session in given["sessions"])
        if "touching" in given:
            tests.append(lambda o: bool(({i.record for i in o.inputs} | o.versions.keys()) & set(given["touching"])))
        more = dict(given)
        if "operations" in conditions and (published := self._of("published")):
            chosen = {pick(published, n) for n in conditions["operations"]}
            tests.append(lambda o: o.id in chosen)
            more["operations"] = tuple(self.ids[n] for n in sorted(chosen))
        for name in ("positions", "window"):
            if name in conditions and self.model.position:
                first, last = sorted(n % self.model.position + 1 for n in conditions[name])
                tests.append(lambda o, first=first, last=last: first <= (o.position or 0) <= last)
                more |= self._range(name, first, last)
        if not more:
            more["everything"] = True
        records = frozenset(given["sources"]) if "sources" in given else None
        return Selection(lambda o: all(test(o) for test in tests), records), Selector(**more)

    def _range(self, name: str, first: int, last: int) -> dict[str, Any]:
        """Positions, or the times that they were given out at."""
        if name == "positions":
            return {"first_position": first, "last_position": last}
        numbers = {o.position: n for n, o in self.model.ops.items()}
        since, until = (self.library.log.get(self.ids[numbers[p]]).published_at for p in (first, last))
        return {"since": since, "until": until and until + timedelta(microseconds=1)}

    def has(self, life: str) -> bool:
        """Whether there is anything to do it to."""
        return bool(self._of(life))

    def _of(self, life: str) -> list[int]:
        return [o.id for o in self.model.ops.values() if o.life == life and not o.control]

    def _same_answer(self, mine: Plan, stored: DatabasePlan) -> None:
        """What is withdrawn already gets an empty plan."""
        if self.model.is_done(mine):
            assert stored.is_empty, f"{mine} and {stored}"
            return
        for name in ("withdraw", "left", "kept"):
            assert self._targets(stored, name) == set(getattr(mine, name)), f"{name}: {mine} and {stored}"

    def _targets(self, stored: DatabasePlan, name: str) -> set[Target]:
        numbers = {i: n for n, i in self.ids.items()}
        records = {(numbers[r.operation_id], r.source) for r in getattr(stored, f"{name}_records")}
        return {(numbers[i], WHOLE) for i in getattr(stored, name)} | records

    # ---- what is seen

    def compare(self, earlier: int) -> None:
        """Now, in each session and at an earlier position: told again from the log, and found by searching."""
        log = replay(self.library.database)
        past = earlier % (self.model.position + 1)
        for position in (None, past):
            wanted = _outcome(lambda position=position: self.model.view(NOW if position is None else position))
            found = _outcome(lambda position=position: self._found(position))
            assert found == wanted, f"a search at {position}: {found}, the model: {wanted}"
            told = _texts(log.view(position))
            assert wanted in (told, "PastHorizon"), f"the log at {position}: {told}, the model: {wanted}"
        for session in SESSIONS[1:]:
            told, wanted = _texts(log.view(session=session)), self.model.view(session=session)
            assert told == wanted, f"the log in {session}: {told}, the model: {wanted}"
        states = {self.ids[n]: self.model.state(n) for n in self.ids}
        assert {o.operation_id: o.state for o in self.library.log.find(limit=10_000)} == states
        assert self.library.log.position() == self.model.position

    def _found(self, position: int | None) -> dict[str, str]:
        hits = self.searcher.search("all", collection=self.library.name, limit=100, as_of=position).hits
        return {hit.source: hit.text for hit in hits}

    def finish(self) -> None:
        """The whole past, and the log's own checks."""
        log = replay(self.library.database)
        for position in range(self.model.position + 1):
            if position >= self.model.horizon or position in self.model.pins:
                assert _texts(log.view(position)) == self.model.view(position) == self.library.view(position)
        report = verify_log(self.library.database)
        assert report.ok, report


def _texts(view: dict[str, tuple[int, tuple[str, ...]]]) -> dict[str, str]:
    return {source: "".join(chunks) for source, (_, chunks) in view.items()}


def _outcome(call: Callable[[], Any]) -> Any:
    """What it gave, or the name of the refusal."""
    try:
        return call()
    except Refused as refused:
        return next((kind.__name__ for kind in NAMED if isinstance(refused, kind)), "Refused")
    except DatabaseRefused as refused:
        name = type(refused).__name__
        return "Refused" if name == "OperationClosed" else name
