"""Large fans as one box: boxes of one group that lead from the same boxes are drawn as one stack.

From the beginning of the arrows on, so that a fan behind a fan folds too. The page of `html` folds by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from recant.drawing.layering import layers_of
from recant.drawing.picture import Arrow, Box, Picture

FAN = 6
"""So many alike are folded; fewer stay."""


def fold(picture: Picture, fan: int = FAN) -> Picture:
    """The picture with fans of `fan` boxes or more folded."""
    stacks = stacks_of(picture, fan)
    if not stacks:
        return picture
    inside = {member: stack.id for stack in stacks.values() for member in stack.members}
    first = {stack.members[0]: stack for stack in stacks.values()}
    boxes = [first.get(box.id, box) for box in picture.boxes if box.id not in inside or box.id in first]
    return replace(picture, boxes=boxes, arrows=_bundled(picture.drawn_arrows, inside))


def stacks_of(picture: Picture, fan: int = FAN) -> dict[str, Box]:
    """The stacks by id."""
    boxes = {box.id: box for box in picture.boxes}
    before: dict[str, set[str]] = {box: set() for box in boxes}
    for arrow in picture.drawn_arrows:
        if arrow.source != arrow.target:
            before[arrow.target].add(arrow.source)
    inside: dict[str, str] = {}
    found: dict[str, Box] = {}
    for layer in layers_of(list(boxes), [(a.source, a.target) for a in picture.drawn_arrows]):
        for (group, _), members in _alike(layer, boxes, before, inside).items():
            if group and len(members) >= fan:
                stack = _stack(group, [boxes[m] for m in members])
                found[stack.id] = stack
                inside |= dict.fromkeys(members, stack.id)
    return found


def _alike(
    layer: Sequence[str], boxes: Mapping[str, Box], before: Mapping[str, set[str]], inside: Mapping[str, str]
) -> dict[tuple[str, frozenset[str]], list[str]]:
    """Boxes of a layer by their group, their tone and what leads to them."""
    found: dict[tuple[str, frozenset[str]], list[str]] = {}
    for box in layer:
        where_from = frozenset(inside.get(b, b) for b in before[box])
        tone = frozenset({f"tone:{boxes[box].tone}"})
        found.setdefault((boxes[box].group, where_from | tone), []).append(box)
    return found


def _stack(group: str, members: Sequence[Box]) -> Box:
    return Box(
        id=f"stack:{members[0].id}",
        label=f"{len(members):,} × {group}",
        detail=f"{members[0].label} … {members[-1].label}",
        shape="stack",
        tone=members[0].tone,
        members=tuple(member.id for member in members),
    )


def _bundled(arrows: Sequence[Arrow], inside: Mapping[str, str]) -> list[Arrow]:
    """One arrow between two ends, with the number of those that each of its labels stands for."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    solid: set[tuple[str, str]] = set()
    for arrow in arrows:
        ends = (inside.get(arrow.source, arrow.source), inside.get(arrow.target, arrow.target))
        if ends[0] != ends[1]:
            labels = found.setdefault(ends, {})
            labels[arrow.label] = labels.get(arrow.label, 0) + 1
            solid |= set() if arrow.dashed else {ends}
    return [Arrow(*ends, _together(labels), ends not in solid) for ends, labels in found.items()]


def _together(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{label} ×{n:,}" if n > 1 else label for label, n in labels.items() if label)
