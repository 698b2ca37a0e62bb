"""What is packed for COPY arrives as it was."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recant.store import Database, array_text, numbers_text, vector_rows

texts = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(values=st.lists(texts, max_size=5))
def test_arrays_arrive_as_they_were(database: str, values: list[str]):
    """Quotes, backslashes, braces, commas, NULL as a word, empty strings."""
    with Database(database) as db, db.transaction() as connection:
        connection.execute("CREATE TEMP TABLE t (v text[]) ON COMMIT DROP")
        with connection.cursor().copy("COPY t (v) FROM STDIN") as copy:
            copy.write_row((array_text(values),))
        assert connection.execute("SELECT v FROM t").fetchone() == {"v": values}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(ids=st.lists(st.integers(-(2**63), 2**63 - 1)), flags=st.lists(st.booleans()))
def test_numbers_and_truth_values_arrive_as_they_were(database: str, ids: list[int], flags: list[bool]):
    """As parameters of type bigint[] and boolean[], none of them included."""
    with Database(database) as db, db.transaction() as connection:
        parameters = [numbers_text(ids), numbers_text(flags)]
        row = connection.execute("SELECT %s::bigint[] AS ids, %s::boolean[] AS flags", parameters).fetchone()
    assert row == {"ids": ids, "flags": flags}


def test_vectors_arrive_as_they_were(database: str):
    """Space, hash and every half-precision component."""
    vectors = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32)
    hashes = [bytes([n]) * 32 for n in range(50)]
    with Database(database) as db, db.transaction() as connection:
        connection.execute("CREATE TEMP TABLE t (space integer, hash bytea, vector halfvec) ON COMMIT DROP")
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(vector_rows(3, hashes, vectors))
        rows = connection.execute("SELECT * FROM t ORDER BY hash").fetchall()
    assert [bytes(r["hash"]) for r in rows] == hashes
    assert {r["space"] for r in rows} == {3}
    found = np.array([r["vector"].to_numpy() for r in rows], dtype=np.float32)
    assert np.array_equal(found, vectors.astype(np.float16).astype(np.float32))
