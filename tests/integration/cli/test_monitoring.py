"""`metrics`, and what `status` says of how the knowledge base is doing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.cli.command_line import Run
from tests.integration.library import Library

QUIET = "alerts:\n  disk_nearly_full: {enabled: false}\n  connections_nearly_all: {enabled: false}\n"


def test_metrics_are_printed(recant: Run, library: Library) -> None:
    """As Prometheus reads them, or as one JSON document."""
    library.publish({"a": "one"})
    families = {f.name for f in text_string_to_metric_families(recant("metrics", "show").out)}
    assert "recant_published_operations" in families
    assert recant("metrics", "show", "--window", "5", "--json").document["metrics"]["recant_log_position"] == 1


def test_a_check_ends_with_one_while_an_alert_fires(recant: Run, library: Library, tmp_path: Path) -> None:
    """And the alert is listed until it is over, then with --all; the history tells the values."""
    rules = tmp_path / "rules.yml"
    rules.write_text(QUIET + "  empty: {metric: recant_log_position, below: 1, summary: nothing is here}\n")
    first = recant("metrics", "check", "--rules", rules)
    assert (first.code, "nothing is here" in first.out) == (1, True)
    assert [a["state"] for a in recant("metrics", "alerts", "--json").document["alerts"]] == ["firing"]
    status = recant("status", "--json").document
    assert [a["rule"] for a in status["health"]["alerts"]] == ["empty"]
    assert "nothing is here" in recant("status").out
    library.publish({"a": "one"})
    second = recant("metrics", "check", "--rules", rules, "--json")
    assert (second.code, [a["rule"] for a in second.document["resolved"]]) == (0, ["empty"])
    assert "No alert. Last check: 2" in recant("metrics", "alerts").out
    assert "resolved" in recant("metrics", "alerts", "--all").out
    history = recant("metrics", "history", "recant_log_position", "--json").document
    assert [point["value"] for point in history["values"]] == [1, 0]
    assert "1.0000" in recant("metrics", "history", "recant_log_position").out
    assert "Nothing is kept" in recant("metrics", "history", "recant_nothing").out
    assert recant("metrics", "history", "recant_log_position", "--since", "soon").code == 2
    assert recant("metrics", "check", "--rules", tmp_path / "missing.yml").code == 3


def test_status_is_short(recant: Run, library: Library) -> None:
    """A table of what people ask about."""
    library.publish({"a": "one"})
    shown = recant("status").out
    for line in (
        "searches",
        "1 in the last hour, 0 given up",
        "lineage events",
        "undo reaches back",
        "database",
        "disk free",
    ):
        assert line in shown
    assert recant("metrics", "check", "--rules", "/dev/null").code == 3


def test_the_endpoint_serves(outside: None, database: str, tmp_path: Path) -> None:
    """A process of its own, with a token that only the owner can read; a signal ends it."""
    home = tmp_path / "home"
    environment = {**os.environ, "RECANT_DSN": database, "RECANT_HOME": str(home)}
    command = [sys.executable, "-c", "from recant.cli import main; main()", "metrics", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            token = Path(told["token_file"])
            assert token.stat().st_mode & 0o777 == 0o600
            request = urllib.request.Request(
                told["url"], headers={"Authorization": f"Bearer {token.read_text().strip()}"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                assert "recant_log_position 0" in answer.read().decode()
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert process.returncode == 143
