"""What `kb.reembedding` offers, over one database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from recant.corpus import CollectionInfo, Corpus
from recant.corpus.document import canonical_json
from recant.embedding import ModelCard, Models
from recant.errors import ConfigurationError, GateFailed, UsageError, VectorsMissing, WriteConflict
from recant.json_types import JSON
from recant.lineage import collection_dataset
from recant.oplog import Attribution, Dataset, OperationLog
from recant.reembedding.filling import Filled, Filler, Progress
from recant.settings import Settings
from recant.store import Database, Row, load

if TYPE_CHECKING:
    from recant.evaluation import EvaluationComparison, JudgedQueries
    from recant.search import SearchResult

    Search = Callable[..., Iterator[SearchResult]]

KIND = "reembed"
DEFAULT_SOAK = timedelta(days=7)
LONGEST_SOAK = timedelta(days=3650)
LEASE_SECONDS = 3600.0
ATTEMPTS = 10
"""To change over: whatever was published meanwhile by a writer that doesn't know the model is embedded in between."""
VECTORS_AT_ONCE = 5_000
_SQL = load(__package__, "reembedding.sql")


@dataclass(frozen=True, slots=True)
class SpaceState:
    """How a collection and one of its embedding spaces stand."""

    collection: str
    space_id: int
    model: str
    model_digest: str
    dimensions: int
    state: str
    """`in use`; `built`, to be used next; `soaking`, used before and kept up; or `kept`: not kept up, but not given up."""
    soak_until: datetime | None
    """Of the one used before."""
    operation_id: int | None
    """Which changed over to the one in use; None: the collection was made with it."""
    held_because: str | None
    """Why it can't be dropped."""
    texts: int
    missing: int
    """Texts without a vector in it."""
    known: bool
    """Whether its model is known here."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"soak_until": self.soak_until.isoformat() if self.soak_until else None}


@dataclass(frozen=True, slots=True)
class Changeover:
    """The operation that changed over to another model, or that ended a soak."""

    operation_id: int
    position: int
    collection: str
    model: str
    model_digest: str
    dimensions: int
    previous_model: str
    soak_until: datetime
    texts: int
    embedded: int
    """Texts that still had to be embedded."""
    evaluation: dict[str, Any] | None
    """Measures before and after, where there were judged queries."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"soak_until": self.soak_until.isoformat()}


