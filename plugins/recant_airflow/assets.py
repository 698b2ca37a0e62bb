"""The one place where assets are defined: an asset under two names would fail the task that produces it."""

from airflow.sdk import Asset

PUBLISHED_KNOWLEDGE = Asset(
    name="published_knowledge",
    uri="recant://published/knowledge",
    group="recant",
    extra={"partitioned_by": "operation"},
)
"""What is seen has changed: an event for each operation published or withdrawn, the operation's id being its partition.

Consume it with `schedule=PartitionedAssetTimetable(assets=PUBLISHED_KNOWLEDGE)`: one run for each operation, whose id is
`dag_run.partition_key`. A DAG that produces it has `schedule=PartitionedAtRuntime()`.
"""
