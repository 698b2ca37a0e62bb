"""An answer of lineage as a tree: drawn on a terminal, indented text in a pipe. Every node once, where it is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recant.cli.output import Output, local_time, printable

if TYPE_CHECKING:
    from rich.tree import Tree

    from recant.lineage.graph import DatasetNode, JobNode, LineageGraph, OperationNode

LONGEST_FAN = 20
"""Children of one node that are listed; of more, that many and their number."""
DEEPEST = 60
_STYLES = {"reverted": "yellow", "quarantined": "magenta", "aborted": "red", "open": "cyan", "start": "bold"}


@dataclass(slots=True)
class Branch:
    """One line, and what hangs from it."""

    text: str
    style: str = ""
    children: list[Branch] = field(default_factory=list)


def show_graph(output: Output, graph: LineageGraph) -> None:
    """The start, what it was built on, and what was built on it; the whole map from what nothing leads to."""
    from recant.lineage.pictures import title_of

    output.print(f"{title_of(graph)}, as of position {graph.position:,}")
    for heading, branches in _sections(graph):
        if branches:
            output.print("", *[heading] * bool(heading))
            _show(output, branches)
    if not graph.edges and len(graph.operations) + len(graph.jobs) <= 1:
        output.print("Nothing else is tied to it." if graph.start else "Nothing was written yet.")
    if graph.truncated:
        output.print("", "There is more: --limit says how many operations are shown each way.")


def _sections(graph: LineageGraph) -> list[tuple[str, list[Branch]]]:
    forward: dict[str, dict[str, str]] = {}
    backward: dict[str, dict[str, str]] = {}
    for edge in graph.edges:
        word = edge.relation + (f" ×{edge.count:,}" if edge.count > 1 else "")
        word += " before it wrote" if edge.relation == "shown" else ""
        for map_, a, b in ((forward, edge.source, edge.target), (backward, edge.target, edge.source)):
            known = map_.setdefault(a, {})
            known[b] = f"{known[b]}, {word}" if b in known else word
    lines = _lines(graph)
    if not graph.start:
        roots = [node for node in lines if node not in backward] or list(lines)
        rest = [node for node in lines if node not in roots]
        return [("", _grown([*roots, *rest], forward, lines, every=False))]
    starts = graph.start_nodes
    up = _grown(starts, backward, lines) if graph.direction != "down" else []
    down = _grown(starts, forward, lines) if graph.direction != "up" else []
    return [("What it was built on, upstream:", up), ("What was built on it, downstream:", down)]


def _grown(
    starts: Sequence[str], ahead: dict[str, dict[str, str]], lines: dict[str, tuple[str, str]], *, every: bool = True
) -> list[Branch]:
    """Trees from these, breadth first, so that each node hangs where it is nearest. `every`: also starts that are met."""
    found: dict[str, Branch] = {}
    roots: list[Branch] = []
    for start in starts:
        if start in found:
            continue
        root = found[start] = Branch(*lines[start])
        roots.append(root)
        frontier = [start]
        if every:
            continue
        _grow(frontier, ahead, lines, found)
    if every:
        _grow(list(found), ahead, lines, found)
    return roots


def _grow(
    frontier: list[str], ahead: dict[str, dict[str, str]], lines: dict[str, tuple[str, str]], found: dict[str, Branch]
) -> None:
    while frontier:
        next_: list[str] = []
        for node in frontier:
            for child, relation in ahead.get(node, {}).items():
                if child not in found:
                    text, style = lines[child]
                    found[child] = Branch(f"{relation}  {text}", style)
                    found[node].children.append(found[child])
                    next_.append(child)
        frontier = next_


def _lines(graph: LineageGraph) -> dict[str, tuple[str, str]]:
    starts = set(graph.start_nodes) if graph.start else set()
    lines = {node.node_id: _dataset(node) for node in graph.datasets}
    lines |= {node.node_id: _operation(node) for node in graph.operations}
    lines |= {node.node_id: _job(node) for node in graph.jobs}
    for artifact in graph.artifacts:
        lines[f"artifact:{artifact['artifact_id']}"] = (f"file {artifact['path']} ({artifact['state']})", "")
    return {node: (text, style or ("bold" if node in starts else "")) for node, (text, style) in lines.items()}


def _dataset(node: DatasetNode) -> tuple[str, str]:
    return (f"collection {node.collection}" if node.collection else f"{node.name}  ({node.namespace})"), "cyan"


def _operation(node: OperationNode) -> tuple[str, str]:
    parts = [f"{node.kind} {node.operation_id}", f"by {node.agent}"]
    parts += [f"in {node.dag_id}.{node.task_id}"] if node.dag_id else []
    parts += [f"position {node.position:,}, {local_time(node.published_at)}"] if node.position else []
    parts += [node.state.upper()] if node.state != "published" else []
    parts += ["POSSIBLE"] if node.certainty == "possible" else []
    parts += [f"{node.withheld_records:,} records withheld"] if node.withheld_records else []
    parts += [f"of it: {', '.join(node.records[:3])}{' …' if len(node.records) > 3 else ''}"] if node.records else []
    return "  ".join(parts), _STYLES.get(node.state, "")


def _job(node: JobNode) -> tuple[str, str]:
    parts = [f"{node.runs:,} run{'s' if node.runs != 1 else ''}"]
    parts += [f"{node.hidden:,} hidden"] if node.hidden else []
    parts += [f"{node.unpublished:,} not published"] if node.unpublished else []
    parts += [f"{node.possible:,} possible"] if node.possible else []
    parts += [f"last at position {node.last_position:,}"] if node.last_position else []
    return f"{node.job}  ({', '.join(parts)})", "yellow" if node.hidden == node.runs else ""


def _show(output: Output, branches: list[Branch]) -> None:
    if output.console.is_terminal:
        for tree in _drawn(branches):
            output.print(tree)
        return
    todo = [(branch, 0) for branch in reversed(branches)]
    lines = []
    while todo:
        branch, depth = todo.pop()
        lines.append("  " * min(depth, DEEPEST) + " ".join(branch.text.split("\n")))
        todo += [(child, depth + 1) for child in reversed(_cut(branch.children))]
    output.print("\n".join(lines))


def _drawn(branches: list[Branch]) -> list[Tree]:
    """Deeper than DEEPEST a tree is wider than any terminal: from there on it isn't indented further."""
    from rich.text import Text
    from rich.tree import Tree

    roots = [Tree(Text(printable(branch.text), style=branch.style)) for branch in branches]
    todo = [(branch, root, 0) for branch, root in zip(branches, roots, strict=True)]
    while todo:
        branch, tree, depth = todo.pop()
        for child in _cut(branch.children):
            added = tree.add(Text(printable(child.text), style=child.style))
            todo.append((child, added if depth < DEEPEST else tree, depth + 1))
    return roots


def _cut(children: list[Branch]) -> list[Branch]:
    if len(children) <= LONGEST_FAN:
        return children
    return [*children[:LONGEST_FAN], Branch(f"… and {len(children) - LONGEST_FAN:,} more like these", "dim")]
