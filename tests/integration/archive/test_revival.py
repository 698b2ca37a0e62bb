"""Archived operations stay undoable: what a reclaim freed comes back from an archive when a plan that needs it is applied."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from recant import Selector
from recant.cli.output import Output
from recant.cli.plans import show_plan
from recant.errors import PastHorizon, PlanStale, Refused
from recant.oplog import Attribution
from recant.rollback.rendering import plan_markdown
from tests.integration.archive.conftest import WHO, write_rich
from tests.integration.library import Library, TinyModel


def plan(kb, operation_id: int):
    return kb.rollbacks.plan(Selector(operations=(operation_id,)), agent="carol")


def chunks(library: Library) -> list[tuple]:
    """All that is stored of chunks, with their ids and vectors."""
    query = (
        "SELECT c.id, c.version_id, c.index, c.text, c.attributes::text, c.parent_headers, e.vector::text AS vector "
        "FROM chunk c JOIN embedding e ON e.id = c.embedding_id ORDER BY c.id"
    )
    with library.database.transaction() as connection:
        return [tuple(map(str, row.values())) for row in connection.execute(query)]


@pytest.fixture
def freed(kb, library: Library, tmp_path: Path) -> tuple[int, Path, list[tuple]]:
    """The second write of `manual`, an archive of the history, and the chunks before the first one's were freed."""
    write_rich(library)
    library.publish({"b": "other"})
    second = library.publish({"manual": "worse", "b": "worse"})
    before = chunks(library)
    path = tmp_path / "history.h5"
    kb.archives.create(path, WHO, holds="history")
    library.publish({"c": "later"})
    assert kb.storage.reclaim(WHO, horizon=library.log.position()).chunks == 4
    return second, path, before


def test_a_rollback_brings_back_what_was_reclaimed(kb, library: Library, freed) -> None:
    """Texts, ids and vectors as they were, seen when the rollback is; the plan says from which file."""
    second, path, before = freed
    made = plan(kb, second)
    (source,) = made.revival.sources
    assert (source.path, len(source.versions), source.chunks) == (str(path), 2, 4)
    assert made.revived == {"document": 2, "chunk": 4}
    assert chunks(library) != before
    report = kb.rollbacks.run(made, WHO)
    assert report.certificate
    assert report.certificate.verified
    assert set(before) <= set(chunks(library))
    assert library.view()["b"] == "other"
    assert kb.verify().ok
    assert kb.storage.reclaim(WHO, horizon=library.log.position()).versions == 2  # what the rollback has hidden
    assert kb.rollbacks.load_plan(made.plan_id).revival == made.revival


def test_a_redo_brings_back_what_was_taken_back_before_it_was_reclaimed(kb, library: Library, tmp_path: Path) -> None:
    """From any archive that holds it: also one of what was seen at a moment. Then it can be undone and redone as ever."""
    first = library.publish({"a": "one"})
    kb.archives.create(tmp_path / "seen.h5", WHO)
    undone = kb.rollbacks.run(plan(kb, first), WHO).rollback_operation_id
    kb.storage.reclaim(WHO, horizon=library.log.position())
    assert chunks(library) == []
    assert undone is not None
    again = kb.rollbacks.redo(undone, WHO)
    assert library.view() == {"a": "one"}
    assert again.rollback_operation_id is not None
    kb.rollbacks.redo(again.rollback_operation_id, WHO)
    assert library.view() == {}
    assert kb.verify().ok


def test_scores_come_back_with_it(kb, library: Library, freed) -> None:
    """Feedback of before counts for what comes back."""
    second, _, before = freed
    chunk_id = int(next(row[0] for row in before if row[3] == "other"))
    kb.rollbacks.run(plan(kb, second), WHO)
    kb.submit_feedback(chunk_id, "incorrect", agent="nora")
    low = kb.quality.show(chunk_id).score
    assert low < 50
    library.publish({"b": "newer"})
    kb.archives.create(freed[1].with_name("later.h5"), WHO, holds="history")
    kb.storage.reclaim(WHO, horizon=library.log.position())
    newest = library.log.find(Selector(kinds=("ingest",)), limit=1)[0].operation_id
    kb.rollbacks.run(plan(kb, newest), WHO)
    assert kb.quality.show(chunk_id).score == low
    assert kb.quality.check() == []


@pytest.mark.parametrize("harm", ["gone", "changed", "cut"])
def test_an_archive_that_isnt_what_was_written_is_refused_in_the_plan(kb, library: Library, freed, harm: str) -> None:
    """Gone, changed or cut short: the refusal says which file, and what to do; then it is put back."""
    second, path, _ = freed
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-100] if harm == "cut" else content[:-100] + b"x" * 100)
    with pytest.raises(PastHorizon, match=rf"{path}.*is gone" if harm == "gone" else rf"{path}.*damaged"):
        plan(kb, second)
    path.write_bytes(content)
    kb.rollbacks.run(plan(kb, second), WHO)
    assert library.view()["b"] == "other"


