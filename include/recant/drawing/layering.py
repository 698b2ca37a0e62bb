"""Where boxes stand: in layers, arrows pointing to the right, with few crossings.

After Sugiyama, Tagawa and Toda (1981): cycles are broken at the arrows that close them, every box stands one layer
behind the last that leads to it, and within the layers boxes are moved to the middle of their neighbours, to and fro.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from recant.drawing.picture import Arrow, Picture

SWEEPS = 6
WIDTH, HEIGHT = 240, 48
"""Of a box, in pixels."""
ACROSS, DOWN = 112, 14
"""Between boxes."""
BEND_HEIGHT = 8
"""What an arrow takes where it passes a layer."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is, in pixels from the top left."""

    boxes: Mapping[str, Point]
    """Top left corners."""
    routes: Sequence[tuple[Arrow, list[Point]]]
    """From the edge of the first box, by the layers in between, to the edge of the last."""
    width: float
    height: float


def place(picture: Picture) -> Layout:
    """Puts boxes and arrows where they are to be drawn."""
    arrows = [a for a in picture.drawn_arrows if a.source != a.target]
    layers = layers_of([box.id for box in picture.boxes], [(a.source, a.target) for a in arrows])
    layer = {box: number for number, boxes in enumerate(layers) for box in boxes}
    paths = [(arrow, _path(number, arrow, layer, layers)) for number, arrow in enumerate(arrows)]
    steps = [step for _, path in paths for step in pairwise(path)]
    layers = uncrossed(layers, steps)
    middles = _middles(layers, steps)
    top = min((middles[box] - _height(box) / 2 for boxes in layers for box in boxes), default=0.0)
    bottom = max((middles[box] + _height(box) / 2 for boxes in layers for box in boxes), default=0.0)
    left = {box: number * (WIDTH + ACROSS) for number, boxes in enumerate(layers) for box in boxes}
    return Layout(
        {box.id: (float(left[box.id]), middles[box.id] - HEIGHT / 2 - top) for box in picture.boxes},
        [(arrow, _points(path, left, middles, top)) for arrow, path in paths],
        max(len(layers) * (WIDTH + ACROSS) - ACROSS, 0),
        bottom - top,
    )


def _path(number: int, arrow: Arrow, layer: Mapping[str, int], layers: list[list[str]]) -> list[str]:
    """The box, a bend in every layer in between, the box; from left to right, whichever way the arrow points."""
    left, right = sorted((arrow.source, arrow.target), key=lambda box: layer[box])
    bends = [f"bend:{number}:{between}" for between in range(layer[left] + 1, layer[right])]
    for bend, between in zip(bends, range(layer[left] + 1, layer[right]), strict=True):
        layers[between].append(bend)
    path = [left, *bends, right]
    return path if left == arrow.source else path[::-1]


def _points(path: list[str], left: Mapping[str, int], middles: Mapping[str, float], top: float) -> list[Point]:
    """Out of the side that faces the next one, straight through the layers in between."""
    found: list[Point] = []
    for box in path:
        y = middles[box] - top
        found += [(left[box], y), (left[box] + WIDTH, y)]
    if left[path[0]] > left[path[-1]]:
        found = [point for i in range(0, len(found), 2) for point in (found[i + 1], found[i])]
    return found[1:-1]


def _height(box: str) -> int:
    return BEND_HEIGHT if box.startswith("bend:") else HEIGHT


def _middles(layers: list[list[str]], steps: Sequence[tuple[str, str]]) -> dict[str, float]:
    """How far down each box is: near its neighbours, none over another."""
    neighbours: dict[str, list[str]] = {}
    for a, b in steps:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    middles: dict[str, float] = {}
    for sweep in range(4):
        for boxes in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = []
            for place, box in enumerate(boxes):
                known = [middles[n] for n in neighbours.get(box, ()) if n in middles]
                wanted.append(sum(known) / len(known) if known else middles.get(box, place * float(HEIGHT + DOWN)))
            middles |= dict(zip(boxes, _apart(boxes, wanted), strict=True))
    return middles


def _apart(boxes: Sequence[str], wanted: Sequence[float]) -> list[float]:
    """The middles that are wanted, pushed apart; then moved back together by what they were pushed on average."""
    found: list[float] = []
    for box, middle in zip(boxes, wanted, strict=True):
        least = found[-1] + (_height(boxes[len(found) - 1]) + _height(box)) / 2 + DOWN if found else middle
        found.append(max(middle, least))
    pushed = sum(a - b for a, b in zip(found, wanted, strict=True)) / max(len(found), 1)
    return [middle - pushed for middle in found]


def layers_of(boxes: Sequence[str], arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The boxes of each layer, in the order given."""
    ahead: dict[str, list[str]] = {box: [] for box in boxes}
    for source, target in dict.fromkeys(arrows):
        if source != target:
            ahead[source].append(target)
    order, closing = _ordered(boxes, ahead)
    layer = dict.fromkeys(boxes, 0)
    for box in order:
        for target in ahead[box]:
            if (box, target) not in closing:
                layer[target] = max(layer[target], layer[box] + 1)
    found: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for box in boxes:
        found[layer[box]].append(box)
    return found


def uncrossed(layers: list[list[str]], arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The same layers, each in an order in which few arrows cross."""
    pairs = list(dict.fromkeys(arrows))
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for source, target in pairs:
        after.setdefault(source, []).append(target)
        before.setdefault(target, []).append(source)
    for sweep in range(SWEEPS):
        place = {box: (i + 0.5) / len(layer) for layer in layers for i, box in enumerate(layer)}
        neighbours, ordered = (before, layers) if sweep % 2 == 0 else (after, layers[::-1])
        for layer in ordered:
            middles = {b: _middle([place[n] for n in neighbours.get(b, ())], place[b]) for b in layer}
            layer.sort(key=lambda box: middles[box])
            place |= {box: (i + 0.5) / len(layer) for i, box in enumerate(layer)}
    return layers


def _middle(places: list[float], own: float) -> float:
    return sum(places) / len(places) if places else own


def _ordered(boxes: Sequence[str], ahead: dict[str, list[str]]) -> tuple[list[str], set[tuple[str, str]]]:
    """A topological order, and the arrows that close a cycle: depth first, without recursion."""
    finished: list[str] = []
    closing: set[tuple[str, str]] = set()
    state: dict[str, int] = {}
    for root in _roots(boxes, ahead):
        stack = [(root, iter(ahead[root]))] if root not in state else []
        state.setdefault(root, 1)
        while stack:
            box, rest = stack[-1]
            target = next(rest, None)
            if target is None:
                state[box] = 2
                finished.append(box)
                stack.pop()
            elif target not in state:
                state[target] = 1
                stack.append((target, iter(ahead[target])))
            elif state[target] == 1:
                closing.add((box, target))
    return finished[::-1], closing


def _roots(boxes: Sequence[str], ahead: dict[str, list[str]]) -> list[str]:
    """Those that nothing leads to first, so that as few arrows as possible point backwards."""
    led_to = {target for targets in ahead.values() for target in targets}
    return [box for box in boxes if box not in led_to] + [box for box in boxes if box in led_to]
