"""A small thread pool: kernels release the GIL, and the calling thread works too.

Numba's parallel layers abort with several Python threads, or after a fork. This pool belongs to a
process id, so a forked child creates its own.
"""

from __future__ import annotations

import os
import re
from _thread import LockType, allocate_lock, start_new_thread
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import NamedTuple

from fastfeat.calls import checks
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan

_WHOLE = re.compile("0*[1-9][0-9]{0,8}")  # str.isdigit takes "\u00b2" too, which int does not
_PATIENCE = 0.01  # seconds; an interrupt may have lost a thread's stop signal
_chosen: int | None = None
_pools: dict[int, _Pool] = {}


@with_argument_errors
def set_num_threads(n_threads: int | None) -> None:
    """Set the number of threads that kernels use in this process.

    Results do not depend on the number of threads.

    Example:
        >>> before = ff.num_threads()
        >>> ff.set_num_threads(1)
        >>> ff.num_threads()
        1
        >>> ff.set_num_threads(before)
    """
    global _chosen
    _chosen = (
        None
        if n_threads is None
        else checks.whole_number("set_num_threads", "n_threads", n_threads, 1)
    )


@contextmanager
def using_threads(n_threads: int) -> Generator[None, None, None]:
    """Set the number of threads that kernels use inside a `with` block, and restore it afterwards.

    Results do not depend on the number of threads.
    """
    global _chosen
    before = _chosen
    set_num_threads(n_threads)
    try:
        yield
    finally:
        _chosen = before


@with_argument_errors
def num_threads() -> int:
    """Return the number of threads that kernels use.

    It is the number given to `set_num_threads`, else the environment variable FASTFEAT_NUM_THREADS,
    else the number of cores that the process may use.

    Example:
        >>> ff.num_threads() >= 1
        True
    """
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

    A task must hold a reference to the memory that it uses: an interrupt can come at any time.
    """
    run = _Run(deque(tasks), deque(), deque(), allocate_lock())
    n_others = 0 if len(run.queue) < 2 else min(num_threads(), len(run.queue)) - 1
    try:
        try:
            _share(run, n_others)
            _take_tasks(run.queue)
        finally:
            _stop(run)
    finally:  # again: an interrupt may have come before the first call waited
        _stop(run)
    if run.errors:
        raise run.errors.popleft()  # popped: its frames refer to the run


class _Pool(NamedTuple):
    """The threads of a process, and a queue with one entry per run and thread that should help."""

    runs: SimpleQueue[_Run]
    threads: list[int]


class _Run(NamedTuple):
    """One call of `run_tasks`: its tasks, and the pool threads that work on them.

    The calling thread does not wait for locks of Python code, such as a future's: an interrupt
    between two lines of that code would leave the lock held, and another thread would wait for
    ever.

    Args:
        queue: Tasks not yet started.
        running: One element per pool thread that may be running a task.
        errors: Errors that tasks raised in pool threads.
        stopped: Lock that is released when a pool thread stops.
    """

    queue: deque[Callable[[], None]]
    running: deque[None]
    errors: deque[BaseException]
    stopped: LockType


def _share(run: _Run, n_threads: int) -> None:
    """Put a run into the pool's queue for `n_threads` threads.

    Nothing happens if Python can no longer start threads.
    """
    pool = _pools.setdefault(os.getpid(), _Pool(SimpleQueue(), []))
    for k in range(n_threads):
        if len(pool.threads) <= k:
            try:
                pool.threads.append(start_new_thread(_serve, (pool.runs,)))
            except RuntimeError:  # the interpreter is ending: this thread does the work
                return
        pool.runs.put(run)


def _serve(runs: SimpleQueue[_Run]) -> None:
    """Take runs from the queue and help with them, as long as the process lives."""
    while True:
        _help(runs.get())


def _help(run: _Run) -> None:
    """Run tasks of a run in a pool thread, until none are left."""
    run.running.append(None)
    try:
        _take_tasks(run.queue)
    except BaseException as error:
        run.errors.append(error)
    finally:
        run.running.pop()
        with suppress(RuntimeError):  # another thread has just done the same
            run.stopped.release()


def _take_tasks(queue: deque[Callable[[], None]]) -> None:
    """Take tasks from the queue and run them, until none are left."""
    try:
        while queue:
            try:
                task = queue.popleft()
            except IndexError:  # another thread has just taken the last
                return
            task()
    except BaseException:
        queue.clear()
        raise


def _stop(run: _Run) -> None:
    """Wait until all pool threads have stopped working on a run, even if interrupted.

    Then raise the last interrupt.
    """
    interrupt: BaseException | None = None
    while True:
        try:
            run.queue.clear()
            while run.running:
                run.stopped.acquire(timeout=_PATIENCE)
            break
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
