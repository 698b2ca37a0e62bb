"""Filters against an oracle, over random attributes; on either road, in any state of the log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from recant.errors import UsageError
from recant.search import Searcher, nearest
from recant.search.filters import compile_filters
from recant.store import Database
from tests.integration.search.filter_oracle import ATTRIBUTES, filters, passes
from tests.integration.search.search_library import DIMENSIONS, Library, Part, sign_vector

SOURCES = [f"/{folder}/{number}.md" for folder in "abc" for number in range(14)]
HERE = np.full(DIMENSIONS, 0.25, dtype=np.float32)
SEEN = """SELECT c.id, r.key AS source, d.title, d.format, c.chunk_type, c.parent_headers, d.attributes, c.attributes AS own,
  o.id AS operation, o.position, o.closed_at AS published_at, o.agent, o.session, o.run_id AS run, o.kind
FROM chunk c JOIN document_version d ON d.version_id = c.version_id JOIN version v ON v.version_id = c.version_id
JOIN record r ON r.id = v.record_id JOIN operation o ON o.id = v.operation_id
JOIN heads_at(NULL, NULL) h ON h.version_id = c.version_id"""


def populate(library: Library, seed: int) -> None:
    """Six operations over forty-two documents of two chunks, some over others; one withdrawn. Attributes of all kinds."""
    random = np.random.default_rng(seed)
    drawn = iter(_drawn(200))
    operations = []
    for number in range(6):
        operation = library.open(session="s1" if number % 2 else None, run_id=f"run-{number}" if number % 3 else None)
        for source in random.choice(SOURCES, size=20, replace=False).tolist():
            parts = [
                Part(f"{number} {source} {part}", sign_vector(random), kind, headers, next(drawn) if part else {})
                for part, (kind, headers) in enumerate([("text", ()), ("code", ("H1", "H2"))])
            ]
            library.write(operation, {source: parts}, format="text" if number else "rst", attributes=next(drawn))
        library.log.publish(operation)
        operations.append(operation)
    library.control("rollback", {operations[3]: False})


def _drawn(count: int) -> list[dict[str, Any]]:
    """So many random attributes, the same ones each time."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=count, database=None, derandomize=True, deadline=None)
    @given(ATTRIBUTES)
    def draw(attributes: dict[str, Any]) -> None:
        found.append(attributes)

    while len(found) < count + 100:
        draw()
    return found


@pytest.fixture(scope="module")
def populated(postgres: Any, migrated_template: str) -> Iterator[Library]:
    """A library for all of the module's random questions; nothing writes to it."""
    from tests.conftest import throwaway_database

    for dsn in throwaway_database(postgres, template=migrated_template):
        with Database(dsn) as database:
            library = Library(database)
            populate(library, seed=3)
            library.build_index()
            yield library


def found(library: Library, asked: Any, **options: Any) -> list[int]:
    return sorted(hit.chunk_id for hit in library.search(HERE, filters=asked, limit=1000, **options).hits)


def seen(library: Library) -> list[dict[str, Any]]:
    with library.database.transaction() as connection:
        return [dict(row) for row in connection.execute(SEEN)]


