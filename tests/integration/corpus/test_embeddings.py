"""Embeddings are addressed by content: stored once, whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from psycopg import errors

from recant.corpus import Embeddings
from recant.corpus.embeddings import LEAST_SHARED, text_hash
from recant.errors import DimensionMismatch, EmbeddingGone
from recant.store.database import connect_once
from tests.integration.library import Library


@pytest.fixture
def embeddings(library: Library) -> Embeddings:
    """Those of a space of four dimensions."""
    return Embeddings(library.database, library.collection.space_id, 4)


def vectors(library: Library, count: int, first: int = 0) -> dict[bytes, np.ndarray]:
    return {text_hash(f"text {n}"): library.model.vector(f"text {n}") for n in range(first, first + count)}


def test_what_is_stored_is_known_by_its_hash(library: Library, embeddings: Embeddings):
    """Adding gives ids, one a hash; adding again gives the same; others are unknown."""
    some = vectors(library, 3)
    ids = embeddings.add(some)
    assert embeddings.add(some) == ids == embeddings.known(list(some))
    assert len(set(ids.values())) == 3
    assert embeddings.known([text_hash("another")]) == {}
    assert embeddings.add({}) == {}


def test_many_are_copied_in_shares(library: Library, embeddings: Embeddings):
    """All of them are there, each with its own vector."""
    many = vectors(library, LEAST_SHARED + 7)
    ids = embeddings.add(many)
    assert ids.keys() == many.keys()
    with library.database.transaction() as connection:
        rows = connection.execute("SELECT id, vector FROM embedding").fetchall()
    stored = {row["id"]: row["vector"].to_numpy() for row in rows}
    assert all(np.allclose(stored[ids[key]], vector, atol=1e-3) for key, vector in many.items())


def test_workers_that_store_the_same_texts_do_not_disturb_each_other(library: Library, embeddings: Embeddings):
    """Overlapping batches at once: no error, no deadlock, and one embedding a text."""
    batches = [vectors(library, LEAST_SHARED + 100, first) for first in (0, 50, 100, 0)]
    with ThreadPoolExecutor(len(batches)) as pool:
        answers = list(pool.map(embeddings.add, batches))
    everything = {key: found for answer in answers for key, found in answer.items()}
    assert all(answer == {key: everything[key] for key in answer} for answer in answers)
    with library.database.transaction() as connection:
        assert connection.execute("SELECT count(*) AS n FROM embedding").fetchone() == {"n": len(everything)}


def test_embeddings_that_vanish_while_they_are_stored_are_missed(
    library: Library, embeddings: Embeddings, database: str
):
    """The caller is told to run it again, instead of being handed too few ids."""
    with connect_once(database) as superuser:
        superuser.execute(
            "CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
            "'BEGIN DELETE FROM recant.embedding; RETURN NULL; END'"
        )
        superuser.execute("CREATE TRIGGER vanish AFTER INSERT ON recant.embedding EXECUTE FUNCTION vanish()")
    with pytest.raises(EmbeddingGone, match="3 embeddings"):
        embeddings.add(vectors(library, 3))


def test_a_vector_of_another_length_is_refused(library: Library, embeddings: Embeddings):
    """Nothing of the batch is stored."""
    some = vectors(library, 2) | {text_hash("odd"): np.ones(3, dtype=np.float32)}
    with pytest.raises(DimensionMismatch, match="4 dimensions"):
        embeddings.add(some)
    assert embeddings.known(list(some)) == {}


@pytest.mark.parametrize(
    ("space", "vector", "refusal", "why"),
    [
        (0, "[1,0,0,0]", errors.ForeignKeyViolation, "no embedding space"),
        (None, "[1,0,0]", errors.DataException, "4 dimensions, not of 3"),
    ],
)
def test_the_database_itself_holds_vectors_against_their_space(
    embeddings: Embeddings, database: str, space: int | None, vector: str, refusal: type[Exception], why: str
):
    """A space that isn't there and a vector of another length are refused, whoever inserts them."""
    with connect_once(database) as superuser, pytest.raises(refusal, match=why):
        superuser.execute(
            "INSERT INTO recant.embedding (space_id, text_hash, vector) VALUES (%s, sha256('x'), %s)",
            [embeddings.space_id if space is None else space, vector],
        )
