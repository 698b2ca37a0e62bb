"""A database of an earlier release, with knowledge in it, is brought up to date without losing or changing any of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from recant.oplog import Attribution, Selector
from recant.rollback import verify_log
from recant.search import KeywordIndex, Searcher, SearchResult
from recant.settings import read_settings
from recant.store import Database
from recant.store.migration import connect_once, migrate
from tests.integration.library import Library

FIRST_RELEASE = 6
HISTORY = """
DO $$
#variable_conflict use_column
DECLARE
  home integer := (SELECT collection_id FROM recant.ensure_collection('library', 'tiny', 'tiny-digest', 4, true));
  origin bigint;
  vector bigint;
  operation bigint;
  batch bigint;
  record bigint;
  version bigint;
BEGIN
  INSERT INTO recant.record (collection_id, kind, key) VALUES (home, 'watermark', 'test') RETURNING id INTO origin;
  INSERT INTO recant.record (collection_id, kind, key) VALUES (home, 'document', 'a') RETURNING id INTO record;
  INSERT INTO recant.embedding (space_id, text_hash, vector)
  SELECT space_id, sha256('x'), '[1,0,0,0]'::public.halfvec FROM recant.collection WHERE id = home RETURNING id INTO vector;
  FOR number IN 1..3 LOOP
    operation := recant.open_operation(
      'ingest', 'agent ' || number, NULL, NULL, gen_random_uuid(), 'library', '', '{}', '{}', '[]', false, 900, NULL);
    batch := recant.begin_batch(operation, 'only', 900);
    INSERT INTO recant.version (record_id, operation_id, batch_id, over_operation_id, content_hash)
    VALUES (record, operation, batch, nullif(operation - 1, 0), sha256(convert_to('text ' || number, 'UTF8')))
    RETURNING version_id INTO version;
    INSERT INTO recant.document_version (version_id, origin_record_id, title, format, source_hash, fingerprint, chunk_count, token_count)
    VALUES (version, origin, 'a', 'text', sha256('x'), sha256('x'), 1, 2);
    INSERT INTO recant.chunk (version_id, embedding_id, index, token_count, chunk_type, text)
    VALUES (version, vector, 0, 2, 'text', 'text ' || number);
    PERFORM recant.finish_batch(batch, '{"documents": 1}');
    PERFORM recant.publish_operations(ARRAY[operation]);
  END LOOP;
  PERFORM recant.apply_verdicts(
    'rollback', 'warden', NULL, NULL, gen_random_uuid(), '', '{"withdraw": [3]}', '{}', '[]', '{}', ARRAY[3::bigint], ARRAY[false]);
END $$
"""


def words(database: Database, query: str) -> SearchResult:
    """A keyword search."""
    return Searcher(database, lambda text: np.zeros(4)).search(query, collection="library", mode="keyword")


@pytest.fixture
def first_release(tmp_path: Path) -> Path:
    """The SQL files that the first release had."""
    folder = tmp_path / "init-scripts"
    folder.mkdir()
    for path in sorted(read_settings({}).init_scripts.glob("[0-9]*.sql"))[:FIRST_RELEASE]:
        shutil.copy(path, folder)
    return folder


def test_an_earlier_release_is_brought_up_to_date(empty_database: str, first_release: Path) -> None:
    """Its log verifies, hash chain included; what was seen is seen; its rollback is redone, and narrower ones work on it."""
    migrate(empty_database, first_release)
    with connect_once(empty_database, autocommit=True) as connection:
        connection.execute(HISTORY)
    added = migrate(empty_database, read_settings({}).init_scripts)
    assert added[0].startswith("0007_")
    database = Database(empty_database)
    try:
        library = Library(database)
        assert verify_log(database).ok
        assert [hit.text for hit in words(database, "text").hits] == ["text 2"]
        assert [report.indexed for report in KeywordIndex(database).tend("library")] == [3]
        assert [hit.text for hit in words(database, "text").hits] == ["text 2"]
        assert library.view() == {"a": "text 2"}
        library.rollback.redo(4, Attribution("warden"))
        assert library.view() == {"a": "text 3"}
        plan = library.rollback.plan(Selector(sources=("a",), agents=("agent 3",)), agent="warden")
        assert library.rollback.run(plan, Attribution("warden")).certificate.verified
        library.publish({"a": "text 4", "b": "new"})
        assert library.view() == {"a": "text 4", "b": "new"}
        assert {hit.text for hit in words(database, "text new").hits} == {"new", "text 4"}
        assert verify_log(database).ok
    finally:
        database.close()
