"""Records of JSON, JSONL and CSV: each is a document, and a bad one is one rejection that names its place."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.ingestion import RawDocument, Rejected, fingerprint, list_sources, open_documents
from recant.ingestion.readers.attributes import Repairs, document_attributes, iso_8601
from recant.ingestion.source import SourceItem

Open = Callable[..., list[RawDocument | Rejected]]


def good(found: list[RawDocument | Rejected]) -> list[RawDocument]:
    return [entry for entry in found if isinstance(entry, RawDocument)]


def bad(found: list[RawDocument | Rejected]) -> list[tuple[str, str]]:
    return [(entry.source.rpartition("#")[2], entry.code) for entry in found if isinstance(entry, Rejected)]


def lines(*records: object) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


@pytest.mark.parametrize("field", ["text", "content", "body", "page_content"])
def test_a_line_is_a_document_under_the_source_it_names(opened: Open, field: str) -> None:
    """Text, source and title come from their fields; known metadata and all other fields become attributes."""
    record = {
        field: "Some *text*.",
        "source": "dist:numpy",
        "title": "A title",
        "author": ["Ada", "Grace"],
        "topics": "one, two",
        "updated_at": "2026-01-31",
        "stars": 5,
        "nested": {"a": [1, None]},
    }
    (raw,) = good(opened("a.jsonl", lines(record)))
    assert (raw.source, raw.title, raw.content) == ("dist:numpy", "A title", "Some *text*.")
    assert raw.attributes == {
        "author": "Ada, Grace",
        "topics": ["one", "two"],
        "updated_at": "2026-01-31",
        "stars": 5,
        "nested": {"a": [1, None]},
    }


def test_without_a_source_a_record_is_named_by_its_place(opened: Open, tmp_path: Path) -> None:
    """The file and the line, or the row as a spreadsheet counts, name a record that names nothing itself."""
    found = good(opened("a.jsonl", '{"text": "a"}\n\n{"text": "b", "id": 7}\n{"text": "c", "url": "https://x.org/"}\n'))
    assert [raw.source for raw in found] == [f"{tmp_path}/a.jsonl#1", "7", "https://x.org/"]
    assert found[2].attributes == {"url": "https://x.org/"}
    (raw,) = good(opened("a.csv", "text,stars\nhello,5\n"))
    assert (raw.source, raw.attributes) == (f"{tmp_path}/a.csv#2", {"stars": "5"})


def test_metadata_may_stand_in_an_object_of_its_own(opened: Open) -> None:
    """The form that LangChain writes is read like the flat one."""
    (raw,) = good(opened("a.jsonl", lines({"page_content": "x y", "metadata": {"source": "s", "owner": "o"}})))
    assert (raw.source, raw.attributes) == ("s", {"owner": "o"})


def test_bad_lines_are_rejected_one_by_one(opened: Open) -> None:
    """Each bad line is one rejection naming it, and the good ones around it are read."""
    content = b"\n".join(
        [
            b'{"text": "good"}',
            b'{"text": "cut off',
            b"[1, 2]",
            b'"word"',
            b"3",
            b'{"text": 5}',
            b'{"text": ""}',
            b'{"text": "x", "source": {"a": 1}}',
            b'{"text": "x", "source": "' + b"s" * 3000 + b'"}',
            b"[" * 100_000,
            b'{"text": "x", "n": ' + b"9" * 5000 + b"}",
            b"{}",
            b'{"text": "good too"}',
        ]
    )
    found = opened("a.jsonl", content)
    assert [raw.content for raw in good(found)] == ["good", "good too"]
    assert bad(found) == [
        ("2", "broken_json"),
        *[(str(line), "broken_record") for line in (3, 4, 5, 6)],
        ("7", "empty"),
        ("8", "broken_record"),
        ("9", "broken_record"),
        ("10", "broken_json"),
        ("11", "broken_json"),
        ("12", "empty"),
    ]


def test_what_postgres_cannot_hold_is_mended_and_noted(opened: Open) -> None:
    """NUL characters go, lone surrogates are replaced, NaN becomes null; an attribute says so."""
    line = r'{"text": "a\u0000b \ud83d\ude00 \ud800c", "k\u0000ey": ["\u0000", NaN, 1e999], "source": "s\u0000"}'
    (raw,) = good(opened("a.jsonl", line))
    assert (raw.source, raw.content) == ("s", "ab 😀 �c")
    assert raw.attributes == {
        "key": ["", None, None],
        "repaired": {"nul_characters_removed": 4, "lone_surrogates_replaced": 1},
    }


def test_a_long_record_is_rejected_and_the_next_one_read(opened: Open) -> None:
    """A file may be larger than the limit, a record may not."""
    content = lines({"text": "a" * 50}) * 100 + lines({"text": "b" * 500}) + lines({"text": "last"})
    found = opened("a.jsonl", content, max_bytes=200)
    assert len(good(found)) == 101
    assert bad(found) == [("101", "too_large")]
    assert good(found)[-1].content == "last"


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Twenty times as many records take no more memory, in JSONL and in CSV."""
    peaks = []
    for count in (200, 4_000):
        for name, line in (("a.jsonl", lines({"text": "word " * 100})), ("a.csv", "word " * 100 + ",x\n")):
            path = tmp_path / f"{count}{name}"
            path.write_text(("text,other\n" if name == "a.csv" else "") + line * count)
            (item,) = list_sources([str(path)]).items
            peaks.append(min(peak_bytes(item, count) for _ in range(3)))
    assert max(peaks[2:]) < 1.5 * max(peaks[:2])


