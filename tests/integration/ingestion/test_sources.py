"""Sources at the edge: none of them there, and addresses that only a credential opens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import recant
from recant.errors import BadSource, GateFailed
from recant.quality.suite import BadSuite
from recant.settings import read_settings

SECRET = "s3cr3t"


@pytest.fixture
def kb(database: str, tmp_path: Path) -> Iterator[recant.KnowledgeBase]:
    """A knowledge base of its own, embedding in this process."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    settings = replace(read_settings({"RECANT_AGENT": "librarian"}), home=home, dsn=database, embedder="local")
    with recant.connect(settings=settings) as found:
        yield found


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a page that only its token opens; the answer echoes nothing of it."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            opened = f"token={SECRET}" in self.path
            body = b"# Tides\n\nThe tide turns twice a day.\n" if opened else b"no"
            self.send_response(200 if opened else 403)
            self.send_header("content-type", "text/markdown")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/tides"
    server.shutdown()
    server.server_close()


def everything(kb: recant.KnowledgeBase) -> str:
    """Every row of every table, as text."""
    with kb.database.connection() as connection:
        connection.execute("RESET ROLE")
        tables = connection.execute(
            "SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'recant'::regnamespace"
        ).fetchall()
        rows = [
            row["row"]
            for table in tables
            for row in connection.execute(f"SELECT t::text AS row FROM recant.{table['name']} t").fetchall()
        ]
    return "\n".join(rows)


def test_an_ingest_of_nothing_that_exists_is_an_error(kb: recant.KnowledgeBase, tmp_path: Path):
    """The operation is aborted, and what it looked for stays on record; nothing takes a position."""
    specs = [str(tmp_path / "nowhere"), str(tmp_path / "*.nothing"), "dist:no-such-thing"]
    with pytest.raises(BadSource, match=r"None of these sources exists: .*/nowhere \(there is no such file") as error:
        kb.ingest(specs)
    assert [entry["code"] for entry in error.value.details["rejected"]] == ["missing"] * 3
    (operation,) = kb.log()
    assert (operation.state, kb.position()) == ("aborted", 0)
    assert len(kb.show(operation.operation_id)["rejected"]) == 3


def test_an_ingest_of_nothing_that_can_be_read_is_an_error_too(kb: recant.KnowledgeBase, tmp_path: Path):
    """With the reasons; only the first are named."""
    (tmp_path / "tides.exe").write_bytes(b"MZ")
    specs = [str(tmp_path / "tides.exe"), "ftp://example.org/a", *(str(tmp_path / f"{n}.md") for n in range(5))]
    with pytest.raises(BadSource, match=r"None of these sources can be read: .*; and 2 more\. Nothing was changed\."):
        kb.ingest(specs)


def test_a_folder_that_is_empty_is_something(kb: recant.KnowledgeBase, tmp_path: Path):
    """What it held is retired, and that is published; so is a run in which only some sources are missing."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text("# Tides\n\nThe tide turns twice a day.\n")
    kb.ingest([str(folder)])
    (folder / "tides.md").unlink()
    assert kb.ingest([str(folder)]).removed == 1
    (folder / "moon.md").write_text("# Moon\n\nIt pulls.\n")
    report = kb.ingest([str(folder), str(tmp_path / "nowhere")])
    assert (report.documents, [entry["code"] for entry in report.rejected]) == (1, ["missing"])


def test_no_token_of_an_address_is_kept_anywhere(
    kb: recant.KnowledgeBase, guarded: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """It opens the page, and is in no row of the database, no lineage event, no answer and no log; another token finds the same."""
    caplog.set_level("INFO", logger="httpx")
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", False)  # as whatever configures logging may leave it
    report = kb.ingest([f"{guarded}?token={SECRET}&lang=en", f"{guarded}?token=wrong-{SECRET[:3]}&lang=de"])
    assert (report.documents, [entry["code"] for entry in report.rejected]) == (1, ["http_status"])
    (hit,) = kb.search("when does the tide turn?").hits
    assert hit.source == f"{guarded}?token=…&lang=en"
    assert kb.ingest([f"{guarded}?token={SECRET}-renewed&lang=en"]).unchanged == 1
    told = "\n".join(record.getMessage() for record in caplog.records)
    stored = everything(kb)
    assert f"{guarded}?token=…" in stored
    assert f"{guarded}?token=…" in told
    assert SECRET not in f"{stored}{told}{report}{hit}{kb.show(report.operation_id)}"


SUITE = """
name: press
expectations:
  - name: every_document_has_a_title
    expectation: expect_column_values_to_not_be_null
    severity: critical
    arguments: { column: title }
  - name: short_chunks
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: token_count, min_value: 1, max_value: 12 }
"""


def test_an_ingest_may_bring_its_own_suite(kb: recant.KnowledgeBase, tmp_path: Path):
    """The gate holds it against that one, in the place of its own, and keeps its results with the operation."""
    suite, docs = tmp_path / "press.yml", tmp_path / "docs"
    suite.write_text(SUITE)
    docs.mkdir()
    (docs / "short.md").write_text("# Tides\n\nThe tide turns.\n")
    (docs / "long.md").write_text("# Tides\n\n" + "The tide turns twice a day. " * 5 + "\n")
    with pytest.raises(GateFailed, match="short_chunks"):
        kb.ingest([str(docs)], suite=suite)
    report = kb.ingest([str(docs)], suite=str(suite), policy="quarantine")
    assert (report.documents, [r["code"] for r in report.rejected]) == (1, ["gate"])
    shown = kb.show(report.operation_id)
    assert {check["suite"] for check in shown["quality_checks"]} == {"press"}
    assert shown["parameters"]["request"]["suite"] == str(suite)


def test_what_is_no_suite_is_refused_before_anything_is_opened(kb: recant.KnowledgeBase, tmp_path: Path):
    """A file that isn't there, or says something else."""
    (tmp_path / "a.md").write_text("# A\n\nText.\n")
    for suite in (tmp_path / "nowhere.yml", tmp_path / "a.md"):
        with pytest.raises(BadSuite, match=suite.name):
            kb.ingest([str(tmp_path)], suite=suite)
    assert kb.log() == []
