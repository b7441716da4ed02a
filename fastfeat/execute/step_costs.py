"""Costs of the steps of a plan, measured while rows run through them, where somebody asks.

The time of a step is that of its task, run as it always is, and nothing is estimated. Kernels that
are compiled or loaded meanwhile are left out: they take that time once, not for each row. Functions
of a row are fused, and are one step for all features.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from fastfeat.engine.kernel_cache import spent
from fastfeat.ir.node import Node

FEATURES = "features"
"""The kind of the step that computes all that is a function of a row alone."""
_NOTHING = nullcontext()


@dataclass(frozen=True, slots=True)
class StepCost:
    """A step and what it took, over all pieces of the rows.

    Args:
        kind: as of `Task`.
        nodes: what it computes.
        order: what orders the rows, of windows.
        n_rows: how many rows it saw.
        n_runs: in how many pieces.
        wall_s: seconds that passed, without those in which kernels were compiled or loaded.
        cpu_s: the same of processors, of all threads of this process.
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
    """The steps that were measured, in the order in which they first ran.

    Args:
        found: by kind and what they compute.
    """

    found: dict[tuple[str, tuple[Node, ...]], StepCost] = field(
        default_factory=dict[tuple[str, tuple[Node, ...]], StepCost]
    )

    @property
    def steps(self) -> list[StepCost]:
        """The steps."""
        return list(self.found.values())


_asked: ContextVar[StepCosts | None] = ContextVar("fastfeat_step_costs", default=None)


def is_measured() -> bool:
    """Return whether steps that run here are measured."""
    return _asked.get() is not None


def times_without_kernels() -> tuple[float, float]:
    """Return the seconds, and those of processors, less those that kernels took to be ready."""
    wall, cpu = spent()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def measuring() -> Generator[StepCosts]:
    """Measure the steps of plans that run in this block, of this thread.

    Rows then run step by step, few ones too, which else run through in one call.
    """
    costs = StepCosts()
    token = _asked.set(costs)
    try:
        yield costs
    finally:
        _asked.reset(token)


def step_measured(
    kind: str, nodes: Sequence[Node], n_rows: int, order: Node | None = None
) -> AbstractContextManager[object]:
    """Return a context in which a step runs, which adds what it takes where it is asked for.

    Args:
        kind: as of `StepCost`, as the following are.
        nodes: what it computes.
        n_rows: how many rows it sees.
        order: what orders them.
    """
    costs = _asked.get()
    if costs is None:
        return _NOTHING
    return _adding(costs, StepCost(kind, tuple(nodes), order, n_rows, 1))


@contextmanager
def _adding(costs: StepCosts, step: StepCost) -> Generator[None]:
    token = _asked.set(None)  # a step within it is a part of it
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
