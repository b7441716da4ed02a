"""Learn statistics of a target per category on the CPU, from rows in batches and states that merge.

A cell is one fold of one category; its number orders cells by category, then by fold. The visible
rows of a fold are the rows from which its statistic is computed; see `cpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.grouped.growing import Table, most_bytes, n_bytes_of, new_table
from fastfeat_kernels.grouped.joining import join_tables
from fastfeat_kernels.grouped.order import keys_of, neighbours, quantile_between
from fastfeat_kernels.grouped.state import GroupedMoments
from fastfeat_kernels.grouped.summarize import add, moments_in
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.aggregates.target import CategoryStatistics, FoldedGroups, smooth_statistics
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.learner import Learner, LearntResult, PackedState, Rows, TaskLearner
from fastfeat.engine.storage import storage
from fastfeat.io.budget import has_room
from fastfeat.io.columns.column import plain_chunks
from fastfeat.io.temporary_files import map_file, unnamed_file
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.steps.keys import cpu_group_rows
from fastfeat.steps.keys import cpu_group_rows as keeping
from fastfeat.steps.keys import cpu_ordered as ordering
from fastfeat.steps.keys.cpu_groups import ORDER_BYTES, TAKES, bytes_of_moments, codes_of
from fastfeat.steps.keys.cpu_ordered import OrderedRows
from fastfeat.steps.keys.cpu_packed import packed_table, unpacked_table
from fastfeat.steps.targets.cpu import (
    Cells,
    Prior,
    VisibleFolds,
    by_moments,
    by_quantiles,
    fold_of_rows,
    smoothed_statistics,
    visible_folds,
)
from fastfeat.steps.targets.cpu import target_level as level_of
from fastfeat.steps.targets.tasks import TargetTask

if TYPE_CHECKING:
    from fastfeat.steps.keys.cpu_group_rows import GroupRows, Range

VALUES, CODES, FOLDS = "values", "codes", "folds"
"""The columns that the task reads: the target, the category and the fold of each row.

Without the column of folds, row numbers give the folds.
"""

_RUN = "grouped"
_ROWS = "rows"
_MOST_CELLS = 2**31 - 1  # groups are numbered by int32


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """The statistic of a target per category to learn.

    Args:
        function: One of `aggregates.target.FUNCTIONS`.
        params: Its parameters.
        dtype: Type of the target.
        n_codes: Number of categories.
        n_folds: Number of folds.
    """

    function: str
    params: Params
    dtype: DType
    n_codes: int
    n_folds: int

    @property
    def n_cells(self) -> int:
        """Number of cells: one for each fold of each category."""
        return self.n_codes * self.n_folds

    @property
    def fold_bits(self) -> int:
        """Number of bits that a fold number needs in the number of a cell."""
        return (self.n_folds - 1).bit_length()


@dataclass(slots=True)
class TargetState:
    """The summary of all rows added so far, cell by cell.

    Args:
        spec: The statistic to learn.
        table: Moments of the cells.
        kept: The rows, if moments of all cells would exceed the memory budget.
        of_folds: Moments of the folds of the kept rows.
        rows: The target values of rows by cell, for quantiles.
    """

    spec: TargetSpec
    table: Table | None
    kept: GroupRows | None
    of_folds: Table | None
    rows: OrderedRows | None


def learn_target(task: TargetTask) -> FoldedGroups:
    """Return a statistic of the target per category, of all rows and outside of each fold."""
    spec, columns = learner_input(task)
    state = _start(spec, None)
    _add(state, columns, range(len(task.codes)))
    return _next(state).values[0]


def learner_input(task: TargetTask) -> tuple[TargetSpec, Mapping[Any, Any]]:
    """Return a task's settings as `TargetSpec`, and the columns that it reads, by name."""
    spec = TargetSpec(task.function, task.params, task.dtype, task.n_codes, task.n_folds)
    return spec, {VALUES: task.values, CODES: task.codes, FOLDS: task.folds}


