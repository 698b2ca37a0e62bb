"""Damaged, truncated and hostile files: said what they are, and nothing else happens."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from recant.archive import open_archive, query_archive, verify_archive
from recant.archive.state import seal
from recant.errors import ArchiveDamaged
from tests.integration.archive.conftest import WHO, write_rich
from tests.integration.library import Library

FUZZ = """
import random, sys, resource
from pathlib import Path
import numpy as np
from recant.archive import query_archive, verify_archive
from recant.errors import ArchiveDamaged
resource.setrlimit(resource.RLIMIT_AS, (4 * 1024**3, 4 * 1024**3))
whole, target, seed, turns = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
chance, told = random.Random(seed), 0
for turn in range(turns):
    data = bytearray(whole)
    for _ in range(chance.choice((1, 1, 3, 30))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)):]
    target.write_bytes(data)
    try:
        told += not verify_archive(target).ok
        query_archive(target, np.ones(4))
    except ArchiveDamaged:
        told += 1
print(told)
"""


@pytest.fixture
def path(kb, told: Library, tmp_path: Path) -> Path:
    """A whole archive."""
    write_rich(told)
    kb.archives.create(tmp_path / "a.h5", WHO, holds="history")
    return tmp_path / "a.h5"


@pytest.fixture
def changed(path: Path) -> Callable[[Callable[[h5py.File], object]], Path]:
    """Lets a change be made with h5py, after which all checksums are right again: whoever did it knows the format."""

    def change(how: Callable[[h5py.File], object]) -> Path:
        with h5py.File(path, "r+") as file:
            how(file)
            _sign(file)
        return path

    return change


def _sign(file: h5py.File) -> None:
    digests = {}
    for table, group in file.items():
        for name in group:
            held = isinstance(group.get(name, getlink=True), h5py.HardLink) and isinstance(group[name], h5py.Dataset)
            if held and group[name].size < 1_000_000:
                digests[f"{table}/{name}"] = hashlib.sha256(np.ascontiguousarray(group[name][:]).data).hexdigest()
                group[name].attrs["sha256"] = digests[f"{table}/{name}"]
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in file.attrs.items()}
    file.attrs["sha256"] = seal({name: value for name, value in plain.items() if name != "sha256"}, digests)


def replaced(name: str, **given: object) -> Callable[[h5py.File], None]:
    """A dataset in place of another."""

    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **given)

    return change


def set_to(name: str, values: object) -> Callable[[h5py.File], None]:
    """Other values in the same place."""

    def change(file: h5py.File) -> None:
        file[name][:] = values

    return change


def test_a_whole_one_is_whole(path: Path):
    """Every dataset was read."""
    report = verify_archive(path)
    assert (report.ok, report.damaged) == (True, [])
    assert report.datasets == len({*_datasets(path)})


def _datasets(path: Path) -> list[str]:
    with h5py.File(path) as file:
        return [f"{table}/{name}" for table, group in file.items() for name in group]


def test_a_signed_one_is_whole(changed):
    """So that what the tests below find is what they changed."""
    assert verify_archive(changed(lambda file: None)).ok


@pytest.mark.parametrize(
    "name", ["chunks/text", "vectors/vector", "documents/content_hash", "operations/entry_offsets"]
)
def test_a_changed_byte_is_named(path: Path, name: str):
    """In a compressed chunk of any dataset: which one it is, and the others are all right."""
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0x55
    path.write_bytes(data)
    report = verify_archive(path)
    assert [damage.dataset for damage in report.damaged] == [name]


@pytest.mark.parametrize("change", ["position", "collection", "model_digest"])
def test_a_changed_attribute_is_found(path: Path, change: str):
    """By the checksum of the whole."""
    with h5py.File(path, "r+") as file:
        file.attrs[change] = 1 if change == "position" else "other"
    (damage,) = verify_archive(path).damaged
    assert (damage.dataset, "whole" in damage.detail) == ("", True)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_one_is_none(path: Path, share: float):
    """Wherever it was cut."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ArchiveDamaged, match="is no HDF5 file, or is cut short"):
        verify_archive(path)


