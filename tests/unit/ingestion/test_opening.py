"""Opening files and distributions: what comes of good ones, and that no bad one stops a run."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path

import pytest

from recant.ingestion import RawDocument, Rejected, SourceItem, fingerprint, list_sources, open_documents
from recant.ingestion.readers import opening

Open = Callable[..., list[RawDocument | Rejected]]


def item_for(path: Path, kind: str = "auto") -> SourceItem:
    return SourceItem(str(path), str(path), str(path), kind, None)


def rejection(path: Path, kind: str = "auto", max_bytes: int = 1000) -> Rejected:
    (found,) = open_documents(item_for(path, kind), max_bytes=max_bytes)
    assert isinstance(found, Rejected)
    assert found.source == str(path)
    return found


def test_a_file_is_opened_with_the_hash_of_its_bytes(opened: Open) -> None:
    """A document carries its text with plain line ends, and the sha256 of the bytes as they lie on the disk."""
    data = "# Ä\r\n\r\nText\r".encode()
    (raw,) = opened("a.md", data)
    assert isinstance(raw, RawDocument)
    assert (raw.format, raw.content, raw.title) == ("markdown", "# Ä\n\nText\n", None)
    assert raw.content_hash == hashlib.sha256(data).digest()
    assert datetime.fromisoformat(str(raw.attributes["modified_at"])).tzinfo is not None


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", "utf-16"), ("utf-32", "utf-32"), ("cp1252", "cp1252")],
)
def test_the_encoding_is_found_out(opened: Open, encoding: str, told: str | None) -> None:
    """UTF-8 needs no word; any other encoding is recognised, and noted."""
    text = "Das Gerät läßt sich über die Oberfläche öffnen und schließen. Größe und Maße stehen im Anhang.\n" * 3
    (raw,) = opened("a.txt", text.encode(encoding))
    assert isinstance(raw, RawDocument)
    assert raw.content == text
    assert raw.attributes.get("encoding") == told


def test_another_alphabet_is_guessed(opened: Open) -> None:
    """Cyrillic in an old encoding comes out as Cyrillic."""
    text = "Документация описывает установку и настройку программы, а также работу с базой данных. " * 8
    (raw,) = opened("a.txt", text.encode("cp1251"))
    assert isinstance(raw, RawDocument)
    assert raw.content == text
    assert raw.attributes["encoding"] == "cp1251"


def test_a_page_may_declare_its_encoding(opened: Open) -> None:
    """The charset that a page's meta element names is tried before guessing."""
    page = '<meta charset="iso-8859-7"><p>Καλημέρα</p>'.encode("iso-8859-7")
    (raw,) = opened("a.html", page)
    assert isinstance(raw, RawDocument)
    assert "Καλημέρα" in str(raw.content)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b" \n\t\r\n ", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"text\0more", "binary"),
        (bytes(range(256)) * 4, "binary"),
        (bytes(range(1, 256)) * 4, "binary"),
        (b"\xff\xfeA\x00\x00\xd8", "encoding"),
    ],
)
@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.py", "a.rst"])
def test_what_is_no_text_is_rejected(opened: Open, name: str, content: bytes, code: str) -> None:
    """Empty, binary and undecodable files are left out, each for its own reason."""
    (found,) = opened(name, content)
    assert isinstance(found, Rejected)
    assert found.code == code
    assert ":" in found.reason  # what is wrong: what to do


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """A huge file costs a look at its size; the message names both sizes."""
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    found = rejection(path, max_bytes=1000)
    assert found.code == "too_large"
    assert "104,857,600" in found.reason
    assert "1,000" in found.reason


def test_a_file_whose_size_nobody_tells_is_still_limited() -> None:
    """Files in /proc say that they have no bytes; reading stops at the limit all the same."""
    found = rejection(Path("/proc/self/smaps"), "text", max_bytes=100)
    assert (found.code, "at least 101" in found.reason) == ("too_large", True)


