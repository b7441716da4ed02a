"""Work of a live plan: calls from many requests, some together, none of them on the loop for long.

A lone small request is computed where it arrives: to hand it to a thread costs more than its
features. Others wait in a lane, whose thread takes those that stand next to each other together:
events that are put into the state share one commit, and rows that only ask one call. What each is
answered is the same, since events go row by row, and rows that ask do not see each other. Large
batches have a lane of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa
from fastfeat.online.live import Live

Kind = Literal["features", "process", "update"]
SMALL = 64
"""Requests of more rows are large."""
_INLINE_ROWS = 8
_INLINE_SECONDS = 0.003
"""What is computed on the loop: so many rows, while they take at most so long."""
_TOGETHER = 1000
"""Rows of requests that are computed together."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request for features, or to take events.

    Args:
        kind: of the call.
        rows: what it is given.
        done: is told what it gave: a table, None, or an error.
    """

    kind: Kind
    rows: Table
    done: asyncio.Future[Any]


def call(live: Live, kind: Kind, rows: Table) -> Table | None:
    """Return what a live plan gives for rows."""
    match kind:
        case "features":
            return live.features(rows)
        case "process":
            return live.process(rows)
        case "update":
            live.update(rows)
            return None


def call_together(live: Live, jobs: Sequence[Job]) -> list[Any]:
    """Return what jobs of one kind give: for each a table, None, or its error.

    Where they fail together nothing was applied, and each is tried alone.
    """
    if len(jobs) == 1:
        return [_call_alone(live, jobs[0])]
    rows = pa.concat_tables([job.rows for job in jobs]).combine_chunks()
    try:
        found = call(live, jobs[0].kind, rows)
    except FastfeatError:
        return [_call_alone(live, job) for job in jobs]
    if found is None:
        return [None] * len(jobs)
    parts: list[Table] = []
    first = 0
    for job in jobs:
        parts.append(found.slice(first, job.rows.num_rows))
        first += job.rows.num_rows
    return parts


def _call_alone(live: Live, job: Job) -> Any:
    try:
        return call(live, job.kind, job.rows)
    except Exception as error:  # is raised where the job is waited for
        return error


class Lane:
    """Jobs that wait for one thread, in order of arrival; of one event loop.

    Args:
        live: what they ask, as it is when they begin.
        name: of the thread.
    """

    def __init__(self, live: Callable[[], Live], name: str) -> None:
        self._live = live
        self._waiting: deque[Job] = deque()
        self._thread: Executor = ThreadPoolExecutor(1, name)
        self._runs = False

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._runs

    def add(self, job: Job) -> None:
        """Take a job."""
        self._waiting.append(job)
        if not self._runs:
            self._begin()

    def close(self) -> None:
        """End the thread, after what it does."""
        self._thread.shutdown()

    def _begin(self) -> None:
        jobs = self._next()
        self._runs = bool(jobs)
        if jobs:
            loop = asyncio.get_running_loop()
            live = self._live()

            def run() -> None:
                found = call_together(live, jobs)
                loop.call_soon_threadsafe(self._done, jobs, found)

            self._thread.submit(run)

    def _next(self) -> list[Job]:
        """Return the jobs that stand first and can be computed together."""
        waiting, jobs = self._waiting, list[Job]()
        n_rows = 0
        while waiting:
            job = waiting[0]
            if job.done.done():  # no one waits any more
                waiting.popleft()
                continue
            n_rows += job.rows.num_rows
            if jobs and (
                job.kind != jobs[0].kind
                or n_rows > _TOGETHER
                or not job.rows.schema.equals(jobs[0].rows.schema)
            ):
                break
            jobs.append(waiting.popleft())
        return jobs

    def _done(self, jobs: Sequence[Job], found: Sequence[Any]) -> None:
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
        live: what is asked, as it is when a call begins.
        durable: whether each update waits for the disk: then none is done on the loop.
    """

    def __init__(self, live: Callable[[], Live], *, durable: bool) -> None:
        self._live = live
        self._durable = durable
        self._small = Lane(live, "fastfeat-small")
        self._large = Lane(live, "fastfeat-large")
        self._apart: Executor = ThreadPoolExecutor(1, "fastfeat-apart")
        self._seconds = 0.0

    async def call(self, kind: Kind, rows: Table, *, alone: bool) -> Table | None:
        """Return what the live plan gives for rows.

        Args:
            kind: of the call.
            rows: what it is given.
            alone: whether no other request waits.

        Raises:
            FastfeatError: of the rows.
        """
        inline = alone and rows.num_rows <= _INLINE_ROWS and self._may_compute_here(kind)
        if inline and self._seconds <= _INLINE_SECONDS:
            start = time.perf_counter()
            try:
                return call(self._live(), kind, rows)
            finally:
                self._learn(time.perf_counter() - start)
        lane = self._small if rows.num_rows <= SMALL else self._large
        start = time.perf_counter()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        lane.add(Job(kind, rows, done))
        found = await done
        if inline:
            self._learn(time.perf_counter() - start)
        return found

    async def apart(self, function: Callable[[], Any]) -> Any:
        """Return what a function gives that takes long, in a thread beside the lanes."""
        return await asyncio.get_running_loop().run_in_executor(self._apart, function)

    def close(self) -> None:
        """End the threads, after what they do."""
        for lane in (self._small, self._large):
            lane.close()
        self._apart.shutdown()

    def _may_compute_here(self, kind: Kind) -> bool:
        is_idle = self._small.is_idle and self._large.is_idle
        return is_idle and (kind == "features" or not self._durable)

    def _learn(self, seconds: float) -> None:
        """Note how long a call took: a slow one soon sends its like to a thread."""
        self._seconds += (seconds - self._seconds) / 4
