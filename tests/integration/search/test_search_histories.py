"""Search against an oracle that compares everything, over random histories of publishing and withdrawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.integration.search.search_library import Library, Part, Vector, sign_vector

SOURCES = [f"/library/{name}.md" for name in "abcdefgh"]
Found = list[tuple[str, str, int, float]]


@dataclass
class Oracle:
    """Which versions are seen, by the one rule: the last effective word wins."""

    versions: dict[int, dict[str, list[Part] | None]] = field(default_factory=dict)
    verdicts: dict[int, dict[int, bool]] = field(default_factory=dict)
    published: list[int] = field(default_factory=list)
    open: list[int] = field(default_factory=list)

    def visible(self, position: int) -> set[int]:
        said: dict[int, bool] = {}
        seen = set()
        for operation in reversed(self.published[:position]):
            if said.get(operation, True):
                seen.add(operation)
                for other, shows in self.verdicts.get(operation, {}).items():
                    said.setdefault(other, shows)
        return seen

    def heads(self, position: int, own: Iterable[int] = ()) -> dict[str, tuple[int, list[Part] | None]]:
        visible = self.visible(position)
        order = [operation for operation in self.published[:position] if operation in visible] + sorted(own)
        return {s: (operation, parts) for operation in order for s, parts in self.versions.get(operation, {}).items()}

    def nearest(self, vector: Vector, chunk_ids: dict[tuple[int, str, str], int], limit: int, **when: Any) -> Found:
        """(source, text, chunk id, score), one a text: the lowest chunk id; ties by chunk id."""
        best: dict[str, tuple[float, int, str]] = {}
        for source, (operation, parts) in self.heads(**when).items():
            for part in parts or []:
                entry = (-float(part.vector @ vector), chunk_ids[operation, source, part.text], source)
                best[part.text] = min(best.get(part.text, entry), entry)
        ordered = sorted((distance, chunk, source, text) for text, (distance, chunk, source) in best.items())
        return [(source, text, chunk, -distance) for distance, chunk, source, text in ordered[:limit]]


class History:
    """Takes the same steps in the library and in the oracle."""

    def __init__(self, library: Library, seed: int) -> None:
        self.library = library
        self.oracle = Oracle()
        self.random = np.random.default_rng(seed)
        self.texts = [Part(f"text {i}", sign_vector(self.random)) for i in range(30)]

    def step(self) -> None:
        kind = self.random.choice(["publish", "publish", "open", "merge", "rollback", "rollback", "redo"])
        getattr(self, f"_{kind}")()

    def _documents(self) -> dict[str, list[Part] | None]:
        known = {source for versions in self.oracle.versions.values() for source in versions}
        documents: dict[str, list[Part] | None] = {}
        for source in self.random.choice(SOURCES, size=self.random.integers(1, 4), replace=False).tolist():
            picked = self.random.choice(len(self.texts), size=self.random.integers(1, 5), replace=False)
            gone = source in known and self.random.random() < 0.25
            documents[source] = None if gone else [self.texts[i] for i in picked]
        return documents

    def _open(self) -> None:
        operation = self.library.open(session="s")
        self.oracle.versions[operation] = documents = self._documents()
        self.library.write(operation, documents)
        self.oracle.open.append(operation)

    def _publish(self) -> None:
        documents = self._documents()
        operation = self.library.publish(documents)
        self.oracle.versions[operation] = documents
        self.oracle.published.append(operation)

    def _merge(self) -> None:
        if self.oracle.open:
            self.library.log.publish(*self.oracle.open)
            self.oracle.published += self.oracle.open
            self.oracle.open = []

    def _rollback(self) -> None:
        writes = [i for i in self.oracle.visible(len(self.oracle.published)) if i in self.oracle.versions]
        if writes:
            size = min(len(writes), int(self.random.integers(1, 3)))
            picked = self.random.choice(writes, size=size, replace=False).tolist()
            self._control("rollback", dict.fromkeys(picked, False))

    def _redo(self) -> None:
        controls = [i for i in self.oracle.visible(len(self.oracle.published)) if i in self.oracle.verdicts]
        if controls:
            self._control("redo", {int(self.random.choice(controls)): False})

    def _control(self, kind: str, verdicts: dict[int, bool]) -> None:
        operation = self.library.control(kind, verdicts)
        self.oracle.verdicts[operation] = verdicts
        self.oracle.published.append(operation)

    def chunk_ids(self) -> dict[tuple[int, str, str], int]:
        statement = """SELECT v.operation_id, r.key, c.text, c.id FROM chunk c JOIN version v USING (version_id)
                       JOIN record r ON r.id = v.record_id"""
        with self.library.database.snapshot() as connection:
            rows = connection.execute(statement).fetchall()
        return {(row["operation_id"], row["key"], row["text"]): row["id"] for row in rows}


def found(result: Any) -> Found:
    return [(hit.source, hit.text, hit.chunk_id, hit.score) for hit in result.hits]


@pytest.mark.parametrize("indexed", [False, True], ids=["exact", "index"])
@pytest.mark.parametrize("seed", range(4))
def test_search_equals_the_oracle(
    library: Library, seed: int, indexed: bool, ways: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any history the latest, a session's view and every earlier position answer as comparing everything does."""
    history = History(library, seed)
    history._publish()
    if indexed:
        monkeypatch.setattr("recant.search.nearest.EXACT_BELOW", 0)
        monkeypatch.setattr("recant.search.nearest.TIE_MARGIN", 3)
        library.build_index()
    for _ in range(25):
        history.step()
        now = len(history.oracle.published)
        chunk_ids, vector = history.chunk_ids(), sign_vector(history.random)
        for own, session in ((), None), (history.oracle.open, "s"):
            result = library.search(vector, session=session, limit=5)
            assert result.position == now
            assert found(result) == history.oracle.nearest(vector, chunk_ids, 5, position=now, own=own)
    for position in range(now + 1):
        result = library.search(vector, as_of=position, session="s", limit=5)
        assert result.position == position
        assert found(result) == history.oracle.nearest(vector, chunk_ids, 5, position=position)
    assert (ways["search_index"] > ways["search_exact"]) == indexed


def test_as_of_gives_what_was_answered_then(library: Library) -> None:
    """A search as of a position gives, hit by hit, what the latest search gave when the log stood there."""
    history = History(library, seed=99)
    history._publish()
    vector = sign_vector(history.random)
    answers = {}
    for _ in range(20):
        result = library.search(vector)
        answers[result.position] = result.to_dict()["hits"]
        history.step()
    assert len(answers) > 10
    for position, hits in answers.items():
        assert library.search(vector, as_of=position).to_dict()["hits"] == hits
