"""Parquet as others read it."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from pyarrow import parquet

from recant.errors import ConfigurationError
from recant.export import parquet_files
from tests.integration.library import Library

TEXTS = {"a": "=1+1", "b": 'quotes " and\nlines', "c": "שלום 👩‍👩‍👧", "d": "\\N", "e": "'"}

READ = """
import json, sys
import duckdb, pandas
from pyarrow import parquet
folder = sys.argv[1]
arrow = parquet.read_table(folder + "/chunks.parquet").to_pylist()
frame = pandas.read_parquet(folder + "/chunks.parquet")
quack = duckdb.sql(f"SELECT source, text, len(vector), typeof(parent_headers) FROM '{folder}/chunks.parquet'").fetchall()
times = duckdb.sql(f"SELECT typeof(published_at), run_id IS NULL, message = '' FROM '{folder}/operations.parquet'").fetchall()
print(json.dumps({
    "arrow": {row["source"]: row["text"] for row in arrow}, "pandas": dict(zip(frame.source, frame.text)),
    "duckdb": {row[0]: row[1] for row in quack}, "lengths": sorted({row[2:] for row in quack}), "times": times,
}))
"""


def test_pyarrow_pandas_and_duckdb_read_the_same(library: Library, export, target):
    """From a process that knows nothing of Recant: texts untouched, lists as lists, times with their zone, nulls as nulls."""
    library.publish(TEXTS)
    export(tables=("chunks", "operations"), format="parquet", compression="zstd", vectors=True)
    ended = subprocess.run([sys.executable, "-I", "-c", READ, str(target)], capture_output=True, text=True, check=True)
    read = json.loads(ended.stdout)
    assert read["arrow"] == read["pandas"] == read["duckdb"] == TEXTS
    assert read["lengths"] == [[4, "VARCHAR[]"]]
    assert read["times"] == [["TIMESTAMP WITH TIME ZONE", True, True]]


def test_vectors_are_lists_of_their_length_with_the_stored_numbers(library: Library, export, target):
    """Half precision, widened; without one length for all they are lists of any length."""
    library.publish({"a": "x"})
    export(tables=("chunks",), format="parquet", vectors=True)
    table = parquet.read_table(target / "chunks.parquet")
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 4)
    assert table["vector"][0].as_py() == pytest.approx(library.model.vector("x").tolist(), abs=1e-3)
    other = Library(library.database, name="other", model=type(library.model)("longer", "longer-digest", 6))
    other.publish({"b": "y"})
    export(tables=("chunks",), format="parquet", vectors=True, collection=None)
    table = parquet.read_table(target / "chunks.parquet")
    assert table.schema.field("vector").type == pa.list_(pa.float32())
    assert sorted(len(vector) for vector in table["vector"].to_pylist()) == [4, 6]


@pytest.mark.parametrize(("compression", "codec"), [("none", "UNCOMPRESSED"), ("gzip", "GZIP"), ("zstd", "ZSTD")])
def test_compression_is_within_the_file(library: Library, export, target, compression, codec):
    """Which keeps its name, and any reader of Parquet opens it."""
    library.publish({"a": "x"})
    export(tables=("chunks",), format="parquet", compression=compression)
    metadata = parquet.read_metadata(target / "chunks.parquet")
    assert metadata.row_group(0).column(0).compression == codec


def test_rows_are_cut_into_files_and_groups(library: Library, export, target, monkeypatch):
    """Parts of so many rows, of groups no larger than memory allows; together the whole."""
    monkeypatch.setattr(parquet_files, "ROWS_PER_GROUP", 2)
    library.publish({f"{n:02}": f"text {n}" for n in range(7)})
    export(tables=("chunks",), format="parquet", rows_per_file=3)
    names = [f"chunks-0000{n}.parquet" for n in (1, 2, 3)]
    assert [parquet.read_metadata(target / name).num_rows for name in names] == [3, 3, 1]
    assert [parquet.read_metadata(target / name).num_row_groups for name in names] == [2, 2, 1]
    assert parquet.read_table([target / name for name in names])["source"].to_pylist() == [f"{n:02}" for n in range(7)]
    export(tables=("chunks",), format="parquet", rows_per_file=7)
    assert sorted(path.name for path in target.glob("*.parquet")) == ["chunks-00001.parquet"]


def test_an_empty_table_has_its_columns(library: Library, export, target):
    """And no rows."""
    library.publish({"a": "x"})
    export(tables=("feedback",), format="parquet")
    table = parquet.read_table(target / "feedback.parquet")
    assert (table.num_rows, table.schema.field("given_at").type) == (0, pa.timestamp("us", tz="UTC"))


def test_without_pyarrow_it_says_what_to_install(library: Library, export, target, monkeypatch):
    """And leaves nothing behind."""
    library.publish({"a": "x"})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"recant\[analytics\]"):
        export(format="parquet")
    assert list(target.parent.iterdir()) == []
