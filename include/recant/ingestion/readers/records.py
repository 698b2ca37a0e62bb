"""Records (of JSON, JSONL and CSV) as documents, one each: which field is what. How they are streamed is apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

from recant.ingestion.document import KNOWN_ATTRIBUTES, LeftOut, RawDocument, Rejected
from recant.ingestion.readers.attributes import Repairs, document_attributes
from recant.ingestion.readers.encoding import decode
from recant.ingestion.readers.formats import format_of_name, markup_of
from recant.ingestion.readers.record_streams import Numbered, csv_rows, json_lines, parse_json
from recant.ingestion.source import SourceItem

TEXT_FIELDS = ("text", "content", "body", "page_content")
SOURCE_FIELDS = ("source", "id", "url")
LISTS_OF_RECORDS = ("records", "documents", "items", "data", "rows", "results")
"""Where a JSON object keeps its records."""
FORMATS_TOLD = ("markdown", "rst", "text", "html", "python")
"""What a record's `format` may say about its text."""
MAX_SOURCE_BYTES = 2000
"""A longer name doesn't fit an index of Postgres."""

Opened: TypeAlias = RawDocument | Rejected


def read_stream(item: SourceItem, stream: BinaryIO, kind: str, max_bytes: int) -> Iterator[Opened]:
    """The documents in a `jsonl` or `csv` stream, each of `max_bytes` at most.

    A record that can't be taken is one `Rejected` that names its line or row; the rest goes on.
    """
    return _documents(item, (json_lines if kind == "jsonl" else csv_rows)(stream, max_bytes))


def read_json(item: SourceItem, data: bytes) -> Iterator[Opened]:
    """The records in a JSON file; where it isn't a list of records, the file as one document, pretty-printed."""
    text, _ = decode(data)
    if not text.strip():
        raise LeftOut("empty", "it holds no text: nothing to do, or look at how it was written")
    value = parse_json(text)
    records = _records_in(value)
    if records is None:
        return iter([_whole_json(item, value, data)])
    return _documents(item, enumerate(records, start=1))


def _documents(item: SourceItem, numbered: Iterable[Numbered]) -> Iterator[Opened]:
    number = 0
    for number, record in numbered:
        place = f"{item.source}#{number}"
        try:
            yield _document(item, place, record)
        except LeftOut as left_out:
            yield left_out.rejected(place)
        except RecursionError:
            yield Rejected(place, "it is nested too deeply: flatten it", "broken_record")
    if not number:
        yield Rejected(item.source, "it holds no records: nothing to do, or look at how it was written", "empty")


def _document(item: SourceItem, place: str, record: object | LeftOut) -> RawDocument:
    if isinstance(record, LeftOut):
        raise record
    if not isinstance(record, dict):
        raise LeftOut("broken_record", f"it is a {_json_type(record)}, not an object: write one object a record")
    canonical = json.dumps(record, sort_keys=True).encode()
    fields, repairs = _flat(record), Repairs()
    name, text = _content(fields, repairs)
    source = _source(fields, place, repairs)
    return RawDocument(
        source=source,
        origin=item.origin,
        format=_format(fields, source, text) if name else "record",
        title=_title(fields, repairs),
        content=text,
        content_hash=hashlib.sha256(canonical).digest(),
        attributes=_attributes(fields, name, repairs) | repairs.noted(),
    )


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """LangChain's and LlamaIndex' documents keep their fields in `metadata`."""
    inner = record.get("metadata")
    if not isinstance(inner, dict):
        return record
    return {**inner, **{key: value for key, value in record.items() if key != "metadata"}}


def _content(fields: Mapping[str, Any], repairs: Repairs) -> tuple[str | None, str]:
    name = next((field for field in TEXT_FIELDS if fields.get(field) is not None), None)
    if name is None:
        text = "\n".join(f"{key}: {_shown(value)}" for key, value in fields.items() if value not in (None, ""))
    elif isinstance(fields[name], str):
        text = fields[name]
    else:
        raise LeftOut("broken_record", f"its `{name}` is a {_json_type(fields[name])}: write text there")
    text = repairs.text(text).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise LeftOut("empty", f"it has no text: fill one of {', '.join(TEXT_FIELDS)}, or leave the record out")
    return name, text


def _source(fields: Mapping[str, Any], place: str, repairs: Repairs) -> str:
    given = next((fields[name] for name in SOURCE_FIELDS if fields.get(name) not in (None, "")), place)
    if not isinstance(given, str | int | float):
        raise LeftOut("broken_record", f"its source is a {_json_type(given)}: write text there")
    source = repairs.text(str(given))
    if not source.strip() or len(source.encode()) > MAX_SOURCE_BYTES:
        raise LeftOut("broken_record", f"its source is blank or over {MAX_SOURCE_BYTES:,} bytes: give it a short name")
    return source


def _title(fields: Mapping[str, Any], repairs: Repairs) -> str | None:
    title = fields.get("title")
    return repairs.text(str(title)).strip() or None if isinstance(title, str | int | float) else None


def _format(fields: Mapping[str, Any], source: str, text: str) -> str:
    told = fields.get("format")
    if told in FORMATS_TOLD:
        return str(told)
    by_name = format_of_name(source)
    return by_name if by_name in ("markdown", "rst", "text", "python") else markup_of(text)


def _attributes(fields: Mapping[str, Any], text_field: str | None, repairs: Repairs) -> dict[str, Any]:
    """Of a record without a text field only the known ones: its text says all of them already."""
    if text_field is None:
        return document_attributes({key: fields[key] for key in KNOWN_ATTRIBUTES if key in fields}, repairs)
    used = (text_field, "source", "title", "format")
    return document_attributes({key: value for key, value in fields.items() if key not in used}, repairs)


def _records_in(value: object) -> list[object] | None:
    if isinstance(value, list):
        return value if _are_records(value) else None
    if not isinstance(value, dict):
        return None
    if any(isinstance(value.get(field), str) for field in TEXT_FIELDS):
        return [value]
    return next((value[name] for name in LISTS_OF_RECORDS if _are_records(value.get(name))), None)


def _are_records(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(entry, dict) for entry in value)


def _whole_json(item: SourceItem, value: object, data: bytes) -> RawDocument:
    repairs = Repairs()
    try:
        text = json.dumps(repairs.json(value), indent=2, ensure_ascii=False)
    except RecursionError as error:
        raise LeftOut("broken_json", "it is nested too deeply: flatten it") from error
    digest = hashlib.sha256(data).digest()
    return RawDocument(item.source, item.origin, "json", None, text, digest, repairs.noted())


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_type(value: object) -> str:
    names = {list: "list", dict: "object", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")