def _start(spec: TargetSpec, hint: None) -> TargetState:
    element, n_padded = storage(spec.dtype), spec.n_codes << spec.fold_bits
    is_of_order = spec.function == "target_quantile"
    level = level_of(spec.function, spec.params)
    n_bytes = bytes_of_moments(spec.n_cells, level, False)
    if is_of_order:
        n_bytes = ORDER_BYTES * spec.n_cells
    if n_padded <= _MOST_CELLS and not has_room(n_bytes):
        of_folds = None if is_of_order else new_table(element, spec.n_folds, level, extremes=False)
        kept = keeping.no_rows(element, n_padded, spec.fold_bits)
        return TargetState(spec, None, kept, of_folds, None)
    if is_of_order:
        return TargetState(spec, None, None, None, OrderedRows(element, spec.n_cells))
    return TargetState(
        spec, new_table(element, spec.n_cells, level, extremes=False), None, None, None
    )


def _add(state: TargetState, columns: Mapping[Any, Any], rows: Rows) -> None:
    spec, run = state.spec, runner(_RUN)
    chunks, codes = plain_chunks(columns[VALUES], spec.dtype), codes_of(columns[CODES])
    given = columns.get(FOLDS)
    folds = fold_of_rows(rows, spec.n_folds) if given is None else codes_of(given)
    if state.rows is not None:
        cells = np.multiply(codes, np.int32(spec.n_folds))  # cells of a category side by side
        cells += folds
        ordering.keep(state.rows, chunks, cells)
    if state.kept is not None:
        cells = np.left_shift(codes, np.int32(spec.fold_bits))
        cells |= folds
        keeping.keep(state.kept, chunks, cells)
    if state.of_folds is not None:
        add(state.of_folds, chunks, folds, run, n_parts(len(folds)))
    if state.table is not None:
        cells = np.multiply(folds, np.int32(spec.n_codes))
        cells += codes
        add(state.table, chunks, cells, run, n_parts(len(cells)))


def _merge(a: TargetState, b: TargetState) -> TargetState:
    if a.kept is not None and b.kept is not None:
        a.kept = keeping.join(a.kept, b.kept)
    else:
        _unkept(a)
        _unkept(b)
    if a.of_folds is not None and b.of_folds is not None:
        a.of_folds = join_tables(a.of_folds, b.of_folds, runner(_RUN))
    if a.table is not None and b.table is not None:
        a.table = join_tables(a.table, b.table, runner(_RUN), n_parts(a.spec.n_cells))
    if a.rows is not None and b.rows is not None:
        a.rows = ordering.join(a.rows, b.rows)
    return a


def _unkept(state: TargetState) -> None:
    """Replace the rows in `state.kept` by moments or target values of all cells."""
    spec, kept = state.spec, state.kept
    if kept is None:
        return
    if state.of_folds is None:
        state.rows = OrderedRows(kept.element, spec.n_cells)
        for cells in _cells_kept(spec, kept):
            numbers = cells.codes * np.int32(spec.n_folds) + cells.folds
            ordering.append(state.rows, ordering.KeyPiece(cells.keys, numbers))
    else:
        level = level_of(spec.function, spec.params)
        state.table = new_table(kept.element, spec.n_cells, level, extremes=False)
        for some in keeping.ranges(kept):
            first = some.first >> spec.fold_bits
            keeping.add_range(state.table, kept, _by_fold(some, spec, first, spec.n_codes))
    state.kept = state.of_folds = None


def _cells_kept(spec: TargetSpec, kept: GroupRows) -> Iterator[Cells]:
    """Yield the kept rows, some neighbouring categories at a time, with their category codes."""
    for some in keeping.ranges(kept):
        keys, groups = keeping.keys_of(kept, some)
        codes = (groups + np.int32(some.first)) >> np.int32(spec.fold_bits)
        folds = groups & np.int32((1 << spec.fold_bits) - 1)
        yield Cells(kept.element, keys, codes, folds, some.n_groups >> spec.fold_bits)


