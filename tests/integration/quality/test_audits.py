"""Audits by each collection's suite: verdicts row by row, the history, Data Docs."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import recant
from recant.errors import GateFailed, UsageError
from recant.quality import BadSuite
from recant.quality.near_duplicates import shingles, similarity
from recant.quality.texts import language_of, mojibake_share
from recant.settings import read_settings
from tests.integration.library import Library

ENGLISH = (
    "Descale the espresso machine every three months with citric acid, one spoon to a litre of water, and let it run "
)
GERMAN = (
    "Die Maschine wird alle drei Monate mit Zitronensäure entkalkt, ein Löffel auf einen Liter Wasser; danach läuft klares "
    "Wasser durch, bis nichts mehr zu riechen ist."
)
WORDS = (
    "water citric acid spoon litre machine month rinse smell clear run valve pump filter steam bean grind press".split()
)


class Desk:
    """A collection, its knowledge base, and its folder of suites."""

    def __init__(self, kb: recant.KnowledgeBase) -> None:
        self.kb = kb
        self.library = Library(kb.database)

    def suite(self, text: str, collection: str = "library") -> None:
        folder = self.kb.settings.home / "suites"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{collection}.yml").write_text(text)

    def run(self, **options):
        return self.kb.audits.run("library", **options)

    def age(self, days: int) -> None:
        """Lets everything that was published be so many days older."""
        with self.kb.database.connection() as connection:
            connection.execute("SET role recant_owner")
            connection.execute(
                f"UPDATE operation SET closed_at = closed_at - interval '{days} days', opened_at = opened_at - interval '{days} days'"
            )


@pytest.fixture
def desk(database: str, tmp_path: Path) -> Iterator[Desk]:
    settings = replace(read_settings({"RECANT_AGENT": "tester"}), home=tmp_path / "home", dsn=database)
    with recant.connect(settings=settings) as kb:
        yield Desk(kb)


def texts(seed: int) -> dict[str, str]:
    """Good and bad ones by name: repeated, nearly repeated, foreign, damaged, with control characters, of symbols, short."""
    rng = random.Random(seed)
    found = {f"prose-{n:02}": ENGLISH + " ".join(rng.choices(WORDS, k=40)) for n in range(40)}
    for n in range(6):
        words = rng.choice(list(found.values())).split()
        words[rng.randrange(len(words))] = f"changed{n}"
        found[f"variation-{n}"] = " ".join(words)
    found |= {f"again-{n}": rng.choice(list(found.values())) for n in range(4)}
    found |= {"german": GERMAN, "damaged": GERMAN.encode().decode("cp1252"), "symbols": "=" * 50 + "x", "short": "x"}
    found |= {"control": "bell\x07" * 9, "replaced": "caf\ufffd" * 5, "blank": " \t "}
    names = list(found)
    rng.shuffle(names)
    return {name: found[name] for name in names}


def judged(documents: dict[str, str]) -> dict[str, set[str]]:
    """What fails each built-in expectation about texts, worked out in plain Python, one text after the other."""
    fails: dict[str, set[str]] = {}
    seen: list[tuple[str, object]] = []
    for name, text in documents.items():
        visible = text.strip()
        symbols = len(re.findall(r"[!-/:-@\[-`{-~]", text))
        own = shingles(text)
        checks = {
            "text_not_blank": not visible,
            "tokens_within_model": not 1 <= len(text.split()) <= 256,
            "text_was_decoded": text.count("\ufffd") > 0.02 * len(text),
            "text_is_not_binary": text.count("\x07") > 0.02 * len(text),
            "text_is_not_only_symbols": bool(visible) and symbols > 0.8 * len(visible),
            "text_is_undamaged": mojibake_share(text) > 0.01,
            "text_in_a_known_language": (language_of(text, "text") or "en") != "en",
            "text_is_not_repeated": any(text == before for before, _ in seen),
            "text_is_not_nearly_repeated": all(text != before for before, _ in seen)
            and any(similarity(before, own) >= 0.8 for _, before in seen),
        }
        for check in (check for check, failed in checks.items() if failed):
            fails.setdefault(check, set()).add(name)
        seen.append((text, own))
    return fails


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_verdict_on_each_row_is_that_of_plain_python(desk: Desk, seed: int):
    """Every expectation fails exactly the rows that a loop over the texts fails, and names each by its chunk's id."""
    documents = texts(seed)
    desk.library.publish(documents)
    report = desk.run(pages=0)
    found = {name: {row.source for row in rows} for name, rows in report.failing_rows.items()}
    with desk.kb.database.snapshot() as connection:
        order = [row["key"] for row in connection.execute("SELECT key FROM record WHERE kind = 'document' ORDER BY id")]
    expected = judged({name: documents[name] for name in order})
    assert {name: rows for name, rows in found.items() if name in expected} == expected
    assert found.keys() <= expected.keys() | {"document_has_chunks"}
    assert report.languages == ("en",)
    with desk.kb.database.snapshot() as connection:
        rows = connection.execute(
            "SELECT c.id, r.key FROM chunk c JOIN version v USING (version_id) JOIN record r ON r.id = v.record_id"
        )
        chunks = {row["id"]: row["key"] for row in rows}
    assert all(chunks[row.chunk_id] == row.source for rows in report.failing_rows.values() for row in rows)
    counted = {str(e["name"]): e["unexpected"] for e in report.expectations if e["unexpected"]}
    assert counted == {name: len(rows) for name, rows in found.items()}
    failing = {d.source for o in report.operations for d in o.documents}
    assert failing == expected.get("text_not_blank", set()) | expected.get("tokens_within_model", set())


