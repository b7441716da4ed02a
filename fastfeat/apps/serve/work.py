"""Work of a live plan: calls from many requests, some together, none of them on the loop for long.

Few plain rows are computed where they arrive, however many callers there are: to hand them to a
thread, or to make a table of them, costs more than their features. A lone small table is, too.
Others wait in a lane, which does those that stand next to each other together: events that are put
into the state share one commit, and tables of rows that ask share one call. The answers are the
same, since events go row by row, and rows that ask do not see each other. Calls that take long, or
wait for the disk, run in a thread; large batches have a lane of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, TypeVar

from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa

Kind = Literal["features", "process", "update"]
Result = TypeVar("Result")
SMALL = 64
"""Requests of more rows are large."""
_INLINE_ROWS = 8
_INLINE_SECONDS = 0.004
"""What is computed on the loop: so many rows, while calls take at most so long there."""
_FORGOTTEN = 3
"""One call that took longer than so many times that counts as this, and is soon forgotten."""
_TOGETHER = 1000
"""Rows of requests that are computed together, of tables; of plain rows `SMALL`."""


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Few rows, each as the dict that a live plan takes.

    Args:
        rows: the dicts.
    """

    rows: Sequence[dict[str, Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)


class NeedsTable(Exception):
    """Plain rows of which one is unusual, or wrong: nothing was done, and a table tells more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request for features, or to take events.

    Args:
        kind: of the call.
        rows: what it is given.
        done: is told what it gave, or the error.
    """

    kind: Kind
    rows: Table | PlainRows
    done: asyncio.Future[CallResult]

    def is_like(self, other: Job) -> bool:
        """Return whether this and another one can be computed together."""
        if self.kind != other.kind:
            return False
        if isinstance(self.rows, PlainRows) or isinstance(other.rows, PlainRows):
            return type(self.rows) is type(other.rows)
        return self.rows.schema.equals(other.rows.schema)


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of a call, and the plan that was served as it was computed.

    Args:
        features: of the rows: a table, or of plain rows a float array of each; None of "update".
        by: what was served.
        link: the last link of the audit by then; empty where the state was asked alone.
    """

    features: Any
    by: ServedPlan
    link: bytes = b""


def call(served: ServedPlan, kind: Kind, rows: Table | PlainRows) -> Any:
    """Return the features of rows by the plan that is served; None of "update".

    Raises:
        NeedsTable: they are plain rows of which one is unusual.
        FastfeatError: of a table.
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


def call_together(served: ServedPlan, jobs: Sequence[Job]) -> list[Any]:
    """Return the results of jobs of one kind: for each a table, None, or its error.

    Where they fail together nothing was applied, and each is tried alone.
    """
    if len(jobs) == 1:
        return [_call_alone(served, jobs[0])]
    try:
        found = call(served, jobs[0].kind, _joined([job.rows for job in jobs]))
    except (FastfeatError, NeedsTable):
        return [_call_alone(served, job) for job in jobs]
    except Exception as error:  # a defect: whether it was applied is not known, so none is tried
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


def _call_alone(served: ServedPlan, job: Job) -> Any:
    try:
        return call(served, job.kind, job.rows)
    except Exception as error:  # whatever it is, it is raised where the job is waited for
        return error


def _link(served: ServedPlan, kind: Kind) -> bytes:
    return b"" if kind == "features" else served.live.head


class Lane:
    """Jobs that wait for each other, in order of arrival; of one event loop.

    Args:
        served: what they ask, as it is when they begin.
        name: of the thread.
        is_here: whether calls of a kind are quick, and done on the loop.
        learn: is told the seconds of a processor that jobs took; of any thread.
    """

    def __init__(
        self,
        served: Callable[[], ServedPlan],
        name: str,
        is_here: Callable[[Kind], bool],
        learn: Callable[[float], None],
    ) -> None:
        self._served = served
        self._is_here = is_here
        self._learn = learn
        self._waiting: deque[Job] = deque()
        self._thread = ThreadPoolExecutor(1, name)
        self._is_held = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being done, and what comes may begin."""
        return self._idle.is_set() and not self._is_held

    @property
    def n_waiting(self) -> int:
        """The number of jobs that wait."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Take a job."""
        self._waiting.append(job)
        if self.is_idle:
            self._begin()

    async def hold(self) -> None:
        """Begin nothing more; return once nothing is being done."""
        self._is_held = True
        await self._idle.wait()

    def release(self) -> None:
        """Go on."""
        self._is_held = False
        if self._idle.is_set():
            self._begin()

    def close(self) -> None:
        """End the thread, after what it does."""
        self._thread.shutdown()

    def _begin(self) -> None:
        """Have the next jobs done, with all that come until the loop is there."""
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

    def _next(self) -> list[Job]:
        """Return the jobs that stand first and can be computed together."""
        waiting, jobs = self._waiting, list[Job]()
        n_rows = 0
        while waiting:
            job = waiting[0]
            if job.done.done():  # no one waits any more
                waiting.popleft()
                continue
            n_rows += len(job.rows)
            most = SMALL if isinstance(job.rows, PlainRows) else _TOGETHER
            if jobs and (n_rows > most or not job.is_like(jobs[0])):
                break
            jobs.append(waiting.popleft())
        return jobs

    def _done(self, found: Sequence[Any], jobs: Sequence[Job]) -> None:
        self._begin()
        for job, one in zip(jobs, found, strict=True):
            if job.done.done():
                continue
            if isinstance(one, Exception):
                job.done.set_exception(one)
            else:
                job.done.set_result(one)


class Work:
    """The lanes of a server, and what is computed without one; of one event loop.

    Args:
        served: what is asked, as it is when a call begins.
        durable: whether each update waits for the disk: then none is done on the loop.
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
        """The number of calls that wait for a thread."""
        return sum(lane.n_waiting for lane in self._lanes)

    async def call(self, kind: Kind, rows: Table | PlainRows, *, alone: bool) -> CallResult:
        """Return the features of rows by the plan that is served; None of "update".

        Args:
            kind: of the call.
            rows: what it is given.
            alone: whether no other request waits.

        Raises:
            NeedsTable: they are plain rows of which one is unusual.
            FastfeatError: of a table.
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
        lane.add(Job(kind, rows, done))
        return await done

    async def apart(self, function: Callable[[], Result]) -> Result:
        """Return the result of a function that takes long, in a thread beside the lanes."""
        return await asyncio.get_running_loop().run_in_executor(self._apart, function)

    async def between(self, function: Callable[[], Result]) -> Result:
        """Return the result of a function that runs while nothing else does."""
        try:
            for lane in self._lanes:
                await lane.hold()
            return await self.apart(function)
        finally:
            for lane in self._lanes:
                lane.release()

    def close(self) -> None:
        """End the threads, after what they do."""
        for lane in self._lanes:
            lane.close()
        self._apart.shutdown()

    def _is_here(self, kind: Kind) -> bool:
        """Whether calls of a kind are quick, and wait for no disk."""
        return self._seconds <= _INLINE_SECONDS and (kind == "features" or not self._durable)

    def _is_idle(self) -> bool:
        return all(lane.is_idle for lane in self._lanes)

    def _learn(self, seconds: float) -> None:
        """Note what calls took of a processor: slow ones soon send their like to a thread."""
        self._seconds += (min(seconds, _FORGOTTEN * _INLINE_SECONDS) - self._seconds) / 4
