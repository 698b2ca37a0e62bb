"""backup_knowledge: a backup that can be restored, verified before old ones go."""

from __future__ import annotations

from pathlib import Path

import pytest

from recant.backups import Backups
from recant.settings import read_settings
from recant.store import Database
from tests.integration.library import Library

pytestmark = pytest.mark.airflow


def test_a_backup_is_made_verified_and_old_ones_go(run_dag, installation: str, empty_database: str, tmp_path: Path):
    """What the DAG made is restored into an empty database, and shows the same."""
    with Database(installation) as database:
        library = Library(database)
        library.publish({"a": "one"})
        place = tmp_path / "place"
        conf = {"place": str(place), "keep": 1}
        first = run_dag("backup_knowledge", conf)
        assert first.state == "success"
        library.publish({"a": "two"})
        second = run_dag("backup_knowledge", conf)
        made = second.xcom("create_backup")
        assert (made["position"], made["kind"], Path(made["folder"]).parent) == (2, "logical", place)
        assert second.xcom("verify_backup") == made["name"]
        assert second.xcom("prune_backups") == [first.xcom("create_backup")["name"]]
        seen = library.view()
    backups = Backups(read_settings({"RECANT_DSN": empty_database, "RECANT_HOME": str(tmp_path / "other")}))
    (left,) = backups.find(place=place)
    backups.restore(left)
    with Database(empty_database) as restored:
        assert Library(restored).view() == seen == {"a": "two"}


def test_a_physical_one_of_somebody_elses_server_fails_at_once(run_dag, installation: str, tmp_path: Path):
    """It can't be made, and nothing is deleted."""
    run = run_dag("backup_knowledge", {"kind": "physical", "place": str(tmp_path / "place")})
    assert (run.state, run.tries["create_backup", -1], run.state_of("prune_backups")) == (
        "failed",
        1,
        "upstream_failed",
    )
