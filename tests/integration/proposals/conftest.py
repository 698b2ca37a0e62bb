"""A small published library, its readers, and suites that are lenient or strict about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import recant
from recant.settings import read_settings
from tests.integration.library import Library

LENIENT = """
name: lenient
expectations:
  - name: says_something
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: visible_characters, min_value: 1 }
"""
STRICT = """
name: strict
expectations:
  - name: says_enough
    expectation: expect_column_values_to_be_between
    severity: critical
    arguments: { column: visible_characters, min_value: 20 }
  - name: few_symbols
    expectation: expect_column_values_to_be_between
    severity: warning
    arguments: { column: symbol_share, max_value: 0.01 }
"""
GOOD = "Descale the machine every three months."
BAD = "Never."


class Desk:
    """A collection with its knowledge base, as the agents and readers around it use it."""

    def __init__(self, kb: recant.KnowledgeBase, folder: Path) -> None:
        self.kb = kb
        self.library = Library(kb.database)
        self.lenient, self.strict = folder / "lenient.yml", folder / "strict.yml"
        self.lenient.write_text(LENIENT)
        self.strict.write_text(STRICT)

    def publish(self, documents: dict[str, str | None], agent: str = "rogue") -> int:
        return self.library.publish(documents, agent=agent)

    def chunk(self, source: str) -> int:
        """The chunk that a search would find of a document now."""
        with self.kb.database.transaction() as connection:
            row = connection.execute(
                """SELECT c.id FROM record r JOIN seen_version v ON v.record_id = r.id JOIN chunk c ON c.version_id = v.version_id
                   WHERE r.kind = 'document' AND r.key = %s ORDER BY v.version_id DESC LIMIT 1""",
                [source],
            ).fetchone()
        assert row
        return int(row["id"])

    def say(self, verdict: str, source: str, *agents: str) -> None:
        for agent in agents:
            self.kb.submit_feedback(self.chunk(source), verdict, agent=agent)

    def propose(self, suite: str = "lenient", **options):
        """Small bursts suffice here: three negative verdicts by two agents."""
        suite_file = self.strict if suite == "strict" else self.lenient
        few = {"least_negative": 3, "feedback_window": timedelta(hours=1)}
        return self.kb.propose_rollbacks("library", suite=suite_file, **{"agent": "auditor", **few, **options})

    def seen(self) -> dict[str, str]:
        return self.library.view()


@pytest.fixture
def desk(database: str, tmp_path: Path) -> Iterator[Desk]:
    settings = replace(read_settings({"RECANT_AGENT": "tester"}), home=tmp_path / "home", dsn=database)
    with recant.connect(settings=settings) as kb:
        yield Desk(kb, tmp_path)


@pytest.fixture
def cautious_desk(database: str, tmp_path: Path) -> Iterator[Desk]:
    """What is proposed there is hidden at once."""
    settings = replace(
        read_settings({"RECANT_AUTO_ROLLBACK": "quarantine"}), home=tmp_path / "home", dsn=database, agent="tester"
    )
    with recant.connect(settings=settings) as kb:
        yield Desk(kb, tmp_path)
