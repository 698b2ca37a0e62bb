"""Pictures: where boxes stand, what is folded, and that no name becomes markup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recant.drawing import Arrow, Box, Picture, fold, to_dot, to_html, to_mermaid, to_svg
from recant.drawing.folding import stacks_of
from recant.drawing.layering import HEIGHT, WIDTH, layers_of, place
from recant.drawing.picture import one_line

HOSTILE = (
    "</script><script>alert(1)</script>\"'`]]>\n%%{init: {'securityLevel':'loose'}}%%\\ & #quot; {{data}} \u202e\x00"
)


def fan(count: int, group: str = "op") -> Picture:
    """One box that leads to many alike, and these to one."""
    boxes = [Box("a", "first", group="op"), *(Box(f"b{n}", f"op {n}", group=group) for n in range(count))]
    arrows = [Arrow("a", f"b{n}", "derived") for n in range(count)] + [Arrow(f"b{n}", "z") for n in range(count)]
    return Picture("A fan", [*boxes, Box("z", "last", shape="cylinder")], arrows)


graphs = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=25).map(
        lambda arrows: (
            [Box(f"n{i}", f"node {i}", group="g" if i % 3 else "") for i in range(n)],
            [Arrow(f"n{a}", f"n{b}", "x" if a % 2 else "") for a, b in arrows],
        )
    )
)


@given(graphs)
@settings(max_examples=60, deadline=None)
def test_boxes_never_stand_over_each_other(graph: tuple[list[Box], list[Arrow]]) -> None:
    """Whatever leads to what, cycles and loops included; every arrow begins and ends at the side of a box."""
    layout = place(Picture("", *graph))
    corners = list(layout.boxes.values())
    for i, (x, y) in enumerate(corners):
        assert 0 <= x <= layout.width - WIDTH
        assert -0.01 <= y <= layout.height - HEIGHT + 0.01
        assert not any(abs(x - a) < WIDTH and abs(y - b) < HEIGHT for a, b in corners[:i])
    sides = {(x + side, round(y + HEIGHT / 2, 3)) for x, y in corners for side in (0, WIDTH)}
    for _, points in layout.routes:
        assert {(p[0], round(p[1], 3)) for p in (points[0], points[-1])} <= sides


@given(graphs)
@settings(max_examples=60, deadline=None)
def test_without_cycles_all_arrows_point_to_the_right(graph: tuple[list[Box], list[Arrow]]) -> None:
    """And each box stands right behind the last that leads to it."""
    names = [box.id for box in graph[0]]
    pairs = [(a.source, a.target) for a in graph[1] if int(a.source[1:]) < int(a.target[1:])]
    layer = {box: number for number, boxes in enumerate(layers_of(names, pairs)) for box in boxes}
    for box in names:
        assert layer[box] == max((layer[a] + 1 for a, b in pairs if b == box), default=0)


@given(graphs)
@settings(max_examples=60, deadline=None)
def test_folding_keeps_every_tie(graph: tuple[list[Box], list[Arrow]]) -> None:
    """Two boxes are tied in the folded picture exactly when boxes in them were tied."""
    whole = Picture("", *graph)
    folded = fold(whole, 2)
    stacks = {member: box.id for box in folded.boxes for member in box.members}
    moved = {(stacks.get(a.source, a.source), stacks.get(a.target, a.target)) for a in whole.arrows}
    assert {(a.source, a.target) for a in folded.arrows if a.source != a.target} == {(a, b) for a, b in moved if a != b}
    assert sorted(m for box in folded.boxes for m in box.members or (box.id,)) == sorted(b.id for b in whole.boxes)


def test_a_large_fan_is_one_box() -> None:
    """With how many it stands for; smaller ones and other tones stay apart."""
    folded = fold(fan(40))
    assert [(box.label, box.shape) for box in folded.boxes] == [
        ("first", "box"), ("40 × op", "stack"), ("last", "cylinder"),
    ]  # fmt: skip
    assert [arrow.label for arrow in folded.arrows] == ["derived ×40", ""]
    assert fold(fan(3)) == fan(3)
    assert list(stacks_of(fan(40, group=""))) == []


def test_a_fan_behind_a_fan_folds_too() -> None:
    """A tree of many levels is a row of stacks."""
    boxes = [Box("r", "root")] + [Box(f"{level}{n}", f"{level} {n}", group=level) for level in "ab" for n in range(30)]
    arrows = [Arrow("r", f"a{n}") for n in range(30)] + [Arrow(f"a{n}", f"b{(n * 7) % 30}") for n in range(30)]
    assert [box.label for box in fold(Picture("", boxes, arrows)).boxes] == ["root", "30 × a", "30 × b"]


def hostile() -> Picture:
    """Everything that can be said is said by somebody who means no good."""
    boxes = [
        Box(HOSTILE, HOSTILE, HOSTILE, notes=(HOSTILE,), group=HOSTILE, link="javascript:alert(1)"),
        Box("b", "fine", link='https://example.org/"><script>alert(2)</script>'),
        *(Box(f"c{n}", HOSTILE, group=HOSTILE) for n in range(8)),
    ]
    arrows = [Arrow(HOSTILE, "b", HOSTILE), *(Arrow("b", f"c{n}", HOSTILE, dashed=True) for n in range(8))]
    return Picture(HOSTILE, boxes, arrows, HOSTILE, (HOSTILE,))


def test_an_svg_holds_names_as_text() -> None:
    """It is XML without scripts or event handlers; links are http only."""
    for picture in (hostile(), fold(hostile())):
        root = ElementTree.fromstring(to_svg(picture))  # noqa: S314 - our own
        names = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert names <= {"svg", "title", "style", "defs", "marker", "path", "rect", "text", "g", "a"}
        assert not any(attribute.startswith("on") for element in root.iter() for attribute in element.attrib)
        assert {e.get("href", "https:")[:6] for e in root.iter()} == {"https:"}


class Elements(HTMLParser):
    """Names of the elements of a page, its attributes and the data in it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.names and self.names[-1] == "script":
            self.scripts.append(data)


