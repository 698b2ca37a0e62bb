"""An answer of lineage as a picture: what holds something, what did something, and what leads to what."""

from __future__ import annotations

from typing import Any

from recant.drawing import Arrow, Box, Picture
from recant.lineage.graph import DatasetNode, JobNode, LineageGraph, OperationNode

_RELATIONS = {"read": "", "wrote": ""}
"""What needs no word: the arrow says it."""


def picture_of(graph: LineageGraph, title: str | None = None) -> Picture:
    """Operations or jobs, datasets and artifacts. Hidden operations are pale, aborted and possible ones red; the start stands out."""
    starts = set(graph.start_nodes)
    boxes = [_dataset_box(node, starts) for node in graph.datasets]
    boxes += [_operation_box(node, starts) for node in graph.operations]
    boxes += [_job_box(node, starts) for node in graph.jobs]
    boxes += [_artifact_box(artifact) for artifact in graph.artifacts]
    footnotes = ("There is more than is shown: what is nearest was kept.",) if graph.truncated else ()
    return Picture(title or title_of(graph), boxes, _arrows(graph), _subtitle(graph), footnotes)


def title_of(graph: LineageGraph) -> str:
    """What was asked."""
    way = {"up": "Upstream of", "down": "Downstream of", "both": "Lineage of"}[graph.direction]
    return f"{way} {start_text(graph.start)}" if graph.start else "All datasets and jobs"


def start_text(start: dict[str, Any]) -> str:
    """Where the question starts, in words."""
    named = {name: value for name, value in start.items() if name != "jobs"}
    if "dataset" in named:
        return f"dataset {named['dataset']['name']}"
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _subtitle(graph: LineageGraph) -> str:
    depth = f", at most {graph.depth} hops" if graph.depth else ""
    return f"as of position {graph.position:,}{depth}"


def _dataset_box(node: DatasetNode, starts: set[str]) -> Box:
    label = node.collection or node.name
    what = "collection" if node.collection else node.namespace
    return Box(
        node.node_id,
        label,
        what,
        shape="cylinder",
        tone="start" if node.node_id in starts else "plain",
        group=f"dataset in {node.namespace}",
        notes=(f"dataset {node.name}", f"namespace {node.namespace}"),
        link=node.marquez_url,
    )


def _operation_box(node: OperationNode, starts: set[str]) -> Box:
    hidden = node.state in ("reverted", "quarantined")
    doubtful = node.state == "aborted" or node.certainty == "possible"
    tone = "faded" if hidden else "warning" if doubtful else "plain"
    where = f" of {node.dag_id}.{node.task_id}" if node.dag_id else ""
    state = "" if node.state == "published" else f", {node.state}"
    state += ", possible" if node.certainty == "possible" else ""
    return Box(
        node.node_id,
        f"{node.kind} {node.operation_id}",
        f"{node.agent}{state}",
        shape="round",
        tone="start" if node.node_id in starts and tone == "plain" else tone,
        group=f"{node.kind}{where}{state}",
        notes=_operation_notes(node),
        link=node.marquez_url,
    )


def _operation_notes(node: OperationNode) -> tuple[str, ...]:
    told = {
        "position": node.position,
        "published": node.published_at,
        "collection": node.collection,
        "session": node.session,
        "run": node.run_id,
        "DAG": node.dag_id,
        "task": node.task_id,
        "withheld records": node.withheld_records or None,
        "documents": ", ".join(node.records) or None,
        "message": node.message or None,
    }
    return tuple(f"{name}: {value}" for name, value in told.items() if value is not None)


def _job_box(node: JobNode, starts: set[str]) -> Box:
    hidden = f", {node.hidden:,} hidden" if node.hidden else ""
    unpublished = f", {node.unpublished:,} unpublished" if node.unpublished else ""
    possible = f", {node.possible:,} possible" if node.possible else ""
    gone = node.hidden + node.unpublished == node.runs
    return Box(
        node.node_id,
        node.job,
        f"{node.runs:,} run{'s' if node.runs != 1 else ''}{hidden}{unpublished}{possible}",
        shape="round",
        tone="start" if node.node_id in starts else "faded" if gone else "plain",
        group=node.kind,
        notes=(f"last position: {node.last_position}", f"agents: {', '.join(node.agents)}"),
        link=node.marquez_url,
    )


def _artifact_box(artifact: dict[str, Any]) -> Box:
    state = str(artifact.get("state", ""))
    tone = "plain" if state in ("", "current") else "warning"
    notes = tuple(f"{name}: {value}" for name, value in artifact.items() if isinstance(value, str | int))
    return Box(f"artifact:{artifact['artifact_id']}", str(artifact["path"]), state, "box", tone, "file", notes)


def _arrows(graph: LineageGraph) -> list[Arrow]:
    """One for each pair of nodes, with all that ties them; dashed where nothing of it is definite."""
    labels: dict[tuple[str, str], list[str]] = {}
    definite: set[tuple[str, str]] = set()
    for edge in graph.edges:
        word = _RELATIONS.get(edge.relation, edge.relation)
        count = f"×{edge.count:,}" if edge.count > 1 else ""
        definite |= {(edge.source, edge.target)} if edge.certainty == "definite" else set()
        labels.setdefault((edge.source, edge.target), []).append(f"{word} {count}".strip())
    return [Arrow(*ends, ", ".join(filter(None, words)), ends not in definite) for ends, words in labels.items()]
