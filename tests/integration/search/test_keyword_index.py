"""The keyword index as a projection: written with its batch, merged, purged and made anew without any answer changing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from recant.errors import ConfigurationError, OperationClosed, StaleBatch, UnknownCollection
from recant.oplog import Attribution
from recant.search import keyword_index, keyword_reader
from recant.search.keyword import KeywordSearch
from recant.search.keyword_index import mergeable, tokenise_documents, write_segments
from recant.search.nearest import Neighbourhood
from recant.search.scope import read_scope
from recant.search.tokens import term_hash
from recant.settings import read_settings
from recant.storage import Storage
from recant.store import Database
from tests.integration.search.keyword_library import KeywordLibrary


@pytest.fixture
def library(database: str) -> Iterator[KeywordLibrary]:
    with Database(database) as opened:
        yield KeywordLibrary(opened)


@pytest.fixture
def shelf(library: KeywordLibrary) -> KeywordLibrary:
    """Twenty operations, each with a segment."""
    for number in range(20):
        library.add({f"d{number:02}": [f"fig {'plum ' * (number % 3)}leaf", "pear tree"]})
    return library


def stored_terms(library: KeywordLibrary) -> set[int]:
    """Every term that any segment has."""
    with library.database.transaction() as connection:
        segments = connection.execute("SELECT id FROM keyword_segment").fetchall()
        found: set[int] = set()
        for segment in segments:
            rows = connection.execute("SELECT key, data FROM keyword_posting WHERE segment_id = %s", [segment["id"]])
            pairs = [(row["key"], bytes(row["data"])) for row in rows]
            found |= set(keyword_index.read_terms(pairs).hashes.tolist())
    return found


def has(library: KeywordLibrary, word: str) -> bool:
    return term_hash("english", word) in stored_terms(library)


def test_a_late_worker_s_segment_is_refused(library: KeywordLibrary) -> None:
    """As its rows are: the operation is published, or a later attempt has taken the batch over."""
    operation = library.open()
    early = library.begin(operation, "share")
    terms = tokenise_documents([library.document("a", ["fig"], None)])
    library.begin(operation, "share")
    with pytest.raises(StaleBatch), library.database.transaction() as connection:
        library.corpus._records(connection, early.collection_id, "document", ["a"])
        write_segments(connection, early, terms)
    library.log.abort(operation, "enough")
    with pytest.raises(OperationClosed), library.database.transaction() as connection:
        library.corpus._records(connection, early.collection_id, "document", ["a"])
        write_segments(connection, early, terms)


def test_nobody_writes_a_segment_of_others_operations(shelf: KeywordLibrary) -> None:
    """Not one of no operation, and no further postings into one of what is published."""
    columns = "collection_id, analysis, languages, bucket_bits, chunk_count, documents, lengths"
    with pytest.raises(OperationClosed), shelf.database.transaction() as connection:
        connection.execute(f"INSERT INTO keyword_segment ({columns}) SELECT {columns} FROM keyword_segment LIMIT 1")
    with pytest.raises(OperationClosed), shelf.database.transaction() as connection:
        connection.execute("INSERT INTO keyword_posting SELECT id, 7, 'x' FROM keyword_segment LIMIT 1")
    with pytest.raises(ConfigurationError), shelf.database.transaction() as connection:
        connection.execute("DELETE FROM keyword_segment")


def test_another_attempt_at_a_batch_replaces_its_segments(library: KeywordLibrary) -> None:
    """What the earlier one wrote is in no segment any more."""
    operation = library.open(session="s")
    library.put(operation, {"a": ["fig"]}, indexed=True)
    assert library.found("fig", session="s")
    library.put(operation, {"a": ["plum"]}, indexed=True)
    assert not has(library, "fig")
    assert [library.found(word, session="s") != [] for word in ("fig", "plum")] == [False, True]


def test_what_is_merged_is_found_as_before(shelf: KeywordLibrary) -> None:
    """Score by score; also by a reader whose snapshot, or whose cache, is of before."""
    before = {query: shelf.found(query) for query in ("fig", "plum pear", '"fig plum"')}
    other = KeywordLibrary(shelf.database)
    other.find("plum")
    with shelf.database.snapshot() as connection:
        scope = read_scope(connection, "library", as_of=None, session=None)
        (report,) = shelf.index.tend("library")
        assert report.merged >= 20
        assert shelf.segments() == report.segments <= 3
        late = KeywordSearch(Neighbourhood(connection, scope), keyword_reader.KeywordReader()).search("plum pear", 50)
        assert [(row["source"], row["text"], round(score, 6)) for score, row in late.rows] == before["plum pear"]
    for library in (shelf, other, KeywordLibrary(shelf.database)):
        assert {query: library.found(query) for query in before} == before
    assert shelf.index.tend()[0].to_dict() | {"segments": 0} == {
        "collection": "library", "indexed": 0, "merged": 0, "purged": 0, "dropped": 0, "segments": 0,
    }  # fmt: skip


def test_searching_beside_merges_and_writes_never_goes_wrong(library: KeywordLibrary) -> None:
    """Every answer is the one of its position."""
    library.add({"first": ["fig tree"]})
    expected = {library.log.position(): library.found("fig")}
    answers: list[tuple[int, list[tuple[str, str, float]]]] = []

    def write() -> None:
        for number in range(30):
            library.add({f"d{number}": [f"fig {'leaf ' * (number % 5)}n{number}"]})
            expected[library.log.position()] = []
            if number % 7 == 6:
                library.index.tend("library")

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        while not writing.done():
            result = library.find("fig")
            answers.append((result.position, [(h.source, h.text, h.score) for h in result.hits]))
        writing.result()
    fresh = KeywordLibrary(library.database)
    for position, found in answers[:: max(1, len(answers) // 20)]:
        assert found == fresh.found("fig", as_of=position)


@pytest.mark.parametrize("merged", [False, True])
def test_erased_words_are_in_no_segment(shelf: KeywordLibrary, merged: bool) -> None:
    """Whether the segment is of one operation or of many, and also when the operation is open still."""
    storage = Storage(shelf.database, read_settings({}))
    shelf.add({"secret": ["password hunter"], "other": ["plain words"]})
    if merged:
        shelf.index.tend()
    held = shelf.open(session="s", last_wins=True)
    shelf.put(held, {"secret": ["changed gatherer"], "mine": ["own thing"]}, indexed=True)
    before = shelf.found("fig plain")
    storage.erase("secret", Attribution("tester", message="asked to"), collection="library")
    assert not any(has(shelf, word) for word in ("password", "hunter", "gather"))
    assert all(has(shelf, word) for word in ("plain", "fig", "thing"))
    assert shelf.found("hunter") == []
    assert [source for source, *_ in shelf.found("thing", session="s")] == ["mine"]
    assert {source for source, *_ in shelf.found("fig plain")} == {source for source, *_ in before}
    shelf.put(held, {"secret": ["changed gatherer"], "mine": ["own thing"]}, indexed=True)
    shelf.log.publish(held)
    assert [source for source, *_ in shelf.found("thing")] == ["mine"]


def test_reclaimed_words_are_in_no_segment(library: KeywordLibrary) -> None:
    """They go with the payload; what is seen at the horizon stays."""
    library.add({"a": ["fig"], "b": ["plum"]})
    library.add({"a": ["pear"]})
    library.index.tend()
    Storage(library.database, read_settings({})).reclaim(Attribution("tester"), horizon=library.log.position())
    assert [has(library, word) for word in ("fig", "plum", "pear")] == [False, True, True]
    with library.database.transaction() as connection:
        assert connection.execute("SELECT count(*) AS queued FROM keyword_purge").fetchone() == {"queued": 0}


def test_what_a_crash_left_is_purged_by_upkeep(library: KeywordLibrary) -> None:
    """The queue is written with the erasure itself."""
    library.add({"a": ["fig"], "b": ["plum"]})
    record = library.record_ids()["a"]
    with library.database.transaction() as connection:
        connection.execute(
            "SELECT erase_document(%s, 'x', NULL, NULL, gen_random_uuid(), 'y', '{}', '{}', '[]')", [record]
        )
    assert has(library, "fig")
    assert library.found("fig") == []
    assert [report.purged for report in library.index.tend()] == [1]
    assert not has(library, "fig")


def test_segments_of_aborted_operations_go(library: KeywordLibrary) -> None:
    """With the next upkeep; nobody ever saw them."""
    library.add({"a": ["plum"]})
    operation = library.open()
    library.put(operation, {"b": ["fig"]}, indexed=True)
    library.log.abort(operation, "no")
    assert library.found("fig") == []
    assert [report.dropped for report in library.index.tend()] == [1]
    assert not has(library, "fig")


def test_a_collection_without_segments_is_indexed_by_its_first_search(
    library: KeywordLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade; every version that may be seen again, too. The answer is the same before and after."""
    monkeypatch.setattr(keyword_reader, "UNSAVED_DOCUMENTS", 3)
    monkeypatch.setattr(keyword_index, "INDEX_CHUNKS", 4)
    documents = {f"d{i}": [f"fig leaf n{i}", "pear"] for i in range(8)}
    first = library.add(documents, indexed=False)
    library.add({"d0": ["plum fig"]}, indexed=False)
    library.control("rollback", [first])
    assert library.chunks_indexed() == 0
    assert [source for source, *_ in library.found("fig")] == ["d0"]
    assert library.chunks_indexed() == 0
    assert len(library.found("fig", as_of=first)) == 8
    assert library.chunks_indexed() == 0
    fresh = KeywordLibrary(library.database)
    answer = fresh.found("fig", as_of=first)
    assert library.chunks_indexed() == 17
    assert answer == library.found("fig", as_of=first)


