"""`lineage show` and `lineage failure`: what was built on what, and how far a failure reaches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from recant.cli import moments
from recant.cli.flags import JsonFlag
from recant.cli.output import Output, kinds
from recant.cli.pictures import Drawing
from recant.cli.services import settings
from recant.cli.trees import show_graph
from recant.errors import UsageError

if TYPE_CHECKING:
    from recant.knowledge_base import KnowledgeBase
    from recant.lineage.failure import FailureRadius
    from recant.lineage.graph import LineageGraph

PANEL = "Where to start (none: every dataset and every job)"


class Level(StrEnum):
    """One line an operation, or one a job."""

    runs = "runs"
    jobs = "jobs"


@dataclass(frozen=True, slots=True)
class Beginning:
    """The flags that say where a question starts."""

    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A collection, a path, an address, or any dataset's name.", rich_help_panel=PANEL
        ),
    ] = None
    document: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="A document, by its source.", rich_help_panel=PANEL)
    ] = None
    operation: Annotated[int | None, typer.Option(metavar="OP", help="An operation.", rich_help_panel=PANEL)] = None
    position: Annotated[
        int | None, typer.Option(metavar="N", help="What was published at a position.", rich_help_panel=PANEL)
    ] = None
    run: Annotated[
        str | None, typer.Option(metavar="ID", help="A run: Airflow's id or OpenLineage's.", rich_help_panel=PANEL)
    ] = None
    dag: Annotated[str | None, typer.Option(metavar="DAG", help="All runs of a DAG.", rich_help_panel=PANEL)] = None
    task: Annotated[str | None, typer.Option(metavar="DAG.TASK", help="All runs of a task.", rich_help_panel=PANEL)] = (
        None
    )

    @property
    def given(self) -> dict[str, Any]:
        """Those that were used."""
        names = ("dataset", "document", "operation", "position", "run", "dag", "task")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "document" in found:
            from recant.ingestion.origin import named_source

            found["document"] = named_source(found["document"])
        return found


UpFlag = Annotated[bool, typer.Option("--up", help="Only what it was built on.")]
DownFlag = Annotated[bool, typer.Option("--down", help="Only what was built on it.")]
DepthFlag = Annotated[int | None, typer.Option(metavar="HOPS", min=1, help="So many hops. Default: all.")]
AsOfFlag = Annotated[
    str | None, typer.Option("--as-of", metavar=moments.METAVAR, help=f"As it was then. {moments.HELP}")
]
LevelFlag = Annotated[
    Level | None,
    typer.Option(
        help="A line for each operation, or for each job. Default: jobs of a dataset, DAG or task, else runs."
    ),
]
LimitFlag = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many operations each way, the nearest.")
]


def show(
    beginning: Beginning,
    drawing: Drawing,
    up: UpFlag = False,
    down: DownFlag = False,
    depth: DepthFlag = None,
    as_of: AsOfFlag = None,
    level: LevelFlag = None,
    limit: LimitFlag = 1_000,
    definite: Annotated[
        bool, typer.Option("--definite", help="Leave out what a session wrote after it was merely shown something.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Show what was built on what, and who reads and writes which dataset."""
    import recant

    output, form = Output(json), drawing.form(as_json=json)
    moments.note_zone(output, "--as-of", as_of)
    direction: Literal["up", "down", "both"] = "both" if up == down else "up" if up else "down"
    with recant.connect(settings=settings()) as kb:
        options = {"direction": direction, "depth": depth, "as_of": as_of, "possible": not definite}
        graph = _graph(kb, beginning.given, level, limit, options)
    if json:
        output.document(graph.to_dict())
    elif form:
        from recant.lineage.pictures import picture_of

        drawing.write(output, picture_of(graph), form)
    else:
        show_graph(output, graph)


