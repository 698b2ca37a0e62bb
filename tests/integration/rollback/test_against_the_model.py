"""Random histories on Postgres and on the reference model (tests/semantics_model.py): the same calls, the same answers."""

from __future__ import annotations

import random

import pytest

from recant.errors import Refused as DatabaseRefused
from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from tests.integration.library import Library
from tests.semantics_model import TOMB, HasDependents, InputWithdrawn, Model, PlanStale, Refused, WriteConflict

RECORDS = [f"r{i}" for i in range(5)]
SESSIONS = [None, "s", "t"]
VERBS = "open write write write publish publish rollback rollback redo abort affirm merge quarantine release restore".split()
REFUSALS = {
    HasDependents: "HasDependents",
    InputWithdrawn: "InputWithdrawn",
    WriteConflict: "WriteConflict",
    PlanStale: "PlanStale",
}


class Twins:
    """One history, told to both. Model operations and database operations are matched by number."""

    def __init__(self, library: Library, seed: int) -> None:
        self.rng, self.library, self.model = random.Random(seed), library, Model()
        self.ids: dict[int, int] = {}
        self.written = 0
        self.trace: list[str] = []

    def step(self) -> None:
        verb = self.rng.choice(VERBS)
        getattr(self, f"do_{verb}")()
        self.compare()

    def both(self, label: str, on_model, on_database) -> object:
        """Runs both; a refusal must be the same refusal on both sides."""
        self.trace.append(label)
        try:
            expected, refusal = on_model(), None
        except Refused as refused:
            expected, refusal = None, REFUSALS.get(type(refused), "Refused")
        try:
            found = on_database()
        except DatabaseRefused as refused:
            told = f"{self.trace}: the model says {refusal or expected}, the database {refused!r}"
            assert refusal == ("Refused" if type(refused).__name__ == "OperationClosed" else type(refused).__name__), (
                told
            )
            return None
        assert refusal is None, f"{self.trace}: only the model refused: {refusal}"
        return found

    def some(self, life: str) -> list[int]:
        return [o.id for o in self.model.ops.values() if o.life == life and not o.verdicts]

    def do_open(self) -> None:
        agent, session = self.rng.choice("AB"), self.rng.choice(SESSIONS)
        number = self.model.open(agent, session)
        self.ids[number] = self.library.open(agent, session)
        self.trace.append(f"open {number} {session}")

    def do_write(self) -> None:
        opened = self.some("open")
        if not opened:
            return self.do_open()
        number, record = self.rng.choice(opened), self.rng.choice(RECORDS)
        if record in self.model.ops[number].versions:
            return None  # the database holds one version of a record per operation; a batch is retried instead
        self.written += 1
        value = None if self.rng.random() < 0.15 else f"value {self.written}"
        self.both(
            f"write {number} {record}={value}",
            lambda: self.model.write(number, record, TOMB if value is None else value),
            lambda: self.write(self.ids[number], {record: value}, f"w{self.written}"),
        )
        return None

    def write(self, operation_id: int, documents: dict[str, str | None], key: str) -> None:
        """A refused batch is tried again without the document, as a worker would: an unfinished one can't be published."""
        try:
            self.library.write(operation_id, documents, key=key)
        except DatabaseRefused:
            self.library.write(operation_id, {}, key=key)
            raise

    def do_affirm(self) -> None:
        """The operation leaves a record alone because its content was there: a definite dependency of what it writes."""
        opened = [n for n in self.some("open") if self.model.ops[n].versions and self.model.ops[n].session is None]
        seen = sorted(self.model.view())
        if not opened or not seen:
            return
        number, record = self.rng.choice(opened), self.rng.choice(seen)
        head = self.model.heads(self.model.visible())[record]
        version = next(iter(self.model.ops[number].versions.values()))
        version.inputs[record, head.op] = "derived"
        self.library.affirm(self.ids[number], record)
        self.trace.append(f"affirm {number} {record} of {head.op}")

    def do_publish(self) -> None:
        opened = self.some("open")
        if opened:
            number = self.rng.choice(opened)
            self.both(
                f"publish {number}",
                lambda: self.model.publish(number),
                lambda: self.library.log.publish(self.ids[number]),
            )

    def do_merge(self) -> None:
        session = self.rng.choice(["s", "t"])
        opened = [n for n in self.some("open") if self.model.ops[n].session == session]
        if opened:
            ids = [self.ids[n] for n in opened]
            self.both(f"merge {opened}", lambda: self.model.publish(*opened), lambda: self.library.log.publish(*ids))

    def do_abort(self) -> None:
        opened = self.some("open")
        if opened and self.rng.random() < 0.3:
            number = self.rng.choice(opened)
            self.both(
                f"abort {number}",
                lambda: self.model.abort(number),
                lambda: self.library.log.abort(self.ids[number], "no"),
            )

    def do_rollback(self) -> None:
        published = [n for n in self.some("published") if self.model.ops[n].versions]
        if not published:
            return
        picked = self.rng.sample(published, min(len(published), self.rng.choice([1, 1, 2])))
        policy = self.rng.choice(["refuse", "safe_only", "cascade", "force"])
        selector = Selector(operations=tuple(self.ids[n] for n in picked))
        plan = lambda: self.library.rollback.plan(selector, policy=policy, agent="x")  # noqa: E731
        self.control(
            f"{policy} {picked}",
            lambda: self.model.rollback(set(picked), policy),
            lambda: self.library.rollback.run(plan(), Attribution("x")),
        )

    def pick(self) -> tuple[list[int], Selector]:
        published = [n for n in self.some("published") if self.model.ops[n].versions]
        picked = self.rng.sample(published, min(len(published), self.rng.choice([1, 1, 2])))
        return picked, Selector(operations=tuple(self.ids[n] for n in picked))

    def do_quarantine(self) -> None:
        picked, selector = self.pick()
        if picked:
            self.control(
                f"quarantine {picked}",
                lambda: self.model.quarantine(set(picked)),
                lambda: self.library.rollback.quarantine(selector, Attribution("x")),
            )

    def do_release(self) -> None:
        picked, selector = self.pick()
        force = self.rng.random() < 0.5
        if picked:
            self.control(
                f"release {picked} {force}",
                lambda: self.model.release(picked, force),
                lambda: self.library.rollback.release(selector, Attribution("x"), "force" if force else "refuse"),
            )

    def do_restore(self) -> None:
        if self.rng.random() < 0.5 and self.model.position:
            position = self.rng.randint(0, self.model.position)
            then = self.model.view(position)
            self.control(
                f"restore {position}",
                lambda: self.model.restore(position),
                lambda: self.library.rollback.restore("library", position, Attribution("x")),
            )
            assert self.library.view() == then

    def do_redo(self) -> None:
        controls = [o.id for o in self.model.ops.values() if o.verdicts]
        if controls:
            number = self.rng.choice(controls)
            policy = self.rng.choice(["refuse", "refuse", "force"])
            self.control(
                f"redo {number} {policy}",
                lambda: self.model.redo(number, policy),
                lambda: self.library.rollback.redo(self.ids[number], Attribution("x"), policy),
            )

    def control(self, label: str, on_model, on_database) -> None:
        before = set(self.model.ops)
        report = self.both(label, on_model, on_database)
        made = set(self.model.ops) - before
        if report is None:
            return
        assert report.applied == bool(made), f"{self.trace}: {report.message}"
        if made:
            self.ids[made.pop()] = report.rollback_operation_id
            assert report.certificate.verified, self.trace

    def compare(self) -> None:
        named = {TOMB: None}
        for session in SESSIONS:
            wanted = {r: named.get(v, v) for r, v in self.model.view(session=session).items()}
            assert self.library.view(session=session) == wanted, self.trace
        states = {self.ids[n]: self.model.state(n) for n in self.ids}
        assert {o.operation_id: o.state for o in self.library.log.find(limit=1000)} == states, self.trace
        assert self.library.log.position() == self.model.position


@pytest.mark.parametrize("seed", range(40))
def test_random_histories_agree_with_the_model(library: Library, seed: int):
    """Views, states, refusals and positions are the model's after every step; the past and the log check out at the end."""
    twins = Twins(library, seed)
    for _ in range(45):
        twins.step()
    for position in range(twins.model.position + 1):
        assert library.view(position) == twins.model.view(position)
    assert verify_log(library.database).ok
