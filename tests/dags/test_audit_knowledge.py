"""audit_knowledge: says what fails of what is published, and hides it where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recant.store import Database
from tests.integration.library import Library

pytestmark = pytest.mark.airflow
STRICT = """
name: strict
expectations:
  - name: says_enough
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: visible_characters, min_value: 20 }
"""


@pytest.fixture
def library(installation: str, tmp_path: Path) -> Iterator[Library]:
    """A document that says enough, and one that doesn't."""
    (tmp_path / "strict.yml").write_text(STRICT)
    with Database(installation) as db:
        library = Library(db)
        library.publish({"a": "A sentence that says something.", "b": "Never."}, agent="rogue")
        yield library


def test_what_fails_is_named_and_then_hidden(run_dag, library: Library, tmp_path: Path):
    """Without quarantine the run fails at the first attempt and changes nothing; with it the document is gone, and it ends well."""
    given = {"collection": "library", "suite": str(tmp_path / "strict.yml")}
    run = run_dag("audit_knowledge", given)
    assert (run.state, run.tries["audit", -1]) == ("failed", 1)
    summary = run.xcom("audit")
    assert [(f["operation_id"], f["source"], f["expectations"]) for f in summary["failing"]] == [
        (1, "b", ["says_enough"])
    ]
    assert (summary["success"], summary["quarantines"], len(library.view())) == (False, [], 2)
    hidden = run_dag("audit_knowledge", given | {"quarantine": True, "agent": "nora"})
    assert hidden.state == "success"
    (quarantine,) = hidden.xcom("audit")["quarantines"]
    operation = library.log.get(quarantine)
    assert (operation.kind, operation.agent, operation.run_id) == ("quarantine", "nora", hidden.run_id)
    assert library.view().keys() == {"a"}
    assert run_dag("audit_knowledge", given).xcom("audit")["success"] is True
