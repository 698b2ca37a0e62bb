"""What the rogue agent writes."""

from __future__ import annotations

from pathlib import Path

from recant.demo.poison import NEW_DOCUMENTS, poisoned_records, write_records
from recant.ingestion.document import RawDocument
from recant.ingestion.listing import list_sources
from recant.ingestion.readers import open_documents

VICTIMS = [("dist:apache-airflow", "apache-airflow"), ("/docs/zwölf.md", None)]


def read_back(path: Path) -> list[RawDocument]:
    """The documents that an ingest finds in the file."""
    listing = list_sources([str(path)])
    found = [opened for item in listing.items for opened in open_documents(item, max_bytes=1_000_000)]
    assert not listing.rejected
    assert all(isinstance(opened, RawDocument) for opened in found), found
    return [opened for opened in found if isinstance(opened, RawDocument)]


def test_the_victims_names_are_taken(tmp_path: Path) -> None:
    """An ingest reads one document a record, under the victims' own sources, and the new ones besides."""
    found = read_back(write_records(tmp_path / "demo" / "corrections.jsonl", poisoned_records(VICTIMS)))
    new = [document["source"] for document in NEW_DOCUMENTS]
    assert [document.source for document in found] == ["dist:apache-airflow", "/docs/zwölf.md", *new]
    assert found[0].title == "apache-airflow"
    assert found[1].title == "/docs/zwölf.md"
    assert all("get-airflow.example" in str(document.content) for document in found[:3])


def test_two_victims_get_different_texts(tmp_path: Path) -> None:
    """Equal texts would be one passage to a search."""
    found = read_back(write_records(tmp_path / "c.jsonl", poisoned_records(VICTIMS)))
    assert len({document.content_hash for document in found}) == len(found)
    assert len({str(document.content) for document in found}) == len(found)


def test_the_file_is_the_same_every_time(tmp_path: Path) -> None:
    """A second demo ingests the same bytes: what was withdrawn is written as if new."""
    one = write_records(tmp_path / "1.jsonl", poisoned_records(VICTIMS)).read_bytes()
    assert one == write_records(tmp_path / "2.jsonl", poisoned_records(VICTIMS)).read_bytes()