def test_an_archive_that_goes_between_plan_and_apply_leaves_all_as_it_was(kb, library: Library, freed) -> None:
    """The plan is stale; with the file back, it can be applied."""
    second, path, _ = freed
    made = plan(kb, second)
    hidden = path.with_name("hidden.h5")
    os.rename(path, hidden)
    with pytest.raises(PlanStale, match="no longer the archive"):
        kb.rollbacks.apply(made, WHO)
    assert library.view()["b"] == "worse"
    os.rename(hidden, path)
    assert kb.rollbacks.apply(made, WHO).applied


def test_what_was_brought_back_and_never_shown_is_freed_again(kb, library: Library, freed) -> None:
    """Broken off between the two: nobody sees it, the next reclaim takes it, and the plan still works."""
    second, _, before = freed
    made = plan(kb, second)
    kb.rollbacks.payloads.bring_back(made.revival.sources)
    assert set(before) <= set(chunks(library))
    assert library.view()["b"] == "worse"
    assert kb.verify().ok
    assert kb.storage.reclaim(WHO, horizon=library.log.position()).finished == 2
    assert not set(before) <= set(chunks(library))
    kb.rollbacks.apply(made, WHO)
    assert library.view()["b"] == "other"


def test_reclaimed_between_bringing_back_and_showing_is_stale(kb, library: Library, freed, monkeypatch) -> None:
    """Another reclaim comes by at the worst moment: nothing is half shown."""
    second, _, _ = freed
    made = plan(kb, second)
    bring_back = kb.rollbacks.payloads.bring_back

    def interrupted(sources) -> None:
        bring_back(sources)
        kb.storage.reclaim(WHO, horizon=0)

    monkeypatch.setattr(kb.rollbacks.payloads, "bring_back", interrupted)
    with pytest.raises(PlanStale, match="reclaimed or erased again"):
        kb.rollbacks.apply(made, WHO)
    assert library.view()["b"] == "worse"


def test_what_was_erased_comes_back_from_nowhere(kb, library: Library, tmp_path: Path) -> None:
    """Not from an archive that was made before, though it was reclaimed as well since."""
    first = library.publish({"a": "secret", "b": "fine"})
    kb.archives.create(tmp_path / "before.h5", WHO)
    undone = kb.rollbacks.run(plan(kb, first), WHO).rollback_operation_id
    kb.storage.erase("a", Attribution("keeper", message="asked for"))
    kb.storage.reclaim(WHO, horizon=library.log.position())
    assert undone is not None
    with pytest.raises(PastHorizon, match="document a"):
        kb.rollbacks.redo(undone, WHO)
    assert chunks(library) == []


def test_without_an_archive_it_is_refused_as_before(kb, library: Library) -> None:
    """Naming the document and the operation."""
    library.publish({"a": "one"})
    second = library.publish({"a": "two"})
    kb.storage.reclaim(WHO, horizon=2)
    with pytest.raises(PastHorizon, match="no archive at hand"):
        plan(kb, second)


def test_a_history_that_holds_what_was_reclaimed_isnt_written_again(kb, library: Library, freed) -> None:
    """It would lose it. Stale or not, its payloads are as they were written; what was erased makes it go, though."""
    second, path, _ = freed
    kb.rollbacks.run(kb.rollbacks.plan(Selector(operations=(second,)), policy="force", agent="x"), WHO)
    kb.storage.reclaim(WHO, horizon=library.log.position())
    (stale,) = kb.archives.find()
    assert stale.state == "stale"
    content = path.read_bytes()
    assert kb.archives.rewrite(WHO) == []
    assert path.read_bytes() == content
    with pytest.raises(Refused, match="another path"):
        kb.archives.rewrite(WHO, artifacts=[stale.artifact_id])
    kb.storage.erase("b", Attribution("keeper", message="asked for"))
    assert len(kb.archives.rewrite(WHO)) == 1


def test_a_plan_tells_people_what_it_brings_back(kb, library: Library, freed) -> None:
    """On a terminal, and in what an approver reads."""
    second, path, _ = freed
    told = plan(kb, second).to_dict()
    assert f"2 from `{str(path)[:24]}" in plan_markdown(told)
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        show_plan(Output(False), told)
    assert "2 versions, 4 chunks" in shown.getvalue()


def test_while_other_vectors_are_kept_it_is_refused(kb, library: Library, freed) -> None:
    """A text brought back would lack the other model's vector: not before those are given up."""
    second, path, _ = freed
    other = Library(kb.database, "elsewhere", TinyModel("other", "other-digest")).collection
    with kb.database.connection() as connection:
        connection.execute("RESET ROLE")
        kept = "INSERT INTO recant.kept_space (collection_id, space_id) VALUES (%s, %s)"
        connection.execute(kept, [library.collection.id, other.space_id])
    with pytest.raises(PastHorizon, match=rf"{path} can't be used while library has vectors of another model"):
        plan(kb, second)
    with kb.database.connection() as connection:
        connection.execute("RESET ROLE")
        connection.execute("DELETE FROM recant.kept_space")
    assert plan(kb, second).revival.sources
