"""The state of a server: what it serves now, its work, and what it has counted."""

from __future__ import annotations

from fastfeat.io.arrow import Table
from fastfeat.serve.metrics import Metrics
from fastfeat.serve.refusals import Refusal
from fastfeat.serve.served import Served
from fastfeat.serve.work import Kind, Work


class Serving:
    """What a server serves now, its work, and what it has counted.

    Args:
        work: the threads that it computes in.
        metrics: what it has counted.
    """

    def __init__(self, durable: bool) -> None:
        self.metrics = Metrics()
        self.work = Work(lambda: self.now.live, durable=durable)
        self.served: Served | None = None
        self.waiting = lambda: 1

    @property
    def now(self) -> Served:
        """What is served.

        Raises:
            Refusal: nothing yet.
        """
        if self.served is None:
            raise Refusal(503, "NotReady", "the plan is being loaded", retry_after=1)
        return self.served

    async def call(self, kind: Kind, rows: Table) -> Table | None:
        """Return what the live plan gives for rows; see `Work.call`."""
        found = await self.work.call(kind, rows, alone=self.waiting() == 1)
        self.metrics.rows(kind, rows.num_rows)
        return found
