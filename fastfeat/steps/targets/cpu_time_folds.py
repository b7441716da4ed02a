"""Folds by time on the CPU: fit splits all times into folds of equal size.

With n known times, sorted, and f folds, a row is in fold k or later if its time is after the time
at position ceil(k n / f), counted from 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped.finalize import values_of_keys
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.learner import Learner, LearntResult, NextRound, PackedState, Rows, TaskLearner
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.steps.keys import cpu_ordered as ordering
from fastfeat.steps.keys.cpu_ordered import OrderedRows
from fastfeat.steps.step import Argument
from fastfeat.steps.targets.time_folds import TimeFolds, TimesTask, delay_in_ticks

TIMES = "times"
"""The column that the task reads."""

_ROWS = "rows"
_ELEMENTS = {"double": "float64", "float": "float32"} | {name: name for name in ELEMENTS}


@dataclass(frozen=True, slots=True)
class TimeFoldsSpec:
    """The folds by time to learn.

    Args:
        element: Type of the times in the data, from `fastfeat_kernels.column.ELEMENTS`.
        n_folds: Number of folds.
        with_begins: Whether the result must have the first time of each fold.
    """

    element: str
    n_folds: int
    with_begins: bool = False


@dataclass(slots=True)
class TimesState:
    """The learner's state: all times in the first pass, the first time of each fold in the second.

    Args:
        spec: The folds to learn.
        n_missing: Number of rows without a time.
        rows: The times of all rows, in the first pass; all are in group 0.
        ends: The last time before each fold but the first, from the first pass.
        begins: The first time of each fold, shape (n_folds,).
        is_used: Whether a fold has a time, shape (n_folds,).
    """

    spec: TimeFoldsSpec
    n_missing: int
    rows: OrderedRows | None
    ends: NDArray[Any]
    begins: NDArray[Any]
    is_used: NDArray[np.bool_]


def _start(spec: TimeFoldsSpec, hint: Any) -> TimesState:
    none = np.zeros(spec.n_folds, np.int64)
    nothing = values_of_keys(spec.element, none, np.ones(spec.n_folds, np.bool_))
    rows = OrderedRows(spec.element, 1) if hint is None else None
    ends = nothing[:0] if hint is None else hint
    return TimesState(spec, 0, rows, ends, nothing, np.zeros(spec.n_folds, np.bool_))


def _add(state: TimesState, columns: Mapping[Any, Any], rows: Rows) -> None:
    column = columns[TIMES]
    if state.rows is not None:
        codes = np.zeros(len(column), np.int32)
        ordering.keep(state.rows, physical_chunks(column), codes)
        return
    times, present = times_of(column)
    state.n_missing += len(times) - int(present.sum())
    times = times[present]
    _take_first(state, np.searchsorted(state.ends, times, side="left"), times)


def _take_first(state: TimesState, folds: NDArray[np.int64], times: NDArray[Any]) -> None:
    """Lower the first time of each fold to the earliest of `times` in it."""
    for fold in np.flatnonzero(np.bincount(folds, minlength=state.spec.n_folds)).tolist():
        first = times[folds == fold].min()
        if not state.is_used[fold] or first < state.begins[fold]:
            state.begins[fold], state.is_used[fold] = first, True


def _merge(a: TimesState, b: TimesState) -> TimesState:
    if a.rows is not None and b.rows is not None:
        a.rows = ordering.join(a.rows, b.rows)
    a.n_missing += b.n_missing
    used = np.flatnonzero(b.is_used)
    _take_first(a, used, b.begins[used])
    return a


def _next(state: TimesState) -> LearntResult | NextRound:
    spec, ends = state.spec, state.ends
    if state.rows is not None:
        n_known, n_folds = ordering.count_in(state.rows, _every), spec.n_folds
        if n_known:
            places = [-(-k * n_known // n_folds) - 1 for k in range(1, n_folds)]
            keys = ordering.keys_at(state.rows, np.array(places, np.int64), _every)
            ends = values_of_keys(state.rows.element, keys, np.zeros(len(keys), np.bool_))
        if spec.with_begins:
            return NextRound(ends)
    used = np.flatnonzero(state.is_used)
    last = spec.n_folds if state.n_missing else int(used.max(initial=0))
    return LearntResult((TimeFolds(spec.n_folds, ends, used, state.begins[used], last),))


def _every(groups: NDArray[np.int32]) -> NDArray[np.bool_]:
    return np.ones(len(groups), np.bool_)


def _pack(state: TimesState) -> PackedState:
    tables: dict[str, Any] = {}
    if state.rows is not None:
        tables[_ROWS] = ordering.table_of(state.rows)
    else:
        tables["begins"] = pa.table({"begins": state.begins, "is_used": state.is_used})
    return PackedState({"n_missing": state.n_missing}, tables)


def _unpack(spec: TimeFoldsSpec, hint: Any, packed: PackedState) -> TimesState:
    state = _start(spec, hint)
    state.n_missing = packed.numbers["n_missing"]
    if state.rows is not None:
        ordering.keep_table(state.rows, packed.tables[_ROWS])
    else:
        columns = [column.to_numpy().copy() for column in packed.tables["begins"].columns]
        state.begins, state.is_used = columns
    return state


def _size(state: TimesState) -> int:
    n_bytes = 0 if state.rows is None else ordering.n_bytes_of(state.rows)
    return n_bytes + state.begins.nbytes + state.is_used.nbytes + state.ends.nbytes


def _bound(spec: TimeFoldsSpec, n_rows: int) -> int:
    return ordering.most_bytes(1, n_rows) + 24 * spec.n_folds


def _spill(state: TimesState, folder: Any) -> None:
    if state.rows is not None:
        ordering.spill(state.rows, folder)


LEARNER = Learner(
    "time_folds",
    start=_start,
    add=_add,
    merge=_merge,
    next=_next,
    pack=_pack,
    unpack=_unpack,
    size=_size,
    bound=_bound,
    spill=_spill,
    takes="12 bytes per row, on disk if they do not fit in memory",
)


def learner_input(task: TimesTask) -> tuple[TimeFoldsSpec, Mapping[Any, Any]]:
    """Return a task's settings as `TimeFoldsSpec`, and its column of times, by name."""
    times = task.times.values
    return TimeFoldsSpec(_ELEMENTS[str(times.type)], task.n_folds, task.with_begins), {TIMES: times}