@pytest.mark.parametrize("road", ["search_exact", "search_index"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(asked=filters(SOURCES))
def test_random_filters_leave_what_the_oracle_says(
    populated: Library, road: str, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly the chunks that pass are found, by comparing what candidates there are and by following the index."""
    expected = sorted(chunk["id"] for chunk in seen(populated) if passes(chunk, asked))
    with monkeypatch.context() as patch:
        if road == "search_index":
            patch.setattr(nearest, "EXACT_BELOW", 0)
            patch.setattr(nearest, "COST_RATIO", 0)
        populated.searcher = Searcher(populated.database, lambda text: HERE)
        assert found(populated, asked) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(asked=filters(SOURCES))
def test_candidates_are_never_fewer_than_matches(populated: Library, asked: Any) -> None:
    """As of the last position, where visibility is asked for in another way, the filter leaves the same."""
    position = populated.log.position()
    assert found(populated, asked, as_of=position) == found(populated, asked)


HOSTILE = [
    "'; DROP TABLE chunk; --",
    "%s",
    "%(values)s",
    "\\",
    "{}",
    "{0}",
    "$1",
    "') OR true --",
    "\"}}'::jsonb",
    "$[*]",
    "\x7f\u202e",
    "x" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:12] for text in HOSTILE])
def test_a_hostile_text_is_only_a_text(library: Library, text: str) -> None:
    """As a value it equals itself and nothing else, in every comparison; as a key, where it can be one, too."""
    library.publish({"a.md": [Part("a", HERE)]}, attributes={"x": text, "xs": [text], "n": 5})
    library.publish({"b.md": [Part("b", HERE * -1)]}, attributes={"x": "other"})
    quoted = json.dumps(text, ensure_ascii=False)
    asked: list[Any] = [
        {"x": text},
        {"xs": {"contains": text}},
        {"x": {"contains": text}},
        {"x": {"between": [text, text]}},
        {"x": {"prefix": text}},
    ]
    if text.isprintable():
        asked += [f"x = {quoted}", f'x = {quoted} and not xs = "b" and n > 4']
    for one in asked:
        assert [hit.text for hit in library.search(HERE, filters=one).hits] == ["a"], one
    for one in ({"source": text}, {"title": {"prefix": text}}, {"agent": {"contains": text}}, {"run": text}):
        assert library.search(HERE, filters=one).hits == []
    if text.isprintable() and len(text) <= 200:
        library.publish({"c.md": [Part("c", HERE, attributes={text: 1})]}, attributes={text: 2})
        for keyed in (
            {text: 1},
            {text: {">": 0, "<": 2}},
            {text: {"exists": True}},
            {"attributes." + text: 1} if text.isalnum() else {text: "1"},
        ):
            assert [hit.text for hit in library.search(HERE, filters=keyed).hits] == ["c"], keyed


def test_a_chunks_own_attribute_comes_first(library: Library) -> None:
    """Also where few documents and many chunks have it, and where a chunk takes it back."""
    parts = [
        Part("own", HERE, attributes={"lang": "python"}),
        Part("theirs", HERE * -1),
        Part("none", sign_vector(np.random.default_rng(1)), attributes={"lang": None}),
    ]
    library.publish({"a.md": parts}, attributes={"lang": "en"})

    def texts(asked: Any) -> set[str]:
        return {hit.text for hit in library.search(HERE, filters=asked).hits}

    assert texts({"lang": "en"}) == {"theirs"}
    assert texts({"lang": "python"}) == {"own"}
    assert texts({"lang": {"exists": True}}) == {"own", "theirs"}
    assert texts('not lang = "en"') == {"own", "none"}
    assert texts('lang prefix "p" or lang prefix "e"') == {"own", "theirs"}


def test_a_session_filters_its_own_writes(library: Library) -> None:
    """What is open has an operation and no position yet."""
    library.publish({"a.md": [Part("published", HERE)]}, attributes={"x": 1})
    operation = library.open(session="s")
    library.write(operation, {"a.md": [Part("draft", HERE)]}, attributes={"x": 1})

    def texts(asked: Any) -> list[str]:
        return [hit.text for hit in library.search(HERE, filters=asked, session="s").hits]

    assert texts({"x": 1}) == ["draft"]
    assert texts({"operation": operation}) == ["draft"]
    assert texts("position not exists and published_at not exists") == ["draft"]
    assert texts("position exists") == []


def test_a_malformed_filter_is_refused_before_anything_is_read(library: Library) -> None:
    """With its place."""
    with pytest.raises(UsageError, match="at character 8"):
        library.search(HERE, filters="year >=", collection="there is none")


def test_sql_is_for_any_statement_with_the_three_aliases(populated: Library) -> None:
    """`compile_filters` alone gives what a search asks, for others to ask it too."""
    asked = 'not tag = "a" and (kind = "ingest" or year > 5)'
    condition, parameters = compile_filters(asked)
    with populated.database.snapshot() as connection:
        statement = (
            "SELECT c.id FROM chunk c JOIN version v ON v.version_id = c.version_id JOIN document_version d "
            "ON d.version_id = v.version_id JOIN heads_at(NULL, NULL) h ON h.version_id = v.version_id WHERE true"
        )
        ids = sorted(row["id"] for row in connection.execute(statement + condition, parameters))  # type: ignore[arg-type]
    assert ids == found(populated, asked)


SHARES = {"0.01%": 10_000, "0.1%": 1_000, "1%": 100, "10%": 10, "50%": 2, "100%": 1}


def place(source: str) -> dict[str, Any]:
    """Document number n of 2,500 belongs to one in so many; its rank is a number of its own."""
    rank = int(source.removesuffix(".md")) * 7 % 2_500
    return {"share": [share for share, parts in SHARES.items() if rank % min(parts, 2_500) == 0], "rank": rank}


def crowded(library: Library, random: np.random.Generator) -> list[int]:
    """25,000 chunks in fifty operations."""
    operations = []
    for start in range(0, 2_500, 50):
        vectors = random.standard_normal((500, DIMENSIONS)).astype(np.float32)
        rows = iter(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        documents = {f"{n}.md": [Part(f"{n}.{i}", next(rows)) for i in range(10)] for n in range(start, start + 50)}
        operations.append(library.publish(documents, attributes=place))
    library.build_index()
    return operations


def test_recall_holds_at_any_selectivity(library: Library, ways: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """97% of what comparing everything finds, from 0.01% to all; with half of it withdrawn; behind a withdrawn flood."""
    random = np.random.default_rng(4)
    operations = crowded(library, random)
    queries = random.standard_normal((5, DIMENSIONS)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    asked = [{"share": share} for share in SHARES] + [f"rank < {2_500 // parts or 1}" for parts in SHARES.values()]

    def recall() -> float:
        shares = []
        for one in asked:
            for query in queries:
                hits = [hit.chunk_id for hit in library.search(query, filters=one).hits]
                with monkeypatch.context() as patch:
                    patch.setattr(nearest, "EXACT_BELOW", 10**9)
                    exact = Searcher(library.database, lambda text: HERE).search(
                        None, vector=query, collection="knowledge", filters=one
                    )
                truth = [hit.chunk_id for hit in exact.hits]
                shares.append(len(set(hits) & set(truth)) / len(truth) if truth else float(not hits))
        return min(float(np.mean(shares[i : i + len(queries)])) for i in range(0, len(shares), len(queries)))

    assert recall() >= 0.97
    assert ways["search_index"] >= 2 * 3 * len(queries)
    library.control("rollback", dict.fromkeys(operations[::2], False))
    assert recall() >= 0.97
    crowd = queries[0] + np.float32(0.01) * random.standard_normal((3_000, DIMENSIONS)).astype(np.float32)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    flood = library.publish(
        {"flood.md": [Part(f"flood {i}", v) for i, v in enumerate(crowd)]},
        attributes={"share": list(SHARES), "rank": 0},
    )
    library.control("quarantine", {flood: False})
    assert recall() >= 0.97
