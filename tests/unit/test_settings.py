"""The environment is read in one place, and what can't be is named."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from recant.settings import PROJECT_ROOT, read_settings


def test_an_empty_environment_is_enough():
    """Everything has a default."""
    settings = read_settings({})
    assert settings.home == PROJECT_ROOT / ".recant"
    assert (settings.dsn, settings.collection, settings.agent, settings.model) == (None, "knowledge", "anonymous", None)
    assert settings.init_scripts.joinpath("0001_roles.sql").is_file()


def test_what_is_set_is_taken(tmp_path: Path):
    """Paths are made absolute, megabytes are bytes, ports are numbers."""
    env = {
        "RECANT_HOME": str(tmp_path / "a place"),
        "RECANT_DSN": "postgresql://u:secret@h/d",
        "RECANT_AGENT": "librarian",
        "RECANT_MAX_DOCUMENT_MB": "2",
        "RECANT_PLAN_HOURS": "24",
        "RECANT_POSTGRES_PORT": "6000",
        "MARQUEZ_URL": "http://127.0.0.1:5000",
    }
    settings = read_settings(env)
    assert settings.home == tmp_path / "a place"
    assert (settings.max_document_bytes, settings.plan_hours) == (2 * 1024 * 1024, 24)
    assert (settings.postgres_port, settings.agent, settings.marquez_url) == (
        6000,
        "librarian",
        "http://127.0.0.1:5000",
    )


def test_the_login_name_writes_when_no_agent_is_named():
    """RECANT_AGENT comes first, then USER, then LOGNAME."""
    assert read_settings({"USER": "ada", "LOGNAME": "grace"}).agent == "ada"
    assert read_settings({"LOGNAME": "grace"}).agent == "grace"


@pytest.mark.parametrize(("name", "value"), [
    ("RECANT_AIRFLOW_PORT", "http"), ("RECANT_AIRFLOW_PORT", "70000"), ("RECANT_MAX_DOCUMENT_MB", "0"),
    ("RECANT_PLAN_HOURS", "0"), ("RECANT_PLAN_HOURS", "forever"),
    ("RECANT_MODEL_DTYPE", "int4"), ("RECANT_EMBEDDER", "cloud"),
    ("RECANT_AUTO_ROLLBACK", "on"),
    ("RECANT_QUALITY_RANKING", "sometimes"),
    ("RECANT_SEARCH_CACHE", "-1"),
    ("RECANT_REPLICA_WAIT_MS", "soon"),
    ("RECANT_ACCESS_COUNTS", "few"),
])  # fmt: skip
def test_a_bad_value_is_named(name: str, value: str):
    """The error names the variable."""
    with pytest.raises(ValueError, match=name):
        read_settings({name: value})


def test_a_password_is_not_shown():
    """Neither in repr nor in str."""
    assert "secret" not in repr(
        read_settings({"RECANT_DSN": "postgresql://u:secret@h/d", "RECANT_ADMIN_DSN": "postgresql://a:secret@h/d"})
    )


def test_nobody_else_reads_the_environment():
    """`os.environ` and `os.getenv` are read in settings.py alone; to start a process with it is another matter."""
    found = []
    for path in (PROJECT_ROOT / "include").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("getenv",):
                found.append(path.name)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
                found.append(path.name)
    assert set(found) <= {"settings.py"}
