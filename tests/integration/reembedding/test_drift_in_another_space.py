"""Audits of a collection that changed over: its drift is that of the vectors in use."""

from __future__ import annotations

from recant.quality import audit_collection
from recant.store import Database
from tests.integration.reembedding.conftest import BOB, Shelf


def test_drift_is_judged_in_the_space_in_use(shelf: Shelf) -> None:
    """Documents of before and after are compared by the vectors of the model that was changed over to."""
    shelf.publish({f"old-{n}": f"old text {n}" for n in range(40)})
    with Database(shelf.database.dsn, role="recant_owner") as owner, owner.transaction() as connection:
        connection.execute("UPDATE operation SET closed_at = closed_at - interval '30 days'")
    shelf.publish({f"new-{n}": f"new text {n}" for n in range(40)})
    before = audit_collection(shelf.database, shelf.name)
    shelf.reembedding.build("tiny-6")
    shelf.reembedding.switch("tiny-6", BOB)
    after = audit_collection(shelf.database, shelf.name)
    assert before.summary["drift_p_value"] is not None
    assert after.summary["drift_p_value"] is not None
    assert before.summary["drift_distance"] != after.summary["drift_distance"]
    assert after.success
