"""Finding a free TCP port on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from recant.errors import ConfigurationError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 at this port now (a socket in TIME_WAIT doesn't count)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(first: int, *, attempts: int = 200, avoid: Iterable[int] = ()) -> Iterator[int]:
    """Free ports from `first` upwards. Raises ConfigurationError when `attempts` ports bring none."""
    taken = set(avoid)
    found = False
    for port in range(first, min(first + attempts, 65536)):
        if port not in taken and is_free(port):
            found = True
            yield port
    if not found:
        raise ConfigurationError(
            f"No free port on {LOOPBACK} from {first} to {min(first + attempts, 65536) - 1}: stop what listens there, "
            "or name another with RECANT_POSTGRES_PORT or RECANT_AIRFLOW_PORT"
        )


def free_port(first: int, *, avoid: Iterable[int] = ()) -> int:
    """The first free port at or above `first`."""
    return next(free_ports(first, avoid=avoid))
