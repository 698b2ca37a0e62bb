"""The project's reference model beside the one that the design came with: the same calls, the same answers.

That one lies outside of the repository (`../shared/semantics/model.py`); where it isn't there, this is skipped. It knows
neither narrowed verdicts nor reclaims as operations, so neither is called.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.semantics_model import Model
from tests.semantics_types import TOMB, WHOLE, Refused, Selection

GIVEN = Path(__file__).resolve().parents[4] / "shared" / "semantics" / "model.py"
EITHER = {"WriteConflict", "InputWithdrawn"}
RECORDS = [f"r{number}" for number in range(6)]
VERBS = (
    "open open write write write write write publish publish publish publish merge abort "
    "rollback rollback redo quarantine release restore erase"
)


@pytest.fixture(scope="module")
def given() -> ModuleType:
    """The other model."""
    if not GIVEN.is_file():
        pytest.skip("the design's own model isn't beside this checkout")
    spec = importlib.util.spec_from_file_location("given_model", GIVEN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["given_model"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


class Both:
    """Calls each, and compares what they say and what is seen then."""

    def __init__(self, given: ModuleType, seed: int, answers: Counter[tuple[str, str]]) -> None:
        self.rng, self.given, self.answers, self.values = random.Random(seed), given, answers, 0
        self.ours, self.theirs = Model(), given.Model()

    def step(self) -> None:
        """One random call. Refused for two reasons, either may name the other one."""
        verb = self.rng.choice(VERBS.split())
        ours, theirs = getattr(self, f"_{verb}")()
        told = _answer(ours, Refused), _answer(theirs, self.given.Refused)
        assert told[0] == told[1] or {*told} <= EITHER, verb
        self.answers[verb, told[0].split()[0]] += 1
        self._compare()

    def _compare(self) -> None:
        assert set(self.ours.seen().ops) == self.theirs.visible()
        position = self.rng.randint(0, self.ours.position)
        assert self.ours.view() == self.theirs.view()
        assert self.ours.view(position) == self.theirs.view(position)
        for session in ("s", "t"):
            assert self.ours.view(session=session) == self.theirs.view(session=session)
        for number in self.ours.ops:
            assert self.ours.state(number) == self.theirs.state(number)

    def _ids(self, *lives: str) -> list[int]:
        return [o.id for o in self.ours.ops.values() if not o.control and o.life in lives]

    def _some(self, *lives: str) -> list[int]:
        ids = self._ids(*lives)
        return self.rng.sample(ids, min(len(ids), self.rng.choice([1, 1, 2, 3])))

    def _both(self, name: str, *arguments: Any) -> tuple[Callable[[], object], Callable[[], object]]:
        return (lambda: getattr(self.ours, name)(*arguments)), (lambda: getattr(self.theirs, name)(*arguments))

    def _open(self) -> tuple[Callable[[], object], Callable[[], object]]:
        session = self.rng.choice([None, "s", "t"])
        return self._both("open", self.rng.choice("AB"), session, "write", self.rng.random() < 0.1)

    def _write(self) -> tuple[Callable[[], object], Callable[[], object]]:
        if not (opened := self._ids("open")):
            return self._open()
        self.values += 1
        inputs = dict.fromkeys(self.rng.sample(RECORDS, self.rng.choice([0, 0, 1, 2])), "derived")
        value = TOMB if self.rng.random() < 0.15 else self.values
        operation, record = self.rng.choice(opened), self.rng.choice(RECORDS)
        return self._both("write", operation, record, value, inputs)

    def _publish(self) -> tuple[Callable[[], object], Callable[[], object]]:
        return self._both("publish", *self._some("open")[:1])

    def _merge(self) -> tuple[Callable[[], object], Callable[[], object]]:
        session = self.rng.choice("st")
        return self._both("publish", *(i for i in self._ids("open") if self.ours.ops[i].session == session))

    def _abort(self) -> tuple[Callable[[], object], Callable[[], object]]:
        return self._both("abort", *self._some("open", "published")[:1])

    def _rollback(self) -> tuple[Callable[[], object], Callable[[], object]]:
        picked, policy = set(self._some("published")), self.rng.choice(["refuse", "safe_only", "cascade", "force"])
        return (
            lambda: self.ours.rollback(_these(picked), policy),
            lambda: self.theirs.rollback(picked, policy),
        )

    def _redo(self) -> tuple[Callable[[], object], Callable[[], object]]:
        controls = [o.id for o in self.ours.ops.values() if o.verdicts]
        if not controls:
            return self._open()
        return self._both("redo", self.rng.choice(controls), self.rng.choice(["refuse", "force"]))

    def _quarantine(self) -> tuple[Callable[[], object], Callable[[], object]]:
        picked = set(self._some("published"))
        return (lambda: self.ours.quarantine(_these(picked))), (lambda: self.theirs.quarantine(picked))

    def _release(self) -> tuple[Callable[[], object], Callable[[], object]]:
        picked, force = set(self._some("published")), self.rng.random() < 0.5
        return (
            lambda: self.ours.release(_these(picked), force),
            lambda: self.theirs.release(sorted(picked), force),
        )

    def _restore(self) -> tuple[Callable[[], object], Callable[[], object]]:
        back = self.rng.choice([0, 1, 1, 2, 2, 3, self.ours.position])
        return self._both("restore", max(0, self.ours.position - back))

    def _erase(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Ours says nothing of a second erasure."""
        record = self.rng.choice(RECORDS)
        held = [o.versions[record] for o in self.ours.ops.values() if record in o.versions]
        if self.rng.random() < 0.8 or all(v.value in (TOMB, self.given.ERASED) for v in held):
            return self._open()
        return self._both("erase", record)


def _these(ids: set[int]) -> Selection:
    return Selection(lambda operation: operation.id in ids)


def _answer(call: Callable[[], object], refused: type[Exception]) -> str:
    """What came of it: the operation that it made, or how it was refused."""
    try:
        return f"done {call()}"
    except refused as why:
        return type(why).__name__


def test_they_agree_on_random_histories(given: ModuleType, nightly: bool) -> None:
    """What is seen now, at earlier positions and in sessions; states, answers, refusals. Every verb goes well and is refused."""
    assert WHOLE not in RECORDS
    answers: Counter[tuple[str, str]] = Counter()
    for seed in range(2_000 if nightly else 120):
        both = Both(given, seed, answers)
        for _ in range(60):
            both.step()
    assert {verb for verb, answer in answers if answer == "done"} == set(VERBS.split())
    assert {answer for _, answer in answers} >= {"done", "WriteConflict", "InputWithdrawn", "HasDependents", "Refused"}
