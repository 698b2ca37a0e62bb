"""Listing: what is found under a spec, in which order, and what is said about the rest."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recant.ingestion import SourceItem, list_sources
from recant.ingestion.origin import as_given


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")


def names(root: Path, *specs: str) -> list[str]:
    return [os.path.relpath(item.source, root) for item in list_sources([str(root / spec) for spec in specs]).items]


def test_a_folder_is_listed_with_its_subfolders_in_order_of_path(tmp_path: Path) -> None:
    """A folder gives its documents of known formats, subfolders included, sorted by path."""
    write(tmp_path, "b.md", "a/z.rst", "a/b/c.txt", "c.py", "photo.jpeg", "Makefile")
    assert names(tmp_path, "") == ["a/b/c.txt", "a/z.rst", "b.md", "c.py"]


@pytest.mark.parametrize("folder", [".git", ".venv", "venv", "node_modules", "__pycache__", ".hidden", "CVS"])
def test_what_tools_keep_is_not_listed(tmp_path: Path, folder: str) -> None:
    """Hidden folders and those of version control, virtual environments and packages are passed over."""
    write(tmp_path, "kept.md", f"{folder}/left.md", f"deeper/{folder}/left.md")
    assert names(tmp_path, "") == ["kept.md"]
    assert names(tmp_path, "**/*.md") == ["kept.md"]


def test_a_virtual_environment_of_any_name_is_not_listed(tmp_path: Path) -> None:
    """A folder with a pyvenv.cfg is a virtual environment, whatever it is called."""
    write(tmp_path, "kept.md", "py311/pyvenv.cfg", "py311/lib/left.md", ".hidden.md")
    assert names(tmp_path, "") == ["kept.md"]


def test_a_hidden_folder_that_is_named_is_listed(tmp_path: Path) -> None:
    """What is passed over on the way is read when the user asks for it by name."""
    write(tmp_path, ".github/guide.md")
    assert names(tmp_path, ".github") == names(tmp_path, ".github/*.md") == [".github/guide.md"]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """A link that leads back up doesn't make a listing endless."""
    write(tmp_path, "docs/a.md")
    (tmp_path / "docs" / "loop").symlink_to(tmp_path)
    assert names(tmp_path, "") == names(tmp_path, "**/*.md") == ["docs/a.md"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.md", ["a.md"]),
        ("**/*.md", ["a.md", "x/b.md", "x/y/c.md"]),
        ("x/**", ["x/b.md", "x/d.txt", "x/y/c.md"]),
        ("x/**/c.md", ["x/y/c.md"]),
        ("**/y/**/*.md", ["x/y/c.md"]),
        ("?/*.[mt]*", ["x/b.md", "x/d.txt"]),
        ("*/*/*.md", ["x/y/c.md"]),
    ],
)
def test_a_glob_gives_the_files_it_matches_once(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    """A glob gives matching files of known formats; ** stands for any number of folders."""
    write(tmp_path, "a.md", "x/b.md", "x/d.txt", "x/e.bin", "x/y/c.md")
    assert sorted(names(tmp_path, pattern)) == expected


def test_a_file_with_brackets_in_its_name_is_no_glob(tmp_path: Path) -> None:
    """A path that exists is taken literally."""
    write(tmp_path, "notes [1].md")
    assert names(tmp_path, "notes [1].md") == ["notes [1].md"]


def test_the_source_is_absolute_and_the_origin_is_what_it_was_found_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative specs come out absolute, so that the next run from another folder names the same documents."""
    write(tmp_path, "docs/a.md")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = SourceItem(f"{tmp_path}/docs/a.md", f"{tmp_path}/docs/a.md", f"{tmp_path}/docs", "markdown", 17)
    for spec in ("docs", "./docs/", "~/docs", "docs/../docs"):
        listing = list_sources([spec])
        assert listing.items == (expected,)
        assert listing.origins == (f"{tmp_path}/docs",)


def test_an_item_survives_the_way_through_a_dict() -> None:
    """An item goes between tasks as a plain dict and comes back equal."""
    item = SourceItem("/a.md", "/a.md", "/", "markdown", 3)
    assert SourceItem.from_dict(item.to_dict()) == item


@pytest.mark.parametrize("spec", ["nowhere.md", "nowhere", "nowhere/*.md", "docs/*.rst", "dangling.md"])
def test_what_is_missing_is_rejected_and_the_rest_goes_on(tmp_path: Path, spec: str) -> None:
    """A missing path, an empty glob or a dangling link is one rejection with advice; the rest is listed."""
    write(tmp_path, "docs/a.md")
    (tmp_path / "dangling.md").symlink_to(tmp_path / "gone.md")
    listing = list_sources([str(tmp_path / spec), str(tmp_path / "docs")])
    (rejected,) = listing.rejected
    assert rejected.code == "missing"
    assert "check the path" in rejected.reason or "repair the link" in rejected.reason
    assert [item.format for item in listing.items] == ["markdown"]
    assert listing.origins == (str(tmp_path / "docs"),)


@pytest.mark.parametrize("spec", ["", "  ", "a\0b"])
def test_a_spec_that_names_nothing_is_missing(spec: str) -> None:
    """An empty spec, or one that no path can be, is rejected rather than taken for the current folder."""
    (rejected,) = list_sources([spec]).rejected
    assert rejected.code == "missing"
    assert "\0" not in rejected.source


def test_an_unknown_format_is_rejected_only_when_it_is_named(tmp_path: Path) -> None:
    """In a folder an unknown format is nobody's concern; named directly it is refused with the known ones."""
    write(tmp_path, "film.mp4", "a.md")
    assert list_sources([str(tmp_path)]).rejected == ()
    (rejected,) = list_sources([str(tmp_path / "film.mp4")]).rejected
    assert rejected.code == "unsupported"
    assert ".md" in rejected.reason


def test_a_folder_without_documents_is_an_origin_and_says_so(tmp_path: Path) -> None:
    """An empty folder was listed to its end, so what it held before is gone; and it is mentioned."""
    listing = list_sources([str(tmp_path)])
    assert [entry.code for entry in listing.rejected] == ["empty"]
    assert listing.origins == (str(tmp_path),)


def test_an_unreadable_folder_is_told_and_is_no_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a subfolder couldn't be read, nothing is taken for removed."""
    write(tmp_path, "a.md", "locked/b.md")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = list_sources([str(tmp_path)])
    assert [(entry.code, entry.source) for entry in listing.rejected] == [("unreadable", f"{tmp_path}/locked")]
    assert len(listing.items) == 1
    assert listing.origins == ()


def test_a_document_listed_twice_is_kept_once(tmp_path: Path) -> None:
    """Overlapping specs give one item; the second find names the first spec."""
    write(tmp_path, "docs/a.md")
    listing = list_sources([str(tmp_path / "docs"), str(tmp_path / "docs/a.md")])
    (item,), (rejected,) = listing.items, listing.rejected
    assert item.origin == str(tmp_path / "docs")
    assert rejected.code == "duplicate"
    assert str(tmp_path / "docs") in rejected.reason


def test_two_names_of_one_file_are_one_document(tmp_path: Path) -> None:
    """A link to a file that is listed as well is a duplicate of it, and so is a file behind a linked folder."""
    write(tmp_path, "docs/a.md")
    (tmp_path / "docs" / "b.md").symlink_to("a.md")
    (tmp_path / "current").symlink_to("docs")
    listing = list_sources([str(tmp_path / "docs"), str(tmp_path / "current")])
    assert [Path(item.source).name for item in listing.items] == ["a.md"]
    assert {entry.code for entry in listing.rejected} == {"duplicate"}
    assert f"same file as {tmp_path}/docs/a.md" in listing.rejected[0].reason


def test_a_dangling_link_in_a_folder_is_told(tmp_path: Path) -> None:
    """A link to nowhere is rejected under its own name; the folder stays an origin."""
    write(tmp_path, "a.md")
    (tmp_path / "b.md").symlink_to(tmp_path / "gone")
    listing = list_sources([str(tmp_path)])
    assert [(entry.code, entry.source) for entry in listing.rejected] == [("missing", f"{tmp_path}/b.md")]
    assert len(listing.items) == 1


def test_names_that_the_database_cannot_hold_are_rejected(tmp_path: Path) -> None:
    """A name that isn't UTF-8, or longer than an index takes, is refused with a printable name."""
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    deep = tmp_path.joinpath(*["x" * 200] * 11)
    deep.mkdir(parents=True)
    (deep / "a.md").write_text("x")
    listing = list_sources([str(tmp_path)])
    assert sorted(entry.code for entry in listing.rejected) == ["encoding", "unsupported"]
    for entry in listing.rejected:
        entry.source.encode()
    assert listing.items == ()


def test_installed_distributions_are_listed_by_name() -> None:
    """`dist:*` gives every installed distribution once, in order; wildcards and any spelling work."""
    listing = list_sources(["dist:*"])
    sources = [item.source for item in listing.items]
    assert sources == sorted(set(sources))
    assert {"dist:pytest", "dist:markdown-it-py"} <= set(sources)
    assert len(sources) >= len({entry.name for entry in metadata.distributions()}) - 5
    assert {item.origin for item in listing.items} == {"dist:*"}
    (item,) = list_sources(["dist:Markdown_It.py"]).items
    assert (item.source, item.locator, item.origin) == ("dist:markdown-it-py", "markdown-it-py", "dist:markdown-it-py")
    assert {entry.source for entry in list_sources(["dist:pytest*"]).items} >= {"dist:pytest", "dist:pytest-cov"}


def test_a_distribution_that_is_not_installed_is_missing() -> None:
    """An unknown distribution is a rejection with advice."""
    (rejected,) = list_sources(["dist:no-such-thing"]).rejected
    assert (rejected.code, "pip list" in rejected.reason) == ("missing", True)


def test_an_address_is_normalised_and_loses_its_password() -> None:
    """Fragment and password aren't part of a document's name; the password still opens it."""
    (item,) = list_sources(["https://me:secret@Example.ORG/Docs?q=1#part"]).items
    assert item.source == item.origin == "https://example.org/Docs?q=1"
    assert item.locator == "https://me:secret@example.org/Docs?q=1"


@pytest.mark.parametrize("spec", ["ftp://example.org/a.md", "file:///etc/passwd", "https://", "http://[::1/x"])
def test_what_is_no_web_address_is_unsupported(spec: str) -> None:
    """Only http and https are fetched."""
    listing = list_sources([spec])
    assert listing.items == ()
    assert [entry.code for entry in listing.rejected] == ["unsupported"]


def test_the_same_specs_give_the_same_listing(tmp_path: Path) -> None:
    """A listing doesn't depend on the order in which the disk gives its entries."""
    write(tmp_path, *(f"{folder}/{name}.md" for folder in "cab" for name in "zyx"))
    assert list_sources([str(tmp_path)]) == list_sources([str(tmp_path)])
    assert names(tmp_path, "") == sorted(names(tmp_path, ""))


@pytest.mark.parametrize("wildcard", ["", "/*", "/**"])
def test_a_link_to_itself_is_told_and_the_rest_goes_on(tmp_path: Path, wildcard: str) -> None:
    """Asking whether such a link is a folder is an error of the operating system, not the end of the run."""
    write(tmp_path, "a.md")
    (tmp_path / "b.md").symlink_to("b.md")
    listing = list_sources([f"{tmp_path}{wildcard}"])
    assert [item.source for item in listing.items] == [f"{tmp_path}/a.md"]
    assert [(entry.code, entry.source) for entry in listing.rejected] == [("unreadable", f"{tmp_path}/b.md")]


@pytest.mark.parametrize(
    "spec", ["ftp://me:secret@example.org/a", "http://me:secret/x@example.org/", "http://me:secret@[bad"]
)
def test_what_is_rejected_shows_no_password(spec: str) -> None:
    """Neither the name nor the reason of an address that can't be understood holds what may be a password."""
    (entry,) = list_sources([spec]).rejected
    assert "secret" not in f"{entry.source} {entry.reason}"
    assert entry.source.endswith(("//example.org/a", "//example.org/", "//[bad"))


@given(st.text())
def test_a_spec_can_be_stored_as_it_is_shown(spec: str) -> None:
    """Whatever bytes a shell hands over: what is kept of them is text without null bytes."""
    shown = as_given(os.fsdecode(spec.encode(errors="replace")) + os.fsdecode(b"\xff\0"))
    assert "\0" not in shown
    assert shown.encode().decode() == shown
