"""Searching an archive where it lies gives what a search as of its position gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recant.archive import query_archive
from recant.errors import ConfigurationError, DimensionMismatch, UsageError
from tests.integration.archive.conftest import WHO, searched, told_of, write_rich
from tests.integration.library import Library


@pytest.fixture
def path(kb, told: Library, tmp_path: Path) -> Path:
    """An archive of what is seen, after which the database went on."""
    write_rich(told)
    for number in range(20):
        told.publish({f"more-{number}": f"some words {number % 15}"})
    kb.archives.create(tmp_path / "a.h5", WHO)
    return tmp_path / "a.h5"


@pytest.mark.parametrize("text", ["two", "the same words", "anything else", "some words 3"])
def test_it_ranks_as_the_database_does(kb, told: Library, path: Path, text: str):
    """The same chunks, scores, order and details; a text that two documents share is shown by the same one."""
    found = query_archive(path, told.model.vector(text), limit=7)
    assert [told_of(hit) for hit in found.hits] == searched(kb, text, limit=7)
    assert (found.collection, found.position) == ("library", 26)


def test_everything_can_be_asked_for(kb, told: Library, path: Path):
    """More than there is: each text once, the nearest first."""
    hits = query_archive(path, told.model.vector("two"), limit=1000).hits
    assert len({hit.text for hit in hits}) == len(hits) == 20
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_filters_narrow(told: Library, path: Path):
    """By source, title or format; several values widen."""
    vector = told.model.vector("two")
    assert {hit.source for hit in query_archive(path, vector, filters={"source": ["c", "manual"]}).hits} == {
        "c",
        "manual",
    }
    assert {hit.source for hit in query_archive(path, vector, filters={"format": "markdown"}).hits} == {"manual"}
    assert query_archive(path, vector, filters={"title": "a", "format": "markdown"}).hits == []
    with pytest.raises(UsageError, match="not by 'author'"):
        query_archive(path, vector, filters={"author": "Ada"})


def test_of_a_history_also_what_was_not_seen(kb, told: Library, tmp_path: Path):
    """Where that is asked for: what was superseded, removed or taken back."""
    kb.archives.create(tmp_path / "h.h5", WHO, holds="history")
    vector = told.model.vector("a lie")
    assert "d" not in {hit.source for hit in query_archive(tmp_path / "h.h5", vector).hits}
    (first, *_) = query_archive(tmp_path / "h.h5", vector, every_version=True).hits
    assert (first.source, first.text, first.score) == ("d", "a lie", 1.0)


def test_bad_questions_are_refused(told: Library, path: Path):
    """The wrong length, nothing, too many."""
    with pytest.raises(DimensionMismatch):
        query_archive(path, np.ones(3))
    with pytest.raises(UsageError, match="all zero"):
        query_archive(path, np.zeros(4))
    with pytest.raises(UsageError, match="limit"):
        query_archive(path, np.ones(4), limit=0)


def test_ties_are_decided_by_chunk(kb, library: Library, tmp_path: Path):
    """Texts whose vectors are the same are shown in the order of their chunks, as the database shows them."""
    library.publish({"x": "first", "y": "second", "z": "third"})
    with kb.database.transaction() as connection:
        connection.execute("RESET ROLE")
        connection.execute("UPDATE recant.embedding SET vector = (SELECT vector FROM recant.embedding WHERE id = 1)")
    kb.archives.create(tmp_path / "a.h5", WHO)
    for limit in (1, 2, 3):
        found = query_archive(tmp_path / "a.h5", library.model.vector("anything"), limit=limit)
        assert [told_of(hit) for hit in found.hits] == searched(kb, "anything", limit=limit)


def test_many_ties_are_held_to_a_number(kb, told: Library, path: Path, monkeypatch):
    """Where more texts are equally near than can be held, the first of them are."""
    monkeypatch.setattr("recant.archive.query.MOST_TIES", 3)
    assert len(query_archive(path, told.model.vector("two"), limit=5).hits) == 3


def test_words_need_the_model(kb, path: Path):
    """The installation's isn't that of the archive's vectors: which one is needed is said."""
    with pytest.raises(ConfigurationError, match="vectors of tiny"):
        kb.archives.query(path, "two")