def test_a_collections_suite_decides_for_gate_and_audit(desk: Desk):
    """A file of the collection's name in the folder of suites: what it makes critical fails both, until the file goes."""
    desk.library.publish({"a": ENGLISH, "b": ENGLISH})
    assert desk.kb.audit("library").success
    desk.suite(
        "name: strict\nextends: recant_default\nexpectations:\n  - {name: text_is_not_repeated, severity: critical}\n"
    )
    report = desk.kb.audit("library")
    assert (report.suite, [d.source for o in report.operations for d in o.documents]) == ("strict", ["b"])
    with pytest.raises(GateFailed, match="text_is_not_repeated"):
        desk.kb.ingest(sources_of(desk, {"c.md": ENGLISH, "d.md": ENGLISH}), collection="library2", suite=None)
    desk.suite("name: broken\n")
    with pytest.raises(BadSuite, match=r"library\.yml.*lacks expectations"):
        desk.kb.audit("library")


def sources_of(desk: Desk, documents: dict[str, str]) -> list[str]:
    """A folder with these files, and the same suite for another collection."""
    (desk.kb.settings.home / "suites" / "library2.yml").write_text(
        (desk.kb.settings.home / "suites" / "library.yml").read_text()
    )
    folder = desk.kb.settings.home / "sources"
    folder.mkdir()
    for name, text in documents.items():
        (folder / name).write_text(text)
    return [str(folder)]


