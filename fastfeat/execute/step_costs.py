"""Costs of the steps of a plan, measured on request while rows run through them.

The time of a step is the time of its task, run as usual; nothing is estimated. Compiling and
loading kernels is left out, since it happens once and not per row. Functions of a row are fused,
and count as one step for all features.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import field, replace

from fastfeat_kernels.records import dataclass

from fastfeat.engine.kernel_cache import kernel_seconds
from fastfeat.ir.node import Node

FEATURES = "features"
"""The kind of the step that computes every function of a single row."""
_NOTHING = nullcontext()


@dataclass(frozen=True, slots=True)
class StepCost:
    """A step and its cost, added up over all chunks of rows that ran through it.

    Args:
        kind: Kind of the task.
        nodes: The expressions computed.
        order: The order of the rows, for windows.
        n_rows: Number of rows seen.
        n_runs: Number of pieces.
        wall_s: Elapsed seconds, without compiling and loading kernels.
        cpu_s: CPU seconds of all threads of this process, without compiling and loading kernels.
    """

    kind: str
    nodes: tuple[Node, ...]
    order: Node | None = None
    n_rows: int = 0
    n_runs: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepCosts:
    """The measured steps by kind and expressions, in the order in which they first ran."""

    found: dict[tuple[str, tuple[Node, ...]], StepCost] = field(
        default_factory=dict[tuple[str, tuple[Node, ...]], StepCost]
    )

    @property
    def steps(self) -> list[StepCost]:
        """The costs of all steps, in the order in which they first ran."""
        return list(self.found.values())


_asked: ContextVar[StepCosts | None] = ContextVar("fastfeat_step_costs", default=None)


def is_measured() -> bool:
    """Return whether steps are being measured in this context."""
    return _asked.get() is not None


def times_without_kernels() -> tuple[float, float]:
    """Return the elapsed and CPU seconds, without the time that kernels took to be ready."""
    wall, cpu = kernel_seconds()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def measure_steps() -> Generator[StepCosts]:
    """Measure the steps of plans that this thread runs in this block.

    Rows then run step by step; small batches otherwise run in one call.
    """
    costs = StepCosts()
    token = _asked.set(costs)
    try:
        yield costs
    finally:
        _asked.reset(token)


def measure_step(
    kind: str, nodes: Sequence[Node], n_rows: int, order: Node | None = None
) -> AbstractContextManager[object]:
    """Return a context to run a step in; it records the step's cost if steps are measured."""
    costs = _asked.get()
    if costs is None:
        return _NOTHING
    return _adding(costs, StepCost(kind, tuple(nodes), order, n_rows, 1))


@contextmanager
def _adding(costs: StepCosts, step: StepCost) -> Generator[None]:
    token = _asked.set(None)  # do not measure nested steps apart
    begin = times_without_kernels()
    try:
        yield
    finally:
        _asked.reset(token)
    wall, cpu = (now - then for now, then in zip(times_without_kernels(), begin, strict=True))
    key = step.kind, step.nodes
    known = costs.found.get(key) or replace(step, n_rows=0, n_runs=0)
    costs.found[key] = replace(
        known,
        n_rows=known.n_rows + step.n_rows,
        n_runs=known.n_runs + 1,
        wall_s=known.wall_s + wall,
        cpu_s=known.cpu_s + cpu,
    )
