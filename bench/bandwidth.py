"""The memory bandwidth of this machine, as the reference for bytes per second."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK = 1 << 16  # elements: half a MiB, so that one call without the lock handles a block


@functools.cache
def measure(n_threads: int, n_bytes: int = 256 << 20) -> dict[str, float]:
    """Return the best bytes per second of copying (read + written) and of reading; once a process.

    Each array has `n_bytes`, which should be well beyond the last cache.
    """
    source = np.zeros(n_bytes // 8, np.int64)
    source += 1  # pages that were never written share one page of zeros
    target = np.zeros_like(source)
    target += 1
    with ThreadPoolExecutor(n_threads) as pool:

        def spread(work: Callable[[int], object]) -> float:
            begin = time.perf_counter()
            list(pool.map(work, range(0, len(source), len(source) // n_threads)))
            return time.perf_counter() - begin

        part = len(source) // n_threads

        def copy(first: int) -> None:
            np.copyto(target[first : first + part], source[first : first + part])

        def read(first: int) -> None:
            for begin in range(first, min(first + part, len(source)), BLOCK):
                source[begin : begin + BLOCK].max()

        copying = min(spread(copy) for _ in range(5))
        reading = min(spread(read) for _ in range(5))
    return {
        "copy_bytes_per_second": 2 * source.nbytes / copying,
        "read_bytes_per_second": source.nbytes / reading,
    }
