"""Learning statistics of a target per category on the CPU: states of rows that come in parts.

Rows are in cells, of a fold and a category each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastfeat_kernels.grouped.growing import Table, most_bytes, n_bytes_of, new_table
from fastfeat_kernels.grouped.joining import join_tables
from fastfeat_kernels.grouped.order import keys_of, neighbours, quantile_between
from fastfeat_kernels.grouped.summarize import add, moments_in
from numpy.typing import NDArray

from fastfeat.aggregates.target import FoldedGroups, Statistics
from fastfeat.dtypes import DType
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.learner import Learner, Learnt, Packed, Rows, TaskLearner
from fastfeat.engine.storage import storage
from fastfeat.ir.node import Params
from fastfeat.steps.keys import cpu_ordered as ordering
from fastfeat.steps.keys.cpu_groups import codes_of, plain_chunks
from fastfeat.steps.keys.cpu_ordered import OrderedRows
from fastfeat.steps.keys.cpu_packed import packed_table, unpacked_table
from fastfeat.steps.targets.cpu import (
    Cells,
    Prior,
    SeenFolds,
    by_moments,
    by_quantiles,
    fold_of_rows,
    folded,
    seen_folds,
)
from fastfeat.steps.targets.cpu import target_level as level_of
from fastfeat.steps.targets.tasks import TargetTask

VALUES, CODES, FOLDS = "values", "codes", "folds"
"""The columns that the task reads: the target, the category and the fold of each row.

Without folds these are told from the numbers of the rows.
"""

_RUN = "grouped"
_ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Spec:
    """A statistic of a target per category.

    Args:
        function: one of `aggregates.target.FUNCTIONS`.
        params: its parameters.
        dtype: type of the target.
        n_codes: how many categories there are.
        n_folds: how many folds.
    """

    function: str
    params: Params
    dtype: DType
    n_codes: int
    n_folds: int

    @property
    def n_cells(self) -> int:
        """The number of cells."""
        return self.n_codes * self.n_folds


@dataclass(slots=True)
class TargetState:
    """The state of the cells: moments, or the rows by cell for quantiles."""

    spec: Spec
    table: Table | None
    rows: OrderedRows | None


def learn_target(task: TargetTask) -> FoldedGroups:
    """Return a statistic of the target per category."""
    spec, columns = told(task)
    state = _start(spec, None)
    _add(state, columns, range(len(task.codes)))
    return _next(state).values[0]


def told(task: TargetTask) -> tuple[Spec, Mapping[Any, Any]]:
    """Return the spec of a task, and the columns that it reads."""
    spec = Spec(task.function, task.params, task.dtype, task.n_codes, task.n_folds)
    return spec, {VALUES: task.values, CODES: task.codes, FOLDS: task.folds}


def _start(spec: Spec, hint: None) -> TargetState:
    element = storage(spec.dtype)
    if spec.function == "target_quantile":
        return TargetState(spec, None, OrderedRows(element, spec.n_cells))
    level = level_of(spec.function, spec.params)
    return TargetState(spec, new_table(element, spec.n_cells, level, extremes=False), None)


def _add(state: TargetState, columns: Mapping[Any, Any], rows: Rows) -> None:
    spec = state.spec
    chunks, codes = plain_chunks(columns[VALUES], spec.dtype), codes_of(columns[CODES])
    given = columns.get(FOLDS)
    folds = fold_of_rows(rows, spec.n_folds) if given is None else codes_of(given)
    if state.rows is not None:
        cells = np.multiply(codes, np.int32(spec.n_folds))  # those of a category side by side
        cells += folds
        ordering.keep(state.rows, chunks, cells)
    if state.table is not None:
        cells = np.multiply(folds, np.int32(spec.n_codes))
        cells += codes
        add(state.table, chunks, cells, runner(_RUN), n_parts(len(cells)))


def _merge(a: TargetState, b: TargetState) -> TargetState:
    if a.table is not None and b.table is not None:
        a.table = join_tables(a.table, b.table, runner(_RUN), n_parts(a.spec.n_cells))
    if a.rows is not None and b.rows is not None:
        a.rows = ordering.join(a.rows, b.rows)
    return a


def _next(state: TargetState) -> Learnt:
    spec = state.spec
    if state.table is not None:
        moments = moments_in(state.table, runner(_RUN))
        found = by_moments(moments, spec.n_folds, spec.function, spec.params)
    else:
        assert state.rows is not None
        found = _by_quantiles(spec, state.rows)
    return Learnt((folded(found, spec.function, spec.params),))


def _by_quantiles(spec: Spec, rows: OrderedRows) -> Iterator[Statistics]:
    """Yield the quantiles of all rows, and of those outside of each fold."""
    given = dict(spec.params)
    q, seen = float(given["q"]), seen_folds(spec.n_folds, bool(given["ordered"]))
    priors = [_prior(spec, rows, is_seen, q) for is_seen in seen]
    return by_quantiles(_ranges(spec, rows), seen, q, priors)


def _prior(spec: Spec, rows: OrderedRows, is_seen: SeenFolds, q: float) -> Prior:
    """Return how many rows of all categories are looked at, and their quantile."""

    def is_in(cells: NDArray[np.int32]) -> NDArray[np.bool_]:
        return is_seen(cells % np.int32(spec.n_folds))

    n = ordering.count_in(rows, is_in)
    if n == 0:
        return 0.0, np.nan
    low, high, share = neighbours(np.array([n]), q, "linear")
    keys = ordering.keys_at(rows, np.concatenate([low, high]), is_in)
    return float(n), float(quantile_between(rows.element, keys[:1], keys[1:], share)[0])


def _ranges(spec: Spec, rows: OrderedRows) -> Iterator[Cells]:
    """Yield the rows of all categories, of neighbouring ones together."""
    n_folds = np.int32(spec.n_folds)
    if not rows.runs:
        keys, cells = ordering.unordered(rows)
        yield Cells(rows.element, keys, cells // n_folds, cells % n_folds, spec.n_codes)
        return
    for _, ordered in ordering.ranges_in_order(rows, spec.n_folds):
        keys, cells = keys_of(ordered)
        n_codes = len(ordered.counts) // spec.n_folds
        yield Cells(rows.element, keys, cells // n_folds, cells % n_folds, n_codes)


def _pack(state: TargetState) -> Packed:
    if state.table is not None:
        return packed_table(state.table)
    assert state.rows is not None
    return Packed({}, {_ROWS: ordering.table_of(state.rows)})


def _unpack(spec: Spec, hint: None, packed: Packed) -> TargetState:
    state = _start(spec, hint)
    if state.table is not None:
        state.table = unpacked_table(packed)
    if state.rows is not None:
        ordering.keep_table(state.rows, packed.tables[_ROWS])
    return state


def _size(state: TargetState) -> int:
    if state.table is not None:
        return n_bytes_of(state.table)
    return 0 if state.rows is None else ordering.n_bytes_of(state.rows)


def _bound(spec: Spec, n_rows: int) -> int:
    if spec.function == "target_quantile":
        return ordering.most_bytes(spec.n_cells, n_rows)
    level = level_of(spec.function, spec.params)
    return most_bytes(storage(spec.dtype), spec.n_cells, level, False, n_rows)


def _spill(state: TargetState, folder: Path) -> None:
    if state.rows is not None:
        ordering.spill(state.rows, folder)


LEARNER = Learner("target", _start, _add, _merge, _next, _pack, _unpack, _size, _bound, _spill)
OF_TASKS = TaskLearner(LEARNER, told)
