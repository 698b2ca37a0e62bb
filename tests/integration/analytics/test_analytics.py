"""Reports over an export, and questions of one's own."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

import recant
from recant.analytics import REPORTS, Analytics, Answer, ReportAnswer, page, plot
from recant.errors import ConfigurationError, UsageError
from recant.export import VIEWS, ExportRequest
from tests.integration.library import Library

PNG = b"\x89PNG\r\n\x1a\n"


def rows(folder: Path, name: str) -> list[dict]:
    with Analytics(folder) as analytics:
        answer = analytics.report(name).answer
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def test_the_reports_say_what_happened(folder: Path):
    """Who wrote what and how much was taken back; what readers said, of what is seen."""
    by_agent = {row["agent"]: row for row in rows(folder, "agents")}
    assert [by_agent["rogue"][name] for name in ("operations", "reverted", "quarantined")] == [2, 1, 1]
    assert {row["kind"]: row["withdrawn"] for row in rows(folder, "kinds")} == {
        "ingest": 2, "feedback": 0, "rollback": 0, "quarantine": 0,
    }  # fmt: skip
    (growth,) = rows(folder, "growth")
    assert growth["day"] == datetime.now(UTC).date()
    assert (growth["operations"], growth["documents"]) == (8, 4)
    assert [(row["kind"], row["message"], row["state"]) for row in rows(folder, "rollbacks")] == [
        ("rollback", "poison", "published"), ("quarantine", "", "published"),
    ]  # fmt: skip
    (feedback,) = rows(folder, "feedback")
    assert [feedback[name] for name in ("helpful", "outdated", "incorrect", "confusing", "duplicate")] == [
        1,
        1,
        1,
        0,
        0,
    ]
    quality = rows(folder, "quality")
    assert sum(row["chunks"] for row in quality) == 2
    assert quality[0]["feedback"] < 0 < quality[-1]["feedback"]
    disputed = rows(folder, "disputed")
    assert [(row["source"], row["negative"], row["helpful"], row["readers"]) for row in disputed] == [
        ("b", 2, 0, 2), ("a", 0, 1, 1),
    ]  # fmt: skip


def test_every_report_is_answered_and_drawn(folder: Path):
    """Also where there is nothing to show; what has no plot says so."""
    with Analytics(folder) as analytics:
        assert analytics.reports == list(REPORTS)
        said = [analytics.report(name) for name in analytics.reports]
    for one in said:
        if one.report.drawn == "none":
            with pytest.raises(UsageError, match="is a table"):
                plot(one)
        else:
            assert plot(one).startswith(PNG)
    assert {one.report.drawn for one in said} == {"lines", "bars", "stacked", "none"}


def test_a_plot_is_the_same_each_time(folder: Path):
    """No date in the file."""
    with Analytics(folder) as analytics:
        assert plot(analytics.report("agents")) == plot(analytics.report("agents"))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_page_needs_nothing_else_and_runs_nothing(folder: Path):
    """Pictures are in it, there is no script, and what agents wrote is text."""
    with Analytics(folder) as analytics:
        said = [analytics.report(name) for name in analytics.reports]
    hostile = Answer(
        ("agent", "operations", "reverted", "quarantined"), (("<script>alert(1)</script>$x_1$\x07", 1, None, 0),)
    )
    text = page([*said, ReportAnswer(REPORTS["agents"], "m", hostile, 1, "<x>")])
    parsed = Tags()
    parsed.feed(text)
    assert "script" not in {tag for tag, _ in parsed.found}
    assert all(value.startswith("data:image/png;base64,") for tag, at in parsed.found if (value := at.get("src") or ""))
    assert not re.search(r"https?://", text)
    assert "&lt;script&gt;" in text
    many = Answer(("kind",), tuple((str(n),) for n in range(201)))
    assert "And 1 more rows" in page([ReportAnswer(REPORTS["rollbacks"], "m", many, 1, "x")])


def test_an_export_is_asked_with_sql(folder: Path):
    """Tables and views by name, a limited number of rows."""
    with Analytics(folder) as analytics:
        answer = analytics.query("SELECT source, text FROM chunks ORDER BY source DESC", limit=1)
        assert (answer.columns, answer.rows, answer.more) == (("source", "text"), (("b", "two"),), True)
        assert analytics.query("WITH x AS (SELECT 1 AS n) SELECT n FROM x").to_dict() == {
            "columns": ["n"], "rows": [[1]], "more": False,
        }  # fmt: skip
        assert analytics.query("EXPLAIN SELECT * FROM growth").rows


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW growth", "CREATE TABLE t (a int)", "COPY (SELECT 1) TO '{folder}/x.csv'", "SELECT 1; SELECT 2", "", "SELEKT",
        "SELECT * FROM read_csv('{folder}/manifest.json')", "SELECT * FROM '{folder}/chunks.parquet'", "ATTACH '{folder}/x.db'",
        "SELECT * FROM read_text('/etc/hostname')", "SELECT * FROM glob('/*')", "SET enable_external_access = true",
        "INSTALL httpfs", "PRAGMA database_list", "SELECT * FROM analytics", "SELECT * FROM folder",
    ],
)  # fmt: skip
def test_nothing_else_can_be_done_with_sql(folder: Path, sql: str):
    """No other file is read, none written, nothing changed, no variable of the program seen."""
    before = sorted(path.name for path in folder.iterdir())
    with Analytics(folder) as analytics, pytest.raises(UsageError):
        analytics.query(sql.format(folder=folder))
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_export_has_the_reports_that_its_tables_allow(kb: recant.KnowledgeBase, library: Library, tmp_path: Path):
    """Others say what is missing."""
    with pytest.raises(UsageError, match="no parquet export"):
        kb.analytics()
    request = ExportRequest(str(tmp_path / "some"), ("chunks", "rejections"), "library", "parquet", rows_per_file=1)
    kb.exports.write(request, kb.attribution())
    with kb.analytics() as analytics:
        assert analytics.reports == ["reasons"]
        assert analytics.query("SELECT count(*) FROM chunks").rows == ((2,),)
        for name, missing in (("growth", "operations"), ("quality", "scores"), ("nosuch", "no report")):
            with pytest.raises(UsageError, match=missing):
                analytics.report(name)
    kb.exports.write(ExportRequest(str(tmp_path / "csv"), collection="library"), kb.attribution())
    with pytest.raises(UsageError, match="--format parquet"):
        Analytics(tmp_path / "csv")


INIT = """
import sys, duckdb
connection = duckdb.connect()
connection.execute(open("views.sql", encoding="utf-8").read())
for name in sys.argv[1:]:
    connection.execute(f"SELECT * FROM {name}").fetchall()
print(connection.sql("SELECT count(*) FROM chunks").fetchall()[0][0], connection.sql("SELECT sum(operations) FROM growth").fetchall()[0][0])
"""


def test_the_views_beside_the_files_work_by_themselves(folder: Path):
    """In a process that knows nothing of Recant, run in the folder."""
    arguments = [sys.executable, "-I", "-c", INIT, *VIEWS]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)
    assert ended.stderr == ""
    assert ended.stdout.split() == ["2", "8"]


@pytest.mark.parametrize(("absent", "call"), [("duckdb", "open"), ("matplotlib.figure", "plot")])
def test_without_the_extra_it_says_what_to_install(folder: Path, monkeypatch, absent: str, call: str):
    """By name."""
    with Analytics(folder) as analytics:
        said = analytics.report("agents")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ConfigurationError, match=r"recant\[analytics\]"):
        plot(said) if call == "plot" else Analytics(folder)
