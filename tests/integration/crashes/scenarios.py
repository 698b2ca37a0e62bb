"""What is interrupted: one change each, with the history before it and what a worker does who comes back to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from recant.errors import OperationClosed
from recant.oplog import Attribution, Selector
from recant.sessions import Sessions
from recant.settings import read_settings
from recant.storage import Storage
from tests.integration.library import Library

Facts = dict[str, Any]
BY = Attribution("crasher", message="as told")


@dataclass(frozen=True)
class Scenario:
    """`act` is interrupted, once everywhere; done again afterwards, whole or not, it must lead to the same end."""

    prepare: Callable[[Library], Facts]
    act: Callable[[Library, Facts], object]


def history(library: Library) -> Facts:
    """Three published operations, the third built on the second; the first's documents are written over by both."""
    first = library.publish({"a": "a one", "b": "b one", "c": "c one"}, agent="first")
    second = library.publish({"a": "a two", "d": "d two"}, agent="second")
    third = library.open("third")
    library.affirm(third, "d")
    library.write(third, {"b": "b three", "c": None})
    library.log.publish(third)
    return {"first": first, "second": second, "third": third}


def written(library: Library) -> Facts:
    """Something of everything, in an open operation that only waits to be published."""
    facts = history(library)
    facts["open"] = library.open("writer")
    library.write(facts["open"], {"a": "a new", "b": None, "e": "e new"})
    return facts


def two_of_a_session(library: Library) -> Facts:
    """Two open operations of one session, the second over the first."""
    facts = history(library)
    Sessions(library.database).open("s", agent="writer", explore=True)
    for name, documents in (("earlier", {"a": "a s", "e": "e s"}), ("later", {"a": "a t", "d": None})):
        facts[name] = library.open("writer", session="s")
        library.write(facts[name], documents)
    return facts


def rolled_back(library: Library) -> Facts:
    """The second operation and what was built on it are withdrawn."""
    facts = history(library)
    plan = library.rollback.plan(Selector(operations=(facts["second"],)), policy="cascade", agent="x")
    return facts | {"control": library.rollback.run(plan, BY).rollback_operation_id or 0}


def rolled_back_by_document(library: Library) -> Facts:
    """One document is withdrawn of every operation."""
    facts = history(library)
    plan = library.rollback.plan(Selector(sources=("d",)), policy="cascade", agent="x")
    return facts | {"control": library.rollback.run(plan, BY).rollback_operation_id or 0}


def planned(library: Library) -> Facts:
    """A plan that waits for somebody's approval."""
    facts = history(library)
    plan = library.rollback.plan(Selector(operations=(facts["second"],)), policy="cascade", agent="x")
    return facts | {"plan": plan.plan_id}


def in_quarantine(library: Library) -> Facts:
    """The second operation is held back."""
    facts = history(library)
    library.rollback.quarantine(Selector(operations=(facts["second"],)), BY)
    return facts


def write(library: Library, facts: Facts) -> None:
    """A task with its retries: the same key, so the same operation, and a batch that is begun anew."""
    with suppress(OperationClosed):
        operation_id = library.open("writer", open_key="run 1")
        library.write(operation_id, {"a": "a new", "b": None, "e": "e new"}, key="batch")
        library.log.publish(operation_id)


def publish(library: Library, facts: Facts) -> None:
    """A publish whose answer may have been lost: the second finds it closed."""
    with suppress(OperationClosed):
        library.log.publish(facts["open"])


def merge(library: Library, facts: Facts) -> None:
    """All of a session at once; merging again finds nothing open."""
    Sessions(library.database).merge("s")


def discard(library: Library, facts: Facts) -> None:
    """None of it."""
    Sessions(library.database).discard("s")


def abort(library: Library, facts: Facts) -> None:
    """Aborting twice is no error."""
    library.log.abort(facts["open"], "changed our mind")


def rollback(library: Library, facts: Facts) -> None:
    """Plan, apply and verify, dependents and all; what is withdrawn already stays withdrawn."""
    plan = library.rollback.plan(Selector(operations=(facts["second"],)), policy="cascade", agent="x")
    library.rollback.run(plan, BY)


