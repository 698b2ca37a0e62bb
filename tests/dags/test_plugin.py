"""The hook, the errors' way into Airflow, and what a plan looks like to the person who approves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow
PROJECT = Path(__file__).resolve().parents[2]


def test_the_plugin_is_found_and_is_the_only_one(airflow):
    """Airflow loads one plugin from the folder: the package beside it is not executed as plugins."""
    from airflow import plugins_manager

    ours = [
        p
        for p in plugins_manager._get_plugins()[0]
        if str(PROJECT / "plugins") in str(sys.modules[p.__module__].__file__)
    ]
    assert [p.name for p in ours] == ["recant"]


def test_loading_the_plugin_brings_nothing_heavy():
    """Every component of Airflow pays for it: no model, no database, no data frames."""
    code = "import recant_plugin, sys; print([m for m in ('torch', 'psycopg', 'pandas', 'numpy', 'recant') if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT / "plugins"
    )
    assert told.stdout.splitlines()[-1] == "[]"


def test_without_a_connection_the_hook_opens_the_installation(airflow):
    """An unknown connection id means: as `recant.connect()` finds it."""
    from recant_airflow.hooks import KnowledgeBaseHook

    assert KnowledgeBaseHook("not_there").get_dsn() is None


def test_the_hook_uses_an_airflow_connection(airflow, database, monkeypatch):
    """A Postgres connection of that id is what the knowledge base is opened with."""
    from recant_airflow.hooks import KnowledgeBaseHook

    monkeypatch.setenv("RECANT_DSN", "postgresql://nobody@127.0.0.1:1/nowhere")
    monkeypatch.setenv("AIRFLOW_CONN_RECANT_DEFAULT", database.replace("postgresql://", "postgres://"))
    with KnowledgeBaseHook().get_conn() as kb:
        assert kb.position() == 0


def test_a_connections_password_may_hold_anything(airflow, monkeypatch):
    """Slashes, colons and at-signs arrive as they were; extras that libpq doesn't know are left aside."""
    from psycopg.conninfo import conninfo_to_dict

    from recant_airflow.hooks import KnowledgeBaseHook

    monkeypatch.setenv(
        "AIRFLOW_CONN_ODD",
        '{"conn_type": "postgres", "host": "db.example", "login": "a@b", "password": "p/w:1@%", "schema": "know ledge",'
        ' "port": 5433, "extra": {"sslmode": "require", "cursor": "dictcursor"}}',
    )
    assert conninfo_to_dict(KnowledgeBaseHook("odd").get_dsn()) == {
        "host": "db.example",
        "port": "5433",
        "user": "a@b",
        "password": "p/w:1@%",
        "dbname": "know ledge",
        "sslmode": "require",
    }


def test_a_connection_of_another_type_is_refused(airflow, monkeypatch):
    """An HTTP connection can't be a knowledge base; the message names the type."""
    from recant.errors import ConfigurationError
    from recant_airflow.hooks import KnowledgeBaseHook

    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://example.org")
    with pytest.raises(ConfigurationError, match="'http'"):
        KnowledgeBaseHook("web").get_dsn()


def test_a_database_that_is_away_is_worth_a_retry(run_dag, monkeypatch):
    """DatabaseUnreachable goes to the task's retries; the run fails when they are used up, saying why."""
    monkeypatch.setenv("RECANT_DSN", "postgresql://nobody@127.0.0.1:1/nowhere")
    run = run_dag("ingest_documents", {"sources": ["/anywhere"]})
    assert (run.state, run.tries["open_operation", -1]) == ("failed", 3)
    assert run.xcom("open_operation", "failure").startswith("DatabaseUnreachable")


def test_batches_are_of_one_size_and_never_more_than_airflow_maps(airflow):
    """The items keep their order; more batches than `core.max_map_length` become larger ones."""
    from recant_airflow.operators.ingestion import evened_out

    assert evened_out([[1, 2, 3, 4], [5]], 9) == [[1, 2, 3], [4, 5]]
    assert evened_out([[1, 2], [3, 4], [5, 6]], 2) == [[1, 2, 3], [4, 5, 6]]
    assert evened_out([], 9) == []


def test_foreign_names_are_shown_as_code(airflow):
    """A name can't end the code it is shown as, nor the table's cell, nor the line, nor fill the page."""
    from recant_airflow.plan_text import code

    assert code("a`b|c\n# d\u202e") == "`a'b¦c # d`"
    assert code("x" * 50 + "/the/end.md").endswith("the/end.md`")
    assert len(code("y" * 500)) == 82
    assert code(None) == code("") == "–"


def test_blank_lines_of_a_form_never_widen_a_selector(airflow):
    """Blank values are left out where others stand beside them; alone they stay a condition."""
    from recant_airflow.operators.rollback import without_blanks

    assert without_blanks({"runs": ["one", ""], "agents": [""], "kinds": None, "since": "now"}) == {
        "runs": ["one"],
        "agents": [""],
        "kinds": None,
        "since": "now",
    }


def test_a_long_plan_is_cut_with_the_number_of_what_is_not_shown(airflow):
    """The first fifty operations are listed, and the rest is counted."""
    from recant_airflow.plan_text import operations_table

    one = {"position": 1, "relation": "selected", "certainty": "definite", "kind": "ingest", "agent": "a"}
    rest = {"session": None, "collection": "c", "visible": True, "via": None, "narrowed_to": ()}
    table = operations_table([{"operation_id": number, **one, **rest} for number in range(60)])
    assert table.endswith("\n\nand 10 more")
    assert len(table.splitlines()) == 54


def test_possible_dependents_are_told_apart(airflow):
    """In a table of their own, with what their session had searched for as code; none where there are none."""
    from recant_airflow.plan_text import operations_table, possible_table

    one = {"kind": "ingest", "agent": "a", "session": "s", "collection": "c", "visible": True, "narrowed_to": ()}
    known = one | {"operation_id": 1, "relation": "selected", "certainty": "definite", "via": None, "evidence": ()}
    search = {"query": "# who|said`so", "searched_at": "2026-11-20T19:22:01+00:00", "source": "/docs/a.md"}
    doubtful = {"operation_id": 2, "relation": "read", "certainty": "possible", "via": 1, "evidence": (search,)}
    after = {"operation_id": 3, "relation": "cited", "certainty": "possible", "via": 2, "evidence": ()}
    operations = [known, one | doubtful, one | after]
    assert "read" not in operations_table(operations)
    text = possible_table(operations)
    assert "They stay:" in text
    assert "`# who¦said'so`" in text
    assert "cited from 2" in text
    assert "They count" in possible_table(operations, counted=True)
    assert possible_table([known]) == ""