def peak_bytes(item: SourceItem, count: int) -> int:
    """The most that Python held while the records were read, by whichever thread: the least of several is the reading's."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in open_documents(item, max_bytes=10_000)) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_line_in_another_encoding_is_read_by_itself(opened: Open) -> None:
    """One line that isn't UTF-8 doesn't spoil the others."""
    text = "Das Gerät läßt sich über die Oberfläche öffnen und schließen."
    content = lines({"text": "före"}).encode() + f'{{"text": "{text}"}}\n'.encode("cp1252")
    assert [raw.content for raw in good(opened("a.jsonl", content))] == ["före", text]
    assert [raw.content for raw in good(opened("a.jsonl", f'{{"text": "{text}"}}\n'.encode("utf-16")))] == [text]


def test_a_stream_that_breaks_off_its_encoding_ends_there(opened: Open) -> None:
    """What can't be decoded any further is one rejection that says so."""
    line = '{"text": "a"}\n'
    found = opened("a.jsonl", (line * 2000).encode("utf-16") + b"\x00\xd8\x00\xd8" * 50)
    assert good(found)
    assert [code for _, code in bad(found)] == ["encoding"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_stream_without_records_is_rejected(opened: Open, name: str) -> None:
    """Nothing, blank lines or a header alone are `empty`; binary content is `binary`."""
    for content in ("", "\n\n", "text\n" if name == "a.csv" else "\n"):
        assert [entry.code for entry in opened(name, content) if isinstance(entry, Rejected)] == ["empty"]
    assert [entry.code for entry in opened(name, b"PK\x03\x04\0\0") if isinstance(entry, Rejected)] == ["binary"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_is_read_with_its_own_delimiter(opened: Open, delimiter: str) -> None:
    """The delimiter is the header's; quoted fields hold line breaks and delimiters."""
    header = delimiter.join(["source", "text", "owner"])
    content = (
        f'{header}\r\ns1{delimiter}"two\r\nlines{delimiter} ""q"""{delimiter}me\r\n\r\ns2{delimiter}b{delimiter}\r\n'
    )
    first, second = good(opened("a.csv", content))
    assert (first.source, first.content, first.attributes) == ("s1", f'two\nlines{delimiter} "q"', {"owner": "me"})
    assert (second.source, second.attributes) == ("s2", {})


def test_bad_rows_are_rejected_one_by_one(opened: Open) -> None:
    """Too many fields, too much text and binary content cost the row, not the file."""
    content = "text,n\ngood,1\na,b,c\n" + "x" * 9000 + ",1\nnul\0,1\ngood too\n"
    found = opened("a.csv", content.replace("good,1", "good," + "1" * 5000 + "\nfine," + "1" * 5000), max_bytes=8000)
    assert [raw.content for raw in good(found)] == ["good", "fine", "good too"]
    assert bad(found) == [("4", "broken_csv"), ("5", "too_large"), ("6", "binary")]


def test_an_open_quote_does_not_eat_the_file(opened: Open) -> None:
    """A quote that is never closed costs a record's worth of lines; reading goes on after it."""
    content = 'text\n"open\n' + "line\n" * 100
    found = opened("a.csv", content, max_bytes=100)
    assert ("2", "too_large") in bad(found)
    assert len(good(found)) > 50


def test_records_without_text_show_their_fields(opened: Open) -> None:
    """A row that has no text column is shown field by field, with the known attributes besides."""
    (raw,) = good(opened("a.csv", "name,price,owner\nbolt,3,me\n"))
    assert (raw.format, raw.content) == ("record", "name: bolt\nprice: 3\nowner: me")
    assert raw.attributes == {"owner": "me"}


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a"}, {"text": "b"}]',
        '{"documents": [{"text": "a"}, {"text": "b"}], "n": 2}',
        '{"data": [{"page_content": "a"}, {"body": "b"}]}',
    ],
)
def test_a_json_file_may_hold_records(opened: Open, tmp_path: Path, content: str) -> None:
    """A list of objects, or an object that keeps one, gives one document an entry."""
    found = good(opened("a.json", content))
    assert [(raw.source, raw.content) for raw in found] == [
        (f"{tmp_path}/a.json#1", "a"),
        (f"{tmp_path}/a.json#2", "b"),
    ]


def test_one_bad_entry_does_not_cost_the_list(opened: Open) -> None:
    """A JSON list with something else among its objects rejects only that."""
    found = opened("a.json", '[{"text": "a"}, 5, {"text": "b"}]')
    assert len(good(found)) == 2
    assert bad(found) == [("2", "broken_record")]