class Reembedding:
    """Embedding models of collections. Every step may run beside writers and searches, and be interrupted anywhere."""

    def __init__(self, database: Database, settings: Settings, models: Models, search_many: Search) -> None:
        """`search_many` takes queries, and collection, mode, limit, as_of and space_id by name."""
        self.database = database
        self.settings = settings
        self.models = models
        self._search_many = search_many
        self._corpus = Corpus(database)
        self._log = OperationLog(database)

    def status(self, collection: str | None = None) -> list[SpaceState]:
        """The spaces of a collection (of all), the one in use first. Counts texts: some time in a large collection."""
        if collection is not None:
            self._corpus.collection(collection)
        with self.database.snapshot() as connection:
            rows = connection.execute(_SQL["find_spaces"], {"collection": collection}).fetchall()
        ids = {info.name: info.id for info in self._corpus.collections()}
        return [self._state(row, ids[row["collection"]]) for row in rows]

    def build(self, model: str, *, collection: str | None = None, progress: Progress | None = None) -> Filled:
        """Embeds every text of a collection with another model (name or path), beside the one in use; goes on where an
        earlier build stopped. From now on what is ingested is embedded with it, too, where it is known.

        Raises UnknownCollection, UnknownModel, UsageError when it is the one in use.
        """
        info, card = self._other(model, collection)
        return self._filler(info, card, self._begin(info, card), progress).run()

    def fill(
        self, model: str | None = None, *, collection: str | None = None, progress: Progress | None = None
    ) -> Filled:
        """Embeds what texts are without a vector of the model in use, or of one that was built or used before.

        Raises UnknownCollection, ConfigurationError, UsageError when nothing was ever built with it.
        """
        info = self._corpus.collection(self._named(collection))
        card = self.models.card(info.model_digest, info.model) if model is None else self.models.named(model)
        return self._filler(info, card, self._space_of(info, card), progress).run()

    def compare(
        self, model: str, queries: JudgedQueries, *, collection: str | None = None, **options: Any
    ) -> EvaluationComparison:
        """The same judged queries with the model in use and with one that was built. `options` as for an evaluation: mode,
        k, filters. Raises UsageError, UnknownCollection, VectorsMissing where the build isn't complete.
        """
        from recant.evaluation import EvaluationComparison, Evaluations
        from recant.evaluation.report import changes

        info, card = self._other(model, collection)
        space_id = self._space_of(info, card)
        if missing := int(self._filler(info, card, space_id).count()["missing"]):
            raise VectorsMissing(f"{missing} texts have no vector of {card.name} yet: build it first.", missing=missing)
        search = partial(self._search_many, space_id=space_id)
        before = Evaluations(self.database, self._search_many, info.name).run(queries, **options)
        after = Evaluations(self.database, search, info.name).run(queries, **options)
        return EvaluationComparison(before, after, *changes(before, after), [])

    def switch(
        self, model: str, attribution: Attribution, *, collection: str | None = None, queries: JudgedQueries | None = None,
        max_drop: float = 0.0, soak: timedelta = DEFAULT_SOAK, evaluation: Mapping[str, Any] | None = None,
        progress: Progress | None = None, **options: Any,
    ) -> Changeover:  # fmt: skip
        """Changes over to another model by one operation: what isn't embedded yet is, then all searches are by it.

        With `queries` both are evaluated first, and the operation is aborted where nDCG or recall would fall by more than
        `max_drop`. During the soak what is ingested is embedded with the previous model, too, so that a rollback finds all
        vectors there. If the operation is reverted, searches are by the previous model again, and nothing is computed.
        `evaluation`: the outcome of one made before, to be kept with the operation. Raises UsageError, UnknownCollection,
        GateFailed, ConfigurationError, WriteConflict when somebody else changed over meanwhile. A run that did so before, and
        is tried again, gets the same answer.
        """
        _check(soak, attribution, max_drop)
        if (done := self._done_before(model, collection, attribution)) is not None:
            return done
        info, card = self._other(model, collection)
        if not self.models.is_listed(card):
            raise ConfigurationError(f"Name {model} among RECANT_MODELS first: nobody could search by it otherwise.")
        filler = self._filler(info, card, self._begin(info, card), progress)
        filled = filler.run()
        until = datetime.now(UTC) + soak
        given: dict[str, JSON] = {"model": card.name, "model_digest": card.digest, "dimensions": card.dimensions}
        given |= {"previous_model": info.model, "previous_model_digest": info.model_digest}
        given |= {"soak_until": until.isoformat(), "space_id": filled.space_id}
        if evaluation is not None:
            given["evaluation"] = dict(evaluation)
        operation_id = self._open(info, attribution, given)
        try:
            measured = dict(evaluation) if evaluation else None
            if queries is not None:
                measured = self._gate(self.compare(model, queries, collection=info.name, **options), max_drop)
            counts: dict[str, JSON] = {"texts": filled.texts, "embedded": filled.embedded, **_numbers(measured)}
            self._write(operation_id, info, (filled.space_id, info.space_id, until), card.digest, counts)
            position = self._publish(operation_id, filler)
        except BaseException as error:
            self._log.abort(operation_id, f"{type(error).__name__}: {error}"[:2000], failed=True)
            raise
        return Changeover(
            operation_id, position, info.name, card.name, card.digest, card.dimensions, info.model, until, filled.texts,
            filler.embedded, measured,
        )  # fmt: skip

    def settle(self, attribution: Attribution, *, collection: str | None = None) -> Changeover:
        """Ends the soak now: what is ingested is embedded with the model in use only. An operation like the change-over.

        Raises UnknownCollection, UsageError when there is no soak.
        """
        info = self._corpus.collection(self._named(collection))
        chosen = self._one("choice_in_use", {"collection_id": info.id})
        if not chosen["soaking"]:
            raise UsageError(f"{info.name} has no model in its soak: `recant reembed status` shows its models.")
        previous = next(s for s in self.status(info.name) if s.space_id == chosen["previous_space_id"])
        until = datetime.now(UTC)
        given: dict[str, JSON] = {
            "model": info.model,
            "model_digest": info.model_digest,
            "soak_until": until.isoformat(),
        }
        operation_id = self._open(info, attribution, given)
        try:
            choice = (info.space_id, previous.space_id, until)
            self._write(operation_id, info, choice, info.model_digest, {"settled": 1})
            (position,) = self._log.publish(operation_id)
        except BaseException as error:
            self._log.abort(operation_id, f"{type(error).__name__}: {error}"[:2000], failed=True)
            raise
        return Changeover(
            operation_id, position, info.name, info.model, info.model_digest, info.dimensions, previous.model, until,
            previous.texts, 0, None,
        )  # fmt: skip

    def drop(self, model: str, *, collection: str | None = None) -> int:
        """Gives up a model that isn't in use, and deletes its vectors; returns how many.

        What was written with it names the vectors of the model in use from then on. Raises UsageError, UnknownCollection;
        Refused while it is in use or in its soak, and while a position that can still be asked about used it.
        """
        info, card = self._other(model, collection)
        given: dict[str, Any] = {"collection_id": info.id, "space_id": self._space_of(info, card)}
        after: int | None = 0
        while after is not None:
            after = self._one("leave_space", given | {"after": after, "at_most": VECTORS_AT_ONCE})["last_id"]
        self._one("drop_space", given)
        return self._delete_vectors(given)

    def _delete_vectors(self, given: dict[str, Any]) -> int:
        """Those that no collection needs, some at a time."""
        deleted, after = 0, 0
        while True:
            with self.database.transaction() as connection:
                page = given | {"after": after, "at_most": VECTORS_AT_ONCE}
                ids = [row["id"] for row in connection.execute(_SQL["vectors_after"], page)]
            if not ids:
                return deleted
            deleted += int(self._one("delete_unused", {"ids": ids})["deleted"])
            after = ids[-1]

    def _state(self, row: Row, collection_id: int) -> SpaceState:
        counted = self._one("count_texts", {"collection_id": collection_id, "space_id": row["space_id"]})
        known = self.models.known(row["model_digest"]) is not None
        return SpaceState(**row, texts=counted["texts"], missing=counted["missing"], known=known)

    def _other(self, model: str, collection: str | None) -> tuple[CollectionInfo, ModelCard]:
        info, card = self._corpus.collection(self._named(collection)), self.models.named(model)
        if card.digest == info.model_digest:
            raise UsageError(f"{info.name} uses {info.model} already (digest {card.digest[:12]}).")
        return info, card

    def _begin(self, info: CollectionInfo, card: ModelCard) -> int:
        given = {"model": card.name, "digest": card.digest, "dimensions": card.dimensions}
        return int(self._one("begin_space", {"collection_id": info.id, **given})["space_id"])

    def _space_of(self, info: CollectionInfo, card: ModelCard) -> int:
        with self.database.transaction() as connection:
            given = {"collection_id": info.id, "digest": card.digest}
            row = connection.execute(_SQL["space_of"], given).fetchone()
        if row is not None:
            return int(row["space_id"])
        if card.digest == info.model_digest:
            return info.space_id
        raise UsageError(f"Nothing of {info.name} was embedded with {card.name} yet: `recant reembed build` does that.")

    def _filler(self, info: CollectionInfo, card: ModelCard, space_id: int, progress: Progress | None = None) -> Filler:
        embedder, tokens = self.models.embedder(card, "documents"), self.models.tokens(card)
        return Filler(self.database, info.name, info.id, space_id, embedder, tokens, progress)

    def _done_before(self, model: str, collection: str | None, attribution: Attribution) -> Changeover | None:
        """What an earlier attempt of the same run changed over to."""
        info, card = self._corpus.collection(self._named(collection)), self.models.named(model)
        chosen = self._one("choice_in_use", {"collection_id": info.id})
        if attribution.run_id is None or card.digest != info.model_digest or chosen["operation_id"] is None:
            return None
        operation = self._log.get(chosen["operation_id"])
        if operation.run_id != attribution.run_id or operation.position is None:
            return None
        said, counts = operation.parameters, operation.counts
        return Changeover(
            operation.operation_id, operation.position, info.name, info.model, info.model_digest, info.dimensions,
            said["previous_model"], chosen["soak_until"], int(counts["texts"]), int(counts["embedded"]), said.get("evaluation"),
        )  # fmt: skip

    def _gate(self, compared: EvaluationComparison, max_drop: float) -> dict[str, Any]:
        found = summary(compared)
        require_no_drop(found, max_drop)
        return found

    def _open(self, info: CollectionInfo, attribution: Attribution, parameters: dict[str, JSON]) -> int:
        namespace, name = collection_dataset(self.settings, info.name)
        datasets = [Dataset("input", namespace, name), Dataset("output", namespace, name)]
        return self._log.open(
            KIND, attribution, collection=info.name, parameters=parameters, datasets=datasets, lease_seconds=LEASE_SECONDS
        )  # fmt: skip

    def _write(
        self, operation_id: int, info: CollectionInfo, choice: tuple[int, int, datetime], digest: str,
        counts: Mapping[str, JSON],
    ) -> None:  # fmt: skip
        """Over the choice that `info` tells of: had somebody else changed over since, it is refused here or at publishing."""
        batch_id = self._log.begin_batch(operation_id, "space", lease_seconds=LEASE_SECONDS)
        said = canonical_json([digest, choice[2].isoformat()])
        version: dict[str, Any] = {"collection_id": info.id, "operation_id": operation_id, "batch_id": batch_id}
        with self.database.transaction() as connection:
            seen = connection.execute(_SQL["choice_in_use"], version).fetchone()
            if seen is None or seen["space_id"] != info.space_id:
                raise WriteConflict(f"{info.name} was changed over to another model meanwhile: look again.")
            connection.execute(_SQL["name_choice"], version)
            version |= {"content_hash": hashlib.sha256(said).digest(), "over": seen["operation_id"]}
            added = connection.execute(_SQL["add_choice"], version).fetchone()
            assert added is not None, "the record was named just now"
            content = dict(zip(("space_id", "previous_space_id", "soak_until"), choice, strict=True))
            connection.execute(_SQL["add_choice_content"], added | content)
        self._log.finish_batch(batch_id, counts)

    def _publish(self, operation_id: int, filler: Filler) -> int:
        """What was published meanwhile without the new model's vectors is embedded, and it is tried again."""
        for attempt in range(1, ATTEMPTS + 1):
            self._index(filler.space_id)
            try:
                (position,) = self._log.publish(operation_id)
                return position
            except VectorsMissing:
                if attempt == ATTEMPTS:
                    raise
                filler.run()
        raise AssertionError("the last attempt answers or raises")

    def _index(self, space_id: int) -> None:
        """What is seen is in the new space's index before anybody searches there."""
        from recant.upkeep.tending import tend_index

        if self._one("has_outside", {"space_id": space_id})["found"]:
            tend_index(self.database, space_id, follow_up=False, least_share=1.0)

    def _named(self, collection: str | None) -> str:
        return self.settings.collection if collection is None else collection

    def _one(self, name: str, given: Mapping[str, Any]) -> Row:
        with self.database.transaction() as connection:
            row = connection.execute(_SQL[name], given).fetchone()
        assert row is not None, f"{name} answers with one row"
        return row


