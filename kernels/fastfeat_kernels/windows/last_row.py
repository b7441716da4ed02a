"""Statistics of the last row of one entity, with tables that are made once.

`state.over` makes its tables at each call, which takes .2 ms of NumPy for 16 statistics of 200
rows; here seven of their words change. The kernel, and so each bit, is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastfeat_kernels.arrays import Int64Array, Uint8Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.few_rows import NOBODY
from fastfeat_kernels.windows.ordering import MIN_STRIPE_BITS, PADDING, WindowOrder, partition_shift
from fastfeat_kernels.windows.programs import (
    Dealt,
    check_wanted_once,
    element_of,
    passes_of,
    prepared,
)
from fastfeat_kernels.windows.requests import Wanteds, WantedStatistic
from fastfeat_kernels.windows.results import Query, aligned, columns_for, point_to_results
from fastfeat_kernels.windows.state import latest_as_lag, program_table
from fastfeat_kernels.windows.statistics import STATISTICS

ResultReader = Callable[[int, float], Any]
"""A function from the word of a result, and the same bits as a float, to the value."""
_BYTE = 8  # rows of a byte of a bitmap: columns of results begin at a multiple


class LastRow(NamedTuple):
    """Statistics of the last of some rows.

    Args:
        times: Times of the rows, in order. The caller writes the input here and to `columns`.
        columns: For each column its values as words: float64 with NaN for missing, or keys; None
            for the column of times.
        present: For each column of keys, whether each value is present; None for other columns.
        compute: Function from the number of rows to the value of each statistic: a float, an int or
            a bool, None if missing. It returns None for all if one does not fit int64.
    """

    times: Int64Array
    columns: Sequence[Int64Array | None]
    present: Sequence[Uint8Array | None]
    compute: Callable[[int], list[Any] | None]


class _Pass(NamedTuple):
    """The statistics of a pass: the kernel's call and the addresses of its results.

    Args:
        places: Positions of the statistics in the request.
        call: Call of the entry.
        entry: Name of the entry.
        values: Shape (n_outputs, 8): results of 8 rows; the first row is a multiple of 8.
        bits: Shape (n_marked, 1): for the same rows, whether there is a value.
        marked: Row of `bits` for each output; None if it needs no bitmap.
        readers: For each output, the function from its word to its value.
        overflows: Shape (n_outputs,): the first row that does not fit, `NOBODY` if all fit.
    """

    places: Sequence[int]
    call: KernelRowCall
    entry: str
    values: Int64Array
    bits: Any
    marked: Sequence[int | None]
    readers: Sequence[ResultReader]
    overflows: Int64Array


def last_row(
    wanted: Wanteds, elements: Sequence[str], are_times: Sequence[bool], most: int, run: CallRunner
) -> LastRow:
    """Return statistics of the last of at most `most` rows of one entity.

    The result belongs to one thread. `are_times` marks the column of times; no element may be
    uint64.
    """
    chosen = Wanteds(latest_as_lag(one, may_lack=not are_times[one.column]) for one in wanted)
    check_wanted_once(chosen, tuple(elements))
    columns = [None if is_time else np.zeros(most, np.int64) for is_time in are_times]
    present = [
        None if is_time or element.startswith("float") else np.ones(most, np.uint8)
        for is_time, element in zip(are_times, elements, strict=True)
    ]
    rows = _rows(most)
    dealt = [Dealt(*one) for one in zip(elements, columns, present, strict=True)]
    passes = [
        _pass(rows, places, {k: dealt[k] for k in sorted(read)}, chosen, tuple(elements))
        for places, read in passes_of(chosen, tuple(elements), False)
    ]
    times, starts, n_wanted = rows.times, rows.starts, len(chosen)

    def compute(n: int) -> list[Any] | None:
        starts[1] = n
        times[n : n + PADDING] = 0
        last, base = n - 1, (n - 1) & -_BYTE
        found: list[Any] = [None] * n_wanted
        for one in passes:
            table = one.call.table
            table[layout.TABLE_END_PLACE] = n
            table[layout.TABLE_ASK_FROM] = last
            table[layout.TABLE_FIRST_ASKING] = base
            one.bits[:] = 0
            one.overflows[:] = NOBODY
            run(one.entry, [[one.call]])
            if one.overflows.min() != NOBODY:
                return None
            own = one.values[:, last - base]
            bits = (one.bits[:, 0] >> (last - base)).tolist()
            words, floats = own.tolist(), own.view(np.float64).tolist()
            for k, mark, read, word, number in zip(
                one.places, one.marked, one.readers, words, floats, strict=True
            ):
                if mark is None or bits[mark] & 1:
                    found[k] = read(word, number)
        return found

    return LastRow(times, columns, present, compute)


def _rows(most: int) -> WindowOrder:
    """Return rows of one entity in order, the last of which asks."""
    ends = np.array([0, most], np.int64)
    return WindowOrder(
        np.zeros(most, np.int32),
        1,
        1,
        partition_shift(most, 1),
        MIN_STRIPE_BITS,
        ends[None],
        ends,
        np.array([0, most], np.int64),
        np.arange(most, dtype=np.int32),
        np.zeros(most + PADDING, np.int64),
        (),
        True,
    )


def _pass(
    rows: WindowOrder,
    places: tuple[int, ...],
    dealt: Mapping[int, Dealt],
    wanted: Wanteds,
    elements: tuple[str, ...],
) -> _Pass:
    most = len(rows.codes)
    program = prepared(places, wanted, elements, dealt, layout.BATCH + most)
    nobody = np.zeros(1, np.int64)
    query = Query(rows, most - _BYTE, most - _BYTE, [], rows.cells[:, :-1], nobody, nobody)
    results = columns_for(query, program)
    n_outputs = len(program.outputs)
    values = aligned(n_outputs * _BYTE).reshape(n_outputs, _BYTE)
    results.targets[:n_outputs] = values.ctypes.data + values.strides[0] * np.arange(n_outputs)
    table = program_table(rows, rows, program, len(dealt))
    point_to_results(table, results, query)
    scratch = aligned(-(-program.n_scratch_bytes // 8))
    spare = aligned(program.n_spare_words)
    overflows = np.full(len(program.outputs), NOBODY, np.int64)
    table[layout.TABLE_SCRATCH] = scratch.ctypes.data
    table[layout.TABLE_SPARE] = spare.ctypes.data
    table[layout.TABLE_OVERFLOWS] = overflows.ctypes.data
    owners = rows, dealt, program, results, values, scratch, spare, overflows
    readers = [
        _reader(wanted[k], elements, is_float=is_float)
        for k, is_float in zip(places, program.is_float, strict=True)
    ]
    return _Pass(
        places,
        KernelRowCall(table, 0, 1, owners),
        program.entry,
        values,
        results.bits,
        results.marked,
        readers,
        overflows,
    )


def _reader(wanted: WantedStatistic, elements: Sequence[str], *, is_float: bool) -> ResultReader:
    """Return the function from the word of a result to its value."""
    if is_float:
        return _number
    is_same = STATISTICS[wanted.statistic].gives == "same"
    return _flag if is_same and element_of(wanted, elements) == "bool" else _word


def _number(word: int, number: float) -> float:
    return number


def _flag(word: int, number: float) -> bool:
    return word != 0


def _word(word: int, number: float) -> int:
    return word
