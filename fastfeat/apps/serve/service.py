"""The service of a server: the plan that it serves now, the calls to it, and the counters."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.apps.serve.app import Load, RequestLimits, check_load
from fastfeat.apps.serve.call_scheduler import (
    CallKind,
    CallResult,
    CallScheduler,
    NeedsTable,
    PlainRows,
)
from fastfeat.apps.serve.idle_memory import IdleMemory
from fastfeat.apps.serve.plain_row import NotPlain
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.errors import ContractBroken, LateRow
from fastfeat.io.arrow import Table
from fastfeat.io.prometheus import Durations
from fastfeat.live.drift_gauges import DriftGauges
from fastfeat.live.live import Live
from fastfeat.live.state.prepared_arrival import FEW


def _ignore_message(text: str) -> None:
    """Do nothing with the text: the default for `Service.said`."""


class Metrics:
    """The counters of a server; used from one event loop."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.rows_by_call: Counter[str] = Counter()
        self.swaps: Counter[str] = Counter()
        self.seconds: defaultdict[str, Durations] = defaultdict(Durations)

    def observed(self, route: str, status: int, seconds: float, error: str) -> None:
        """Count an answer of a route, its error if any, and its duration in seconds."""
        self.answers[route, status] += 1
        if error:
            self.errors[route, error] += 1
        self.seconds[route].note(seconds)

    def rows(self, call: str, n_rows: int) -> None:
        """Count the rows of a call, by the kind of the call."""
        self.rows_by_call[call] += n_rows


class Service:
    """The plan that a server serves now, the queues of its calls, and its counters.

    It is used from one event loop.

    Args:
        limits: Limits on requests.
        name: Model name, for clients that ask for a model by name.
        durable: Whether each update waits for the disk.
        read_only: Whether another process writes the state.
    """

    def __init__(self, limits: RequestLimits, *, name: str, durable: bool, read_only: bool) -> None:
        self.metrics = Metrics()
        self.work = CallScheduler(lambda: self.now, durable=durable)
        self.served: ServedPlan | None = None
        self.drift: DriftGauges | None = None
        """Gauges that compare answered rows with training rows; None if they are not compared."""
        self.load = Load()
        self.memory = IdleMemory(lambda: not (self.load.requests or self.load.n_bytes))
        self.limits = limits
        self.name = name
        self.read_only = read_only
        self.started = time.time()
        self.refused = ""
        """Why the latest artifact was refused; empty if it was accepted."""
        self.said: Callable[[str], None] = _ignore_message
        """Called with a message about each entity with late rows, caused by one row far ahead."""
        self.is_lost = False
        """Whether the state of another process cannot be read any more."""

    @property
    def now(self) -> ServedPlan:
        """The plan that is served.

        Raises:
            Refusal: The plan is not loaded yet, or the state cannot be read any more.
        """
        if self.is_lost:
            told = "the state can no longer be read. The server's log says why"
            raise Refusal(503, "StateLost", told, retry_after=5)
        if self.served is None:
            raise Refusal(503, "NotReady", "the plan is being loaded", retry_after=1)
        return self.served

    async def features(self, rows: Table, *, update: bool) -> CallResult:
        """Return the features of rows; with `update` the rows are also added to the state."""
        return await self.call("process" if update else "features", rows)

    async def few(self, rows: Sequence[Any], *, update: bool) -> CallResult | None:
        """Return the features of a few JSON rows as JSON values, by the fast path without a table.

        Returns None if the fast path cannot compute these rows; the caller then sends them as a
        table. With `update` the rows are also added to the state.

        Raises:
            Refusal: A feature is infinite, or another process writes the state.
        """
        plain_row = self.now.plain_row
        if plain_row is None or not 1 <= len(rows) <= FEW:
            return None
        if update:
            self._check_writes()
        kind: CallKind = "process" if update else "features"
        try:
            given = PlainRows(plain_row.read_few(rows))
            found = await self.work.call(kind, given, alone=True)
        except (NotPlain, NeedsTable):
            return None
        self.metrics.rows(kind, len(rows))
        assert found.served_plan.plain_row is not None
        write, names = found.served_plan.plain_row.written, found.served_plan.columns
        written = [write(one, names, k) for k, one in enumerate(found.features)]
        return replace(found, features=written)

    async def call(self, kind: CallKind, rows: Table) -> CallResult:
        """Compute a table's rows, or add them to the state; see `CallScheduler.call`.

        Raises:
            Refusal: The call would change a state that another process writes.
        """
        if kind != "features":
            self._check_writes()
        try:
            found = await self.work.call(kind, rows, alone=self.load.requests <= 1)
        except ContractBroken as error:
            self.now.live.count_refused(error)
            raise
        except LateRow as error:
            self._count_late(error)
            raise
        self.metrics.rows(kind, rows.num_rows)
        return found

    async def apart(self, kind: str, n_rows: int, function: Callable[[Live], None]) -> CallResult:
        """Change the state by a function that runs in a separate thread.

        Returns a result without features: the plan that was served, and the audit link of the
        change.

        Raises:
            Refusal: Another process writes the state.
        """
        self._check_writes()

        def changed() -> CallResult:
            served = self.now
            function(served.live)
            return CallResult(None, served, served.live.head)

        found = await self.work.apart(changed)
        self.metrics.rows(kind, n_rows)
        return found

    def _count_late(self, error: LateRow) -> None:
        """Count a row that arrived too late, and report entities with many such rows.

        A single row with a time far in the future makes all later rows of its entity late.
        """
        live = self.now.live
        live.count_late(error)
        for held in live.held_up(is_due=True, places=False):
            self.said(str(held))

    def begin(self, n_bytes: int) -> None:
        """Count a request of Arrow Flight as waiting; `end` must follow.

        Raises:
            Refusal: Too many requests wait.
        """
        check_load(self.load, self.limits)
        self.load.requests += 1
        self.load.n_bytes += n_bytes

    def end(self, n_bytes: int) -> None:
        """Count a request of Arrow Flight as answered."""
        self.load.requests -= 1
        self.load.n_bytes -= n_bytes
        self.memory.note(n_bytes)

    def _check_writes(self) -> None:
        if self.read_only:
            raise Refusal(
                403,
                "ReadOnly",
                "this server only reads its state. Send changes to the process that writes it",
            )
