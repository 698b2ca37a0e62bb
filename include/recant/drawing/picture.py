"""What is drawn: boxes with a few words each, and arrows between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LONGEST_LABEL = 200
"""Characters; a document's name may be as long as anybody likes."""
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]+")


@dataclass(frozen=True, slots=True)
class Box:
    """A node. `label` is its name, `detail` a second line, `notes` what is told of it when somebody asks."""

    id: str
    label: str
    detail: str = ""
    shape: str = "box"
    """box, round (what does something), cylinder (what holds something), stack (several folded into one)."""
    tone: str = "plain"
    """plain, start (what the picture is about), faded (withdrawn), warning (failed, or possible only)."""
    group: str = ""
    """Boxes of one group may be folded into one, called by this name; empty: never."""
    notes: tuple[str, ...] = ()
    link: str | None = None
    """An http(s) address; anything else is left out."""
    members: tuple[str, ...] = ()
    """Of a stack, the boxes that it stands for."""

    @property
    def address(self) -> str | None:
        """The link, if a browser should follow it."""
        return self.link if self.link and urlsplit(self.link).scheme in ("http", "https") else None


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another."""

    source: str
    target: str
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A titled graph. Arrows whose ends are not among the boxes are not drawn."""

    title: str
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    subtitle: str = ""
    footnotes: tuple[str, ...] = field(default=())

    @property
    def drawn_arrows(self) -> list[Arrow]:
        """Those between boxes of the picture, each once."""
        known = {box.id for box in self.boxes}
        return [a for a in dict.fromkeys(self.arrows) if a.source in known and a.target in known]


def one_line(text: str, longest: int = LONGEST_LABEL) -> str:
    """The text without line breaks and other control characters, cut in the middle where it is too long."""
    plain = _INVISIBLE.sub(" ", text).strip()
    if len(plain) <= longest:
        return plain
    head = (longest - 1) // 2
    return f"{plain[:head]}…{plain[len(plain) - (longest - 1 - head) :]}"
