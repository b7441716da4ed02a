"""Our own small thread pool: kernels release the GIL, and the caller works too.

Numba's parallel layers abort with several Python threads, or after a fork. This pool belongs to a
process id: a forked child makes its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from fastfeat.errors import InvalidPlan

_chosen: int | None = None
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def set_num_threads(n_threads: int | None) -> None:
    """Set how many threads kernels use; None returns to FASTFEAT_NUM_THREADS, or all cores.

    Results do not depend on it.
    """
    global _chosen
    whole = isinstance(n_threads, int) and not isinstance(n_threads, bool)
    if n_threads is not None and (not whole or n_threads < 1):
        raise InvalidPlan(f"the number of threads must be a whole number from 1, got {n_threads!r}")
    _chosen = n_threads


@contextmanager
def using_threads(n_threads: int) -> Generator[None, None, None]:
    """Let kernels use a number of threads inside a `with`, and then what was set before."""
    global _chosen
    before = _chosen
    set_num_threads(n_threads)
    try:
        yield
    finally:
        _chosen = before


def num_threads() -> int:
    """Return how many threads kernels use."""
    if _chosen is not None:
        return _chosen
    text = os.environ.get("FASTFEAT_NUM_THREADS", "")
    if text:
        if not text.isdigit() or int(text) < 1:
            raise InvalidPlan(f"FASTFEAT_NUM_THREADS must be a whole number from 1, got {text!r}")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(tasks: Iterable[Callable[[], None]]) -> None:
    """Run tasks on the pool and in the calling thread; return when all are done.

    Raises:
        BaseException: the first that a task raised, after the others came to their end.
    """
    tasks = list(tasks)
    n_threads = 1 if len(tasks) < 2 else min(num_threads(), len(tasks))
    if n_threads < 2:
        for task in tasks:
            task()
        return
    queue = iter(tasks)
    others = [_pool(n_threads - 1).submit(_work, queue) for _ in range(n_threads - 1)]
    try:
        _work(queue)
    finally:
        wait(others)
    for other in others:
        other.result()


def _work(queue: Iterator[Callable[[], None]]) -> None:
    for task in queue:
        task()


def _pool(n_workers: int) -> ThreadPoolExecutor:
    key = (os.getpid(), n_workers)
    pool = _pools.get(key)
    if pool is None:
        pool = _pools.setdefault(key, ThreadPoolExecutor(n_workers, "fastfeat"))
    return pool
