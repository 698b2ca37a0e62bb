"""Graphviz text: `dot -Tsvg` and everything that reads DOT."""

from __future__ import annotations

from recant.drawing.picture import Arrow, Box, Picture, one_line

_SHAPES = {"box": "box", "round": "box", "cylinder": "cylinder", "stack": "box3d"}
_TONES = {
    "plain": 'color="#4b5563"',
    "start": 'color="#b7791f", fillcolor="#fff4d6", penwidth=2',
    "faded": 'color="#9ca3af", fillcolor="#f3f4f6", fontcolor="#6b7280"',
    "warning": 'color="#c53030", fillcolor="#fdecea"',
}


def to_dot(picture: Picture) -> str:
    """A digraph from left to right."""
    names = {box.id: f"n{number}" for number, box in enumerate(picture.boxes)}
    lines = [
        "digraph lineage {",
        f"  graph [rankdir=LR, label={_quoted(picture.title)}, labelloc=t, fontname=Helvetica];",
        "  node [fontname=Helvetica, fontsize=11, style=filled, fillcolor=white, shape=box];",
        '  edge [fontname=Helvetica, fontsize=9, color="#6b7280"];',
    ]
    lines += [f"  {names[box.id]} [{_attributes(box)}];" for box in picture.boxes]
    lines += [f"  {names[a.source]} -> {names[a.target]}{_line(a)};" for a in picture.drawn_arrows]
    return "\n".join([*lines, "}"]) + "\n"


def _attributes(box: Box) -> str:
    lines = [line for line in (one_line(box.label), one_line(box.detail)) if line]
    styles = ["filled"] + ["rounded"] * (box.shape == "round") + ["dashed"] * (box.tone == "faded")
    told = [f"label={_quoted(*lines)}", f"shape={_SHAPES[box.shape]}", f'style="{",".join(styles)}"', _TONES[box.tone]]
    if box.notes:
        told.append(f"tooltip={_quoted(*box.notes)}")
    if box.address:
        told.append(f"URL={_quoted(box.address)}")
    return ", ".join(told)


def _line(arrow: Arrow) -> str:
    told = [f"label={_quoted(arrow.label)}"] if arrow.label else []
    told += ["style=dashed"] if arrow.dashed else []
    return f" [{', '.join(told)}]" if told else ""


def _quoted(*lines: str) -> str:
    """A string of DOT: quotes and backslashes escaped, lines apart by `\\n`. `&` would begin an entity."""
    escaped = (one_line(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines)
    return '"' + "\\n".join(escaped) + '"'
