"""What the embedded server is told: a file `recant.conf` that `postgresql.conf` includes, written at every start.

`ALTER SYSTEM` still overrules all of it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

FILE_NAME = "recant.conf"
INITDB_OPTIONS = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
    "--no-instructions",
)
MIB = 1024 * 1024


def include_in(data_dir: Path) -> None:
    """Have a new cluster's `postgresql.conf` include our file."""
    with (data_dir / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(f"\ninclude_if_exists = '{FILE_NAME}'\n")


def write(data_dir: Path, *, port: int, durable: bool, own: Callable[[Path], None]) -> None:
    """Write our file; `own` gives it to the server's user."""
    path = data_dir / FILE_NAME
    lines = [f"{name} = {value}" for name, value in parameters(port=port, durable=durable).items()]
    path.write_text("# Written at every start; change with ALTER SYSTEM.\n" + "\n".join(lines) + "\n", "utf-8")
    path.chmod(0o600)
    own(path)


def port_in(data_dir: Path) -> int | None:
    """The port of the last start; None before the first."""
    try:
        found = re.search(r"^port = (\d+)$", (data_dir / FILE_NAME).read_text("utf-8"), re.MULTILINE)
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def parameters(*, port: int, durable: bool) -> dict[str, str]:
    """Server parameters for this machine: an 8 GB one gets 512 MB of shared buffers."""
    memory_bytes = psutil.virtual_memory().total
    buffers_mib = _clamp(memory_bytes // 16 // MIB, 128, 2048)
    chosen = {
        "listen_addresses": "'127.0.0.1'",
        "port": str(port),
        "unix_socket_directories": "''",  # their paths may hold only 107 bytes
        "max_connections": "200",
        "shared_buffers": f"{buffers_mib}MB",
        "effective_cache_size": f"{_clamp(memory_bytes // 3 // MIB, 256, 16384)}MB",
        "maintenance_work_mem": f"{buffers_mib}MB",  # an HNSW index of 100,000 vectors is built within it
        "work_mem": "16MB",
        "max_wal_size": "2GB",
        "random_page_cost": "1.1",
        "jit": "off",  # costs more than the short queries of a search take
        "dynamic_shared_memory_type": _dynamic_shared_memory(2 * buffers_mib * MIB),
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %q%u@%d '",
        "log_min_duration_statement": "-1",
        "log_checkpoints": "off",
    }
    if not durable:
        chosen |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_senders": "0"}
        chosen |= {"wal_level": "minimal", "autovacuum_naptime": "10min"}
    return chosen


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _dynamic_shared_memory(needed_bytes: int) -> str:
    """A parallel index build shares `maintenance_work_mem` there, and containers often have 64 MB of it."""
    shared = Path("/dev/shm")  # noqa: S108 - asked for its size only
    if shared.is_dir() and shutil.disk_usage(shared).free >= needed_bytes:
        return "posix"
    return "mmap"