def test_any_other_json_is_one_document(opened: Open) -> None:
    """Settings and the like are one document, pretty-printed; a single record is that record."""
    (raw,) = good(opened("a.json", '{"b": [1, {"ü": null}]}'))
    assert (raw.format, raw.content) == ("json", '{\n  "b": [\n    1,\n    {\n      "ü": null\n    }\n  ]\n}')
    (raw,) = good(opened("b.json", '{"text": "a", "source": "s"}'))
    assert (raw.source, raw.content) == ("s", "a")


@pytest.mark.parametrize("content", ['{"a": ', "[1, 2,]", "nothing", "[" * 100_000])
def test_broken_json_names_what_is_wrong(opened: Open, content: str) -> None:
    """A file that isn't JSON is one rejection."""
    (found,) = opened("a.json", content)
    assert isinstance(found, Rejected)
    assert found.code == "broken_json"


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"text": "plain words"}, "text"),
        ({"text": "# Title\n\nwords"}, "markdown"),
        ({"text": "Title\n=====\n\n.. note:: words"}, "rst"),
        ({"text": "words", "source": "/docs/a.md"}, "markdown"),
        ({"text": "x = 1", "source": "a.py"}, "python"),
        ({"text": "<p>x</p>", "format": "html"}, "html"),
        ({"text": "words", "format": "exe"}, "text"),
    ],
)
def test_a_records_text_is_read_as_what_it_is(opened: Open, record: dict[str, str], kind: str) -> None:
    """The record's word, its source's name, or the look of its text decide how it is parsed."""
    (raw,) = good(opened("a.jsonl", lines(record)))
    assert raw.format == kind


def test_the_order_of_a_records_fields_does_not_change_it(opened: Open) -> None:
    """A record's hash is of its canonical JSON, so writing it anew doesn't make it another."""
    first, second, third = good(
        opened("a.jsonl", '{"text": "a", "source": "s"}\n{"source":"s","text":"a"}\n{"text": "b", "source": "s"}')
    )
    assert first.content_hash == second.content_hash != third.content_hash
    assert fingerprint(first) == fingerprint(second)


def test_known_attributes_have_the_type_they_promise() -> None:
    """Dates are ISO 8601 or kept as given, topics a list without repetition, the rest text; blanks are left out."""
    fields = {
        "created_at": "Wed, 21 Oct 2026 07:28:00 GMT",
        "updated_at": "last week",
        "reviewed_at": None,
        "topics": ["a", "b", "a", " "],
        "complexity": 3,
        "owner": "",
        "free": None,
    }
    assert document_attributes(fields, Repairs()) == {
        "created_at": "2026-10-21T07:28:00+00:00",
        "updated_at_as_given": "last week",
        "topics": ["a", "b"],
        "complexity": "3",
        "free": None,
    }


def test_synonyms_yield_to_the_proper_name() -> None:
    """In front matter `tags` are topics and `date` is when it was created, unless the proper name is there too."""
    read = document_attributes({"Tags": "x", "date": "2026-01-01", "lang": "de"}, Repairs(), synonyms=True)
    assert read == {"topics": ["x"], "created_at": "2026-01-01", "language": "de"}
    both = document_attributes({"author": "A", "authors": "B"}, Repairs(), synonyms=True)
    assert both == {"author": "A", "authors": "B"}


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_stored_after_repair(text: str) -> None:
    """Whatever JSON can smuggle in, what comes out is UTF-8 without NUL, and unchanged where nothing was wrong."""
    repairs = Repairs()
    stored = repairs.text(text)
    assert b"\0" not in stored.encode()
    assert (stored == text) == (repairs.noted() == {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["topics", "owner", "created_at"]), json_values))
def test_any_metadata_becomes_strict_json(fields: dict[str, object]) -> None:
    """Attributes are always what strict JSON, and so Postgres, can hold."""
    attributes = document_attributes(fields, Repairs())
    dumped = json.dumps(attributes, allow_nan=False, ensure_ascii=False).encode()
    assert b"\\u0000" not in dumped.replace(b"\\\\", b"")
    assert all(isinstance(topic, str) for topic in attributes.get("topics", []))  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "2026-13-01", "yesterday", "12"])
def test_what_is_no_date_has_no_iso_form(text: str) -> None:
    """A date that can't be read isn't invented."""
    assert iso_8601(text) is None


def test_json_without_text_or_beyond_measure_is_rejected(opened: Open) -> None:
    """A JSON file of a byte order mark is empty; one nested too deeply for Python is refused, alone or as a record."""
    deep = "[" * 3000 + "]" * 3000
    for content, code in ((b"\xef\xbb\xbf ", "empty"), (deep.encode(), "broken_json")):
        assert [entry.code for entry in opened("a.json", content) if isinstance(entry, Rejected)] == [code]
    found = opened("a.jsonl", f'{{"text": "x", "n": {deep}}}\n' + lines({"text": "good"}))
    assert [raw.content for raw in good(found)] == ["good"]
    assert bad(found) == [("1", "broken_json")]


def test_a_single_column_has_no_delimiter(opened: Open) -> None:
    """A CSV of one column is read line by line."""
    assert [raw.content for raw in good(opened("a.csv", "text\none\ntwo\n"))] == ["one", "two"]