def test_segments_made_in_another_way_are_made_anew(shelf: KeywordLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release may split text otherwise: its segments are not read, and upkeep replaces them."""
    before = shelf.found("fig plum")
    for module in (keyword_index, keyword_reader):
        monkeypatch.setattr(module, "analysis", lambda: "another")
    assert KeywordLibrary(shelf.database).found("fig plum") == before
    (report,) = shelf.index.tend("library")
    assert (report.dropped, report.indexed) == (20, 20)
    assert KeywordLibrary(shelf.database).found("fig plum") == before


def test_a_document_too_large_for_a_segment_is_found(library: KeywordLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from its chunks."""
    monkeypatch.setattr(keyword_index, "MAX_CHUNKS", 5)
    texts = {"large": [f"fig n{i} {'leaf ' * i}" for i in range(7)], "small": ["fig tree", "pear"]}
    library.add(texts)
    assert library.chunks_indexed() == 2
    assert [(report.indexed, report.segments) for report in library.index.tend()] == [(0, 1)]
    assert {text for _, text, _ in library.found("fig")} == {*texts["large"], "fig tree"}


def test_few_segments_are_left_whatever_their_sizes() -> None:
    """Fewer than four of one size class, unless they fill a segment each."""
    sizes = {number: 1 + (number * 7919) % 3000 for number in range(200)} | {1000 + n: 40_000 for n in range(9)}
    while groups := list(mergeable(list(sizes.items()))):
        group = groups[0]
        assert sum(sizes[number] for number in group) <= 65_536
        sizes[max(sizes) + 1] = sum(sizes.pop(number) for number in group)
    assert sum(size < 16_384 for size in sizes.values()) <= 21
    assert sum(size >= 16_384 for size in sizes.values()) <= 9 + 4 + 3


def test_upkeep_of_a_collection_that_is_not_there_is_refused(library: KeywordLibrary) -> None:
    """By name."""
    with pytest.raises(UnknownCollection, match="nowhere"):
        library.index.tend("nowhere")