def summary(compared: EvaluationComparison) -> dict[str, Any]:
    """What is kept of a comparison with the operation."""
    return {
        "queries": compared.after.queries_name,
        "count": compared.after.queries,
        "mode": compared.after.mode,
        "k": compared.after.k,
        "before": compared.before.measures,
        "after": compared.after.measures,
        "lost": len(compared.lost),
        "gained": len(compared.gained),
    }


def require_no_drop(evaluation: Mapping[str, Any], max_drop: float) -> None:
    """Raises GateFailed where nDCG or recall falls by more than that."""
    before, after = evaluation["before"], evaluation["after"]
    fallen = [name for name in ("ndcg", "recall") if before[name] - after[name] > max_drop]
    if fallen:
        told = ", ".join(f"{name} {before[name]:.4f} before, {after[name]:.4f} after" for name in fallen)
        raise GateFailed(
            f"Searches would find less: {told}, on {evaluation['count']} queries; {max_drop:g} less is allowed. Nothing was "
            "changed; allow more (max_drop), or stay with the model in use.",
            evaluation=dict(evaluation),
            max_drop=max_drop,
        )


def _numbers(evaluation: Mapping[str, Any] | None) -> dict[str, JSON]:
    if not evaluation:
        return {}
    return {f"{name}_{when}": evaluation[when][name] for when in ("before", "after") for name in ("ndcg", "recall")}


def _check(soak: timedelta, attribution: Attribution, max_drop: float) -> None:
    if not timedelta(0) <= soak <= LONGEST_SOAK:
        raise UsageError("A soak is from nothing to ten years.")
    if not 0 <= max_drop <= 1:
        raise UsageError(f"max_drop is from 0 to 1, not {max_drop:g}.")
    if attribution.session is not None:
        raise UsageError("A collection is re-embedded for everybody, not in a session.")
