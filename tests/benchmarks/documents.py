"""Markdown files of made-up prose: some ten chunks each, no two alike."""

from __future__ import annotations

import random
from pathlib import Path

SECTIONS = 10
WORDS_PER_SECTION = 110
VOCABULARY = """
    time data index query vector table page record version search result log entry service client server request answer
    network storage memory process thread schedule task worker queue batch window signal metric trace error retry limit
    user role grant token secret policy review release branch commit change history rollback restore archive export
    reads writes keeps finds moves holds builds checks sends takes gives shows means needs starts ends waits grows
    small large early late quick slow open closed final first second steady whole single common plain sure recent
    the a an of to in for with on from by as at between before after while when that which this each every no some
"""
WORDS = VOCABULARY.split()


def write_documents(folder: Path, count: int, *, label: str = "document") -> None:
    """`count` files in the folder. The same label and number give the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name = f"{label}-{number:05}"
        (folder / f"{name}.md").write_text(_document(name), "utf-8")


def _document(name: str) -> str:
    chance = random.Random(name)
    sections = [f"## {_words(chance, 3).title()}\n\n{_prose(chance)}\n" for _ in range(SECTIONS)]
    return f"# {name}\n\n" + "\n".join(sections)


def _prose(chance: random.Random) -> str:
    sentences = [_words(chance, 11).capitalize() + "." for _ in range(WORDS_PER_SECTION // 11)]
    return " ".join(sentences)


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(WORDS, k=count))