OF_TASKS = TaskLearner(LEARNER, learner_input)


def learn_times(task: TimesTask) -> TimeFolds:
    """Return the folds that a task's times are split into."""
    spec, columns = learner_input(task)
    n_rows = len(columns[TIMES])
    found: LearntResult | NextRound = NextRound(None)
    while isinstance(found, NextRound):
        state = _start(spec, found.hint)
        _add(state, columns, range(n_rows))
        found = _next(state)
    return found.values[0]


def time_fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row by its time, int32."""
    return _numbers(_folds_of(args[1].values, *times_of(args[0].values)))


def time_fold_known(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return, for each row, the last fold that must not learn from it, int32.

    A fold may learn from a row if the row's value is known before the fold begins: the value is
    known at the row's time plus a delay.
    """
    learnt: TimeFolds = args[1].values
    times, present = times_of(args[0].values)
    folds = _folds_of(learnt, times, present)
    known = _later(times, delay_in_ticks(args[0].dtype, params))
    after = np.searchsorted(learnt.begins, known, "right")
    before = np.append(learnt.used - 1, learnt.last)  # the fold before the first that begins later
    return _numbers(np.where(present, np.maximum(folds, before[after]), learnt.last))


def _folds_of(
    learnt: TimeFolds, times: NDArray[Any], present: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the fold of each time; rows without a time are in the extra fold `n_folds`."""
    folds = np.searchsorted(learnt.ends, times, side="left")
    return np.where(present, folds, learnt.n_folds)


def _later(times: NDArray[Any], delay: int) -> NDArray[Any]:
    """Return times plus a delay; integers stop at the highest value of their type."""
    if times.dtype.kind == "f":
        return times + delay
    most = np.iinfo(times.dtype).max
    return np.where(times > most - min(delay, int(most)), most, times + min(delay, int(most)))


def times_of(column: ChunkedArray) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return times as numbers, 0 if missing, and flags of rows that have a time."""
    times = np.concatenate([_values(chunk) for chunk in column.chunks] or [np.zeros(0)])
    return times, np.concatenate([_present(one) for one in column.chunks] or [np.zeros(0, bool)])


def _numbers(folds: NDArray[np.int64]) -> Any:
    return array_of_values(folds.astype(np.int32), None, pa.int32())


def _values(chunk: Any) -> NDArray[Any]:
    return chunk.fill_null(0).to_numpy(zero_copy_only=False)


def _present(chunk: Any) -> NDArray[np.bool_]:
    return chunk.is_valid().to_numpy(zero_copy_only=False)
