"""Whatever happened before: what is archived, searched in the file and restored is what was seen."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recant import Selector
from recant.archive import query_archive
from recant.errors import RecantError
from recant.oplog import Attribution
from tests.integration.archive.conftest import WHO
from tests.integration.library import Library

SOURCES = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.one_of(st.none(), st.sampled_from(["one", "two", "three", "four"]))
WRITES = st.dictionaries(SOURCES, TEXTS, min_size=1, max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("write"), WRITES),
    st.tuples(st.just("take back"), st.integers(0, 5)),
    st.tuples(st.just("take back a document"), SOURCES),
    st.tuples(st.just("redo"), st.just(0)),
)


def happen(library: Library, step: tuple[str, object]) -> None:
    """One step; what is refused doesn't happen."""
    kind, what = step
    mine = [o for o in library.log.find(Selector(collections=(library.name,)), limit=100) if o.kind == "ingest"]
    controls = [o for o in library.log.find(limit=20) if o.kind == "rollback" and o.state == "published"]
    try:
        if kind == "write":
            library.publish(what)
        elif kind == "redo" and controls:
            library.rollback.redo(controls[0].operation_id, Attribution("carol"), "force")
        elif kind == "take back" and mine:
            undo(library, Selector(operations=(mine[what % len(mine)].operation_id,)))
        elif kind == "take back a document":
            undo(library, Selector(sources=(what,), collections=(library.name,)))
    except RecantError:
        pass


def undo(library: Library, selector: Selector) -> None:
    library.rollback.apply(library.rollback.plan(selector, policy="force", agent="carol"), Attribution("carol"))


def test_any_history(kb, library: Library, tmp_path: Path, nightly: bool):
    """Of what is seen and of the history: the same documents, state and nearest texts; and a second restore does nothing."""
    number = 0

    @settings(max_examples=60 if nightly else 4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=2, max_size=7))
    def check(steps: list[tuple[str, object]]) -> None:
        nonlocal number
        number += 1
        original = Library(kb.database, f"history-{number}")
        assert original.collection.name
        for step in steps:
            happen(original, step)
        seen = of_collection(kb, original.name)
        for holds in ("seen", "history"):
            path = tmp_path / f"{number}-{holds}.h5"
            kb.archives.create(path, WHO, collection=original.name, holds=holds)
            assert kb.archives.verify(path).ok
            found = {(hit.source, hit.text) for hit in query_archive(path, original.model.vector("one"), limit=50).hits}
            assert {text for _, text in found} == set(seen.values())
            assert found <= set(seen.items())
            copy = f"copy-{number}-{holds}"
            report = kb.archives.restore(path, WHO, collection=copy)
            assert (report.state_equal, report.documents) == (True, len(seen))
            assert of_collection(kb, copy) == seen
            assert kb.archives.restore(path, WHO, collection=copy).operation_id is None

    check()
    assert kb.verify().ok


def of_collection(kb, name: str) -> dict[str, str]:
    """What is seen now, by document."""
    query = (
        "SELECT h.key, x.text FROM collection c, heads_at(c.id, NULL) h JOIN chunk x USING (version_id) "
        "WHERE c.name = %s AND h.kind = 'document'"
    )
    with kb.database.transaction() as connection:
        return {row["key"]: row["text"] for row in connection.execute(query, [name])}
