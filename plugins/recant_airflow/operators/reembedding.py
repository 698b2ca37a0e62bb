"""Another embedding model for a collection: build → evaluate → approve → switch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from recant_airflow.assets import PUBLISHED_KNOWLEDGE
from recant_airflow.links import OperationLink
from recant_airflow.operators.base import KnowledgeBaseOperator, attribution
from recant_airflow.operators.operation import announce, version_facet

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseBuildEmbeddingsOperator(KnowledgeBaseOperator):
    """Embeds every text of a collection with another model, beside the one in use. A retry goes on where it stopped.

    Gives the report: collection, model, model_digest, dimensions, texts, embedded, cut, seconds.

    :param model: a name among RECANT_MODELS, or the path of a model's folder on the worker.
    :param collection: whose texts; None: the installation's default.
    """

    template_fields: Sequence[str] = ("model", "collection")

    def __init__(self, *, model: str, collection: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.collection = collection

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Builds. Raises UnknownCollection, UnknownModel, UsageError."""
        filled = kb.reembedding.build(self.model, collection=self.collection, progress=self._tell)
        self.log.info("%d texts have vectors of %s; %d were computed now.", filled.texts, filled.model, filled.embedded)
        if filled.cut:
            self.log.warning("%d of them are longer than the model sees.", filled.cut)
        return filled.to_dict()

    def _tell(self, what: str, done: int, total: int | None) -> None:
        self.log.info("%s: %d of %s", what, done, total)


class KnowledgeBaseCompareEmbeddingsOperator(KnowledgeBaseOperator):
    """Measures searches by the model in use and by the one that was built, on judged queries; fails where they find less.

    Gives what is kept with the change-over: measures before and after, how many queries lost and gained; None without queries.

    :param model: the one that was built.
    :param queries: judged queries, a file or BEIR folder on the worker; None: nothing is measured.
    :param collection: where; None: the installation's default.
    :param mode: semantic or hybrid.
    :param k: nDCG of the first so many documents.
    :param max_drop: how far nDCG and recall may fall.
    """

    template_fields: Sequence[str] = ("model", "queries", "collection", "mode", "k", "max_drop")

    def __init__(
        self,
        *,
        model: str,
        queries: str | None = None,
        collection: str | None = None,
        mode: str = "semantic",
        k: int = 10,
        max_drop: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.queries = queries
        self.collection = collection
        self.mode = mode
        self.k = k
        self.max_drop = max_drop

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any] | None:
        """Compares. Raises GateFailed, VectorsMissing, UsageError."""
        from recant.evaluation import read_queries
        from recant.reembedding.reembedding import require_no_drop, summary

        if not self.queries:
            self.log.warning("No judged queries: the models are not compared.")
            return None
        judged, asked = read_queries(self.queries), {"mode": self.mode, "k": int(self.k)}
        found = summary(kb.reembedding.compare(self.model, judged, collection=self.collection, **asked))
        for name, before in found["before"].items():
            self.log.info("%s: %.4f before, %.4f after", name, before, found["after"][name])
        require_no_drop(found, float(self.max_drop))
        return found


class KnowledgeBaseApproveReembeddingOperator(ApprovalOperator):
    """Waits, without a worker, until a person has approved or rejected the change-over, where that is wanted.

    Rejected, or not answered in time: what comes after is skipped, and the model in use stays.

    :param built: what KnowledgeBaseBuildEmbeddingsOperator gave.
    :param evaluation: what KnowledgeBaseCompareEmbeddingsOperator gave.
    :param ask: whether anybody is asked.
    :param timeout_hours: how long to wait for the answer.
    """

    template_fields: Sequence[str] = (
        *ApprovalOperator.template_fields,
        "built",
        "evaluation",
        "ask",
        "timeout_hours",
    )

    def __init__(
        self,
        *,
        built: Mapping[str, Any],
        evaluation: Mapping[str, Any] | None = None,
        ask: bool = False,
        timeout_hours: float = 24,
        **kwargs: Any,
    ) -> None:
        asked = {"subject": "Change over?", "defaults": self.REJECT, "response_timeout": timedelta(hours=24)}
        super().__init__(**{**asked, **kwargs})
        self.built = built
        self.evaluation = evaluation
        self.ask = ask
        self.timeout_hours = timeout_hours

    def execute(self, context: Context) -> None:
        """Puts the measures before a person."""
        if not self.ask:
            self.log.info("Nobody is to be asked.")
            return
        self.subject = f"Search {self.built['collection']} by {self.built['model']} from now on?"
        self.body = evaluation_markdown(self.built, self.evaluation)
        self.response_timeout = timedelta(hours=float(self.timeout_hours))
        super().execute(context)


class KnowledgeBaseSwitchEmbeddingsOperator(KnowledgeBaseOperator):
    """Changes a collection over to another model by one operation. If it is reverted, searches are by the one before.

    Gives the report: operation_id, position, model, previous_model, soak_until, texts, embedded, evaluation; and an event of
    the asset `published_knowledge`.

    :param model: the one that was built.
    :param collection: which; None: the installation's default.
    :param evaluation: what KnowledgeBaseCompareEmbeddingsOperator gave, to be kept with the operation.
    :param soak_days: how long the model before is kept up, so that going back finds all vectors.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = ("model", "collection", "evaluation", "soak_days", "agent", "message")
    operator_extra_links = (OperationLink(),)
    reads = True
    writes = True

    def __init__(
        self,
        *,
        model: str,
        collection: str | None = None,
        evaluation: Mapping[str, Any] | None = None,
        soak_days: float = 7,
        agent: str = "airflow",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"outlets": [PUBLISHED_KNOWLEDGE], **kwargs})
        self.model = model
        self.collection = collection
        self.evaluation = evaluation
        self.soak_days = soak_days
        self.agent = agent
        self.message = message
        self.datasets: list[dict[str, str]] = []

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Changes over. Raises UnknownCollection, ConfigurationError, WriteConflict."""
        self.datasets = []
        who = attribution(context, agent=self.agent, message=self.message)
        soak = timedelta(days=float(self.soak_days))
        done = kb.reembedding.switch(self.model, who, collection=self.collection, soak=soak, evaluation=self.evaluation)
        self.datasets = kb.operations.details(done.operation_id)["datasets"]
        self.facets = {"version": version_facet(done.position)}
        announce(context, done.operation_id, {"kind": "reembed", "position": done.position})
        self.log.info("%s is searched by %s, no more by %s.", done.collection, done.model, done.previous_model)
        return done.to_dict()

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The collection, known afterwards."""
        return self.datasets


def evaluation_markdown(built: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> str:
    """What somebody who is asked wants to know."""
    lines = [
        f"**{built['collection']}**: {built['texts']:,} texts have vectors of {built['model']} "
        f"({built['dimensions']} dimensions)."
    ]
    if built["cut"]:
        lines += ["", f"{built['cut']:,} of those embedded last are longer than the model sees."]
    if not evaluation:
        return "\n".join([*lines, "", "It was not compared with the model in use: there were no judged queries."])
    lines += ["", f"{evaluation['count']} queries of {evaluation['queries']}, {evaluation['mode']}:", ""]
    lines += ["| | before | after |", "|---|---|---|"]
    after = evaluation["after"]
    lines += [f"| {name} | {value:.4f} | {after[name]:.4f} |" for name, value in evaluation["before"].items()]
    return "\n".join([*lines, "", f"{evaluation['lost']} queries lost, {evaluation['gained']} gained."])