def _by_fold(some: Range, spec: TargetSpec, first: int, n_codes: int) -> Range:
    """Return rows with new cell numbers, which order cells by fold, then by category.

    In `some`, cells are ordered by category, then by fold. `first` is added to the category of each
    row; a fold has `n_codes` categories.
    """
    is_missing = some.groups < 0
    given = np.where(is_missing, ~some.groups, some.groups)
    cells = (given & np.int32((1 << spec.fold_bits) - 1)) * np.int32(n_codes)
    cells += (given >> np.int32(spec.fold_bits)) + np.int32(first)
    groups = np.where(is_missing, ~cells, cells)
    return cpu_group_rows.Range(0, n_codes * spec.n_folds, some.values, groups)


def _next(state: TargetState) -> LearntResult:
    spec = state.spec
    if state.kept is not None:
        if state.of_folds is None:
            return LearntResult((_on_disk(spec, _quantiles_kept(spec, state.kept)),))
        of_folds = moments_in(state.of_folds, runner(_RUN))
        return LearntResult((_on_disk(spec, _moments_kept(spec, state.kept, of_folds)),))
    if state.table is not None:
        moments = moments_in(state.table, runner(_RUN))
        found = by_moments(moments, spec.n_folds, spec.function, spec.params)
    else:
        assert state.rows is not None
        found = _by_quantiles(spec, state.rows)
    return LearntResult((smoothed_statistics(found, spec.function, spec.params),))


_Ranges = Iterator[tuple[int, Iterator[CategoryStatistics]]]
"""Statistics of neighbouring categories, each set with the number of its first category."""


def _on_disk(spec: TargetSpec, ranges: _Ranges) -> FoldedGroups:
    """Return the statistic per category; the values per fold are in a memory-mapped file."""
    values, file = np.empty(spec.n_codes, np.float64), unnamed_file(Path(gettempdir()))
    for first, found in ranges:
        for k, statistics in enumerate(found):
            own = smooth_statistics(spec.function, statistics, spec.params, first)
            if k:
                file.put(8 * ((k - 1) * spec.n_codes + first), own)
            else:
                values[first : first + len(own)] = own
    return FoldedGroups(values, values == values, map_file(file, np.dtype(np.float64)))


def _moments_kept(spec: TargetSpec, kept: GroupRows, of_folds: GroupedMoments) -> _Ranges:
    """Yield neighbouring categories with their statistics, from the moments of kept rows."""
    level = level_of(spec.function, spec.params)
    for some in keeping.ranges(kept):
        first, n_codes = some.first >> spec.fold_bits, some.n_groups >> spec.fold_bits
        table = new_table(kept.element, n_codes * spec.n_folds, level, extremes=False)
        keeping.add_range(table, kept, _by_fold(some, spec, 0, n_codes))
        moments = moments_in(table, runner(_RUN))
        yield first, by_moments(moments, spec.n_folds, spec.function, spec.params, of_folds)


def _quantiles_kept(spec: TargetSpec, kept: GroupRows) -> _Ranges:
    """Yield neighbouring categories with their quantiles, from kept rows."""
    given = dict(spec.params)
    q, seen = float(given["q"]), visible_folds(spec.n_folds, bool(given["ordered"]))

    def blocks() -> Iterator[ordering.KeyPiece]:
        return (ordering.KeyPiece(cells.keys, cells.folds) for cells in _cells_kept(spec, kept))

    priors, first = _priors(kept.element, blocks, seen, q), 0
    for cells in _cells_kept(spec, kept):
        own = cells._replace(codes=cells.codes - np.int32(first))
        yield first, by_quantiles([own], seen, q, priors)
        first += cells.n_codes


def _priors(
    element: str,
    blocks: Callable[[], Iterator[ordering.KeyPiece]],
    seen: Sequence[VisibleFolds],
    q: float,
) -> list[Prior]:
    """Return, per item of `seen`, the number of visible rows and the quantile of their targets.

    `blocks` returns all rows: sort keys of targets, with folds as groups. `seen` is described in
    `by_quantiles`.
    """
    counts = np.zeros(len(seen), np.int64)
    for block in blocks():
        counts += [int(is_seen(block.groups).sum()) for is_seen in seen]
    low, high, share = neighbours(counts, q, "linear")
    shares = np.broadcast_to(np.asarray(share), counts.shape)
    some: list[int] = np.flatnonzero(counts).tolist()
    wanted = [(seen[k], np.array([low[k], high[k]])) for k in some]
    priors: list[Prior] = [(0.0, np.nan)] * len(seen)
    for k, keys in zip(some, ordering.keys_by_digits(blocks, wanted), strict=True):
        quantile = quantile_between(element, keys[:1], keys[1:], shares[k : k + 1])
        priors[k] = float(counts[k]), float(quantile[0])
    return priors


