"""OpenLineage names of collections, sources and jobs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.lineage import collection_dataset, job_name, source_dataset
from recant.lineage.naming import is_collection, logical_name
from recant.settings import read_settings

SETTINGS = read_settings({})


def test_a_collection_is_named_like_a_table_of_the_logical_host() -> None:
    """A collection's dataset doesn't change with the server's address, its port or its password."""
    moved = read_settings({"RECANT_DSN": "postgresql://me:secret@elsewhere:6543/other"})
    assert collection_dataset(SETTINGS, "docs") == ("postgres://recant", "recant.recant.docs")
    assert collection_dataset(moved, "docs") == collection_dataset(SETTINGS, "docs")


def test_the_logical_host_is_configured() -> None:
    """Another lineage namespace gives other datasets, cleaned of what Marquez can't take in a name."""
    settings = read_settings({"RECANT_LINEAGE_NAMESPACE": "team a: prod#1"})
    assert collection_dataset(settings, "docs") == ("postgres://team_a_prod_1", "recant.recant.docs")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("/srv/docs", ("file", "/srv/docs")),
        ("/srv/my docs/**/*.md", ("file", "/srv/my docs/**/*.md")),
        ("/srv/http:/odd.md", ("file", "/srv/http:/odd.md")),
        ("dist:*", ("python-distributions", "*")),
        ("dist:numpy", ("python-distributions", "numpy")),
        ("https://Example.org/a/b.html", ("https://example.org", "/a/b.html")),
        ("HTTP://example.org:8080", ("http://example.org:8080", "/")),
        ("https://me:pass@example.org/a?token=secret#top", ("https://example.org", "/a")),
        ("https://", ("file", "https://")),
    ],
)
def test_a_source_is_named_after_where_it_is(origin: str, expected: tuple[str, str]) -> None:
    """Files, addresses and distributions have a namespace each, and no name holds a password or a query."""
    assert source_dataset(SETTINGS, origin) == expected


def test_only_collections_are_collections() -> None:
    """A dataset is recognised as a collection by its name, never a file that looks like one."""
    assert is_collection(*collection_dataset(SETTINGS, "a.b-c_d"))
    assert not is_collection(*source_dataset(SETTINGS, "/recant.recant.docs"))
    assert not is_collection("file", "recant.recant.docs")


def test_a_job_is_named_after_what_is_done_and_to_what() -> None:
    """Kind, then collection; a rollback, which may touch several, is named after its kind alone."""
    assert job_name("ingest", "docs") == "ingest.docs"
    assert job_name("rollback") == "rollback"


def test_a_job_with_a_parent_is_named_as_marquez_would_rename_it() -> None:
    """The parent's name comes first, untouched, so that every destination knows the job by one name."""
    assert job_name("ingest", "docs", "ingest_demo.write") == "ingest_demo.write.ingest.docs"


@given(st.text())
def test_any_text_becomes_a_name_that_marquez_takes(text: str) -> None:
    """No space, colon or `#`, no digit in front, never empty; cleaning twice changes nothing."""
    name = logical_name(text)
    assert re.fullmatch(r"[A-Za-z_.-][A-Za-z0-9_.-]*", name)
    assert logical_name(name) == name
