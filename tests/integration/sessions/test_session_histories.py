"""Random histories of sessions against a model in a few lines: a session's view is the latest and its own on top."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from recant.errors import RecantError, WriteConflict
from recant.rollback import verify_log
from recant.sessions import Sessions
from tests.integration.library import Library

NAMES = ["s", "t"]
DOCUMENTS = [f"d{n}" for n in range(4)]
STEPS = 40


@dataclass
class World:
    """What everybody sees, and what each session holds: (operation, document, text, the head it was written over)."""

    library: Library
    sessions: Sessions
    rng: random.Random
    latest: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    held: dict[str, dict[int, list[tuple[str, str | None, int | None]]]] = field(
        default_factory=lambda: {name: {} for name in NAMES}
    )
    merges: int = 0
    refusals: int = 0

    def heads(self, session: str | None) -> dict[str, tuple[int, str | None]]:
        heads = dict(self.latest)
        for operation, writes in sorted(self.held.get(session or "", {}).items()):
            heads |= {document: (operation, text) for document, text, _ in writes}
        return heads

    def view(self, session: str | None) -> dict[str, str]:
        return {document: text for document, (_, text) in self.heads(session).items() if text is not None}

    def some_texts(self) -> dict[str, str | None]:
        picked = self.rng.sample(DOCUMENTS, self.rng.choice([1, 1, 2]))
        return {d: None if self.rng.random() < 0.2 else f"text {self.rng.random()}" for d in picked}

    def do_publish(self) -> None:
        texts = self.some_texts()
        operation = self.library.publish(texts)
        self.latest |= {document: (operation, text) for document, text in texts.items()}

    def do_hold(self) -> None:
        name, texts = self.rng.choice(NAMES), self.some_texts()
        heads = self.heads(name)
        operation = self.library.open(session=name)
        self.library.write(operation, texts)
        self.library.log.hold(operation)
        self.held[name][operation] = [(d, text, heads[d][0] if d in heads else None) for d, text in texts.items()]

    def do_write_earlier(self) -> None:
        """One more document of an operation that isn't the session's last: refused where a later one holds it."""
        name = self.rng.choice(NAMES)
        if len(self.held[name]) < 2:
            return
        operation, later = sorted(self.held[name])[-2:]
        document = self.rng.choice(DOCUMENTS)
        if document in [d for d, _, _ in self.held[name][operation]]:
            return
        taken = document in [d for d, _, _ in self.held[name][later]]
        over = self.heads(name).get(document)
        key = f"more-{self.rng.random()}"
        try:
            self.library.write(operation, {document: "more"}, key=key)
        except WriteConflict:
            assert taken
            self.library.write(operation, {}, key=key)
            return
        assert not taken
        self.held[name][operation].append((document, "more", over[0] if over else None))

    def do_merge(self) -> None:
        name = self.rng.choice(NAMES)
        conflicts = self.conflicts(name)
        told = self.sessions.get(name).obstacles if self.held[name] else ()
        assert {(o.operation_id, o.key) for o in told} == conflicts
        try:
            report = self.sessions.merge(name)
        except WriteConflict as refused:
            assert (refused.details["operation_id"], refused.details["record"]) in conflicts
            self.refusals += 1
            return
        except RecantError:
            assert not self.held[name]
            return
        assert not conflicts
        assert [operation for operation, _ in report.published] == sorted(self.held[name])
        self.merges += bool(report.published)
        self.latest = self.heads(name)
        self.held[name] = {}

    def conflicts(self, name: str) -> set[tuple[int, str]]:
        heads, found = dict(self.latest), set()
        for operation, writes in sorted(self.held[name].items()):
            for document, text, over in writes:
                if (heads[document][0] if document in heads else None) != over:
                    found.add((operation, document))
                heads[document] = (operation, text)
        return found

    def do_discard(self) -> None:
        name = self.rng.choice(NAMES)
        if self.held[name] and self.rng.random() < 0.5:
            assert list(self.sessions.discard(name).aborted) == sorted(self.held[name])
            self.held[name] = {}

    def check(self) -> None:
        for session in (None, *NAMES):
            assert self.library.view(session=session) == self.view(session)


@pytest.mark.parametrize("seed", range(12))
def test_a_session_sees_the_latest_and_its_own_on_top(library: Library, sessions: Sessions, seed: int):
    """After every step, in everybody's view: merges are all or none, refused by exactly the conflicts shown before, and
    a discard leaves no trace."""
    world = World(library, sessions, random.Random(seed))
    for _ in range(STEPS):
        step = world.rng.choice(["publish", "hold", "hold", "hold", "write_earlier", "merge", "merge", "discard"])
        getattr(world, f"do_{step}")()
        world.check()
    assert verify_log(library.database).ok
    assert world.merges + world.refusals > 0
