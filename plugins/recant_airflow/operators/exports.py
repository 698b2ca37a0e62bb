"""Exports: files of what is seen, and keeping them right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from recant_airflow.operators.base import KnowledgeBaseOperator, attribution
from recant_airflow.operators.operation import open_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from recant.export import ExportRequest
    from recant.knowledge_base import KnowledgeBase


class KnowledgeBaseExportOperator(KnowledgeBaseOperator):
    """Writes an export into a folder, in the place of an earlier one, in one step.

    A retry goes on with the operation of the attempt before it. Skipped without a target.

    Gives the report: operation_id, artifact_id, target, position, format, rows, files, size_bytes, seconds.

    :param target: an absolute path on the worker.
    :param tables: names of tables; None: documents and chunks.
    :param collection: None: the installation's default; `*`: all.
    :param format: `csv` or `parquet`.
    :param compression: `none`, `gzip` or `zstd`; None: none for CSV, zstd for Parquet.
    :param as_of: a position, a tag or a time; None: now.
    :param filters: as for a search: values by key.
    :param where: as for a search: a text; beside `filters`, both must hold.
    :param written_by: agents; only what they wrote.
    :param columns: lists of columns by table.
    :param vectors: the chunks' vectors as well.
    :param rows_per_file: None: one file a table.
    :param protect_formulas: CSV: make texts harmless that a spreadsheet takes for formulas.
    :param follow: whether refreshing makes it again when something was published since.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = (
        "target",
        "tables",
        "collection",
        "format",
        "compression",
        "as_of",
        "filters",
        "where",
        "written_by",
        "columns",
        "vectors",
        "rows_per_file",
        "protect_formulas",
        "follow",
        "agent",
        "message",
    )
    reads = True
    writes = True

    def __init__(
        self,
        *,
        target: str | None,
        tables: Sequence[str] | None = None,
        collection: str | None = None,
        format: str = "csv",
        compression: str | None = None,
        as_of: str | int | None = None,
        filters: Mapping[str, Any] | None = None,
        where: str | None = None,
        written_by: Sequence[str] | None = None,
        columns: Mapping[str, Sequence[str]] | None = None,
        vectors: bool = False,
        rows_per_file: int | None = None,
        protect_formulas: bool = True,
        follow: bool = False,
        agent: str = "airflow",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.tables = tables
        self.collection = collection
        self.format = format
        self.compression = compression
        self.as_of = as_of
        self.filters = filters
        self.where = where
        self.written_by = written_by
        self.columns = columns
        self.vectors = vectors
        self.rows_per_file = rows_per_file
        self.protect_formulas = protect_formulas
        self.follow = follow
        self.agent = agent
        self.message = message
        self.datasets: list[dict[str, str]] = []

    def work(self, kb: KnowledgeBase, context: Context) -> dict[str, Any]:
        """Exports; the report is the XCom."""
        self.datasets = []
        if not self.target:
            raise AirflowSkipException("No folder is named: there is nothing to export.")
        writer = attribution(context, agent=self.agent, message=self.message)
        report = kb.exports.write(self.request(kb), writer, open_key=open_key(context)).to_dict()
        self.datasets = kb.operations.details(report["operation_id"])["datasets"]
        self.log.info("%s holds what was seen at position %s: %s", self.target, report["position"], report["rows"])
        return report

    def request(self, kb: KnowledgeBase) -> ExportRequest:
        """What the form asks for. Raises UsageError."""
        from recant.export import DEFAULT_TABLES, ExportRequest
        from recant.search.filters import both

        collection = self.collection or kb.settings.collection
        return ExportRequest(
            target=str(self.target),
            tables=tuple(name for name in self.tables or () if name) or DEFAULT_TABLES,
            collection=None if collection == "*" else collection,
            format=self.format,
            compression=self.compression or ("zstd" if self.format == "parquet" else "none"),
            as_of=kb.position_of(self.as_of) if self.as_of not in (None, "") else None,
            filters=both(self.filters, *([self.where] if self.where else [])),
            agents=tuple(agent for agent in self.written_by or () if agent),
            columns={table: tuple(names) for table, names in (self.columns or {}).items()},
            vectors=self.vectors,
            rows_per_file=self.rows_per_file,
            protect_formulas=self.protect_formulas,
            follow=self.follow,
        )

    def lineage_datasets(self) -> Iterable[Mapping[str, str]]:
        """The collections read and the folder written, known afterwards."""
        return self.datasets


class KnowledgeBaseRefreshExportsOperator(KnowledgeBaseOperator):
    """Makes exports again that hold something withdrawn or erased, and those that follow the knowledge and are behind.

    One that fails doesn't keep the others from being made; the task fails afterwards, and a retry tries what is left.

    Gives `[{"target", "reason", "report", "error"}, …]`, empty where every export holds what it should.

    :param only_stale: leave those alone that are only behind.
    :param unless: skipped where this is something: the folder of an export that the same run makes.
    :param agent: who asks.
    :param message: why.
    """

    template_fields: Sequence[str] = ("only_stale", "unless", "agent", "message")

    def __init__(
        self,
        *,
        only_stale: bool = False,
        unless: str | None = None,
        agent: str = "airflow",
        message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.only_stale = only_stale
        self.unless = unless
        self.agent = agent
        self.message = message

    def work(self, kb: KnowledgeBase, context: Context) -> list[dict[str, Any]]:
        """Refreshes; what was made is the XCom."""
        if self.unless:
            raise AirflowSkipException(f"This run is for {self.unless} alone.")
        writer = attribution(context, agent=self.agent, message=self.message)
        done = [one.to_dict() for one in kb.exports.refresh(writer, only_stale=self.only_stale)]
        for one in done:
            self.log.info("%s was %s: %s", one["target"], one["reason"], one["error"] or "made again")
        if failed := [one["target"] for one in done if one["error"]]:
            context["ti"].xcom_push("failed", failed)
            raise AirflowException(f"Could not be made again: {', '.join(failed)}. The log says why.")
        return done
