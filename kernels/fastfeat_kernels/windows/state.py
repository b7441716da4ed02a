"""Statistics over windows, on the caller's threads; `fastfeat_kernels.windows` has the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Call, Run
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.ordering import (
    SEQUENCES_PER_PART,
    Codes,
    Ordered,
    Words,
    check_lengths,
    codes_table,
    counted,
    deal,
    entities_of,
    order_table,
    ordered,
    partition_shift,
    permutation,
    place_cursors,
    sequences,
)
from fastfeat_kernels.windows.programs import (
    MAX_ROW_WORDS,
    Dealt,
    Program,
    check_wanted,
    element_of,
    is_flagged,
    is_float,
    passes,
    program_of,
)
from fastfeat_kernels.windows.requests import NO_BOUND, Column, Found, Wanted, Window

__all__ = [
    "NO_BOUND",
    "Column",
    "Found",
    "Ordered",
    "Wanted",
    "Window",
    "ordered",
    "over",
    "partition_shift",
    "permutation",
]

NO_OVERFLOW = 2**63 - 1
TILE = 256  # rows that are collected at a time


class Asking(NamedTuple):
    """The rows that ask for results.

    Args:
        rows: the rows in the order of windows: those that are seen, or others.
        first_row: the first of them in the input.
        ranges: rows of the input as the work is divided.
        cursors: shape (ranges, partitions): where the results of each begin on the stage.
        ask_from: shape (partitions,): the first dealt row that asks.
        places: shape (partitions + 1,): where the results of each partition stand, and the end.
    """

    rows: Ordered
    first_row: int
    ranges: Sequence[tuple[int, int]]
    cursors: Words
    ask_from: Words
    places: Words


def over(
    rows: Ordered,
    columns: Sequence[Column],
    wanted: Sequence[Wanted],
    run: Run,
    n_parts: int = 1,
    first_row: int = 0,
    asking: Ordered | None = None,
) -> list[Found]:
    """Return statistics over windows in input order.

    Args:
        rows: the rows in the order of windows.
        columns: columns of the same rows.
        wanted: the statistics.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; the result does not depend on it.
        first_row: results are wanted from this row of the input on; those before are history.
        asking: other rows, of the same entities and partitions, that ask and are not seen; None
            where rows ask for themselves.

    Raises:
        ValueError: a parameter is out of its range, a column has another number of rows, or other
            rows ask for themselves, or have other entities.
    """
    check_lengths(rows.codes, columns)
    check_wanted(wanted, len(columns))
    if asking is not None:
        _check_asking(rows, asking, wanted)
    asks = _asking(rows if asking is None else asking, first_row, n_parts, run)
    elements, found = [column.element for column in columns], dict[int, Found]()
    stage = _aligned(MAX_ROW_WORDS * int(asks.places[-1]))
    dealt: dict[int, Dealt] = {}
    max_rows = layout.BATCH + rows.max_entity_rows
    for places in passes(wanted, elements):
        read = {wanted[k].column for k in places if wanted[k].statistic != "n_rows"}
        dealt = {k: one for k, one in dealt.items() if k in read}
        for k in sorted(read - dealt.keys()):
            dealt[k] = Dealt(elements[k], *deal(rows, columns[k], run))
        program = program_of(places, wanted, elements, dealt, max_rows)
        overflows = _compute(rows, asks, program, len(dealt), stage, run, n_parts)
        found |= _collect(asks, program, wanted, elements, stage, overflows, run)
    return [found[k] for k in range(len(wanted))]


def _check_asking(rows: Ordered, asking: Ordered, wanted: Sequence[Wanted]) -> None:
    """Raise ValueError where rows cannot ask for others."""
    if (asking.n_entities, asking.shift) != (rows.n_entities, rows.shift):
        raise ValueError("the rows that ask have other entities, or partitions, than those seen")
    if any(one.window.own for one in wanted):
        raise ValueError("a window ends with the row itself, which is none of those that are seen")


def _asking(rows: Ordered, first_row: int, n_parts: int, run: Run) -> Asking:
    n_rows, n_partitions = len(rows.codes), len(rows.partition_starts) - 1
    first_row = min(max(first_row, 0), n_rows)
    share = -(-(n_rows - first_row) // (n_parts * TILE)) * TILE or 1
    ranges = [(row, min(row + share, n_rows)) for row in range(first_row, n_rows, share)]
    before = counted(rows.codes, rows.shift, n_partitions, [(0, first_row)], run)[0]
    cursors = counted(rows.codes, rows.shift, n_partitions, ranges, run)
    places = place_cursors(cursors, np.zeros(n_partitions, np.int64))
    return Asking(rows, first_row, ranges, cursors, rows.partition_starts[:-1] + before, places)


def _aligned(n_words: int) -> Words:
    """Return memory that begins with a line of the cache."""
    memory = np.empty(n_words + 8, np.int64)
    start = -memory.ctypes.data % 64 // 8
    return memory[start : start + n_words]


def _compute(
    rows: Ordered,
    asking: Asking,
    program: Program,
    n_columns: int,
    stage: Words,
    run: Run,
    n_parts: int,
) -> Words:
    """Write the results of a pass to the stage; return by partition and output what overflows."""
    n_partitions = len(rows.partition_starts) - 1
    overflows = np.full((n_partitions, len(program.outputs)), NO_OVERFLOW, np.int64)
    common = order_table(rows)
    common[layout.TABLE_COLUMNS] = program.columns.ctypes.data
    common[layout.TABLE_N_COLUMNS] = n_columns
    common[layout.TABLE_WINDOWS] = program.windows.ctypes.data
    common[layout.TABLE_N_WINDOWS] = len(program.windows)
    common[layout.TABLE_OUTPUTS] = program.outputs.ctypes.data
    common[layout.TABLE_N_OUTPUTS] = len(program.outputs)
    common[layout.TABLE_ROW_WORDS] = program.row_words
    common[layout.TABLE_FLAGS] = program.flags
    common[layout.TABLE_ASKING_STARTS] = asking.rows.starts.ctypes.data
    common[layout.TABLE_ASKING_ARRIVALS] = asking.rows.arrivals.ctypes.data
    common[layout.TABLE_ASKING_TIMES] = asking.rows.times.ctypes.data
    asked = np.diff(asking.places)
    calls: list[list[Call]] = []
    for partitions in sequences(
        np.where(asked > 0, np.diff(rows.partition_starts) + asked, 0), SEQUENCES_PER_PART * n_parts
    ):
        scratch, spare = _aligned(-(-program.n_scratch_bytes // 8)), _aligned(program.n_spare_words)
        calls.append([])
        for p in (p for p in partitions if asked[p]):
            table, ask_from = common.copy(), int(asking.ask_from[p])
            offset = int(asking.places[p]) - ask_from
            table[layout.TABLE_SCRATCH] = scratch.ctypes.data
            table[layout.TABLE_SPARE] = spare.ctypes.data
            table[layout.TABLE_ASK_FROM] = ask_from
            table[layout.TABLE_STAGE] = stage.ctypes.data + 8 * program.row_words * offset
            table[layout.TABLE_OVERFLOWS] = overflows[p].ctypes.data
            first, n = entities_of(rows, p)
            owners = rows, asking, program, scratch, spare, stage, overflows
            calls[-1].append(Call(table, first, n, owners))
    run(program.entry, calls)
    return overflows


def _collect(
    asking: Asking,
    program: Program,
    wanted: Sequence[Wanted],
    elements: Sequence[str],
    stage: Words,
    overflows: Words,
    run: Run,
) -> dict[int, Found]:
    """Return the results of a pass, by place among all that are wanted."""
    rows = asking.rows
    n = len(rows.codes) - asking.first_row
    values = [_aligned(n) for _ in program.wanted]
    presents = [
        np.empty(n, np.bool_) if flagged else None
        for flagged in program.outputs[:, layout.OUTPUT_FLAGGED]
    ]
    targets, present_targets = np.zeros((2, program.row_words), np.int64)
    for slot, (value, present) in enumerate(zip(values, presents, strict=True)):
        targets[slot] = value.ctypes.data
        present_targets[slot] = 0 if present is None else present.ctypes.data
    calls: list[list[Call]] = []
    for (first, end), cursors in zip(asking.ranges, asking.cursors.copy(), strict=True):
        places, table = np.empty(TILE, np.int64), codes_table(rows.codes, rows.shift, cursors)
        table[layout.TABLE_SCRATCH] = places.ctypes.data
        table[layout.TABLE_STAGE] = stage.ctypes.data
        table[layout.TABLE_ROW_WORDS] = program.row_words
        table[layout.TABLE_FLAGS] = program.flags
        table[layout.TABLE_TARGETS] = targets.ctypes.data
        table[layout.TABLE_PRESENT] = present_targets.ctypes.data
        table[layout.TABLE_FIRST_ASKING] = asking.first_row
        table[layout.TABLE_ABSENT] = program.absent.ctypes.data
        owners = rows, cursors, places, stage, targets, present_targets, values, presents, program
        calls.append([Call(table, first, end - first, owners)])
    run("collect", calls)
    found: dict[int, Found] = {}
    for slot, place in enumerate(program.wanted):
        element = element_of(wanted[place], elements)
        row = _overflow_row(rows, overflows[:, slot])
        found[place] = _found(wanted[place], element, values[slot], presents[slot], asking, row)
    return found


def _found(
    wanted: Wanted,
    element: str,
    words: Words,
    present: npt.NDArray[np.bool_] | None,
    asking: Asking,
    overflow_row: int,
) -> Found:
    rows = asking.rows
    if is_float(element, wanted):
        return Found(words.view(np.float64), None)
    if not is_flagged(element, wanted) and rows.n_placed < len(rows.codes):
        present = rows.codes[asking.first_row :] >= 0
    values: npt.NDArray[Any] = words
    if wanted.statistic in ("min", "max", "first", "last", "lag", "mode"):
        if element == "uint64":
            values = words.view(np.uint64) ^ np.uint64(1 << 63)
        elif element == "bool":
            values = words.astype(np.bool_)
    return Found(values, present, overflow_row)


def _overflow_row(rows: Ordered, overflows: Words) -> int:
    """Return the first row of the input whose sum overflows, from dealt rows; -1 if none does."""
    partitions = np.flatnonzero(overflows != NO_OVERFLOW)
    found = [_input_row(rows, int(p), int(overflows[p])) for p in partitions.tolist()]
    return min(found, default=-1)


def _input_row(rows: Ordered, partition: int, dealt_row: int) -> int:
    own: Codes = rows.codes >> np.int32(rows.shift)
    is_own = (own == partition) & (rows.codes >= 0)
    return int(np.flatnonzero(is_own)[dealt_row - int(rows.partition_starts[partition])])
