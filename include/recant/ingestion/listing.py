"""Finds what to read: files, folders, globs, URLs and installed distributions → items. Opens none of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from recant.ingestion.document import LeftOut, Rejected
from recant.ingestion.folders import files_matching, files_under, is_glob
from recant.ingestion.origin import as_given
from recant.ingestion.readers.addresses import normalise_url, without_credentials
from recant.ingestion.readers.distributions import PREFIX, canonical_name, installed
from recant.ingestion.readers.files import require_regular, unreadable
from recant.ingestion.readers.formats import KNOWN_SUFFIXES, format_of_name
from recant.ingestion.readers.records import MAX_SOURCE_BYTES
from recant.ingestion.source import SourceItem

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a set of specs comes to."""

    items: tuple[SourceItem, ...]
    """In the order of the specs, within a spec by path or name; no document twice."""
    rejected: tuple[Rejected, ...]
    origins: tuple[str, ...]
    """Of the specs that were listed to the end: what was once found under one of them, and is neither an item nor
    rejected now, is gone. A spec that is missing, or unreadable in places, is not among them."""


def list_sources(specs: Sequence[str]) -> Listing:
    """What a run over `specs` would read.

    A spec is a file, a folder (with its subfolders; only known formats are listed), a glob (`docs/**/*.md`), an http or
    https address, `dist:NAME` for an installed distribution, or `dist:*` for all of them (wildcards in between work
    too). What can't be listed is rejected with the reason, and the rest goes on.
    """
    finds = _Finds()
    for spec in specs:
        try:
            _list_spec(spec, finds)
        except LeftOut as left_out:
            finds.reject(as_given(spec), left_out)
    return Listing(tuple(finds.items), tuple(finds.rejected), tuple(finds.origins))


@dataclass(slots=True)
class _Finds:
    """A listing in the making."""

    items: list[SourceItem] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    origins: dict[str, None] = field(default_factory=dict)
    firsts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Real path, URL or distribution → source and origin of its first find."""
    addresses: dict[str, str] = field(default_factory=dict)
    """URL → how it is opened."""
    real_folders: dict[str, str] = field(default_factory=dict)

    def reject(self, source: str, left_out: LeftOut) -> None:
        printable = source.encode(errors="backslashreplace").decode().replace("\0", "\\0")
        self.rejected.append(left_out.rejected(printable))

    def add(self, item: SourceItem, identity: str) -> None:
        """An item, unless the same document is there already."""
        if identity not in self.firsts:
            self.firsts[identity] = (item.source, item.origin)
            self.items.append(item)
            return
        source, origin = self.firsts[identity]
        also = f"it was listed already, under {origin}" if source == item.source else f"it is the same file as {source}"
        self.reject(item.source, LeftOut("duplicate", f"{also}: kept once, nothing to do"))

    def real_path(self, path: str) -> str:
        """Without symbolic links, so that one file has one name."""
        if os.path.islink(path):
            return os.path.realpath(path)
        folder, name = os.path.split(path)
        if folder not in self.real_folders:
            self.real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self.real_folders[folder], name)


def _list_spec(spec: str, finds: _Finds) -> None:
    if not spec.strip() or "\0" in spec:
        raise LeftOut("missing", "it names nothing: give a path, a glob, an address or dist:NAME")
    if spec.startswith(PREFIX):
        _list_distributions(spec, finds)
    elif _SCHEME.match(spec):
        _list_url(spec, finds)
    else:
        _list_path(os.path.abspath(os.path.expanduser(spec)), finds)


def _list_distributions(spec: str, finds: _Finds) -> None:
    wanted = spec.removeprefix(PREFIX).strip()
    pattern = wanted if is_glob(wanted) else canonical_name(wanted)
    names = [name for name in installed() if fnmatchcase(name, pattern)]
    if not names:
        raise LeftOut("missing", "no such distribution is installed: check the name with `pip list`")
    origin = PREFIX + pattern
    for name in names:
        finds.add(SourceItem(PREFIX + name, name, origin, "auto", None), PREFIX + name)
    finds.origins[origin] = None


def _list_url(spec: str, finds: _Finds) -> None:
    locator = normalise_url(spec.strip())
    source = without_credentials(locator)
    _require_nameable(source)
    if finds.addresses.setdefault(source, locator) != locator:
        raise LeftOut(
            "duplicate", "only what looks like a credential tells it from one listed already: that one is kept"
        )
    finds.add(SourceItem(source, locator, source, "auto", None), source)
    finds.origins[source] = None


def _list_path(path: str, finds: _Finds) -> None:
    if is_glob(path) and not os.path.lexists(path):
        _list_glob(path, finds)
    elif os.path.isdir(path):
        _list_folder(path, finds)
    else:
        _list_file(path, finds)


def _list_file(path: str, finds: _Finds) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    require_regular(status.st_mode)
    kind = format_of_name(path)
    if kind is None:
        raise LeftOut("unsupported", f"its format is unknown; known are {KNOWN_SUFFIXES}: convert it")
    _require_nameable(path)
    finds.add(SourceItem(path, path, path, kind, status.st_size), finds.real_path(path))
    finds.origins[path] = None


def _list_folder(path: str, finds: _Finds) -> None:
    unread: list[OSError] = []
    if not _list_entries(files_under(path, unread.append), path, finds) and not unread:
        finds.reject(path, LeftOut("empty", f"there is no document in it; known formats are {KNOWN_SUFFIXES}"))
    _conclude(path, unread, finds)


def _list_glob(pattern: str, finds: _Finds) -> None:
    unread: list[OSError] = []
    found = _list_entries(files_matching(pattern, unread.append), pattern, finds)
    absent = [error for error in unread if isinstance(error, FileNotFoundError | NotADirectoryError)]
    if not found and len(absent) == len(unread):
        hint = "quote it in the shell, use ** for subfolders"
        raise LeftOut("missing", f"no file of a known format ({KNOWN_SUFFIXES}) matches: check the path, {hint}")
    _conclude(pattern, unread, finds)


def _list_entries(entries: Iterable[os.DirEntry[str]], origin: str, finds: _Finds) -> bool:
    """Whether there were any documents."""
    found = False
    for entry in entries:
        if kind := format_of_name(entry.name):
            found = True
            try:
                _require_nameable(entry.path)
                item = SourceItem(entry.path, entry.path, origin, kind, entry.stat().st_size)
                finds.add(item, finds.real_path(entry.path))
            except OSError as error:
                finds.reject(entry.path, unreadable(entry.path, error))
            except LeftOut as left_out:
                finds.reject(entry.path, left_out)
    return found


def _conclude(origin: str, unread: list[OSError], finds: _Finds) -> None:
    """Only what was seen to its end can tell what is gone."""
    for error in unread:
        finds.reject(str(error.filename), unreadable(str(error.filename), error))
    if not unread:
        finds.origins[origin] = None


def _require_nameable(source: str) -> None:
    try:
        size_bytes = len(source.encode())
    except UnicodeEncodeError as error:
        raise LeftOut("encoding", "its name is not valid UTF-8: rename it") from error
    if size_bytes > MAX_SOURCE_BYTES:
        raise LeftOut("unsupported", f"its name has over {MAX_SOURCE_BYTES:,} bytes: move it nearer to the root")
