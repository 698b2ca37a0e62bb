"""Full disks, interruptions, and memory: an archive is whole or not there, however large it is."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recant.archive import query_archive
from recant.archive import writer as writing
from recant.archive.contents import Contents
from recant.archive.sink import new_file
from recant.archive.writer import replacing
from recant.corpus import ChunkRow, DocumentRow, Embeddings
from recant.corpus.embeddings import text_hash
from recant.errors import OutOfSpace, UsageError
from tests.integration.archive.conftest import WHO
from tests.integration.library import Library

MIB = 1024 * 1024


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What a full disk is like: no file grows beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_bulk(library: Library, documents: int, chunks: int, size: int, first: int = 0) -> None:
    """Texts of so many characters, no two alike."""
    for number in range(first, first + documents):
        operation_id = library.open()
        target = library.begin(operation_id)
        texts = [f"{number} {part} ".ljust(size, "abcdefghij"[part % 10]) for part in range(chunks)]
        vectors = {text_hash(text): library.model.vector(text) for text in texts}
        ids = Embeddings(library.database, library.collection.space_id, 4).add(vectors)
        rows = tuple(ChunkRow(n, ids[text_hash(t)], 9, "text", (), t, {}) for n, t in enumerate(texts))
        row = DocumentRow(f"bulk-{number}", "test", None, "text", b"s" * 32, b"f" * 32, {}, rows, None)
        with library.database.transaction() as connection:
            library.corpus.append(connection, target, [row])
        library.log.finish_batch(target.batch_id, {})
        library.log.publish(operation_id)


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
@pytest.mark.parametrize("room", [0, 3_000, 60_000])
def test_a_full_disk_leaves_what_was_there(kb, told: Library, tmp_path: Path, compression: str, room: int):
    """Wherever it is met: the old archive stands and is whole, nothing lies beside it, the operation is aborted."""
    kb.archives.create(tmp_path / "a.h5", WHO)
    before = (tmp_path / "a.h5").read_bytes()
    write_bulk(told, 1, 300, 300)
    with largest_file(room), pytest.raises(OutOfSpace, match="no room"):
        kb.archives.create(tmp_path / "a.h5", WHO, holds="history", compression=compression)
    assert (tmp_path / "a.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    assert (kb.log(limit=1)[0].state, kb.archives.find()[0].state) == ("aborted", "current")
    assert kb.archives.create(tmp_path / "a.h5", WHO, compression=compression).rows["chunks"] == 303


def test_an_interruption_leaves_nothing(kb, told: Library, tmp_path: Path, monkeypatch):
    """Control-C in the middle: no file, and no open operation."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing._Writing, "_log", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kb.archives.create(tmp_path / "a.h5", WHO)
    assert list(tmp_path.iterdir()) == []
    assert kb.log(limit=1)[0].state == "aborted"


def test_what_a_killed_process_left_is_swept(tmp_path: Path):
    """The next one at the same path takes it away; what another process is writing stays."""
    dead, alive, foreign = (tmp_path / name for name in (".a.h5.1.partial", ".a.h5.2.partial", ".b.h5.3.partial"))
    dead.write_bytes(b"half of it")
    foreign.write_bytes(b"of another archive")
    with new_file(alive), replacing(tmp_path / "a.h5") as partial:
        partial.write_bytes(b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.h5.2.partial", ".b.h5.3.partial", "a.h5"]


def test_a_folder_is_no_target(tmp_path: Path):
    """And nothing is left in it."""
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(UsageError, match="can't be written"), replacing(tmp_path / "a.h5"):
        pytest.fail("not reached")


def test_memory_does_not_grow_with_the_texts(kb, library: Library, tmp_path: Path):
    """Five times as much is archived, checked, searched and restored with about the memory of once, and of what is read ahead."""
    few, many = (
        peaks(kb, library, tmp_path / f"{first}.h5", first, documents) for first, documents in ((0, 4), (4, 16))
    )
    text = 20 * 300 * 5_000 / MIB
    for name, least in (("create", 12), ("verify", 12), ("query", 2), ("restore", 12)):
        assert many[name] < max(2.5 * few[name], least), (few, many)
        assert many[name] < text, (few, many)


def peaks(kb, library: Library, path: Path, first: int, documents: int) -> dict[str, float]:
    """With so many more documents: the memory that each step takes."""
    write_bulk(library, documents, 300, 5_000, first)
    steps = {
        "create": lambda: kb.archives.create(path, WHO),
        "verify": lambda: kb.archives.verify(path),
        "query": lambda: query_archive(path, library.model.vector("x")),
        "restore": lambda: kb.archives.restore(path, WHO, collection=f"copy-{first}"),
    }
    return {name: peak(step) for name, step in steps.items()}


def peak(step) -> float:
    """The most memory that Python held meanwhile, in MiB."""
    tracemalloc.start()
    step()
    most = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("where", ["documents", "vectors"])
def test_a_database_that_fails_midway_leaves_what_was_there(kb, told: Library, tmp_path: Path, monkeypatch, where: str):
    """What fails is read beside the writing: the file is as it was, and the operation is aborted with the reason."""
    path = tmp_path / "a.h5"
    kb.archives.create(path, WHO)
    before = path.read_bytes()
    read = getattr(Contents, where)

    def failing(self, *given):
        yield next(read(self, *given))
        raise OSError(5, "the disk of the database is gone")

    monkeypatch.setattr(Contents, where, failing)
    with pytest.raises(UsageError, match="the disk of the database is gone"):
        kb.archives.create(path, WHO)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".partial"] == []
    assert kb.log(limit=1)[0].state == "aborted"
