"""Checks that every relative link of every Markdown file leads to a file, and every anchor to a heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Anchors of a document's headings, made the way the forges make them."""
    titles = re.findall(r"^#+\s+(.+?)\s*#*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(document: Path) -> list[str]:
    """Links of one document that lead nowhere."""
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text("utf-8"))):
        path, _, anchor = unquote(link).partition("#")
        target = document if not path else (document.parent / path).resolve()
        if re.match(r"[a-z]+:", link):
            continue
        missing_anchor = (
            anchor and target.suffix == ".md" and target.is_file() and anchor not in anchors(target.read_text("utf-8"))
        )
        if not target.exists() or missing_anchor:
            broken.append(f"{document.relative_to(ROOT)}: {link}")
    return broken


def main() -> int:
    """Prints what is broken; the exit code is 1 when anything is."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [line for document in sorted(documents) for line in broken_links(document)]
    print("\n".join(broken) or f"{len(documents)} documents, every link leads somewhere")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
