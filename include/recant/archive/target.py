"""Where a restore goes, and whether it may take vectors from the file."""

from __future__ import annotations

from dataclasses import dataclass

from recant.archive.reader import ArchiveFile
from recant.corpus import CollectionInfo, Corpus
from recant.corpus.collection import require_name
from recant.errors import ConfigurationError
from recant.store import Database, load

_SQL = load(__package__, "archive.sql")


@dataclass(frozen=True, slots=True)
class Target:
    """A collection to restore into."""

    collection: CollectionInfo
    takes_vectors: bool
    """Whether vectors that the space doesn't know may come from the file."""


def find_target(database: Database, file: ArchiveFile, name: str, sha256: str, trust_vectors: bool) -> Target:
    """The collection, made if it isn't there. Raises ConfigurationError where it is of another model."""
    require_name(name)
    found = file.attributes
    with database.transaction() as connection:
        made_here = connection.execute(_SQL["is_catalogued"], {"sha256": bytes.fromhex(sha256)}).fetchone()
        vouched = trust_vectors or bool(made_here and made_here["made_here"])
        before = connection.execute(_SQL["find_collection"], {"collection": name, "position": None}).fetchone()
        if before is None:
            given = {"name": name, "model": found["model"], "digest": found["model_digest"]}
            trusted = trust_vectors or (vouched and bool(found["trusted"]))
            connection.execute(
                _SQL["ensure_collection"], given | {"dimensions": found["dimensions"], "trusted": trusted}
            )
    collection = Corpus(database).collection(name)
    if collection.model_digest != found["model_digest"] or collection.dimensions != found["dimensions"]:
        raise ConfigurationError(
            f'Collection "{name}" holds vectors of {collection.model}, the archive those of {found["model"]}: restore into '
            "another collection (--collection)."
        )
    return Target(collection, before is None or vouched or not before["trusted"])
