"""What the command line, DAGs and a Python prompt call: one object over one database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recant.errors import UsageError
from recant.installation.dsn import dsn_for
from recant.oplog import HOLD_LEASE_SECONDS, Attribution, Moment, Operation, OperationLog, Selector
from recant.provenance import checkout_context
from recant.settings import Settings, read_settings
from recant.store import Database

if TYPE_CHECKING:
    from recant.analytics import Analytics
    from recant.archive import Archives
    from recant.artifacts import Artifacts
    from recant.backups import Backups
    from recant.blocks import Blocks
    from recant.comparison import Comparison
    from recant.corpus import Citation, CollectionInfo
    from recant.embedding import ModelCard, Models
    from recant.embedding.reranker import Reranker
    from recant.evaluation import Evaluations, SearchWeights
    from recant.export import Exports
    from recant.feedback import FeedbackReceipt
    from recant.ingestion.pipeline import Ingestion, Progress
    from recant.ingestion.request import IngestReport
    from recant.lineage import Deliveries
    from recant.lineage.answers import Lineage
    from recant.monitoring import ActivityRecorder, Health
    from recant.proposals import Proposal, Proposals
    from recant.quality import AuditReport
    from recant.reembedding import Reembedding
    from recant.rollback import BlastRadius, Plan, Rollback, RollbackReport, VerifyReport
    from recant.scores import AccessCounter, Scores
    from recant.search import Filters, Fusion, KeywordIndex, Refinement, Searcher, SearchResult, Space
    from recant.search.cache import SearchCache
    from recant.sessions import Sessions
    from recant.storage import Storage
    from recant.upkeep import Upkeep


def connect(
    dsn: str | None = None, *, home: Path | str | None = None, settings: Settings | None = None
) -> KnowledgeBase:
    """A knowledge base: that of `dsn`, or of the installation under `home` (both by default from the environment).

    Raises DatabaseUnreachable when no installation is running there. The first query connects; use it as a context manager.
    """
    found = settings or read_settings()
    if home is not None:
        found = replace(found, home=Path(home).expanduser().absolute())
    if dsn is not None:
        found = replace(found, dsn=dsn)
    return KnowledgeBase(found)


class KnowledgeBase:
    """Everything that front ends use. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(dsn_for(settings, "app"))
        self._accesses: AccessCounter | None = None

    def __enter__(self) -> KnowledgeBase:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes what was counted, and closes every connection."""
        if "_activity" in self.__dict__:
            self._activity.write()
        if self._accesses is not None:
            self._accesses.close()
        self.database.close()

    @cached_property
    def operations(self) -> OperationLog:
        """The operation log."""
        return OperationLog(self.database, retention_days=self.settings.retention_days)

    @cached_property
    def ingestion(self) -> Ingestion:
        """Ingesting in steps, as DAGs do."""
        from recant.ingestion.pipeline import Ingestion

        return Ingestion(self.database, self.settings)

    @cached_property
    def rollbacks(self) -> Rollback:
        """Rolling back in steps, as DAGs do."""
        from recant.archive import ArchivedPayloads
        from recant.rollback import Rollback

        return Rollback(self.database, self.settings, ArchivedPayloads(self.database))

    @cached_property
    def artifacts(self) -> Artifacts:
        """Archives and exports: files that hold what was seen, and whether they still should."""
        from recant.artifacts import Artifacts

        return Artifacts(self.database)

    @cached_property
    def sessions(self) -> Sessions:
        """Opening, listing, merging and discarding sessions."""
        from recant.sessions import Sessions

        return Sessions(self.database)

    @cached_property
    def storage(self) -> Storage:
        """Tags, the horizon, erasing and reclaiming."""
        from recant.storage import Storage

        return Storage(self.database, self.settings)

    @cached_property
    def deliveries(self) -> Deliveries:
        """Lineage events: what each destination has had and is owed, delivering again, exporting."""
        from recant.lineage import Deliveries

        return Deliveries(self.database, self.settings)

    @cached_property
    def archives(self) -> Archives:
        """Making archives, checking them, restoring from them."""
        from recant.archive import Archives

        return Archives(self.database, self.settings)

    @cached_property
    def keywords(self) -> KeywordIndex:
        """What keyword search reads: bringing it up to date. Ingests, erasures and searches do so by themselves."""
        from recant.search import KeywordIndex

        return KeywordIndex(self.database)

    @cached_property
    def proposals(self) -> Proposals:
        """Rollbacks that nobody asked for: why one was proposed, and saying no to it."""
        from recant.proposals import Proposals

        return Proposals(self.rollbacks, hides_at_once=self.settings.auto_rollback == "quarantine")

    @cached_property
    def lineage(self) -> Lineage:
        """What was built on what, and who reads and writes which dataset."""
        from recant.lineage.answers import Lineage

        return Lineage(self.database, self.settings)

    @cached_property
    def evaluation(self) -> Evaluations:
        """How good searches are, on judged queries: now, as of any position, and before and after."""
        from recant.evaluation import Evaluations

        return Evaluations(self.database, self._search_unnoticed, self.settings.collection)

    @cached_property
    def search_weights(self) -> SearchWeights:
        """What meaning counts against words in hybrid searches: showing, setting and finding it."""
        from recant.evaluation import SearchWeights

        return SearchWeights(self.database, self.settings, self._search_unnoticed)

    @cached_property
    def reembedding(self) -> Reembedding:
        """Another embedding model for a collection: building it beside the one in use, comparing, changing over."""
        from recant.reembedding import Reembedding

        search_many = partial(self._search_unnoticed, as_of=None)
        return Reembedding(self.database, self.settings, self.models, search_many)

    @cached_property
    def quality(self) -> Scores:
        """Quality scores: showing, recalculating and checking them; policies and pins."""
        from recant.scores import Scores

        return Scores(self.database, self.settings)

    @cached_property
    def blocks(self) -> Blocks:
        """What an ingest is to leave out: add, list, lift."""
        from recant.blocks import Blocks

        return Blocks(self.database, self.settings.agent)

    @cached_property
    def health(self) -> Health:
        """Metrics, their history, and alerts."""
        from recant.monitoring import Health

        return Health(self.database, self.settings)

    @cached_property
    def exports(self) -> Exports:
        """CSV and Parquet files of what is seen: writing, listing, checking, refreshing."""
        from recant.export import Exports

        return Exports(self.database, self.settings)

    @cached_property
    def upkeep(self) -> Upkeep:
        """Tending the vector index, and clearing away what was left behind."""
        from recant.upkeep import Upkeep

        return Upkeep(self.database, self.settings)

    @cached_property
    def backups(self) -> Backups:
        """Making, listing, verifying and restoring backups."""
        from recant.backups import Backups

        return Backups(self.settings)

    def attribution(
        self,
        *,
        agent: str | None = None,
        session: str | None = None,
        run: str | None = None,
        message: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Attribution:
        """Who writes: the installation's agent when none is named; git commit and branch are found by themselves."""
        known = checkout_context(self.settings.project_root) if context is None else dict(context)
        return Attribution(self.settings.agent if agent is None else agent, session, run, message, known)

    def ingest(
        self,
        sources: Iterable[str],
        *,
        collection: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        run: str | None = None,
        message: str = "",
        policy: str = "strict",
        suite: Path | str | None = None,
        based_on: Iterable[Citation] = (),
        hold: bool = False,
        hold_seconds: float | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Brings documents in as one operation, seen from one moment to the next.

        With `hold`, and in a session that was opened for exploration, it stays open for the session to be merged, and is
        seen in the session only; after `hold_seconds` (default: seven days) upkeep aborts it.

        `suite` is the file of the gate's expectations, in place of the default ones.

        If the operation is reverted, its documents and chunks are invisible as well, and what they had superseded is
        seen again. `based_on` names what it was made from, chunks by id (`hit.chunk_id`) or documents by source: if
        that is to be taken back, this operation is a definite dependent of it. Raises GateFailed, WriteConflict,
        InputWithdrawn, LimitExceeded, BadSource, UsageError; the operation is aborted then.
        """
        from recant.ingestion.request import IngestRequest

        checks = None if suite is None else str(Path(suite).expanduser().absolute())
        request = IngestRequest(tuple(sources), self._named(collection), policy, based_on=tuple(based_on), suite=checks)
        who = self.attribution(agent=agent, session=session, run=run, message=message)
        held = hold or self.sessions.explores(session)
        seconds = HOLD_LEASE_SECONDS if hold_seconds is None else hold_seconds
        return self.ingestion.run(request, who, hold_seconds=seconds if held else None, progress=progress)

    def search(
        self,
        query: str,
        *,
        collection: str | None = None,
        mode: str = "semantic",
        limit: int = 10,
        as_of: Moment | None = None,
        session: str | None = None,
        agent: str | None = None,
        filters: Filters | None = None,
        by_quality: bool | None = None,
        fusion: Fusion | None = None,
        refine: Refinement | None = None,
    ) -> SearchResult:
        """The best chunks among those that are seen: now, in a session, or as of a position, tag or time.

        `mode` is `semantic` (nearest in meaning), `keyword` (by the words, "phrases" and -exclusions of the query) or
        `hybrid` (both, made one ranking by `fusion`; None: as set for the collection). `refine`: duplicates folded,
        re-ranking, diversity, and what stands around hits.

        What a session is shown is recorded before it is returned: if it is taken back later, what the session wrote
        next is named as possibly built on it. `filters` are conditions on metadata, as a mapping or written (see
        `recant.search.filters`). `by_quality`: whether quality weighs in; None: as the settings say. Raises
        UnknownCollection, UsageError; PastHorizon where what was seen then has been reclaimed.
        """
        given = {
            "mode": mode,
            "fusion": fusion,
            "refine": refine,
            "collection": self._named(collection),
            "limit": limit,
            "as_of": self._as_of(as_of),
            "session": session,
            "agent": self.settings.agent if agent is None else agent,
            "by_quality": self._by_quality(by_quality),
        }
        with self._activity.timed("search"):
            result = self._search_cache.search(self._searcher.search, query, filters=filters, **given)  # type: ignore[arg-type]
        return self._counted(result, session)

    def search_many(self, queries: Iterable[str], **options: Any) -> Iterator[SearchResult]:
        """The same for one query after another, over one connection; `options` as for search."""
        from recant.search import require_mode

        require_mode(options.get("mode", "semantic"))
        collection = self._named(options.pop("collection", None))
        options["as_of"] = self._as_of(options.get("as_of"))
        options.setdefault("agent", self.settings.agent)
        options["by_quality"] = self._by_quality(options.get("by_quality"))
        found = self._activity.counted("search", self._searcher.search_batch(queries, collection=collection, **options))
        return (self._counted(result, options.get("session")) for result in found)

    def log(self, selector: Selector | None = None, *, limit: int = 50) -> list[Operation]:
        """Operations, newest first; control, open and aborted ones too."""
        return self.operations.find(selector, limit=limit)

    def show(self, operation_id: int) -> dict[str, Any]:
        """All that is known of one operation, JSON-ready. Raises UnknownOperation."""
        return self.operations.get(operation_id).to_dict() | self.operations.details(operation_id)

    def blast_radius(self, selector: Selector, *, possible_hops: int = 1) -> BlastRadius:
        """What the selected operations contaminated, for certain and possibly. Raises EmptySelector, UnknownOperation."""
        return self.rollbacks.blast_radius(selector, possible_hops=possible_hops)

    def plan_rollback(
        self,
        selector: Selector,
        *,
        policy: str = "refuse",
        include_possible: bool = False,
        possible_hops: int = 1,
        block: bool = False,
        agent: str | None = None,
    ) -> Plan:
        """What taking the selected operations back would do; stored, so that it can be approved and applied by its id.

        With `include_possible`, who was only shown it before writing counts as a dependent, too. With `block` an ingest leaves
        out, from then on, what was withdrawn, until the block is lifted or the rollback redone.
        """
        return self.rollbacks.plan(
            selector,
            policy=policy,
            include_possible=include_possible,
            possible_hops=possible_hops,
            block=block,
            agent=agent or self.settings.agent,
        )

    def rollback(
        self,
        selector: Selector | None = None,
        *,
        plan_id: str | None = None,
        policy: str = "refuse",
        include_possible: bool = False,
        block: bool = False,
        agent: str | None = None,
        session: str | None = None,
        run: str | None = None,
        message: str = "",
    ) -> RollbackReport:
        """Takes operations back: plan (or the stored plan of that id), apply, verify. `block` as for plan_rollback.

        Raises HasDependents, PlanStale, PlanClosed, EmptySelector, UnknownOperation. What is withdrawn already is left alone,
        and said so.
        """
        if (selector is None) == (plan_id is None):
            raise UsageError("Give either a selector or a plan's id.")
        if plan_id is not None and block:
            raise UsageError("Whether a plan blocks is part of it: make a new plan.")
        who = self.attribution(agent=agent, session=session, run=run, message=message)
        plan = (
            self.rollbacks.load_plan(plan_id)
            if plan_id
            else self.plan_rollback(
                selector or Selector(),
                policy=policy,
                include_possible=include_possible,
                block=block,
                agent=who.agent,
            )
        )
        return self.rollbacks.run(plan, who)

    def redo(
        self, operation_id: int, *, policy: str = "refuse", agent: str | None = None, message: str = ""
    ) -> RollbackReport:
        """Takes a rollback (or a redo) back. Raises WriteConflict or InputWithdrawn when what comes back no longer fits."""
        return self.rollbacks.redo(operation_id, self.attribution(agent=agent, message=message), policy)

    def quarantine(self, selector: Selector, *, agent: str | None = None, message: str = "") -> RollbackReport:
        """Hides operations at once, pending a decision; what was built on them stays, and is named."""
        return self.rollbacks.quarantine(selector, self.attribution(agent=agent, message=message))

    def release(
        self, selector: Selector, *, force: bool = False, agent: str | None = None, message: str = ""
    ) -> RollbackReport:
        """Shows quarantined operations again. Raises WriteConflict or InputWithdrawn when they no longer fit."""
        who = self.attribution(agent=agent, message=message)
        return self.rollbacks.release(selector, who, "force" if force else "refuse")

    def restore(
        self, position: Moment, *, collection: str | None = None, agent: str | None = None, message: str = ""
    ) -> RollbackReport:
        """Makes a collection look as it did at a position, tag or time; a redo brings back what came later.

        Raises UnknownCollection, UsageError; PastHorizon where what was seen then has been reclaimed.
        """
        who = self.attribution(agent=agent, message=message)
        return self.rollbacks.restore(self._named(collection), self.position_of(position), who)

    def audit(self, collection: str | None = None, *, suite: Path | str | None = None) -> AuditReport:
        """Holds what is seen now in a collection against a suite of expectations (a YAML file; None: the gate's own).

        Changes nothing. Raises UnknownCollection, BadSuite.
        """
        from recant.corpus import Corpus
        from recant.quality import DEFAULT_SUITE, audit_collection, load_suite

        if suite is not None:
            return audit_collection(self.database, self._named(collection), suite=load_suite(Path(suite)))
        digest = Corpus(self.database).collection(self._named(collection)).model_digest
        card = self.models.known(digest)
        tokens = (card.digest, card.max_tokens) if card else None
        return audit_collection(self.database, self._named(collection), suite=DEFAULT_SUITE, model_tokens=tokens)

    def submit_feedback(
        self,
        chunk_id: int,
        verdict: str,
        *,
        comment: str = "",
        agent: str | None = None,
        session: str | None = None,
        run: str | None = None,
    ) -> FeedbackReceipt:
        """Says of a chunk that it is helpful, outdated, incorrect, confusing or duplicate: an operation, published at once.

        If the operation is reverted, the feedback doesn't count any more. Raises UsageError.
        """
        from recant.feedback import submit_feedback

        who = self.attribution(agent=agent, session=session, run=run)
        return submit_feedback(self.database, self.settings, chunk_id, verdict, who, comment=comment)

    def propose_rollbacks(
        self,
        collection: str | None = None,
        *,
        suite: Path | str | None = None,
        feedback_window: timedelta = timedelta(days=1),
        least_negative: int = 5,
        least_agents: int = 2,
        agent: str | None = None,
        run: str | None = None,
        context: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> list[Proposal]:
        """Stores a rollback plan for each operation whose documents fail an audit, or got a burst of negative feedback.

        Nothing is taken back: a person decides about each. A burst is `least_negative` verdicts or more other than
        helpful, by `least_agents` agents or more, within the window, and more of them than helpful ones. What a person is
        being asked about, or has decided about, is no reason to ask again. Raises UnknownCollection, BadSuite, UsageError.
        """
        from recant.proposals import Burst

        if least_negative < 1 or least_agents < 1 or feedback_window <= timedelta(0):
            raise UsageError(
                "The window must be longer than nothing, and at least one verdict by one agent is a burst."
            )
        who = self.attribution(agent=agent, run=run, message="proposed for rollback", context=context)
        report = self.audit(collection, suite=suite)
        burst = Burst(self.operations.position_at(datetime.now(UTC) - feedback_window), least_negative, least_agents)
        if dry_run:
            return self.proposals.find(report, burst, agent=who.agent)
        return self.proposals.open(report, burst, who)

    def verify(self) -> VerifyReport:
        """Replays the log and compares it with what is seen."""
        from recant.rollback import verify_log

        return verify_log(self.database)

    def diff(
        self,
        before: Moment | None = None,
        after: Moment | None = None,
        *,
        operation: int | None = None,
        collection: str | None = None,
        source: str | None = None,
    ) -> Comparison:
        """A collection at two moments (positions, tags or times; `after` None: now), or what one operation changed.

        Ask the result for `counts()` or go through `documents()`, each a text diff; they raise PastHorizon where what was
        seen then has been reclaimed. Raises UsageError, UnknownCollection, UnknownOperation.
        """
        from recant.comparison import compare, compare_operation

        if (before is None) == (operation is None) or (operation is not None and after is not None):
            raise UsageError("Give either one or two moments, or an operation.")
        if operation is not None:
            return compare_operation(self.database, operation, collection, source=source)
        first, last = (self.position() if moment is None else self.position_of(moment) for moment in (before, after))
        return compare(self.database, self._named(collection), first, last, source=source)

    def analytics(self, export: Path | str | None = None) -> Analytics:
        """A Parquet export opened for questions: that in the folder, or the newest that is current. Raises UsageError."""
        from recant.analytics import Analytics

        return Analytics(self.exports.newest("parquet").path if export is None else export)

    def position(self) -> int:
        """The last position given out."""
        return self.operations.position()

    def position_of(self, moment: Moment) -> int:
        """The position that a number, a tag's name or a time means. Raises UsageError for what is none of these."""
        return self.operations.position_of(moment)

    def collections(self) -> Sequence[CollectionInfo]:
        """All collections by name."""
        from recant.corpus import Corpus

        return Corpus(self.database).collections()

    def _by_quality(self, wanted: bool | None) -> bool:
        return self.settings.quality_ranking == "on" if wanted is None else wanted

    def _counted(self, result: SearchResult, session: str | None) -> SearchResult:
        """What a session is shown is on record already."""
        if session is None and self.settings.access_counts == "on":
            if self._accesses is None:
                from recant.scores import AccessCounter

                self._accesses = AccessCounter(self.database)
            self._accesses.note((hit.operation_id, hit.document_id) for hit in result.hits)
        return result

    def _search_unnoticed(
        self, queries: Iterable[str], *, as_of: Moment | None, **options: Any
    ) -> Iterator[SearchResult]:
        """A measurement is no use of what it finds, and no search that somebody waited for."""
        by_quality = self._by_quality(None)
        return self._searcher.search_batch(queries, as_of=self._as_of(as_of), by_quality=by_quality, **options)

    def _as_of(self, moment: Moment | None) -> int | None:
        return moment if moment is None or type(moment) is int else self.position_of(moment)

    def _named(self, collection: str | None) -> str:
        """An empty name is no name: a shell variable that isn't set must not mean the default."""
        return self.settings.collection if collection is None else collection

    @cached_property
    def models(self) -> Models:
        """The embedding models that this installation knows."""
        from recant.embedding import Models

        return Models(self.settings)

    @cached_property
    def _activity(self) -> ActivityRecorder:
        from recant.monitoring import ActivityRecorder

        return ActivityRecorder(self.database)

    @cached_property
    def _searcher(self) -> Searcher:
        from recant.search import Searcher

        return Searcher(self.database, self._embed_by_default, self._reranker, embed_in=self._embed_in)

    @cached_property
    def _reranker(self) -> Reranker | None:
        from recant.embedding.reranker import Reranker

        folder = self.settings.reranker
        return None if folder is None else Reranker(folder, device=self.settings.device)

    def _embed_by_default(self, query: str) -> Any:
        return self._embed(self.models.default, query)

    def _embed_in(self, space: Space) -> Callable[[str], Any]:
        card = self.models.card(space.digest, space.model)
        return self._search_cache.embedding(lambda query: self._embed(card, query), space.digest)

    def _embed(self, card: ModelCard, query: str) -> Any:
        return self.models.embedder(card, "query").embed([query])[0]

    @cached_property
    def _search_cache(self) -> SearchCache:
        from recant.search.cache import SearchCache

        return SearchCache(self.database, self.settings.search_cache)