def test_drift_and_rejects_are_of_what_is_new(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """What was published within the last days is held against what was there: alike passes, unlike is told. So are rejects."""
    desk.library.publish({f"old-{n}": f"{n} old" for n in range(60)})
    assert desk.run(pages=0).summary["drift_p_value"] is None
    desk.age(days=30)
    desk.library.publish({f"new-{n}": f"{n} new" for n in range(60)})
    alike = desk.run(pages=0)
    assert (alike.summary["documents_before"], alike.summary["documents_new"]) == (60, 60)
    assert float(str(alike.summary["drift_p_value"])) > 0.01
    desk.age(days=30)
    monkeypatch.setattr(type(desk.library.model), "vector", lambda *_: np.array([1, 0, 0, 0], np.float32))
    operation = desk.library.open()
    desk.library.write(operation, {f"odd-{n}": f"{n} odd" for n in range(60)})
    batch = desk.library.log.begin_batch(operation, "rejected")
    desk.library.log.finish_batch(batch, {"rejected": 40})
    desk.library.log.publish(operation)
    unlike = desk.run(pages=0)
    assert unlike.summary["drift_p_value"] == 0.001
    assert (unlike.summary["reject_rate"], unlike.summary["reject_rate_before"]) == (0.4, 0.0)
    failed = {e["name"] for e in unlike.expectations if not e["success"]}
    assert failed >= {"embeddings_do_not_drift", "few_documents_are_rejected"}
    assert unlike.success


def test_the_gate_holds_an_operation_against_what_is_seen(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Its vectors against those of the collection, its language against the collection's."""
    from recant.quality import gate_operation

    rng = random.Random(5)
    desk.library.publish({f"old-{n}": ENGLISH + " ".join(rng.choices(WORDS, k=20)) for n in range(40)})
    monkeypatch.setattr(type(desk.library.model), "vector", lambda *_: np.array([1, 0, 0, 0], np.float32))
    operation = desk.library.open()
    desk.library.write(operation, {f"new-{n}": f"{GERMAN} {n}" for n in range(40)})
    report = gate_operation(desk.kb.database, operation)
    failed = {str(e["name"]): e["unexpected"] for e in report.expectations if not e["success"]}
    assert (failed["embeddings_do_not_drift"], failed["text_in_a_known_language"]) == (1, 40)
    assert report.success


def test_the_history_keeps_what_was_found(desk: Desk):
    """Newest first, with failing rows by id, who asked, and what hid them; older than so many days goes."""
    desk.library.publish({"a": ENGLISH, "b": " "})
    first = desk.run(agent="nora", run_id="run-1", pages=0)
    desk.kb.audits.note_quarantines(first, [7])
    desk.library.publish({"b": GERMAN})
    second = desk.run(pages=0)
    newest, oldest = desk.kb.audits.history("library")
    assert (newest.audit_id, oldest.audit_id) == (second.audit_id, first.audit_id)
    assert (oldest.success, newest.success, oldest.agent, oldest.run_id) == (False, True, "nora", "run-1")
    assert (oldest.quarantines, oldest.failing_rows["text_not_blank"][0]["source"]) == ([7], "b")
    assert (oldest.unexpected["text_not_blank"], newest.unexpected["text_not_blank"]) == (1, 0)
    assert oldest.suite_digest == newest.suite_digest
    assert desk.kb.audits.history("library", limit=1) == [newest] == desk.kb.audits.history(every=True, limit=1)
    assert desk.kb.audits.page(newest) is None
    desk.run(pages=0, keep_days=1e-9)
    assert len(desk.kb.audits.history("library")) == 1
    with pytest.raises(UsageError, match="no audit 99"):
        desk.kb.audits.get(99)
    with pytest.raises(UsageError, match="longer than nothing"):
        desk.run(keep_days=0)


def test_data_docs_are_self_contained_pages_that_name_rows(desk: Desk):
    """Great Expectations' pages: nothing of another host, no text, names of files as they are, the oldest retired."""
    desk.library.publish({"<script>alert(1)</script>.md": " ", "fine": f"secretword {ENGLISH}"})
    reports = [desk.run(pages=2) for _ in range(3)]
    site = desk.kb.audits.data_docs.site
    pages = [site / str(report.data_docs) for report in reports]
    assert [page.is_file() for page in pages] == [False, True, True]
    told = pages[2].read_text()
    chunk = reports[2].failing_rows["text_not_blank"][0].chunk_id
    assert f"chunk {chunk} (number 0) of &lt;script&gt;alert(1)&lt;/script&gt;.md" in told
    assert "<script>alert" not in told
    assert "CRITICAL · text_not_blank" in told
    for page in site.rglob("*.html"):
        loaded = re.findall(r'(?:src|<link[^>]*href|url\()\s*=?\s*["\'(]?\s*https?://', page.read_text())
        assert (page, loaded) == (page, [])
        assert "secretword" not in page.read_text()
    index = (site / "index.html").read_text()
    assert [f"audit-{report.audit_id}" in index for report in reports] == [False, True, True]
    entry = desk.kb.audits.get(reports[2].audit_id or 0)
    assert desk.kb.audits.page(entry) == pages[2]


def test_an_audit_of_nothing_is_kept_too(desk: Desk):
    """An empty collection: no document, no failure, a page that says so."""
    assert desk.library.collection.name == "library"
    report = desk.run()
    assert (report.success, report.documents, report.expectations) == (True, 0, [])
    assert (desk.kb.audits.data_docs.site / str(report.data_docs)).is_file()
    assert report.started_at <= datetime.now(UTC)
