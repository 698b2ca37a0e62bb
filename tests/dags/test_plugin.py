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


def test_blank_lines_of_a_form_never_widen_a_selector(airflow):
    """Blank values are left out where others stand beside them; alone they stay a condition."""
    from recant_airflow.operators.rollback import without_blanks

    assert without_blanks({"runs": ["one", ""], "agents": [""], "kinds": None, "since": "now"}) == {
        "runs": ["one"],
        "agents": [""],
        "kinds": None,
        "since": "now",
    }