def test_a_file_at_the_limit_is_taken(opened: Open) -> None:
    """The limit itself is allowed."""
    assert isinstance(opened("a.txt", b"x" * 100, max_bytes=100)[0], RawDocument)
    assert isinstance(opened("a.txt", b"x" * 101, max_bytes=100)[0], Rejected)


def test_what_went_away_since_the_listing_is_missing(tmp_path: Path) -> None:
    """A file removed between listing and opening is rejected, as is one whose folder became a file."""
    (tmp_path / "file").write_text("x")
    assert rejection(tmp_path / "gone.md").code == "missing"
    assert rejection(tmp_path / "file" / "a.md").code == "missing"


def test_a_dangling_or_circular_link_is_rejected(tmp_path: Path) -> None:
    """A link to nowhere is missing, one to itself unreadable."""
    (tmp_path / "a.md").symlink_to("nowhere")
    (tmp_path / "b.md").symlink_to("b.md")
    assert (rejection(tmp_path / "a.md").code, "link" in rejection(tmp_path / "a.md").reason) == ("missing", True)
    assert rejection(tmp_path / "b.md").code == "unreadable"


@pytest.mark.timeout(10)
def test_nothing_that_could_block_is_opened(tmp_path: Path) -> None:
    """Folders, pipes, sockets and devices are refused at once, whatever their name."""
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.md"))
        kinds = [rejection(tmp_path / name).reason for name in ("folder.md", "pipe.md", "s.md")]
    kinds.append(rejection(Path("/dev/zero"), "text").reason)
    for kind, reason in zip(("a folder", "a named pipe", "a socket", "a device"), kinds, strict=True):
        assert kind in reason
    assert [entry.code for entry in list_sources([str(tmp_path / "pipe.md")]).rejected] == ["unreadable"]


def test_a_pipe_that_takes_a_files_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was a file when it was looked at and is a pipe when it is opened doesn't block either."""
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "a.md").write_text("x")
    regular, real = os.stat(tmp_path / "a.md"), os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, **more: regular if str(path).endswith("pipe.md") else real(path, **more)
    )
    assert "a named pipe" in rejection(tmp_path / "pipe.md").reason


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_file_that_the_system_refuses_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """The system's refusal becomes a rejection, for root as for anyone."""

    def refuse(*_: object, **__: object) -> int:
        raise error

    (tmp_path / "a.md").write_text("x")
    monkeypatch.setattr(os, "open", refuse)
    assert rejection(tmp_path / "a.md").code == "unreadable"


def test_a_file_without_read_permission_is_unreadable_but_for_root(tmp_path: Path) -> None:
    """Permissions are the system's to decide: whoever may read the file gets it, others a rejection."""
    path = tmp_path / "a.md"
    path.write_text("secret")
    path.chmod(0)
    (found,) = open_documents(item_for(path), max_bytes=100)
    if os.access(path, os.R_OK):
        assert isinstance(found, RawDocument)
    else:
        assert isinstance(found, Rejected)
        assert (found.code, "permission denied" in found.reason) == ("unreadable", True)


def test_a_disk_that_fails_while_reading_is_a_rejection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error halfway through a file ends that file, not the run."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    (tmp_path / "a.md").write_text("x")
    monkeypatch.setattr(opening, "read_whole", fail)
    assert (found := rejection(tmp_path / "a.md")).code == "unreadable"
    assert "Input/output error" in found.reason


def test_an_unknown_format_is_unsupported(tmp_path: Path) -> None:
    """An item whose format nothing tells is rejected with the known ones."""
    (tmp_path / "a.xyz").write_text("x")
    assert rejection(tmp_path / "a.xyz").code == "unsupported"


def test_touching_a_file_does_not_change_its_fingerprint(opened: Open, tmp_path: Path) -> None:
    """A fingerprint is the content's, not the file system's; other content or sizes give another."""
    (first,) = opened("a.md", "text")
    os.utime(tmp_path / "a.md", (1, 1))
    (second,) = open_documents(list_sources([str(tmp_path / "a.md")]).items[0], max_bytes=100)
    (third,) = opened("a.md", "other text")
    assert isinstance(first, RawDocument)
    assert isinstance(second, RawDocument)
    assert isinstance(third, RawDocument)
    assert first.attributes != second.attributes
    assert fingerprint(first) == fingerprint(second) != fingerprint(third)
    assert len({fingerprint(first), fingerprint(first, max_tokens=100), fingerprint(first, overlap_tokens=0)}) == 3


