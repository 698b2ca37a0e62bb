"""### What is known, as CSV or Parquet files

**Triggered with a folder**: writes what is seen (now, or at a position, tag or time) into it, one file a table and a manifest with
row counts, checksums and the position. An earlier export there is replaced in one step; a folder that holds anything else is
left alone. The export is an operation, with the files in its lineage.

**Every night at 03:30 (UTC), and triggered without a folder**: makes exports again that hold something that was taken back or
erased, and those with `follow` that are behind what was published. `refresh_exports` does the same after each publish and each
rollback.

Texts that a spreadsheet would take for formulas get an apostrophe in front, unless `protect_formulas` is off.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.exports import KnowledgeBaseExportOperator, KnowledgeBaseRefreshExportsOperator

TABLES = ["documents", "chunks", "scores", "operations", "feedback", "dependencies", "rejections", "checks", "searches"]

with DAG(
    dag_id="export_knowledge",
    description="Writes what is seen as CSV or Parquet files, and keeps exports right",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "export"],
    params={
        "target": parameters.optional_text(
            "Folder",
            "Absolute path on the worker: a new folder, or that of an earlier export. Empty: exports that are there are refreshed.",
            pattern="^(/.*)?$",
            maxLength=4000,
        ),
        "tables": Param(
            ["documents", "chunks"],
            type="array",
            items={"type": "string", "enum": TABLES},
            examples=TABLES,
            minItems=1,
            uniqueItems=True,
            title="Tables",
            description="What is written, a file each: " + ", ".join(TABLES) + ".",
        ),
        "collection": parameters.optional_text(
            "Collection",
            "Of which; * for all. Empty: the installation's default.",
            pattern=rf"^$|^\*$|{parameters.COLLECTION}",
        ),
        "format": Param(
            "csv", type="string", enum=["csv", "parquet"], title="Format", description="What the files are."
        ),
        "compression": Param(
            None,
            type=["null", "string"],
            enum=[None, "none", "gzip", "zstd"],
            title="Compression",
            description="How they are packed. Empty: none for CSV, zstd for Parquet.",
        ),
        "as_of": parameters.optional_text(
            "As of", "A position, a tag, or a time. Empty: what is seen now.", maxLength=200
        ),
        "filters": Param(
            {},
            type="object",
            title="Filters",
            description='Only documents and chunks with these values, as for a search: {"doc_type": "readme"}.',
        ),
        "where": parameters.optional_text(
            "Where",
            'The same as a text: doc_type = "adr" and year >= 2024. Beside filters, both must hold.',
            maxLength=4000,
        ),
        "written_by": parameters.condition("Written by", "Only what these agents wrote, one a line."),
        "columns": Param(
            {},
            type="object",
            propertyNames={"enum": TABLES},
            additionalProperties={"type": "array", "items": {"type": "string"}, "minItems": 1},
            title="Columns",
            description='Columns of a table, in this order: {"chunks": ["source", "text"]}. Empty: the usual ones.',
        ),
        "vectors": Param(False, type="boolean", title="Vectors", description="The chunks' vectors as well."),
        "rows_per_file": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Rows per file",
            description="Cuts tables into files of so many rows. Empty: one file a table.",
        ),
        "protect_formulas": Param(
            True,
            type="boolean",
            title="Protect from formulas",
            description="CSV: an apostrophe before texts that a spreadsheet would take for formulas.",
        ),
        "follow": Param(
            False,
            type="boolean",
            title="Follow",
            description="Make it again, at night and after each publish, when something was published since.",
        ),
        "agent": parameters.agent_param("airflow"),
        "message": parameters.message_param("operation"),
    },
) as dag:
    KnowledgeBaseExportOperator(task_id="export", **{name: dag.param(name) for name in dag.params})
    KnowledgeBaseRefreshExportsOperator(
        task_id="refresh", unless=dag.param("target"), agent=dag.param("agent"), message=dag.param("message")
    )
