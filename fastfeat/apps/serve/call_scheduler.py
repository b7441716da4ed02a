"""Scheduling of calls to a live plan: some run together, and none blocks the event loop for long.

A few plain rows are computed right on the event loop, however many callers there are: handing them
to a thread or building a table costs more than computing their features. A single small table is
treated the same way.

Other calls wait as jobs in a queue (a lane), which computes neighbouring calls of the same kind
together: events added to the state share one commit, and tables of rows that are not added share
one call. The answers do not change, because events are processed row by row, and rows that are not
added do not see each other. Slow calls, and calls that wait for the disk, run in a thread; calls
with many rows have a lane of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any, Literal, TypeVar

from fastfeat_kernels.records import dataclass

from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa

CallKind = Literal["features", "process", "update"]
Result = TypeVar("Result")
SMALL = 64
"""Requests with more rows are large."""
_INLINE_ROWS = 8
_INLINE_SECONDS = 0.004
"""Limits of calls on the event loop: number of rows, and average seconds of recent calls."""
_FORGOTTEN = 3
"""Cap on one call's time, in multiples of `_INLINE_SECONDS`: an outlier is soon forgotten."""
_TOGETHER = 1000
"""Maximum rows of table requests computed together; for plain rows it is `SMALL`."""


@dataclass(frozen=True, slots=True)
class PlainRows:
    """A few rows, each as the dict that a live plan accepts; see `plain_row`."""

    rows: Sequence[dict[str, Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)


class NeedsTable(Exception):
    """Raised, before any change, if plain rows must be sent again as a table, for a clear error."""


@dataclass(frozen=True, slots=True)
class QueuedCall:
    """One waiting call: a request for features, or one that adds events.

    Args:
        kind: Kind of the call.
        rows: Rows of the call.
        done: Future that gets the result or the error.
    """

    kind: CallKind
    rows: Table | PlainRows
    done: asyncio.Future[CallResult]

    def is_like(self, other: QueuedCall) -> bool:
        """Return whether this job and another can be computed together."""
        if self.kind != other.kind:
            return False
        if isinstance(self.rows, PlainRows) or isinstance(other.rows, PlainRows):
            return type(self.rows) is type(other.rows)
        return self.rows.schema.equals(other.rows.schema)


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of a call, and the plan that was served when it was computed.

    Args:
        features: Features as a table, or for plain rows one float array per row; None for "update".
        served_plan: The served plan.
        link: Audit link after the call (a hash that chains all changes); empty without a change.
    """

    features: Any
    served_plan: ServedPlan
    link: bytes = b""


def call(served: ServedPlan, kind: CallKind, rows: Table | PlainRows) -> Any:
    """Call the live plan with these rows, and return their features; None for "update".

    "features" only computes them; "process" also adds the rows to the state; "update" only adds the
    rows.

    Raises:
        NeedsTable: A plain row cannot be computed without a table.
        FastfeatError: The rows of a table cannot be processed.
    """
    live = served.live
    if isinstance(rows, PlainRows):
        found = None
        if served.plain_row is not None:
            found = live.answer_few(rows.rows, keeps=kind == "process")
        if found is None:
            raise NeedsTable
        return [served.own(one) for one in found]
    match kind:
        case "features":
            return served.own(live.features(rows))
        case "process":
            return served.own(live.process(rows))
        case "update":
            live.update(rows)
            return None


def call_together(served: ServedPlan, jobs: Sequence[QueuedCall]) -> list[Any]:
    """Compute jobs of one kind by one call; return each job's result: features, None, or an error.

    If the joint call fails, it has changed nothing, and each job is tried alone.
    """
    if len(jobs) == 1:
        return [_call_alone(served, jobs[0])]
    try:
        found = call(served, jobs[0].kind, _joined([job.rows for job in jobs]))
    except (FastfeatError, NeedsTable):
        return [_call_alone(served, job) for job in jobs]
    except Exception as error:  # a bug of ours: it may have been applied, so nothing is retried
        return [error] * len(jobs)
    if found is None:
        return [None] * len(jobs)
    ends = list(accumulate(len(job.rows) for job in jobs))
    return [found[end - len(job.rows) : end] for end, job in zip(ends, jobs, strict=True)]


def _joined(parts: Sequence[Table | PlainRows]) -> Table | PlainRows:
    plain = [part for part in parts if isinstance(part, PlainRows)]
    if plain:
        return PlainRows([row for part in plain for row in part.rows])
    return pa.concat_tables(parts).combine_chunks()


def _call_alone(served: ServedPlan, job: QueuedCall) -> Any:
    try:
        return call(served, job.kind, job.rows)
    except Exception as error:  # any error is raised where the job is awaited
        return error


def _link(served: ServedPlan, kind: CallKind) -> bytes:
    return b"" if kind == "features" else served.live.head


class Lane:
    """A queue of jobs, computed in order of arrival, on the event loop or in one thread.

    Args:
        served: Returns the plan that is served when jobs start.
        name: Name of the thread.
        is_here: Returns whether calls of a kind are fast enough to run on the event loop.
        learn: Called, from any thread, with the processor seconds that jobs took.
    """

    def __init__(
        self,
        served: Callable[[], ServedPlan],
        name: str,
        is_here: Callable[[CallKind], bool],
        learn: Callable[[float], None],
    ) -> None:
        self._served = served
        self._is_here = is_here
        self._learn = learn
        self._waiting: deque[QueuedCall] = deque()
        self._thread = ThreadPoolExecutor(1, name)
        self._is_held = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_idle(self) -> bool:
        """Whether no job runs, and the lane is not held."""
        return self._idle.is_set() and not self._is_held

    @property
    def n_waiting(self) -> int:
        """The number of waiting jobs."""
        return len(self._waiting)

    def add(self, job: QueuedCall) -> None:
        """Add a job to the queue."""
        self._waiting.append(job)
        if self.is_idle:
            self._begin()

    async def hold(self) -> None:
        """Start no more jobs; return once none is running."""
        self._is_held = True
        await self._idle.wait()

    def release(self) -> None:
        """Start jobs again."""
        self._is_held = False
        if self._idle.is_set():
            self._begin()

    def close(self) -> None:
        """End the lane's thread after its current job."""
        self._thread.shutdown()

    def _begin(self) -> None:
        """Ask the event loop to start the next jobs, along with all that arrive before it does."""
        if self._is_held or not self._waiting:
            self._idle.set()
            return
        self._idle.clear()
        asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        jobs = [] if self._is_held else self._next()
        if not jobs:
            self._idle.set()
            return
        loop = asyncio.get_running_loop()
        try:
            served = self._served()
        except Refusal as refusal:
            self._done([refusal] * len(jobs), jobs)
            return

        def run() -> list[Any]:
            start = time.thread_time()
            found = call_together(served, jobs)
            self._learn(time.thread_time() - start)
            link = _link(served, jobs[0].kind)
            return [
                one if isinstance(one, Exception) else CallResult(one, served, link)
                for one in found
            ]

        if self._is_here(jobs[0].kind):
            self._done(run(), jobs)
        else:
            self._thread.submit(lambda: loop.call_soon_threadsafe(self._done, run(), jobs))

    def _next(self) -> list[QueuedCall]:
        """Remove the first jobs of the queue that can be computed together, and return them."""
        waiting, jobs = self._waiting, list[QueuedCall]()
        n_rows = 0
        while waiting:
            job = waiting[0]
            if job.done.done():  # nobody waits for it any more
                waiting.popleft()
                continue
            n_rows += len(job.rows)
            most = SMALL if isinstance(job.rows, PlainRows) else _TOGETHER
            if jobs and (n_rows > most or not job.is_like(jobs[0])):
                break
            jobs.append(waiting.popleft())
        return jobs

    def _done(self, found: Sequence[Any], jobs: Sequence[QueuedCall]) -> None:
        self._begin()
        for job, one in zip(jobs, found, strict=True):
            if job.done.done():
                continue
            if isinstance(one, Exception):
                job.done.set_exception(one)
            else:
                job.done.set_result(one)


class CallScheduler:
    """The lanes of a server, and the slow work outside of them; for one event loop.

    Args:
        served: Returns the plan that is served when a call starts.
        durable: Whether each update waits for the disk; updates then never run on the event loop.
    """

    def __init__(self, served: Callable[[], ServedPlan], *, durable: bool) -> None:
        self._served = served
        self._durable = durable
        self._small = Lane(served, "fastfeat-small", self._is_here, self._learn)
        self._large = Lane(served, "fastfeat-large", lambda _: False, lambda _: None)
        self._lanes = self._small, self._large
        self._apart = ThreadPoolExecutor(1, "fastfeat-apart")
        self._seconds = 0.0

    @property
    def n_waiting(self) -> int:
        """The number of calls that wait in the lanes."""
        return sum(lane.n_waiting for lane in self._lanes)

    async def call(self, kind: CallKind, rows: Table | PlainRows, *, alone: bool) -> CallResult:
        """Compute a call now or in a lane. Its features are None for "update".

        `alone` says that no other request waits.

        Raises:
            NeedsTable: A plain row cannot be computed without a table.
            FastfeatError: The rows of a table cannot be processed.
        """
        is_quick = isinstance(rows, PlainRows) or (alone and len(rows) <= _INLINE_ROWS)
        if is_quick and self._is_here(kind) and self._is_idle():
            served, start = self._served(), time.thread_time()
            try:
                return CallResult(call(served, kind, rows), served, _link(served, kind))
            finally:
                self._learn(time.thread_time() - start)
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        lane = self._small if len(rows) <= SMALL else self._large
        lane.add(QueuedCall(kind, rows, done))
        return await done

    async def apart(self, function: Callable[[], Result]) -> Result:
        """Run a slow function in a thread of its own, beside the lanes, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._apart, function)

    async def between(self, function: Callable[[], Result]) -> Result:
        """Stop all lanes, run a function, start the lanes again; return the function's result."""
        try:
            for lane in self._lanes:
                await lane.hold()
            return await self.apart(function)
        finally:
            for lane in self._lanes:
                lane.release()

    def close(self) -> None:
        """End all threads after their current work."""
        for lane in self._lanes:
            lane.close()
        self._apart.shutdown()

    def _is_here(self, kind: CallKind) -> bool:
        """Whether calls of this kind run on the event loop: fast ones that need no disk."""
        return self._seconds <= _INLINE_SECONDS and (kind == "features" or not self._durable)

    def _is_idle(self) -> bool:
        return all(lane.is_idle for lane in self._lanes)

    def _learn(self, seconds: float) -> None:
        """Update the average processor seconds per call, which decides where the next calls run."""
        self._seconds += (min(seconds, _FORGOTTEN * _INLINE_SECONDS) - self._seconds) / 4
