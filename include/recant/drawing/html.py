"""A picture as a page of its own: pan, zoom, search, fold and open large fans, follow an arrow's way.

One file. Its policy lets nothing in: no address is asked for anything, and no script runs but the one it was made with,
named by its hash. The picture is in it as data, and is written into the page as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from recant.drawing.folding import FAN, stacks_of
from recant.drawing.layering import ACROSS, BEND_HEIGHT, DOWN, HEIGHT, WIDTH
from recant.drawing.picture import Box, Picture, one_line

LONGEST_NOTE = 1_000


def to_html(picture: Picture, fan: int = FAN) -> str:
    """The whole page. Fans of `fan` boxes or more are folded when it opens."""
    style, script = _part("page.css"), _part("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    parts = {
        "policy": policy,
        "title": escape(one_line(picture.title)),
        "subtitle": escape(one_line(picture.subtitle)),
        "style": style,
        "script": script,
        "data": _data(picture, fan),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("page.html"))


def _data(picture: Picture, fan: int) -> str:
    """JSON that can't end the element it stands in."""
    stacks = stacks_of(picture, fan)
    document = {
        "boxes": [_told(box) for box in picture.boxes],
        "stacks": [_told(stack) | {"members": list(stack.members)} for stack in stacks.values()],
        "arrows": [[a.source, a.target, one_line(a.label), a.dashed] for a in picture.drawn_arrows],
        "footnotes": [one_line(note, LONGEST_NOTE) for note in picture.footnotes],
        "sizes": {"width": WIDTH, "height": HEIGHT, "across": ACROSS, "down": DOWN, "bend": BEND_HEIGHT},
    }
    text = json.dumps(document, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _told(box: Box) -> dict[str, Any]:
    told = {"id": box.id, "label": one_line(box.label), "detail": one_line(box.detail), "shape": box.shape}
    notes = [one_line(note, LONGEST_NOTE) for note in box.notes]
    return told | {"tone": box.tone, "notes": notes, "link": box.address}


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