def test_other_files_are_none(tmp_path: Path):
    """Neither one that isn't there, nor another HDF5 file, nor one of a later version."""
    with pytest.raises(ArchiveDamaged, match="no file"):
        verify_archive(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1, 2, 3]
    with pytest.raises(ArchiveDamaged, match="no archive of Recant"):
        verify_archive(tmp_path / "other.h5")


HOSTILE = {
    "missing": (lambda f: f["chunks"].pop("text"), "chunks/text is missing"),
    "no table": (lambda f: f.pop("vectors"), "vectors/text_hash is missing"),
    "a group": (lambda f: (f["chunks"].pop("text"), f.create_group("chunks/text")), "chunks/text is missing"),
    "another file": (
        lambda f: (f["chunks"].pop("text"), f["chunks"].__setitem__("text", h5py.ExternalLink("/etc/passwd", "/x"))),
        "isn't held in the file",
    ),
    "a soft link": (
        lambda f: (f["chunks"].pop("text"), f["chunks"].__setitem__("text", h5py.SoftLink("/documents/source"))),
        "isn't held in the file",
    ),
    "raw data of another file": (
        replaced("chunks/text", shape=(8,), dtype="u1", external=[("/etc/hostname", 0, 8)]),
        "isn't held in the file",
    ),
    "type": (replaced("documents/position", data=np.zeros(9, "f8")), "is of float64"),
    "strings": (replaced("chunks/text", data=["a"], dtype=h5py.string_dtype()), "is of object"),
    "dimensions": (replaced("vectors/vector", data=np.zeros((3, 5), "f2")), "rows of the shape"),
    "rank": (replaced("vectors/vector", data=np.zeros(3, "f2")), "in 1 dimensions"),
    "rows": (replaced("documents/position", data=np.zeros(4, "i8")), "has 4 rows, not 9"),
    "bomb": (
        lambda f: (
            replaced(
                "vectors/vector", shape=(2**27, 4), dtype="f2", chunks=(1000, 4), maxshape=(None, 4), compression=9
            )(f),
            replaced("vectors/text_hash", shape=(2**27, 32), dtype="u1", chunks=(1000, 32), compression=9)(f),
            f.attrs.__setitem__("rows", json.dumps(json.loads(f.attrs["rows"]) | {"vectors": 2**27})),
        ),
        "claims",
    ),
    "many rows": (lambda f: f.attrs.__setitem__("rows", json.dumps({"documents": 10**12})), "attribute `rows`"),
    "huge chunks": (
        replaced("chunks/text", shape=(8,), maxshape=(None,), dtype="u1", chunks=(2**30,), compression=9),
        "a chunk of 1,073,741,824 bytes",
    ),
    "a filter of its own": (
        replaced("chunks/text", shape=(8,), dtype="u1", chunks=(8,), scaleoffset=0),
        "packed in a way",
    ),
    "no JSON": (lambda f: f.attrs.__setitem__("scope", "{"), "`scope` is no JSON"),
    "JSON of another kind": (lambda f: f.attrs.__setitem__("state", "[]"), "`state` should be a JSON dict"),
    "deep JSON": (lambda f: f.attrs.__setitem__("left_out", "[" * 30_000), "`left_out` is no JSON"),
    "version": (lambda f: f.attrs.__setitem__("format_version", 3), "of version 3"),
    "no model": (lambda f: f.attrs.pop("model"), "lacks the attributes model"),
    "an array": (lambda f: f.attrs.__setitem__("position", np.arange(5)), "lacks the attributes position"),
    "scope": (lambda f: f.attrs.__setitem__("scope", '{"holds": 7}'), "`scope` can't be understood"),
    "no dimensions": (lambda f: f.attrs.__setitem__("dimensions", 0), "vectors of 0 dimensions"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_layout_that_cannot_be_is_refused(changed, other, name: str):
    """Before anything is read, by whoever opens it; nothing outside of the file is followed."""
    how, message = HOSTILE[name]
    path = changed(how)
    for opening in (
        lambda: verify_archive(path).ok or pytest.fail("it says so itself"),
        lambda: query_archive(path, np.ones(4)),
        lambda: other.archives.restore(path, WHO),
        lambda: other.archives.show(path),
    ):
        with pytest.raises(ArchiveDamaged, match=message):
            opening()


POINTERS = {
    "chunks/document": (set_to("chunks/document", 10**9), "names rows that documents hasn't"),
    "chunks/vector": (set_to("chunks/vector", -5), "names rows that vectors hasn't"),
    "documents/first_chunk": (set_to("documents/first_chunk", 2**62), "names rows that chunks hasn't"),
    "documents/chunk_count": (set_to("documents/chunk_count", -1), "names rows that chunks hasn't"),
    "chunks/text_offsets": (set_to("chunks/text_offsets", np.arange(12)[::-1][:11]), "doesn't cut"),
    "operations/entry_offsets": (set_to("operations/entry_offsets", 2**60), "doesn't cut"),
    "documents/seen": (set_to("documents/seen", 1), "what is seen isn't"),
}


@pytest.mark.parametrize("name", POINTERS)
def test_rows_that_point_nowhere_are_named(changed, other, name: str):
    """Though every checksum is right; and nothing of it is restored."""
    how, message = POINTERS[name]
    path = changed(how)
    report = verify_archive(path)
    assert not report.ok
    assert message in report.damaged[0].detail
    with pytest.raises(ArchiveDamaged, match="is damaged"):
        other.archives.restore(path, WHO)
    try:
        query_archive(path, np.ones(4))
    except ArchiveDamaged as error:
        assert "a.h5" in str(error)


def _number_for_a_header(file: h5py.File) -> None:
    headers = file["chunks/parent_headers"][:].tobytes().replace(b'"Part 1"', b"11111111")
    file["chunks/parent_headers"][:] = np.frombuffer(headers, "u1")


CONTENTS = {
    "vectors without a direction": (set_to("vectors/vector", 0), "aren't of length 1"),
    "vectors that are no numbers": (set_to("vectors/vector", np.nan), "aren't of length 1"),
    "attributes": (set_to("documents/attributes", ord("[")), "no JSON"),
    "no UTF-8": (set_to("chunks/text", 0xFF), "damaged"),
    "headers": (_number_for_a_header, "should hold texts"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_cannot_be_are_not_restored(changed, other, name: str):
    """The operation is aborted, and nothing is seen of it."""
    how, message = CONTENTS[name]
    path = changed(how)
    with pytest.raises(ArchiveDamaged, match=message):
        other.archives.restore(path, WHO)
    assert other.verify().records == {}
    assert all(operation.state == "aborted" for operation in other.log())


def test_random_damage_is_always_said(path: Path, tmp_path: Path, nightly: bool):
    """A process that opens them ends well, and takes no more memory than it may: bytes changed anywhere, files cut anywhere."""
    turns = "1500" if nightly else "150"
    given = [sys.executable, "-c", FUZZ, str(path), str(tmp_path / "damaged.h5"), "7", turns]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > int(turns) * 0.6


def test_a_gap_is_read_once(path: Path):
    """Rows that lie near each other come in one piece, others one by one; all as they are."""
    with open_archive(path) as file:
        whole = file.read("documents", "version_id", 0, 9)
        for rows in ([], [0], [0, 1, 8], [3, 4]):
            found = file.gather("documents", "version_id", np.asarray(rows, np.int64))
            assert found.tolist() == whole[rows].tolist() if rows else found.tolist() == []