def test_a_page_holds_names_as_data() -> None:
    """The same elements whatever the names are; its policy lets nothing in, and names its only script."""
    shown, plain = Elements(), Elements()
    shown.feed(to_html(hostile()))
    plain.feed(to_html(fan(9)))
    assert shown.names == plain.names
    assert shown.names.count("script") == 2
    data = json.loads(next(script for script in shown.scripts if script.startswith("{")))
    assert data["boxes"][0]["label"] == one_line(HOSTILE)
    assert [box["link"] for box in data["boxes"][:2]] == [None, hostile().boxes[1].link]
    (policy,) = [value for name, value in shown.attributes if name == "content" and value and "default-src" in value]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=|@import|url\((?!#)", to_html(fan(9)).replace("url(#head)", ""))


def test_mermaid_takes_names_as_labels() -> None:
    """One statement a line, and nothing in a label that could end it or begin a directive."""
    for picture in (hostile(), fold(hostile())):
        text = to_mermaid(picture)
        assert "%%{" not in text
        assert "<script" not in text
        assert "`" not in text
        for line in text.splitlines()[2:]:
            assert re.fullmatch(
                r"  (n\d+[\[(]+\"[^\"]*\"[\])]+|n\d+ -[.-]+>(\|\"[^\"]*\"\|)? n\d+|classDef .*|class [n\d,]+ \w+)", line
            ), line


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz isn't installed")
def test_graphviz_reads_it() -> None:
    """Hostile names and all."""
    drawn = subprocess.run(["dot", "-Tsvg"], input=to_dot(hostile()), capture_output=True, text=True, check=True)
    assert "<script" not in drawn.stdout


def test_dot_takes_names_as_quoted_strings() -> None:
    """Each statement a line, every quote and backslash in a string escaped."""
    for line in to_dot(hostile()).splitlines()[4:-1]:
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
        assert re.fullmatch(r"  n\d+( -> n\d+)?( \[[\w=\", ]*\])?;", bare), line


def test_long_names_are_cut_in_the_middle() -> None:
    """Both ends tell; control characters and changes of direction are gone."""
    assert one_line("a" * 50 + "z" * 50, 11) == "aaaaa…zzzzz"
    assert one_line("a\nb\u202ec\x00") == "a b c"
    assert one_line("short") == "short"


def test_an_empty_picture_is_a_picture() -> None:
    """Nothing to draw is no error in any form."""
    nothing = Picture("Nothing", [], [Arrow("a", "b")])
    assert ElementTree.fromstring(to_svg(nothing)) is not None  # noqa: S314 - our own
    assert to_mermaid(nothing).startswith("flowchart LR")
    assert "->" not in to_dot(nothing)
    assert '"boxes": []' in to_html(nothing)
