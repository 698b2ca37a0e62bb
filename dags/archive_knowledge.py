"""### Keeps archives of what is known, in HDF5 files

Every morning at three (UTC) the archives that hold what was taken back or erased since are written again, as they were
asked for, without it; and those that lack what was redone, with it. So a rollback reaches the files within a day, and an
erasure too.

Triggered with a `path`, it makes an archive there first: what is seen of a collection (documents, texts, metadata, vectors,
their log), or with *history* every version, also what was superseded or taken back. As of now, or as of a position, a tag
or a time. The file takes the place of one that was there, whole or not at all.

Files are written on the worker: give a folder that all of them share, and that outlives them.

`recant archive query` searches such a file where it lies, `recant archive restore` writes it back, into this installation or
another. Any program that reads HDF5 can read it: the format is in docs/reference/archive-format.md.
"""

from airflow.sdk import DAG, CronTriggerTimetable, Param

from recant_airflow import parameters
from recant_airflow.ingestion_flow import RETRIES
from recant_airflow.operators.archives import KnowledgeBaseArchiveOperator, KnowledgeBaseRewriteArchivesOperator

with DAG(
    dag_id="archive_knowledge",
    description="Writes archives in HDF5, and those again that hold what was taken back or erased",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "recant", **RETRIES},
    tags=["recant", "storage"],
    params={
        "path": parameters.optional_text(
            "File",
            "An archive to make: absolute path on the worker, in a folder that is there. Empty: none is made.",
            pattern="^(/.*)?$",
            maxLength=2000,
        ),
        "collection": parameters.optional_text(
            "Collection", "What to archive. Empty: the installation's default.", pattern=parameters.COLLECTION
        ),
        "holds": Param(
            "seen",
            type="string",
            enum=["seen", "history"],
            values_display={
                "seen": "seen: what was seen at the moment",
                "history": "history: every version published until then, seen or not",
            },
            title="Holds",
            description="A history is larger, and can be restored by operation.",
        ),
        "at": parameters.optional_text(
            "As of", "A position, a tag, or a time (2026-11-21T08:00Z). Empty: now.", maxLength=100
        ),
        "first_position": parameters.position("From position", "Of a history: only what was published from there on."),
        "compression": Param(
            "gzip",
            type="string",
            enum=["gzip", "lzf", "none"],
            title="Compression",
            description="gzip is smallest, none is fastest; every HDF5 library reads gzip and none, lzf is h5py's.",
        ),
        "level": Param(
            4, type="integer", minimum=1, maximum=9, title="Level", description="Of gzip: 1 is fast, 9 is small."
        ),
        "rewrite": Param(
            ["stale", "erased"],
            type="array",
            items={"type": "string", "enum": ["stale", "erased"]},
            title="Write again",
            description="Afterwards, write those again that hold what is hidden now or lack what is seen (stale), or hold what "
            "was erased. None: leave them.",
        ),
        "agent": parameters.agent_param("airflow"),
        "message": parameters.message_param("operation"),
    },
) as dag:
    made = KnowledgeBaseArchiveOperator(
        task_id="create_archive",
        path=dag.param("path"),
        collection=dag.param("collection"),
        at=dag.param("at"),
        holds=dag.param("holds"),
        first_position=dag.param("first_position"),
        compression=dag.param("compression"),
        level=dag.param("level"),
        agent=dag.param("agent"),
        message=dag.param("message"),
    )
    again = KnowledgeBaseRewriteArchivesOperator(
        task_id="rewrite_archives",
        states=dag.param("rewrite"),
        agent=dag.param("agent"),
        message=dag.param("message"),
        trigger_rule="none_failed",
    )
    made >> again