def approve_and_continue(library: Library, facts: Facts) -> None:
    """A plan from its approval to its certificate, each a step of its own."""
    library.rollback.approve(facts["plan"], "warden")
    library.rollback.resume(facts["plan"], BY)


def call_off(library: Library, facts: Facts) -> None:
    """A plan is closed for good."""
    library.rollback.plans.abort(facts["plan"], "warden", "not needed")


def rollback_of_documents(library: Library, facts: Facts) -> None:
    """One document goes, of every operation; what else they wrote stays."""
    plan = library.rollback.plan(Selector(sources=("d",)), policy="cascade", agent="x")
    library.rollback.run(plan, BY)


def rollback_that_blocks(library: Library, facts: Facts) -> None:
    """What is taken back isn't wanted again: both, or neither."""
    plan = library.rollback.plan(Selector(operations=(facts["second"],)), policy="cascade", block=True, agent="x")
    library.rollback.run(plan, BY)


def redo(library: Library, facts: Facts) -> None:
    """What the rollback hid is seen again."""
    library.rollback.redo(facts["control"], BY)


def quarantine(library: Library, facts: Facts) -> None:
    """Hidden at once, dependents left."""
    library.rollback.quarantine(Selector(operations=(facts["second"],)), BY)


def release(library: Library, facts: Facts) -> None:
    """Shown again."""
    library.rollback.release(Selector(operations=(facts["second"],)), BY, "force")


def storage_of(library: Library) -> Storage:
    return Storage(library.database, read_settings({"RECANT_COLLECTION": library.name}))


def erase(library: Library, facts: Facts) -> None:
    """A document that is seen, superseded, and written in an open operation."""
    storage_of(library).erase("a", BY)


def reclaim(library: Library, facts: Facts) -> None:
    """All that isn't seen now; what was marked and not freed is freed by the next one."""
    storage_of(library).reclaim(BY, horizon=library.log.position())


def tag(library: Library, facts: Facts) -> None:
    """A name for the first position."""
    storage_of(library).tag("first", at=1)


def restore(library: Library, facts: Facts) -> None:
    """As at the first position."""
    library.rollback.restore(library.name, 1, BY)


SCENARIOS = {
    "write": Scenario(history, write),
    "publish": Scenario(written, publish),
    "merge": Scenario(two_of_a_session, merge),
    "discard": Scenario(two_of_a_session, discard),
    "abort": Scenario(written, abort),
    "rollback": Scenario(history, rollback),
    "approve and continue": Scenario(planned, approve_and_continue),
    "abort of a plan": Scenario(planned, call_off),
    "rollback of documents": Scenario(history, rollback_of_documents),
    "rollback that blocks": Scenario(history, rollback_that_blocks),
    "redo": Scenario(rolled_back, redo),
    "redo of documents": Scenario(rolled_back_by_document, redo),
    "quarantine": Scenario(history, quarantine),
    "release": Scenario(in_quarantine, release),
    "restore": Scenario(history, restore),
    "erase": Scenario(written, erase),
    "reclaim": Scenario(rolled_back, reclaim),
    "tag": Scenario(history, tag),
}


def torn_rollback(library: Library, facts: Facts) -> None:
    """What no rollback may be: the flag in one transaction, its history in another."""
    with psycopg.connect(library.database.dsn, autocommit=True) as connection:
        connection.execute("UPDATE recant.operation SET visible = false WHERE id = %s", [facts["second"]])
        connection.execute("INSERT INTO recant.visibility_history VALUES (%s, 4, false)", [facts["second"]])


def hasty_publish(library: Library, facts: Facts) -> None:
    """What no publish may be: its answer comes before it is on the disk."""
    with psycopg.connect(library.database.dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET search_path = recant")
        connection.execute(
            "SELECT publish_operations(ARRAY[id]) FROM operation WHERE id = %s AND life = 'open'", [facts["open"]]
        )
        connection.execute("SELECT 'and on with something else'")


FLAWED = {"torn rollback": Scenario(history, torn_rollback), "hasty publish": Scenario(written, hasty_publish)}
"""What the harness has to find."""
