"""What is shown of a hit's text: from its beginning, or from a little before the first word that was looked for."""

from __future__ import annotations

import dataclasses

from recant.cli.hits import excerpt
from recant.search import Hit

HIT = Hit(1, 1.0, 1, 1, "a", None, "word " * 200, 1, None, "knowledge", "text", (), {})


def test_an_excerpt_shows_a_word_that_was_looked_for() -> None:
    """Cut at a space, where there is one."""
    assert excerpt(HIT, 80) == HIT.text
    assert excerpt(dataclasses.replace(HIT, highlights=((10, 14),)), 80) == HIT.text
    late = excerpt(dataclasses.replace(HIT, highlights=((800, 804),)), 80)
    assert late.startswith("… word word")
    assert len(late) == 2 + 1000 - 745
    solid = dataclasses.replace(HIT, text="x" * 1000, highlights=((800, 804),))
    assert excerpt(solid, 80) == "… " + "x" * 200
