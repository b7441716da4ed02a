"""Our own small thread pool: kernels release the GIL, and the caller works too.

Numba's parallel layers abort with several Python threads, or after a fork. This pool belongs to a
process id: a forked child makes its own.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from fastfeat.errors import InvalidPlan
from fastfeat.operators.parameters import whole_number

_WHOLE = re.compile("0*[1-9][0-9]{0,8}")  # str.isdigit takes "\u00b2" too, which int does not
_chosen: int | None = None
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def set_num_threads(n_threads: int | None) -> None:
    """Set how many threads kernels use; None returns to FASTFEAT_NUM_THREADS, or all cores.

    Results do not depend on it.
    """
    global _chosen
    _chosen = (
        None if n_threads is None else whole_number("set_num_threads", "n_threads", n_threads, 1)
    )


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
        if not _WHOLE.fullmatch(text):
            raise InvalidPlan(f"FASTFEAT_NUM_THREADS must be a whole number from 1, got {text!r}")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(tasks: Iterable[Callable[[], None]]) -> None:
    """Run tasks on the pool and in the calling thread; return when no thread works on them.

    A task must refer to the memory that it uses: an interrupt can come anywhere.

    Raises:
        BaseException: the first that a task raised, or an interrupt; tasks not begun are dropped.
    """
    queue = deque(tasks)
    running: deque[None] = deque()
    n_others = 0 if len(queue) < 2 else min(num_threads(), len(queue)) - 1
    others: list[Future[None]] = []
    try:
        try:
            others += _workers(queue, running, n_others)
            _work(queue, deque())
        finally:
            _stop(queue, running, others)
    finally:  # once more: an interrupt may have come before the first could wait
        _stop(queue, running, others)
    for other in others:
        other.result()


def _workers(
    queue: deque[Callable[[], None]], running: deque[None], n_threads: int
) -> Iterator[Future[None]]:
    """Yield threads of the pool that take tasks; none where Python no longer starts threads."""
    for _ in range(n_threads):
        try:
            yield _pool(n_threads).submit(_work, queue, running)
        except RuntimeError:  # the interpreter is ending: this thread does the work
            return


def _work(queue: deque[Callable[[], None]], running: deque[None]) -> None:
    """Do tasks until there are none; `running` has an element while one may be under way."""
    try:
        while queue:
            running.append(None)
            try:
                task = queue.popleft()
            except IndexError:  # another thread has just taken the last
                return
            else:
                task()
            finally:
                running.pop()
    except BaseException:
        queue.clear()
        raise


def _stop(
    queue: deque[Callable[[], None]], running: deque[None], others: list[Future[None]]
) -> None:
    """Return when all have stopped, however often that is interrupted; the interrupt comes then."""
    interrupt: BaseException | None = None
    while True:
        try:
            queue.clear()
            wait(others)
            while running:  # a thread that an interrupt has kept out of `others`
                time.sleep(1e-3)
            break
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _pool(n_workers: int) -> ThreadPoolExecutor:
    key = (os.getpid(), n_workers)
    pool = _pools.get(key)
    if pool is None:
        pool = _pools.setdefault(key, ThreadPoolExecutor(n_workers, "fastfeat"))
    return pool
