"""Memory that a round needs even with its states on disk, checked before its rows are read."""

from __future__ import annotations

from collections.abc import Iterator

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import AggregateFunction, needs_order
from fastfeat.aggregates.keys import Vocabulary
from fastfeat.engine.cpu.part import Asked
from fastfeat.engine.cpu.ranks import RANKS
from fastfeat.errors import counted
from fastfeat.execute.memory_needs import needs_of_reading
from fastfeat.io.budget import LEAST_TABLE, Budget, Need, check_needs
from fastfeat.io.sources.dataset import Dataset
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.node import Aggregate, Node, Params, postorder
from fastfeat.ir.show import show
from fastfeat.learn.part_state import PartState, task_learner
from fastfeat.learn.round import LearningRound, name_of
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import codes as code_plans

GROUP_BYTES = 9
"""Bytes per group: a value, and whether it is present."""
_INDEX_BYTES = 8
"""Bytes per key in the smallest index for looking up keys."""
_FEW_ROWS = 1 << 16
"""With at most so many rows, the state of quantiles is limited by the number of rows."""
_LESS = (
    "or learn less at a time: leave out features, or keep fewer keys with min_frequency= or "
    "max_categories="
)


def check_room(
    learning: LearningRound, state: PartState, budget: Budget, n_rows: int | None, dataset: Dataset
) -> None:
    """Raise OutOfMemory if a round exceeds the budget even with its states on disk.

    The message names the largest need.

    `state` has no rows. `n_rows` is None if the number of rows is unknown before reading.
    """
    of_groups = list(_of_groups(learning))
    freed = min(sum(need.n_bytes for need in of_groups), _freed(learning))
    needs = [*of_groups, *_of_statistics(learning, state, n_rows)]
    needs += needs_of_reading(dataset, learning.columns)
    check_needs(needs, _LESS, budget, freed)


def needs_of_quantiles(plan: Declaration, n_rows: int | None) -> list[Need]:
    """Return the memory that quantiles take in the first round, before column types are known.

    `n_rows` is None if the number of rows is unknown before reading.
    """
    found: dict[Node, list[tuple[str, Params]]] = {}
    for node in postorder(list(plan.nodes.values())):
        if isinstance(node, Aggregate) and len(node.args) == 1 and needs_order(_row_of(node)):
            found.setdefault(node.args[0], []).append((node.function, node.params))
    first = {
        value: functions
        for value, functions in found.items()
        if not any(isinstance(below, Aggregate) for below in postorder([value]))
    }
    n_few = _n_few(n_rows)
    n_bytes = sum(RANKS.bound(Asked(FLOAT64, functions), n_few) for functions in first.values())
    what = f"learning quantiles of {counted(len(first), 'expression')}"
    return [Need(what, n_bytes)] if n_bytes >= LEAST_TABLE else []


def _row_of(node: Aggregate) -> list[AggregateFunction]:
    return [AGGREGATES[node.function]] if node.function in AGGREGATES else []


def _n_few(n_rows: int | None) -> int:
    """Return `n_rows` if it is small enough to limit the size of a state, else 0."""
    return n_rows if n_rows is not None and n_rows <= _FEW_ROWS else 0


def _freed(learning: LearningRound) -> int:
    """Return the least bytes of memory that lookup indexes free before groups are computed."""
    found = (value for value in learning.learnt.values() if isinstance(value, Vocabulary))
    return sum(_INDEX_BYTES * len(one) for one in found if one.cache)


def _of_statistics(learning: LearningRound, state: PartState, n_rows: int | None) -> Iterator[Need]:
    """Yield the memory that each statistics task of a round takes."""
    told, n_few = state.told or {}, _n_few(n_rows)
    for task in learning.schedule.tasks:
        if task.kind == "statistics" and name_of(task) in told:
            first = learning.schedule.values[task.learns[0]].origin
            n_bytes = task_learner(task.kind).learner.bound(told[name_of(task)].spec, n_few)
            more = len(task.learns) - 1
            like = f" and {counted(more, 'more statistic')}" if more else ""
            if n_bytes >= LEAST_TABLE:  # less fits in the memory of the rows
                what = f"learning {show(first)}{like}, in pass {learning.round},"
                yield Need(what, n_bytes)


def _of_groups(learning: LearningRound) -> Iterator[Need]:
    """Yield the memory that the results of each aggregate per group take, after the last row."""
    for task in learning.schedule.tasks:
        for place in task.learns if task.kind in ("groups", "target") else ():
            node = learning.schedule.values[place].origin
            if isinstance(node, Aggregate):
                n = code_plans.n_codes(node.args[1], learning.learnt)
                what = f"learning {show(node)} of {counted(n, 'group')}, in pass {learning.round},"
                yield Need(what, GROUP_BYTES * n)
