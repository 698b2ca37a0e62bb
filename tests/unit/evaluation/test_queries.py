"""Judged queries in every form that people have them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from recant.errors import UsageError
from recant.evaluation import JudgedQuery, read_queries

TOPICS = """<top>
<num> Number: 301
<title> International Organized
Crime
<desc> Description: not read
</top>
<top><num> 302 <title>Poliomyelitis</top>
"""


def test_own_jsonl(tmp_path: Path) -> None:
    """Expected documents by name, or with grades, or both; an id where one is given."""
    place = tmp_path / "own.jsonl"
    place.write_text(
        '{"query": "who approves?", "expected": ["a.md", {"b.md": 2}], "id": "q1"}\n\n'
        '{"query": "where?", "expected": "c.md"}\n{"query": "nothing", "expected": {"c.md": 0}}\n'
    )
    found = read_queries(place)
    assert found.queries == (
        JudgedQuery("q1", "who approves?", {"a.md": 1.0, "b.md": 2.0}),
        JudgedQuery("2", "where?", {"c.md": 1.0}),
    )
    assert (found.name, found.unjudged) == ("own.jsonl", 1)


def test_own_csv(tmp_path: Path) -> None:
    """A line for each expected document; the grade is 1 where none is given."""
    place = tmp_path / "own.csv"
    place.write_text('\ufeffquery,expected,grade\n"who, then?",a.md,\n"who, then?",b.md,3\nwhere?,c.md,1\n', "utf-8")
    assert [query.grades for query in read_queries(place).queries] == [{"a.md": 1.0, "b.md": 3.0}, {"c.md": 1.0}]


def test_trec(tmp_path: Path) -> None:
    """Topics in TREC's markup or by tabs, and qrels of four columns."""
    topics, tabs, qrels = tmp_path / "topics", tmp_path / "topics.txt", tmp_path / "qrels"
    topics.write_text(TOPICS)
    tabs.write_text("301\tInternational Organized Crime\n302\tPoliomyelitis\n")
    qrels.write_text("301 0 FBIS3-10082 1\n301 0 FBIS3-10169 0\n302 0 FBIS4-67701 2\n")
    found = read_queries(topics, qrels=qrels)
    assert [query.text for query in found.queries] == ["International Organized Crime", "Poliomyelitis"]
    assert found.queries[0].grades == {"FBIS3-10082": 1.0, "FBIS3-10169": 0.0}
    assert read_queries(tabs, qrels=qrels).queries == found.queries
    assert read_queries(tabs, qrels=qrels).digest == found.digest


def test_beir(tmp_path: Path) -> None:
    """queries.jsonl and qrels/SPLIT.tsv under a heading; queries of another split are left out."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "1", "text": "one", "metadata": {}}\n{"_id": "2", "text": "two"}\n'
    )
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\tdoc 7\t2\n")
    (tmp_path / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n2\t8\t1\n")
    found = read_queries(tmp_path)
    assert (found.queries, found.unjudged) == ((JudgedQuery("1", "one", {"doc 7": 2.0}),), 1)
    assert read_queries(tmp_path, split="dev").queries == (JudgedQuery("2", "two", {"8": 1.0}),)
    assert read_queries(tmp_path, split="dev").digest != found.digest


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", "{", "line 1: it isn't JSON"),
        ("a.jsonl", '{"query": "x"}', "line 1: an object with 'query' and 'expected'"),
        ("a.jsonl", '{"query": "x", "expected": 5}', 'query 1: "expected" is a list'),
        ("a.jsonl", '{"query": "x", "expected": {"a": "good"}}', 'query 1: "expected" is a list'),
        ("a.jsonl", '{"query": "x", "expected": []}', "no query in it has a relevant document"),
        ("a.jsonl", '{"query": "x", "expected": "a", "id": 2}\n{"query": "y", "expected": "a"}', "the same id"),
        ("a.csv", "question,answer\n", 'the columns "query" and "expected"'),
        ("a.csv", "query,expected,grade\nx,a,good\n", "line 2: 'good' is no grade"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, name: str, content: str, complaint: str) -> None:
    """File and line."""
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=complaint):
        read_queries(tmp_path / name)


def test_bad_trec_is_told_with_its_place(tmp_path: Path) -> None:
    """Topics without a number, tabs or columns; files that aren't there, or aren't text."""
    topics, qrels = tmp_path / "topics", tmp_path / "qrels"
    qrels.write_text("1 0 a\n1 0 a 1 2\n")
    topics.write_text("<top><title> x</top>")
    with pytest.raises(UsageError, match="lacks its <num>"):
        read_queries(topics, qrels=qrels)
    topics.write_text("1 no tab")
    with pytest.raises(UsageError, match="line 1: an id, a tab"):
        read_queries(topics, qrels=qrels)
    topics.write_text("1\tx")
    with pytest.raises(UsageError, match=r"line 1: 'a' is no grade|line 2"):
        read_queries(topics, qrels=qrels)
    with pytest.raises(UsageError, match="No such file"):
        read_queries(topics, qrels=tmp_path / "none")
    topics.write_bytes(b"\xff\xfe1")
    with pytest.raises(UsageError, match="UTF-8"):
        read_queries(topics, qrels=qrels)