def _by_quantiles(spec: TargetSpec, rows: OrderedRows) -> Iterator[CategoryStatistics]:
    """Yield the quantiles per category: of all rows, then of the visible rows of each fold."""
    given = dict(spec.params)
    q, seen = float(given["q"]), visible_folds(spec.n_folds, bool(given["ordered"]))
    priors = [_prior(spec, rows, is_seen, q) for is_seen in seen]
    return by_quantiles(_ranges(spec, rows), seen, q, priors)


def _prior(spec: TargetSpec, rows: OrderedRows, is_seen: VisibleFolds, q: float) -> Prior:
    """Return the number of visible rows of all categories, and the quantile of their targets."""

    def is_in(cells: NDArray[np.int32]) -> NDArray[np.bool_]:
        return is_seen(cells % np.int32(spec.n_folds))

    n = ordering.count_in(rows, is_in)
    if n == 0:
        return 0.0, np.nan
    low, high, share = neighbours(np.array([n]), q, "linear")
    keys = ordering.keys_at(rows, np.concatenate([low, high]), is_in)
    return float(n), float(quantile_between(rows.element, keys[:1], keys[1:], share)[0])


def _ranges(spec: TargetSpec, rows: OrderedRows) -> Iterator[Cells]:
    """Yield the rows of all categories, some neighbouring categories at a time."""
    n_folds = np.int32(spec.n_folds)
    if not rows.runs:
        keys, cells = ordering.rows_in_memory(rows)
        yield Cells(rows.element, keys, cells // n_folds, cells % n_folds, spec.n_codes)
        return
    for _, ordered in ordering.ranges_in_order(rows, spec.n_folds):
        keys, cells = keys_of(ordered)
        n_codes = len(ordered.counts) // spec.n_folds
        yield Cells(rows.element, keys, cells // n_folds, cells % n_folds, n_codes)


def _pack(state: TargetState) -> PackedState:
    _unkept(state)
    if state.table is not None:
        return packed_table(state.table)
    assert state.rows is not None
    return PackedState({}, {_ROWS: ordering.table_of(state.rows)})


def _unpack(spec: TargetSpec, hint: None, packed: PackedState) -> TargetState:
    state = _start(spec, hint)
    _unkept(state)
    if state.table is not None:
        state.table = unpacked_table(packed)
    if state.rows is not None:
        ordering.keep_table(state.rows, packed.tables[_ROWS])
    return state


def _size(state: TargetState) -> int:
    if state.kept is not None:
        return state.kept.n_bytes
    if state.table is not None:
        return n_bytes_of(state.table)
    return 0 if state.rows is None else ordering.n_bytes_of(state.rows)


def _bound(spec: TargetSpec, n_rows: int) -> int:
    if spec.function == "target_quantile":
        return ordering.most_bytes(spec.n_cells, n_rows)
    level = level_of(spec.function, spec.params)
    return most_bytes(storage(spec.dtype), spec.n_cells, level, False, n_rows)


def _spill(state: TargetState, folder: Path) -> None:
    if state.kept is not None:
        keeping.spill(state.kept, folder)
    if state.rows is not None:
        ordering.spill(state.rows, folder)


LEARNER = Learner(
    "target",
    start=_start,
    add=_add,
    merge=_merge,
    next=_next,
    pack=_pack,
    unpack=_unpack,
    size=_size,
    bound=_bound,
    spill=_spill,
    takes=TAKES.format(of="category and fold", more="", stays="category"),
)
OF_TASKS = TaskLearner(LEARNER, learner_input)
