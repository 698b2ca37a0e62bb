"""numpy's matrix products on the calling thread alone.

OpenBLAS shares even small products among threads that wait for each other by spinning. On two busy cores 59 texts of
mixed lengths took 144 s that way and 14 s on one thread. The vectors are the same to the bit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_lock = threading.Lock()
_inside = 0
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limits the whole process while any thread is inside; the last one to leave restores what was set."""
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _limit = ThreadpoolController().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.restore_original_limits()
