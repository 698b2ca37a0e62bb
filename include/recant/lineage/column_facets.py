"""Columns of datasets, and which come from which: said where a value of one is copied into, or computed for, the other.

That is so of archives and exports (files from collections), of what is restored from an archive (the other way round), and
of vectors embedded anew (from the texts beside them). It isn't of an ingest, as folders, pages and distributions have no
columns, nor of feedback, scores and control operations, which write no column of a collection. The columns of a file are
those that its operation noted when it was opened (`file_columns`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset

from recant.lineage.naming import FILE_NAMESPACE, is_collection
from recant.lineage.producer import PRODUCER

FIELDS = (
    ("source", "text", "Steady name of the document: an absolute path, an address, dist:NAME"),
    ("title", "text", "Title of the document"),
    ("index", "integer", "Place of the chunk in its document, from 0"),
    ("text", "text", "What is shown and stored"),
    ("chunk_type", "text", "text, code, table, list or record"),
    ("parent_headers", "text[]", "Headings above the chunk, outermost first"),
    ("token_count", "integer", "Tokens of the embedded text, under the embedding model"),
    ("attributes", "jsonb", "Free metadata"),
)
"""A collection as its readers know it: one row a chunk. The vector comes last, with its length in its type."""
VECTOR_SOURCES = ("parent_headers", "text")
"""The columns of a collection that its vectors are made from."""
REEMBEDDING = ("reembed",)
"""Kinds of operations that make a collection's vectors anew from what it holds."""
_OF_CHUNKS = {name: name for name, _, _ in FIELDS if name not in ("source", "title")}
IN_FILES: Mapping[str, Mapping[str, str]] = {
    "archive": {"documents.source": "source", "documents.title": "title", "vectors.vector": "vector"}
    | {f"chunks.{name}": name for name in _OF_CHUNKS},
    "export": {f"chunks.{name}": name for name in ("source", "title", "vector", *_OF_CHUNKS) if name != "index"}
    | {f"{table}.chunk_index": "index" for table in ("chunks", "scores", "feedback")}
    | {f"{table}.source": "source" for table in ("documents", "scores", "feedback")}
    | {"documents.title": "title"},
}
"""By kind of file, which of its columns hold which of a collection. Numbers of operations and the like are the log's."""
_FILE_OF = {"archive": "archive", "restore_archive": "archive", "export": "export"}
Transformation = column_lineage_dataset.Transformation
_COPIED = Transformation(type="DIRECT", subtype="IDENTITY", description="copied")
_AS_TEXT = Transformation(type="DIRECT", subtype="TRANSFORMATION", description="written as text")
_EMBEDDED = Transformation(type="DIRECT", subtype="TRANSFORMATION", description="embedded by the collection's model")
_LOOKED_UP = Transformation(
    type="DIRECT", subtype="TRANSFORMATION", description="copied, unless the same text has a vector already"
)


def schema_facet(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> schema_dataset.SchemaDatasetFacet | None:
    """The columns of a collection, one row a chunk; of an archive or export those of its tables, as `chunks.text`."""
    if is_collection(dataset["namespace"], dataset["name"]):
        dimensions = dataset["dimensions"]
        vector = ("vector", f"halfvec({dimensions})" if dimensions else "halfvec", "Embedding, of unit length")
        return _schema([*FIELDS, vector])
    return _schema([(name, kind, None) for name, kind in _columns(dataset, row)])


def column_lineage_facet(
    dataset: Mapping[str, Any], row: Mapping[str, Any]
) -> column_lineage_dataset.ColumnLineageDatasetFacet | None:
    """Where the columns of a dataset that is written come from; None where that isn't known, or there are none."""
    read = [d for d in row["datasets"] if d["direction"] == "input"]
    collections = [d for d in read if is_collection(d["namespace"], d["name"])]
    files = [d for d in read if d["namespace"] == FILE_NAMESPACE]
    if row["kind"] in REEMBEDDING and len(collections) == 1 and is_collection(dataset["namespace"], dataset["name"]):
        (own,) = collections
        return _lineage({"vector": [_from(own, column, _EMBEDDED) for column in VECTOR_SOURCES]})
    if row["kind"] == "restore_archive" and is_collection(dataset["namespace"], dataset["name"]) and len(files) == 1:
        pairs = list(_held(files[0], row))
        how = {"vector": _LOOKED_UP}
        return _lineage({own: [_from(files[0], held, how.get(own, _COPIED))] for held, own in pairs})
    told = {held: [_from(each, own, _copied(row)) for each in collections] for held, own in _held(dataset, row)}
    return _lineage({held: inputs for held, inputs in told.items() if inputs})


def _columns(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and types of a file's columns; nothing of a file whose operation noted none."""
    if dataset["namespace"] == FILE_NAMESPACE and row["kind"] in _FILE_OF:
        for table, columns in (row["parameters"].get("file_columns") or {}).items():
            for column, kind in columns.items():
                yield f"{table}.{column}", kind


def _held(dataset: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Columns of a file that hold a column of a collection, and which."""
    for column, _ in _columns(dataset, row):
        own = IN_FILES[_FILE_OF[row["kind"]]].get(column)
        if own is not None:
            yield column, own


def _copied(row: Mapping[str, Any]) -> Transformation:
    return _AS_TEXT if row["kind"] == "export" and row["parameters"].get("format") == "csv" else _COPIED


def _from(dataset: Mapping[str, Any], column: str, how: Transformation) -> column_lineage_dataset.InputField:
    return column_lineage_dataset.InputField(
        namespace=dataset["namespace"], name=dataset["name"], field=column, transformations=[how]
    )


def _lineage(
    fields: Mapping[str, list[column_lineage_dataset.InputField]],
) -> column_lineage_dataset.ColumnLineageDatasetFacet | None:
    if not fields:
        return None
    found = {name: column_lineage_dataset.Fields(inputFields=inputs) for name, inputs in fields.items()}
    return column_lineage_dataset.ColumnLineageDatasetFacet(producer=PRODUCER, fields=found)


def _schema(columns: Sequence[tuple[str, str, str | None]]) -> schema_dataset.SchemaDatasetFacet | None:
    if not columns:
        return None
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=name, type=kind, description=text, ordinal_position=place)
        for place, (name, kind, text) in enumerate(columns, start=1)
    ]
    return schema_dataset.SchemaDatasetFacet(producer=PRODUCER, fields=fields)
