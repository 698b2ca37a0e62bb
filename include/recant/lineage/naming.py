"""OpenLineage names: steady from run to run, so that what Airflow's provider emits and what Recant emits meet.

One logical host stands for the database, whatever address it has today: moving it, or reaching it through another port,
does not make new datasets of the same collections. Names never hold credentials or the address of a machine.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from recant.settings import Settings

COLLECTION_PREFIX = "recant.recant."
"""Database and schema in a collection's dataset name."""
DISTRIBUTIONS_NAMESPACE = "python-distributions"
FILE_NAMESPACE = "file"
MARQUEZ_PATH = "/api/v1/lineage"
"""Where Marquez takes events, under its address."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def collection_dataset(settings: Settings, collection: str) -> tuple[str, str]:
    """Namespace and name of a collection: ("postgres://recant", "recant.recant.docs").

    Named after OpenLineage's rule for Postgres (`postgres://host`, `database.schema.table`): the logical host is the
    configured lineage namespace, and the collection stands where a table would. Collections share their tables; the
    table's name would make one dataset of all of them.
    """
    return f"postgres://{logical_name(settings.lineage_namespace)}", f"{COLLECTION_PREFIX}{collection}"


def is_collection(namespace: str, name: str) -> bool:
    """Whether a dataset is one of Recant's collections."""
    return namespace.startswith("postgres://") and name.startswith(COLLECTION_PREFIX)


def source_dataset(settings: Settings, origin: str) -> tuple[str, str]:
    """Namespace and name of what was ingested: a folder, a glob, a file, an http(s) address, "dist:*" or "dist:NAME".

    Of an address the user, the password, the query and the fragment are left out: they may be secrets, and differ from
    run to run. Installed Python distributions have a namespace of their own; where they came from is not known.
    """
    if origin.startswith("dist:"):
        return DISTRIBUTIONS_NAMESPACE, origin.removeprefix("dist:") or "*"
    parts = urlsplit(origin) if re.match(r"https?://", origin, re.IGNORECASE) else None
    if parts is not None and parts.hostname:
        return f"{parts.scheme.lower()}://{_host(parts.netloc)}", parts.path or "/"
    return FILE_NAMESPACE, origin


def job_name(kind: str, collection: str | None = None, parent: str | None = None) -> str:
    """An operation's job: its kind and its collection ("ingest.docs", "rollback"), under its parent when it has one.

    Marquez renames a job with a parent facet to `parent.child` unless it is so named already; naming it so here keeps
    one name in every destination.
    """
    own = logical_name(f"{kind}.{collection}" if collection else kind)
    return f"{parent}.{own}" if parent else own


def logical_name(text: str) -> str:
    """The text as a job or a namespace may be called: no spaces, colons or `#`, and no digit in front."""
    cleaned = _UNSAFE.sub("_", text.strip()) or "_"
    return f"_{cleaned}" if cleaned[0].isdigit() else cleaned


def marquez_place(url: str) -> str:
    """A Marquez' address as it can be shown, and is known by: without user, password and the path of its API.

    >>> marquez_place("http://me:secret@marquez:5000/api/v1/lineage")
    'http://marquez:5000'
    """
    scheme, separator, rest = url.rstrip("/").removesuffix(MARQUEZ_PATH).partition("://")
    if not separator:
        return scheme.rpartition("@")[2]
    authority, slash, path = rest.partition("/")
    return f"{scheme.lower()}://{_host(authority)}{slash}{path}"


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2].lower()
