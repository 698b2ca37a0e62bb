"""Judged queries, from what people have: JSONL or CSV of one's own, TREC topics and qrels, a folder in BEIR's layout.

    {"query": "who approves?", "expected": ["rollback.md", {"plans.md": 2}]}       JSONL: names, or grades by name
    query,expected,grade                                                           CSV: a line for each expected document
    topics (TREC's <top> or "id<TAB>text") beside qrels ("id 0 document grade")    --qrels
    queries.jsonl, qrels/test.tsv                                                  BEIR

A document is named by its source, by the end of it (`rollback.md` of `/srv/library/rollback.md`, `7` of `/data/corpus.jsonl#7`),
or by its attribute `id`, `_id` or `doc_id`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recant.errors import UsageError

ID_ATTRIBUTES = ("id", "_id", "doc_id")
_TOPIC = re.compile(r"<top>(.*?)(?:</top>|(?=<top>)|\Z)", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"<num>\s*(?:Number:)?\s*(\S+)", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*(?:Topic:)?\s*(.*?)\s*(?=<|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query and the grades of the documents that were judged for it; above 0 is relevant."""

    id: str
    text: str
    grades: Mapping[str, float]

    @property
    def is_judged(self) -> bool:
        """Whether anything is relevant to it; otherwise no ranking is better than another."""
        return any(grade > 0 for grade in self.grades.values())


@dataclass(frozen=True, slots=True)
class JudgedQueries:
    """A set of them, with the name that its history goes by."""

    name: str
    queries: tuple[JudgedQuery, ...]
    unjudged: int = field(default=0)
    """Queries without a relevant document: they are left out."""

    @property
    def digest(self) -> str:
        """sha256 of all queries and grades: equal sets can be compared."""
        listed = [[one.id, one.text, sorted(one.grades.items())] for one in self.queries]
        return hashlib.sha256(json.dumps(listed, ensure_ascii=False).encode()).hexdigest()


def read_queries(path: Path | str, *, qrels: Path | str | None = None, split: str = "test") -> JudgedQueries:
    """The queries of a file or folder. `qrels` belong to TREC topics; `split` picks the file in BEIR's `qrels/`.

    Raises UsageError naming file and line.
    """
    place = Path(path).expanduser()
    try:
        found = list(_found(place, None if qrels is None else Path(qrels).expanduser(), split))
    except OSError as error:
        raise UsageError(f"{error.filename or place}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: it isn't UTF-8 ({error}).") from error
    judged = tuple(query for query in found if query.is_judged)
    if not judged:
        raise UsageError(f"{place}: no query in it has a relevant document.")
    if len({query.id for query in judged}) != len(judged):
        raise UsageError(f"{place}: two queries have the same id.")
    return JudgedQueries(place.absolute().name, judged, len(found) - len(judged))


def _found(place: Path, qrels: Path | None, split: str) -> Iterable[JudgedQuery]:
    if place.is_dir():
        texts = {str(row["_id"]): str(row["text"]) for row in _json_lines(place / "queries.jsonl", ("_id", "text"))}
        return _judged(texts, _graded(place / "qrels" / f"{split}.tsv"))
    if qrels is not None:
        return _judged(_topics(place), _graded(qrels))
    return _csv(place) if place.suffix.lower() in (".csv", ".tsv") else _jsonl(place)


def _judged(texts: Mapping[str, str], grades: Mapping[str, Mapping[str, float]]) -> Iterator[JudgedQuery]:
    for name, text in texts.items():
        yield JudgedQuery(name, text, grades.get(name, {}))


def _jsonl(place: Path) -> Iterator[JudgedQuery]:
    for number, row in enumerate(_json_lines(place, ("query", "expected")), start=1):
        try:
            grades = _grades(row["expected"])
        except (TypeError, ValueError) as error:
            raise UsageError(
                f'{place}, query {number}: "expected" is a list of documents, or an object of grades.'
            ) from error
        yield JudgedQuery(str(row.get("id", number)), str(row["query"]), grades)


def _grades(expected: Any) -> dict[str, float]:
    if isinstance(expected, str):
        return {expected: 1.0}
    if isinstance(expected, Mapping):
        return {str(name): float(grade) for name, grade in expected.items()}
    grades: dict[str, float] = {}
    for one in expected:
        grades |= _grades(one)
    return grades


def _csv(place: Path) -> Iterator[JudgedQuery]:
    grades: dict[str, dict[str, float]] = {}
    with place.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t" if place.suffix.lower() == ".tsv" else ",")
        if not {"query", "expected"} <= set(rows.fieldnames or ()):
            raise UsageError(f'{place}: its first line must name the columns "query" and "expected".')
        for row in rows:
            grade = _grade(row.get("grade") or "1", f"{place}, line {rows.line_num}")
            grades.setdefault(row["query"], {})[row["expected"]] = grade
    return (JudgedQuery(text, text, graded) for text, graded in grades.items())


def _json_lines(place: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with place.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{place}, line {number}: it isn't JSON ({error}).") from error
            if not isinstance(row, dict) or not set(wanted) <= row.keys():
                raise UsageError(f"{place}, line {number}: an object with {' and '.join(map(repr, wanted))} is wanted.")
            yield row


def _topics(place: Path) -> dict[str, str]:
    text = place.read_text("utf-8-sig")
    if "<top>" in text.lower():
        return dict(_topic(place, topic) for topic in _TOPIC.findall(text))
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, tab, query = line.partition("\t")
        if line.strip() and not tab:
            raise UsageError(f"{place}, line {number}: an id, a tab and the query are wanted, or TREC's <top>.")
        if line.strip():
            found[name.strip()] = query.strip()
    return found


def _topic(place: Path, topic: str) -> tuple[str, str]:
    number, title = _NUMBER.search(topic), _TITLE.search(topic)
    if not number or not title:
        raise UsageError(f"{place}: a <top> lacks its <num> or its <title>.")
    return number[1], " ".join(title[1].split())


def _graded(place: Path) -> dict[str, dict[str, float]]:
    """TREC's four columns, or BEIR's three under a heading."""
    grades: dict[str, dict[str, float]] = {}
    for number, line in enumerate(place.read_text("utf-8-sig").splitlines(), start=1):
        columns = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or (number == 1 and columns[0].lower() in ("query-id", "query_id", "qid")):
            continue
        if len(columns) not in (3, 4):
            raise UsageError(f"{place}, line {number}: query, document and grade are wanted (or TREC's four columns).")
        grade = _grade(columns[-1], f"{place}, line {number}")
        grades.setdefault(columns[0].strip(), {})[columns[-2].strip()] = grade
    return grades


def _grade(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{where}: {text!r} is no grade.") from error
