"""Evaluations of real searches over a real log."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recant.errors import UsageError
from recant.evaluation import Evaluations, JudgedQueries, JudgedQuery
from recant.monitoring import Health
from recant.settings import Settings
from recant.store import Database
from tests.integration.search.search_library import DIMENSIONS, Library, Part, Vector


def corner(number: int) -> Vector:
    """One axis; two of them have nothing in common."""
    return np.eye(DIMENSIONS, dtype=np.float32)[number]


def near(number: int, part: float) -> Vector:
    """A vector with so large a part of that axis, the rest on the last one."""
    return (part * corner(number) + np.sqrt(1 - part**2) * corner(DIMENSIONS - 1)).astype(np.float32)


@pytest.fixture
def shelf(database: str) -> Any:
    """Documents about three things, two passages each; queries that ask for one thing each."""
    with Database(database) as db:
        library = Library(db)
        library.queries = {f"thing {n}": corner(n) for n in range(3)}
        for n in range(3):
            parts = [Part(f"best {n}", near(n, 0.9)), Part(f"second {n}", near(n, 0.8))]
            library.publish({f"/docs/{n}.md": parts})
            library.publish({f"/docs/more-{n}.md": [Part(f"more {n}", near(n, 0.7))]}, attributes={"doc_id": f"M{n}"})
        yield library


@pytest.fixture
def evaluations(shelf: Library) -> Evaluations:
    """Over the shelf."""

    def search_many(queries: Any, **options: Any) -> Any:
        assert options.pop("mode") in ("semantic", "hybrid")  # the vectors know nothing of words
        return shelf.searcher.search_batch(queries, **options)

    return Evaluations(shelf.database, search_many, "knowledge")


@pytest.fixture
def judged() -> JudgedQueries:
    """Documents by the end of their source, and by an attribute."""
    queries = [JudgedQuery(str(n), f"thing {n}", {f"{n}.md": 2.0, f"M{n}": 1.0}) for n in range(3)]
    return JudgedQueries("things.jsonl", tuple(queries))


def test_documents_are_ranked_by_their_best_passage(evaluations: Evaluations, judged: JudgedQueries) -> None:
    """Each once; here in the best order, so all measures are 1."""
    report = evaluations.run(judged)
    assert report.measures == {"ndcg": 1.0, "map": 1.0, "recall": 1.0, "mrr": 1.0}
    assert (report.position, report.queries, report.never_found, report.collection) == (6, 3, 0, "knowledge")
    assert report.per_query[1].found == ("/docs/1.md", "/docs/more-1.md")
    assert len({source for source, _ in report.per_query[0].shown}) == 6
    assert 0 < report.latency["p50"] <= report.latency["p95"] <= report.latency["p99"]
    assert "per_query" not in report.to_dict()
    assert len(report.to_dict(per_query=True)["per_query"]) == 3


def test_what_is_not_there_is_counted(evaluations: Evaluations, judged: JudgedQueries) -> None:
    """A document that the judgements name and no search finds; a name ends at a separator, not anywhere."""
    queries = JudgedQueries("x", (JudgedQuery("1", "thing 0", {"0.md": 1.0, "gone.md": 1.0, ".md": 1.0}),))
    report = evaluations.run(queries)
    assert report.never_found == 2
    assert report.measures["recall"] == pytest.approx(1 / 3)
    assert report.measures["mrr"] == 1.0


def flood(shelf: Library) -> int:
    """Documents nearer to the first query than the right ones."""
    return shelf.publish({f"/spam/{i}.md": [Part(f"spam {i}", near(0, 0.95 + i / 1000))] for i in range(12)})


def test_before_and_after(shelf: Library, evaluations: Evaluations, judged: JudgedQueries) -> None:
    """The query that lost, what it lost, what is shown instead, and the operation that did it; a rollback heals it."""
    spam = flood(shelf)
    comparison = evaluations.compare(judged, 6)
    (lost,) = comparison.lost
    assert (lost.id, lost.before, lost.after) == ("0", 1.0, 0.0)
    assert lost.lost == ("/docs/0.md", "/docs/more-0.md")
    assert {operation for _, operation in lost.shown_instead} == {spam}
    assert [operation["operation_id"] for operation in comparison.since] == [spam]
    assert comparison.differences["ndcg"] == pytest.approx(-1 / 3)
    assert comparison.to_dict()["lost"][0]["text"] == "thing 0"
    shelf.control("rollback", {spam: False})
    healed = evaluations.compare(judged, 7)
    assert [change.id for change in healed.gained] == ["0"]
    assert (healed.lost, healed.after.measures["ndcg"]) == ([], 1.0)
    assert [operation["kind"] for operation in healed.since] == ["rollback"]
    assert evaluations.compare(judged, 6, 8).differences["ndcg"] == 0


def test_a_drop_is_told_by_the_history_and_fires_an_alert(
    shelf: Library, evaluations: Evaluations, judged: JudgedQueries, tmp_path: Path
) -> None:
    """With the operations since the best evaluation; the alert stands while the drop does, and no longer."""
    health = Health(shelf.database, Settings(home=tmp_path))
    assert evaluations.run(judged, keep=True).drop == 0
    assert not any(alert.rule == "search_worse" for alert in health.check().firing)
    spam = flood(shelf)
    dropped = evaluations.run(judged, keep=True)
    assert dropped.drop == pytest.approx(1 / 3)
    assert [operation["operation_id"] for operation in dropped.since] == [spam]
    for _ in range(2):
        (alert,) = [alert for alert in health.check().firing if alert.rule == "search_worse"]
        assert alert.value == pytest.approx(1 / 3)
        assert 'queries="things.jsonl"' in alert.series
    shelf.control("rollback", {spam: False})
    assert evaluations.run(judged, keep=True).drop == 0
    assert [alert.rule for alert in health.check().resolved] == ["search_worse"]
    history = evaluations.history()
    assert [kept["position"] for kept in history] == [8, 7, 6]
    assert history[1]["measures"]["ndcg"] == pytest.approx(2 / 3)
    assert evaluations.history(queries="others.jsonl") == []
    assert len(evaluations.history(limit=1)) == 1


def test_other_queries_are_another_series(evaluations: Evaluations, judged: JudgedQueries) -> None:
    """A drop is held against the same queries, grades and k alone."""
    evaluations.run(judged, keep=True)
    harder = JudgedQueries("things.jsonl", (JudgedQuery("0", "thing 0", {"/docs/2.md": 1.0}),))
    assert evaluations.run(harder, keep=True).drop == 0


def test_filters_hold_for_every_query(evaluations: Evaluations, judged: JudgedQueries) -> None:
    """As in any search."""
    assert evaluations.run(judged, filters='source prefix "/docs/more"').measures["mrr"] == 1.0
    assert evaluations.run(judged, filters={"doc_id": "M1"}).measures["recall"] == pytest.approx(1 / 6)


def test_what_can_not_be_is_refused(evaluations: Evaluations, judged: JudgedQueries) -> None:
    """k out of range, a past that is to be kept, a position that isn't there."""
    for bad in ({"k": 0}, {"k": 101}, {"keep": True, "as_of": 2}, {"as_of": 99}):
        with pytest.raises(UsageError):
            partial(evaluations.run, judged, **bad)()  # type: ignore[arg-type]
