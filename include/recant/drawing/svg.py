"""A picture as SVG, laid out here: for a report, a ticket or a page that takes no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from recant.drawing.layering import HEIGHT, WIDTH, Layout, Point, place
from recant.drawing.picture import Arrow, Box, Picture, one_line

MARGIN = 24
HEADER = 56
FOOT_LINE = 18
LABEL_CHARACTERS = 32
LABEL_ROOM = 18
DETAIL_CHARACTERS = 38
_STYLE = """
text { font: 13px Helvetica, Arial, sans-serif; fill: #1f2937; }
.title { font-size: 17px; font-weight: bold; } .small { font-size: 11px; fill: #6b7280; }
.label { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
.box { fill: #ffffff; stroke: #4b5563; } .start { fill: #fff4d6; stroke: #b7791f; stroke-width: 2; }
.faded { fill: #f3f4f6; stroke: #9ca3af; stroke-dasharray: 4 3; } .warning { fill: #fdecea; stroke: #c53030; }
.arrow { fill: none; stroke: #94a3b8; stroke-width: 1.3; } .dashed { stroke-dasharray: 5 4; }
"""


def to_svg(picture: Picture) -> str:
    """One `<svg>` element with everything it needs."""
    layout = place(picture)
    width = max(layout.width, 480) + 2 * MARGIN
    height = layout.height + HEADER + 2 * MARGIN + FOOT_LINE * len(picture.footnotes)
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_text(picture.title)}</title><style>{_STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#94a3b8"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 12}">{_text(picture.title)}</text>',
        f'<text class="small" x="{MARGIN}" y="{MARGIN + 30}">{_text(picture.subtitle)}</text>',
        f'<g transform="translate({MARGIN},{MARGIN + HEADER})">',
        *(_arrow(arrow, points) for arrow, points in layout.routes),
        *(_box(box, layout) for box in picture.boxes),
        "</g>",
    ]
    for number, note in enumerate(picture.footnotes):
        y = height - MARGIN - FOOT_LINE * (len(picture.footnotes) - 1 - number)
        lines.append(f'<text class="small" x="{MARGIN}" y="{y:.0f}">{_text(note)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def curve(points: Sequence[Point]) -> str:
    """A path: level where it passes a layer, an S in between."""
    (x, y), parts = points[0], []
    parts.append(f"M{x:.1f},{y:.1f}")
    for number, (to_x, to_y) in enumerate(points[1:]):
        half = (x + to_x) / 2
        straight = number % 2 == 1
        parts.append(
            f"L{to_x:.1f},{to_y:.1f}"
            if straight
            else f"C{half:.1f},{y:.1f} {half:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"
        )
        x, y = to_x, to_y
    return " ".join(parts)


def _arrow(arrow: Arrow, points: Sequence[Point]) -> str:
    dashed = " dashed" if arrow.dashed else ""
    told = f"<title>{_text(arrow.label)}</title>" if arrow.label else ""
    path = f'<path class="arrow{dashed}" d="{curve(points)}" marker-end="url(#head)">{told}</path>'
    if not arrow.label:
        return path
    (x, y), (to_x, to_y) = points[0], points[1]
    place = f'x="{(x + to_x) / 2:.1f}" y="{(y + to_y) / 2 - 4:.1f}"'
    return f'{path}<text class="small label" text-anchor="middle" {place}>{_text(_short(arrow.label))}</text>'


def _box(box: Box, layout: Layout) -> str:
    x, y = layout.boxes[box.id]
    tone = "box" if box.tone == "plain" else f"box {box.tone}"
    radius = {"round": 14, "cylinder": 22}.get(box.shape, 4)
    told = "\n".join(line for line in (box.label, box.detail, *box.notes) if line)
    shadow = "".join(
        f'<rect class="{tone}" x="{x + d:.1f}" y="{y + d:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        for d in ((6, 3) if box.shape == "stack" else ())
    )
    drawn = (
        f"<g><title>{_text(told, 2_000)}</title>{shadow}"
        f'<rect class="{tone}" x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="{radius}"/>'
        f'<text x="{x + 12:.1f}" y="{y + (20 if box.detail else 29):.1f}">{_text(box.label, LABEL_CHARACTERS)}</text>'
        f'<text class="small" x="{x + 12:.1f}" y="{y + 37:.1f}">{_text(box.detail, DETAIL_CHARACTERS)}</text></g>'
    )
    return f'<a href="{escape(box.address)}" target="_blank" rel="noopener">{drawn}</a>' if box.address else drawn


def _short(label: str) -> str:
    return label if len(label) <= LABEL_ROOM else f"{label[: LABEL_ROOM - 1]}…"


def _text(text: str, longest: int = 200) -> str:
    return escape(one_line(text, longest))