def test_a_distribution_is_its_readme_with_its_metadata() -> None:
    """The README of an installed package comes with who wrote it, where it lives and which version it is."""
    (item,) = list_sources(["dist:markdown-it-py"]).items
    (raw,) = open_documents(item, max_bytes=1_000_000)
    assert isinstance(raw, RawDocument)
    assert (raw.source, raw.format, raw.title) == ("dist:markdown-it-py", "markdown", "markdown-it-py")
    assert raw.attributes["version"] == metadata.version("markdown-it-py")
    assert raw.attributes["doc_type"] == "readme"
    assert str(raw.attributes["url"]).startswith("https://")
    assert {"author", "summary", "topics", "license"} <= set(raw.attributes)
    assert "markdown-it-py" in str(raw.content)


def install(site: Path, name: str, fields: str, readme: str = "") -> None:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{fields}\n{readme}"
    (folder / "METADATA").write_bytes(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize(
    ("fields", "readme", "kind"),
    [
        ("Description-Content-Type: text/markdown; charset=UTF-8\n", "# Title", "markdown"),
        ("Description-Content-Type: text/x-rst\n", "Title\n=====", "rst"),
        ("Description-Content-Type: text/plain\n", "# no title", "text"),
        ("", "Title\n=====\n\n.. note:: x", "rst"),
        ("", "# Title\n\n```\ncode\n```", "markdown"),
        ("", "Just a sentence.", "text"),
    ],
)
def test_a_readmes_format_is_what_it_says_or_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str, readme: str, kind: str
) -> None:
    """The content type decides, and where there is none the look of the text."""
    install(tmp_path, "madeup", fields, readme)
    monkeypatch.syspath_prepend(str(tmp_path))
    (raw,) = open_documents(list_sources(["dist:madeup"]).items[0], max_bytes=1000)
    assert isinstance(raw, RawDocument)
    assert raw.format == kind


def test_the_metadata_of_a_distribution_is_read_in_its_many_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Author from the e-mail address, home from the project URLs, licence from the classifiers, keywords by spaces."""
    fields = (
        "Author-email: Ada Lovelace <ada@example.org>\nKeywords: one two\nLicense: MIT\n"
        "Project-URL: Tracker, https://example.org/bugs\nProject-URL: Source, https://example.org/code\n"
    )
    install(tmp_path, "madeup", fields, "Words")
    install(
        tmp_path, "lawful", f"License: {'long ' * 40}\nClassifier: License :: OSI Approved :: BSD License\n", "Words"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    raws = [next(open_documents(item, max_bytes=1000)) for item in list_sources(["dist:madeup", "dist:lawful"]).items]
    first, second = (raw.attributes for raw in raws if isinstance(raw, RawDocument))
    assert (first["author"], first["topics"], first["license"]) == ("Ada Lovelace", ["one", "two"], "MIT")
    assert first["url"] == "https://example.org/code"
    assert second["license"] == "BSD License"


@pytest.mark.parametrize(
    ("readme", "code"), [("", "empty"), ("UNKNOWN", "empty"), ("x" * 2000, "too_large"), (" \n ", "empty")]
)
def test_a_distribution_without_a_usable_readme_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readme: str, code: str
) -> None:
    """No README, or one over the limit, is a rejection of that distribution."""
    install(tmp_path, "madeup", "", readme)
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = open_documents(list_sources(["dist:madeup"]).items[0], max_bytes=1000)
    assert isinstance(found, Rejected)
    assert found.code == code


def test_a_distribution_that_was_uninstalled_meanwhile_is_missing() -> None:
    """Between listing and opening a package may go."""
    (found,) = open_documents(SourceItem("dist:gone", "gone", "dist:*", "auto", None), max_bytes=1000)
    assert isinstance(found, Rejected)
    assert found.code == "missing"
