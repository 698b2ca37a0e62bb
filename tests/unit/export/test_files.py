"""Files written beside the reading."""

from __future__ import annotations

import errno
import hashlib
import resource
from pathlib import Path

import pytest

from recant.errors import OutOfSpace
from recant.export.files import BackgroundFile, disk_errors

BLOCK = b"x" * 64 * 1024


def test_what_is_written_is_hashed_and_counted(tmp_path: Path) -> None:
    """As it stands on the disk."""
    file = BackgroundFile(tmp_path / "out")
    for _ in range(3):
        file.write(BLOCK)
    file.close()
    data = (tmp_path / "out").read_bytes()
    assert (data, file.file.size_bytes) == (3 * BLOCK, len(data))
    assert file.file.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_goes_wrong_beside_is_raised_to_who_writes(tmp_path: Path, compression: str) -> None:
    """Nobody waits for ever, whether more is written or not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = hashlib.shake_256(b"noise").digest(1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        file = BackgroundFile(tmp_path / "out", compression)
        with pytest.raises(OutOfSpace), disk_errors():
            for _ in range(100):
                file.write(noise)
        with pytest.raises(OSError, match="large"):
            file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_only_a_want_of_room_is_called_so() -> None:
    """Other errors of the system pass as they are."""
    with pytest.raises(PermissionError), disk_errors():
        raise PermissionError(errno.EACCES, "not yours")
    with pytest.raises(OutOfSpace), disk_errors():
        raise OSError(errno.ENOSPC, "full")
