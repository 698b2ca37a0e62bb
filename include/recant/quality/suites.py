"""A folder of suites, one a collection: what its ingests are gated by and its audits hold it against.

`NAME.yml` is the collection NAME's, `_default.yml` that of collections without one. Where neither is there it is the
built-in suite, which files extend or replace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recant.errors import UsageError
from recant.quality.findings import given_languages, least_similarity, recent_days
from recant.quality.frame import SUMMARY_COLUMNS, make_frame
from recant.quality.gate import Gate
from recant.quality.suite import DEFAULT_SUITE, BadSuite, Suite, load_suite
from recant.settings import Settings

FOLDER = "suites"
FOR_ALL_OTHERS = "_default"
ENDINGS = (".yml", ".yaml")


def suites_folder(settings: Settings) -> Path:
    """RECANT_SUITES, or `suites` in RECANT_HOME. It needn't be there."""
    return settings.suites or settings.home / FOLDER


def suite_of(settings: Settings, collection: str) -> Suite:
    """The collection's suite. Raises BadSuite for a file that is no suite, and for two files of one collection."""
    for name in (collection, FOR_ALL_OTHERS):
        found = [path for ending in ENDINGS if (path := suites_folder(settings) / f"{name}{ending}").is_file()]
        if len(found) > 1:
            raise BadSuite(f"{found[0]} and {found[1]} are both of {name}: one of them has to go.")
        if found:
            return load_suite(found[0])
    return DEFAULT_SUITE


def suite_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The collections that have a file, with it. Raises UsageError when RECANT_SUITES names no folder."""
    folder = suites_folder(settings)
    if settings.suites is not None and not folder.is_dir():
        raise UsageError(f"RECANT_SUITES is {folder}, which is no folder.")
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    yield from ((path.stem, path) for path in paths if path.suffix in ENDINGS and path.is_file())


def check_suite(suite: Suite) -> Suite:
    """The suite, held against a row that is as it should be: every expectation can be evaluated.

    What it says of the row doesn't matter. Raises BadSuite naming the expectation.
    """
    for parameter in (recent_days, least_similarity, given_languages):
        parameter(suite)
    gate = Gate(suite)
    gate.with_summary([gate.check(make_frame([SAMPLE_ROW]))], dict.fromkeys(SUMMARY_COLUMNS, 1.0))
    return suite


SAMPLE_ROW: dict[str, Any] = {
    "version_id": 1, "source": "/a.md", "title": "A title", "chunks_declared": 1, "chunks_stored": 1, "chunk_id": 1,
    "chunk_type": "text", "chunk_index": 0, "characters": 100, "visible_characters": 100, "token_count": 20,
    "replacement_share": 0.0, "control_share": 0.0, "symbol_share": 0.05, "text_hash": 1, "vector_norm": 1.0,
    "vector_dimensions": 384, "space_dimensions": 384, "vector_space": 1, "collection_space": 1, "mojibake_share": 0.0,
    "language": "en", "in_language": 1.0, "duplicate_of": None, "near_duplicate_of": None,
}  # fmt: skip
