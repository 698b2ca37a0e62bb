"""The page in a real Chromium, where there is one: it folds, opens, pans, zooms, finds, and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recant.drawing import to_html
from tests.unit.drawing.chromium import Tab, browsing, found
from tests.unit.drawing.test_drawing import fan, hostile

CHROMIUM = found()
BOXES = "[...document.querySelectorAll('.box')].map((box) => box.textContent)"
pytest.importorskip("websockets.sync.client")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    """One browser for all of these."""
    assert CHROMIUM is not None
    with browsing(CHROMIUM) as opened:
        yield opened


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A fan of forty, folded."""
    file = tmp_path / "fan.html"
    file.write_text(to_html(fan(40)), "utf-8")
    return file


def view(tab: Tab) -> list[float]:
    """How far the picture is moved, and its scale."""
    text = tab.ask("document.getElementById('canvas').getAttribute('transform')")
    return [float(number) for number in text.replace("translate(", "").replace(") scale(", ",").rstrip(")").split(",")]


def test_a_fan_is_folded_until_it_is_clicked(tab: Tab, page: Path) -> None:
    """Then each is there; from each they can be folded again, and all at once by a button."""
    tab.open(page)
    assert len(tab.ask(BOXES)) == 3
    tab.click('[data-id="stack:b0"]')
    assert len(tab.ask(BOXES)) == 42
    tab.click('[data-id="b7"]')
    assert tab.ask("document.getElementById('told').innerText").startswith("op 7")
    tab.click("#told button")
    assert len(tab.ask(BOXES)) == 3
    tab.click("#open")
    assert len(tab.ask(BOXES)) == 42
    tab.click("#fold")
    assert tab.ask(BOXES)[1].startswith("40 × op")
    assert tab.complaints == []


def test_it_pans_and_zooms(tab: Tab, page: Path) -> None:
    """By the mouse, its wheel, buttons and keys; the picture fits again when asked to."""
    tab.open(page)
    x, y, scale = view(tab)
    tab.mouse("mousePressed", 600, 700)
    tab.mouse("mouseMoved", 640, 650)
    tab.mouse("mouseMoved", 700, 620)
    tab.mouse("mouseReleased", 700, 620)
    assert view(tab) == pytest.approx([x + 100, y - 80, scale])
    tab.call("Input.dispatchMouseEvent", type="mouseWheel", x=600, y=400, deltaX=0, deltaY=-240)
    tab.ask("new Promise(requestAnimationFrame)")
    closer = tab.ask("view.scale")
    assert closer > scale
    tab.click("#away")
    assert tab.ask("view.scale") == pytest.approx(closer * 0.8)
    tab.click("#fit")
    assert view(tab) == pytest.approx([x, y, scale])


def test_it_finds_what_is_folded_away(tab: Tab, page: Path) -> None:
    """The stack that holds it stands out."""
    tab.open(page)
    tab.ask(
        "document.getElementById('search').value = 'OP 33'; document.getElementById('search').dispatchEvent(new Event('input'))"
    )
    assert tab.ask("[...document.querySelectorAll('.box.found')].map((box) => box.dataset.id)") == ["stack:b0"]
    tab.click("#open")
    assert tab.ask("[...document.querySelectorAll('.box.found')].map((box) => box.dataset.id)") == ["b33"]


def test_a_chosen_box_shows_where_it_comes_from_and_leads_to(tab: Tab, page: Path) -> None:
    """What isn't on its way is dimmed."""
    tab.open(page)
    tab.click("#open")
    tab.click('[data-id="b5"]')
    assert tab.ask("[...document.querySelectorAll('.box.on')].map((box) => box.dataset.id)") == ["a", "b5", "z"]
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")


def test_hostile_names_run_nothing_and_ask_for_nothing(tab: Tab, tmp_path: Path) -> None:
    """They are shown as they are; the only address that is opened is the file's."""
    file = tmp_path / "hostile.html"
    file.write_text(to_html(hostile()), "utf-8")
    before = len(tab.requested)
    tab.open(file)
    tab.ask("window.alert = () => { throw new Error('it ran') }")
    assert "<script>alert(1)</script>" in tab.ask("data.boxes[0].label")
    assert tab.ask("document.scripts.length") == 2
    tab.click(".box.plain")
    assert "alert(1)" in tab.ask("document.getElementById('told').innerText")
    assert tab.ask("document.querySelectorAll('#told a').length") == 0
    assert tab.requested[before:] == [file.as_uri()]
    assert tab.complaints == []
