"""Parameters of the trigger forms, with the schema that refuses a bad value before anything runs."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

COLLECTION = "^[a-z0-9][a-z0-9_.-]{0,62}$"
WORDS = "token|sig|signature|key|secret|password|passwd|sas|credential"
WORDS = rf"({WORDS}|{WORDS.title()}|{WORDS.upper()})"
CREDENTIAL = (
    rf"[?&;](([^=&;]*[^A-Za-z=&;])?{WORDS}|[^=&;]*[a-z](Token|Key|Signature|Secret|Password)|[Xx]-[Aa]mz-[^=&;]*)="
)
SOURCE = rf"^((/|~/|dist:.|https?://(?![^/?#]*@)(?!.*{CREDENTIAL}).).*)?$"
"""Relative paths would depend on where a worker was started, and a login or a token in an address would be copied into events.
What slips through here is refused by the first task.

Empty ones are what the form makes of blank lines: passed over, as long as there is another.
"""

CITATION = r"^(\d{1,19}|(/|~/|dist:.|https?://(?![^/?#]*@).).*)?$"
"""A chunk's id, or a source."""

PLAN = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

FILLED = {"contains": {"minLength": 1}}

MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$"
"""The format alone is checked only where a package for it happens to be installed."""


def sources_param(default: list[str] | None = None) -> Param:
    """What to ingest; required where there is no default."""
    return Param(
        **({} if default is None else {"default": default}),
        type="array",
        items={"type": "string", "pattern": SOURCE, "maxLength": 2000},
        **FILLED,
        title="Sources",
        description="One a line: absolute path of a file or folder on the worker, a glob (/data/docs/**/*.md), an "
        "http(s) address without login or token, dist:NAME for an installed Python distribution, dist:* for all of them.",
    )


def collection_param() -> Param:
    """Where to; made by its first ingest."""
    return Param(
        None,
        type=["null", "string"],
        pattern=COLLECTION,
        title="Collection",
        description="Where to. It comes into being with its first ingest. Empty: the installation's default.",
    )


def agent_param(default: str) -> Param:
    """Who writes."""
    return Param(
        default,
        type="string",
        minLength=1,
        maxLength=200,
        title="Agent",
        description="Who writes. What an agent wrote can be taken back by this name.",
    )


def optional_text(title: str, description: str, **schema: Any) -> Param:
    """A text that may be left out."""
    return Param(None, type=["null", "string"], title=title, description=description, **schema)


def session_param() -> Param:
    """The agent's session."""
    return optional_text("Session", "The agent's session, if the work belongs to one.", minLength=1, maxLength=200)


def approval_hours_param() -> Param:
    """How long a person is waited for."""
    return Param(
        24.0,
        type="number",
        exclusiveMinimum=0,
        maximum=24 * 30,
        title="Hours to wait for approval",
        description="Not answered in time counts as rejected.",
    )


def message_param(what: str) -> Param:
    """Why."""
    return optional_text("Message", f"Why: kept with the {what}, shown in the log.", maxLength=2000)


def policy_param() -> Param:
    """What the gate does with a bad document."""
    return Param(
        "strict",
        type="string",
        enum=["strict", "quarantine"],
        values_display={
            "strict": "strict: one bad document and nothing is published",
            "quarantine": "quarantine: bad documents are left out, the rest is published",
        },
        title="Policy",
        description="What the quality gate does with a document that fails a critical expectation.",
    )


def based_on_param() -> Param:
    """What the documents were made from."""
    return Param(
        None,
        type=["null", "array"],
        items={"type": "string", "pattern": CITATION, "maxLength": 2000},
        title="Based on",
        description="What the documents were made from, one a line: the id of a chunk that a search found, or the source "
        "of a document in the collection. If that is to be taken back, this operation depends on it.",
    )


def documents_per_batch_param() -> Param:
    """Size of a mapped task's share."""
    return Param(
        200,
        type="integer",
        minimum=1,
        maximum=100_000,
        title="Documents per batch",
        description="Each batch is a task of its own, tried again by itself.",
    )


def condition(title: str, description: str, items: str = "string") -> Param:
    """Values of one condition of a selector; none: the condition is not asked for. Blank lines alone are refused."""
    element: dict[str, Any] = {"type": items} | ({"minimum": 1} if items == "integer" else {})
    some = {"anyOf": [{"maxItems": 0}, FILLED]}
    return Param(None, type=["null", "array"], items=element, **some, title=title, description=description)


def moment(title: str, description: str) -> Param:
    """A time, or none; without a zone it is UTC."""
    form: dict[str, Any] = {"type": ["null", "string"], "format": "date-time", "pattern": MOMENT}
    return Param(None, **form, title=title, description=description)


def position(title: str, description: str) -> Param:
    """A position of the log, or none."""
    return Param(None, type=["null", "integer"], minimum=1, title=title, description=description)


def ingestion_params(*, agent: str, sources: list[str] | None = None) -> dict[str, Param]:
    """The form of every DAG that ingests, by the names that `ingestion_flow` takes."""
    return {
        "sources": sources_param(sources),
        "collection": collection_param(),
        "agent": agent_param(agent),
        "session": session_param(),
        "message": message_param("operation"),
        "policy": policy_param(),
        "suite": optional_text(
            "Suite",
            "File of the quality gate's suite of expectations: absolute path on the worker. Empty: the default one.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "based_on": based_on_param(),
        "documents_per_batch": documents_per_batch_param(),
    }