def failure(
    drawing: Drawing,
    run: Annotated[str | None, typer.Option(metavar="ID", help="A run: Airflow's id or OpenLineage's.")] = None,
    dag: Annotated[str | None, typer.Option(metavar="DAG", help="All runs of a DAG, or that one run of it.")] = None,
    task: Annotated[str | None, typer.Option(metavar="DAG.TASK", help="All runs of a task, or that one.")] = None,
    as_of: AsOfFlag = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="Name at most so many.")] = 100,
    json: JsonFlag = False,
) -> None:
    """Show how far a run, task or DAG that failed or was bad reaches: what was built on it, and who reads what it writes."""
    import recant

    output, form = Output(json), drawing.form(as_json=json)
    moments.note_zone(output, "--as-of", as_of)
    with recant.connect(settings=settings()) as kb:
        radius = kb.lineage.get_failure_blast_radius(dag=dag, task=task, run=run, as_of=as_of, limit=limit)
    if json:
        output.document(radius.to_dict())
    elif form:
        from recant.lineage.pictures import picture_of, start_text

        drawing.write(output, picture_of(radius.graph, f"Reach of {start_text(radius.graph.start)}"), form)
    else:
        _show_failure(output, radius)


def _graph(
    kb: KnowledgeBase, given: dict[str, Any], level: Level | None, limit: int, options: dict[str, Any]
) -> LineageGraph:
    from recant.lineage import Start

    if not given:
        if level is Level.runs or options["depth"] or options["direction"] != "both":
            raise UsageError("Say where to start: --dataset --document --operation --position --run --dag --task")
        return kb.lineage.overview(as_of=options["as_of"])
    start = Start(**given)
    by_job = given.keys() <= {"dataset", "dag", "task"}
    if level is Level.jobs or (level is None and by_job):
        return kb.lineage.jobs(start, **options)
    return kb.lineage.trace(start, limit=limit, **options)


def _show_failure(output: Output, radius: FailureRadius) -> None:
    from recant.lineage.pictures import start_text

    what = start_text(radius.graph.start)
    output.print(
        f"{what}: {_states(radius.own_operations, radius.own_states)}, as of position {radius.graph.position:,}."
    )
    if radius.records:
        output.print(f"Seen, from it or from what was built on it: {kinds(radius.records)}.")
    output.print(f"Built on it: {_states(radius.operations, radius.states)}.")
    if radius.possible_operations:
        possible = _states(radius.possible_operations, radius.possible_states)
        output.print(f"Possibly, as sessions were shown it before they wrote: {possible}.")
    if radius.nearest:
        columns = ["operation#", "hops#", "state", "kind", "agent", "DAG", "collection"]
        output.table(columns, [_operation(node) for node in radius.nearest])
        if len(radius.nearest) < radius.operations:
            output.print(f"… and {radius.operations - len(radius.nearest):,} more: --limit says how many are named.")
    if radius.dags:
        rows = [[d["dag_id"], d["operations"], d["hidden"], ", ".join(d["tasks"])] for d in radius.dags]
        output.table(["DAG", "operations#", "hidden#", "tasks"], rows, title="DAGs that built on it")
    if radius.readers:
        rows = [[job.job, job.dag_id, job.runs, job.last_position] for job in radius.readers]
        output.table(
            ["job", "DAG", "runs#", "last position#"], rows, title="Jobs that read what it writes, or from these"
        )
    if radius.datasets:
        rows = [[d["name"], d["namespace"], d["written_by"]] for d in radius.datasets]
        output.table(["dataset", "namespace", "written by"], rows, title="Datasets")
    if radius.artifacts:
        rows = [[a["artifact_id"], a["kind"], a["state"], a["path"]] for a in radius.artifacts]
        output.table(["artifact#", "kind", "state", "path"], rows, title="Files that hold any of it")


def _operation(node: Any) -> list[object]:
    return [node.operation_id, node.distance, node.state, node.kind, node.agent, node.dag_id, node.collection]


def _states(count: int, states: dict[str, int]) -> str:
    told = ", ".join(f"{n:,} {state}" for state, n in states.items())
    return f"{count:,} operation{'s' if count != 1 else ''}{f' ({told})' if told else ''}"
