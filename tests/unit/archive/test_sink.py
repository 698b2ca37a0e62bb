"""The file under HDF5: it is a file like any other, and never tells HDF5 of what it can't write."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from recant.archive.compression import Compression
from recant.archive.sink import is_abandoned, new_file
from recant.errors import UsageError


def test_it_is_a_file(tmp_path: Path):
    """Written, read, cut and measured in any order."""
    with new_file(tmp_path / "f") as sink:
        assert sink.write(b"hello world") == 11
        assert (sink.seek(6), sink.read(5), sink.tell()) == (6, b"world", 11)
        assert (sink.seek(-5, os.SEEK_END), sink.read()) == (6, b"world")
        assert (sink.seek(-11, os.SEEK_CUR), sink.read(2)) == (0, b"he")
        sink.seek(5)
        assert (sink.truncate(), sink.truncate(7)) == (5, 7)
        sink.flush()
    assert (tmp_path / "f").read_bytes() == b"hello\0\0"


def test_what_cannot_be_written_is_told_in_the_end(tmp_path: Path):
    """Until then it reads back as if it had been."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match="File too large"), new_file(tmp_path / "f") as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
        try:
            sink.write(b"abcdefgh")
            sink.write(b"ijk")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (sink.seek(0), sink.read(8)) == (0, b"abcdefgh")
        assert (sink.seek(8), sink.read(5)) == (8, b"ijk\0\0")
        assert sink.truncate(20) == 20
        with pytest.raises(OSError, match="File too large"):
            sink.check()


def test_a_file_that_cannot_be_cut_is_told_too(tmp_path: Path):
    """As one that can't be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match="File too large"), new_file(tmp_path / "f") as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
        try:
            assert sink.truncate(100) == 100
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_it_is_known_whether_somebody_writes(tmp_path: Path):
    """While it is open, and no longer."""
    with new_file(tmp_path / "f"):
        assert not is_abandoned(tmp_path / "f")
    assert is_abandoned(tmp_path / "f")
    assert not is_abandoned(tmp_path / "none")


def test_a_level_is_from_one_to_nine():
    """Of gzip; the other methods have none."""
    assert Compression("lzf").filters == {"compression": "lzf", "shuffle": True}
    with pytest.raises(UsageError, match="level 0"):
        Compression("gzip", 0)
