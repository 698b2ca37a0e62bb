"""What the machine lets torch use: how many processors, which device, which number formats are worth a trial."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from recant.errors import ConfigurationError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MOST_PARALLEL_BATCHES = 16
"""Beyond it the interpreter's lock would be held for a good part of the time."""
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def choose_device(requested: str) -> str:
    """A device that torch can compute on; "auto" takes a GPU that works, else the processor.

    Raises ConfigurationError when the one asked for isn't usable.
    """
    candidates = ("cuda", "mps", "cpu") if requested == "auto" else (requested,)
    for device in candidates:
        problem = _unusable(device)
        if problem is None:
            return device
    raise ConfigurationError(f"device {requested!r} can't be used: {problem}. Set RECANT_DEVICE=auto, or cpu")


def dtype_named(name: str) -> torch.dtype:
    """torch's type of that name. Raises ConfigurationError for another than float32, bfloat16 and float16."""
    if name not in _DTYPES:
        raise ConfigurationError(f"dtype {name!r}: must be auto or one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def reduced_dtypes(device: str) -> tuple[str, ...]:
    """Half-length formats to try, best first: float16 is the more exact one, but only GPUs are quick at it."""
    return ("float16", "bfloat16") if device.startswith("cuda") else ("float16",) if device == "mps" else ("bfloat16",)


def parallel_batches(device: str) -> int:
    """How many batches to compute at a time, each on one thread; on a GPU one.

    Within torch's own limit (physical cores, OMP_NUM_THREADS) and a container's quota, which torch doesn't see.
    """
    if device != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), available_processors(), MOST_PARALLEL_BATCHES))


def available_processors(cgroup_limit: Path = _CGROUP_LIMIT) -> int:
    """Processors by affinity, and by the container's quota ("200000 100000": two) where there is one."""
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cgroup_limit.read_text().split()
        return max(1, min(affine, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return affine


def _unusable(device: str) -> str | None:
    try:
        torch.ones(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return str(error).splitlines()[0]
    return None
