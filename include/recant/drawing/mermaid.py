"""Mermaid flowchart text: shown by GitHub, GitLab and many editors.

Names are written as entities where they hold anything but letters, digits and a few harmless signs: a quote, a line break
or a tag in a name can neither end its label nor become markup.
"""

from __future__ import annotations

import re

from recant.drawing.picture import Box, Picture, one_line

_SHAPES = {"box": ("[", "]"), "round": ("(", ")"), "cylinder": ("[(", ")]"), "stack": ("[[", "]]")}
_HARMLESS = re.compile(r"[^\w .,/×…+-]", re.ASCII)
_STYLES = (
    "classDef start fill:#fff4d6,stroke:#b7791f,stroke-width:2px",
    "classDef faded fill:#f3f4f6,stroke:#9ca3af,color:#6b7280,stroke-dasharray:4 3",
    "classDef warning fill:#fdecea,stroke:#c53030",
)


def to_mermaid(picture: Picture) -> str:
    """A flowchart from left to right."""
    names = {box.id: f"n{number}" for number, box in enumerate(picture.boxes)}
    lines = ["flowchart LR", f"  %% {_escaped(picture.title)}"]
    lines += [f"  {names[box.id]}{_box(box)}" for box in picture.boxes]
    for arrow in picture.drawn_arrows:
        line = "-.->" if arrow.dashed else "-->"
        label = f'|"{_escaped(arrow.label)}"|' if arrow.label else ""
        lines.append(f"  {names[arrow.source]} {line}{label} {names[arrow.target]}")
    lines += [f"  {style}" for style in _STYLES]
    for tone in ("start", "faded", "warning"):
        toned = [names[box.id] for box in picture.boxes if box.tone == tone]
        lines += [f"  class {','.join(toned)} {tone}"] if toned else []
    return "\n".join(lines) + "\n"


def _box(box: Box) -> str:
    opening, closing = _SHAPES[box.shape]
    detail = f"<br/>{_escaped(box.detail)}" if box.detail else ""
    return f'{opening}"{_escaped(box.label)}{detail}"{closing}'


def _escaped(text: str) -> str:
    """Mermaid's own entities: `#` and a code point."""
    return _HARMLESS.sub(lambda found: f"#{ord(found[0])};", one_line(text))
