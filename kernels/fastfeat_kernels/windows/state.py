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
    Flags,
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
    sequences,
)
from fastfeat_kernels.windows.programs import (
    Dealt,
    Program,
    check_wanted,
    element_of,
    is_float,
    passes,
    program_of,
)
from fastfeat_kernels.windows.requests import NO_BOUND, Column, Found, Wanted, Window
from fastfeat_kernels.windows.slices import LONG, Unit, max_rows, units

__all__ = [
    "NO_BOUND",
    "Column",
    "Found",
    "Ordered",
    "Wanted",
    "Window",
    "late_row",
    "ordered",
    "over",
    "partition_shift",
    "permutation",
]

NOBODY = 2**63 - 1
TILE = 256  # rows that are collected at a time


class Asking(NamedTuple):
    """The rows that ask for results.

    Args:
        rows: the rows in the order of windows: those that are seen, or others.
        first_row: the first of them in the input.
        base: a multiple of 8 just before it: columns begin with results of rows from there on.
        stripes: those that have some, as the work is divided.
        cells: shape (stripes, partitions): the first dealt row that asks of each.
        ask_from: shape (partitions,): the first dealt row that asks.
        asked: shape (partitions,): how many ask.
    """

    rows: Ordered
    first_row: int
    base: int
    stripes: Sequence[range]
    cells: Words
    ask_from: Words
    asked: Words


class Memory(NamedTuple):
    """What results wait in where no column of results has room for them, reused by all passes.

    Args:
        stripes: by stripe, as many words as the results of its rows have.
        columns: in the place of columns that a pass has no results for.
    """

    stripes: dict[int, Words]
    columns: list[Words]


class Work(NamedTuple):
    """Units of alike sizes.

    Args:
        program: what they compute, in memory that the largest of them needs.
        sequences: of their numbers.
    """

    program: Program
    sequences: Sequence[Sequence[int]]


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
    elements, found = [column.element for column in columns], dict[int, Found]()
    check_wanted(wanted, elements)
    wanted = [_as_lag(one, columns) for one in wanted]
    if asking is not None:
        _check_asking(rows, asking, wanted)
    asks = _asking(asking or rows, first_row, n_parts, run)
    memory = Memory({}, [])
    dealt: dict[int, Dealt] = {}
    for places in passes(wanted, elements):
        read = {wanted[k].column for k in places if wanted[k].statistic != "n_rows"}
        dealt = {k: one for k, one in dealt.items() if k in read}
        for k in sorted(read - dealt.keys()):
            is_time = _is_time(rows, columns[k])
            words, present = (None, None) if is_time else deal(rows, columns[k], run)
            dealt[k] = Dealt(elements[k], words, present)
        computed = units(rows, [wanted[k] for k in places], asks.asked, asking)
        work: list[Work] = []
        for divided in _divided(computed, n_parts):
            chosen = [computed[k] for numbers in divided for k in numbers]
            n_most = layout.BATCH + max_rows(rows, chosen)
            program = program_of(places, wanted, elements, dealt, n_most)
            work.append(Work(program, divided))
        program = work[0].program
        values = [_aligned(len(asks.rows.codes) - asks.base) for _ in places]
        stage = _stage(asks, values, program.row_words, memory)
        owners = (memory, values)
        overflows = _compute(rows, asks, computed, work, len(dealt), stage, owners, run)
        validity = _collect(asks, program, values, stage, memory, run)
        for slot, k in enumerate(places):
            overflow_row = _first_row(asks.rows, overflows[:, slot])
            element = element_of(wanted[k], elements)
            words = values[slot][asks.first_row - asks.base :]
            found[k] = _found(wanted[k], element, words, validity[slot], overflow_row)
    return [found[k] for k in range(len(wanted))]


def _check_asking(rows: Ordered, asking: Ordered, wanted: Sequence[Wanted]) -> None:
    """Raise ValueError where rows cannot ask for others."""
    if (asking.n_entities, asking.shift) != (rows.n_entities, rows.shift):
        raise ValueError("the rows that ask have other entities, or partitions, than those seen")
    own = ("rank", "percentile")
    if any(one.window.own or one.statistic in own for one in wanted):
        raise ValueError("the row itself is wanted, which is none of those that are seen")


def _is_time(rows: Ordered, column: Column) -> bool:
    """Return whether a column is that of the times, at the same address, none of them missing."""
    places, times = (
        [(chunk.values, chunk.length, chunk.validity) for chunk in chunks]
        for chunks in (column.chunks, rows.time_chunks)
    )
    return column.element == "int64" and places == times and not any(v for *_, v in times)


def _as_lag(wanted: Wanted, columns: Sequence[Column]) -> Wanted:
    """Return the last value as that of the latest row, where none is missing."""
    if wanted.statistic != "last":
        return wanted
    column = columns[wanted.column]
    may_lack = column.element.startswith("float") or any(c.validity for c in column.chunks)
    return wanted if may_lack else wanted._replace(statistic="lag", n=1)


def late_row(rows: Ordered, first_row: int, run: Run) -> int:
    """Return the first row of the history that is later than a row of its entity that asks.

    Args:
        rows: the rows in the order of windows.
        first_row: as of `over`.
        run: runs sequences of calls of `cpu.ENTRIES`.

    Returns:
        its number in the input; -1 if there is none.
    """
    asking = _asking(rows, first_row, rows.n_parts, run)
    found = np.full((len(asking.asked), 1), NOBODY, np.int64)
    common, calls = order_table(rows), list[list[Call]]()
    for partitions in sequences(np.diff(rows.partition_starts), SEQUENCES_PER_PART * rows.n_parts):
        calls.append([])
        for p in (p for p in partitions if asking.asked[p]):
            table = common.copy()
            table[layout.TABLE_ASK_FROM] = asking.ask_from[p]
            table[layout.TABLE_OVERFLOWS] = found[p].ctypes.data
            calls[-1].append(Call(table, *entities_of(rows, p), (rows, found)))
    run("check", calls)
    return _first_row(rows, found)


def _asking(rows: Ordered, first_row: int, n_parts: int, run: Run) -> Asking:
    n_rows, n_partitions = len(rows.codes), len(rows.partition_starts) - 1
    first_row, bits = min(max(first_row, 0), n_rows), rows.stripe_bits
    first, base = first_row >> bits, first_row & -8
    share = max(-(-(len(rows.cells) - first) // n_parts), 1)
    stripes = [
        range(k, min(k + share, len(rows.cells))) for k in range(first, len(rows.cells), share)
    ]
    cells = rows.cells[:, :-1].copy()
    if first_row == n_rows:
        nobody = np.zeros(n_partitions, np.int64)
        return Asking(rows, first_row, base, [], cells, nobody, nobody)
    before = [(first << bits, first_row)]
    cells[first] += counted(rows.codes, rows.shift, n_partitions, before, run)[0]
    asked = (rows.cells[first:, 1:] - cells[first:]).sum(axis=0)
    return Asking(rows, first_row, base, stripes, cells, cells[first], asked)


def _aligned(n_words: int) -> Words:
    """Return memory that begins with a line of the cache."""
    memory = np.empty(n_words + 8, np.int64)
    start = -memory.ctypes.data % 64 // 8
    return memory[start : start + n_words]


def _stage(asking: Asking, values: Sequence[Words], row_words: int, memory: Memory) -> Words:
    """Return addresses of the pieces where results wait, shape (stripes * row_words,).

    The results of a stripe are lines, one for each of its dealt rows; the pieces that they are
    cut into have the size of a column of them. They wait where the columns of the next stripe will
    stand: these are written after the lines are read, by the same thread.
    """
    rows = asking.rows
    size, n_words = 8 << rows.stripe_bits, 1 << rows.stripe_bits
    n = len(rows.codes) - asking.base
    while len(values) + len(memory.columns) < row_words:
        memory.columns.append(_aligned(n))
    columns = [*values, *memory.columns][:row_words]
    addresses = np.array([column.ctypes.data for column in columns], np.int64)
    stage = np.zeros((len(rows.cells), row_words), np.int64)
    for stripes in asking.stripes:
        end = min(stripes.stop << rows.stripe_bits, len(rows.codes)) - asking.base
        for k in stripes:
            begin = 8 * ((k + 1 << rows.stripe_bits) - asking.base)
            if begin + size <= 8 * end:
                stage[k] = addresses + begin
                continue
            if k not in memory.stripes:
                memory.stripes[k] = _aligned(layout.MAX_ROW_WORDS * n_words)
            stage[k] = memory.stripes[k].ctypes.data + size * np.arange(row_words)
    return stage.reshape(-1)


def _piece_bits(rows: Ordered, row_words: int) -> int:
    return rows.stripe_bits - (row_words - 1).bit_length()


def _compute(
    rows: Ordered,
    asking: Asking,
    computed: Sequence[Unit],
    work: Sequence[Work],
    n_columns: int,
    stage: Words,
    memory: object,
    run: Run,
) -> Words:
    """Write the results of a pass to the stage; return by unit and output what overflows."""
    n_outputs = len(work[0].program.outputs)
    overflows = np.full((len(computed), n_outputs), NOBODY, np.int64)
    bounds = np.array([unit.bounds or (0, 0) for unit in computed], np.int64)
    overflows_at, bounds_at = overflows.ctypes.data, bounds.ctypes.data
    calls: list[list[Call]] = []
    for program, divided in work:
        common = _program_table(rows, asking.rows, program, n_columns, stage)
        for numbers in divided:
            scratch = _aligned(-(-program.n_scratch_bytes // 8))
            spare = _aligned(program.n_spare_words)
            common[layout.TABLE_SCRATCH] = scratch.ctypes.data
            common[layout.TABLE_SPARE] = spare.ctypes.data
            calls.append([])
            for k in numbers:
                table, unit = common.copy(), computed[k]
                table[layout.TABLE_ASK_FROM] = asking.ask_from[unit.partition]
                table[layout.TABLE_OVERFLOWS] = overflows_at + 8 * k * n_outputs
                table[layout.TABLE_FIRST_PLACE] = unit.first_place
                table[layout.TABLE_END_PLACE] = unit.end_place
                if unit.bounds:
                    table[layout.TABLE_STARTS] = bounds_at + 16 * k
                    table[layout.TABLE_ASKING_STARTS] = bounds_at + 16 * k
                owners = rows, asking, program, scratch, spare, stage, memory, overflows, bounds
                calls[-1].append(Call(table, unit.first, unit.n, owners))
    run(work[0].program.entry, calls)
    return overflows


def _program_table(
    rows: Ordered, asking: Ordered, program: Program, n_columns: int, stage: Words
) -> Words:
    table = order_table(rows)
    table[layout.TABLE_ASKING_STARTS] = asking.starts.ctypes.data
    table[layout.TABLE_ASKING_ARRIVALS] = asking.arrivals.ctypes.data
    table[layout.TABLE_ASKING_TIMES] = asking.times.ctypes.data
    table[layout.TABLE_COLUMNS] = program.columns.ctypes.data
    table[layout.TABLE_N_COLUMNS] = n_columns
    table[layout.TABLE_WINDOWS] = program.windows.ctypes.data
    table[layout.TABLE_N_WINDOWS] = len(program.windows)
    table[layout.TABLE_BOUNDS] = program.bounds.ctypes.data
    table[layout.TABLE_N_BOUNDS] = len(program.bounds)
    table[layout.TABLE_OUTPUTS] = program.outputs.ctypes.data
    table[layout.TABLE_N_OUTPUTS] = len(program.outputs)
    table[layout.TABLE_ROW_WORDS] = program.row_words
    table[layout.TABLE_FLAGS] = program.flags
    table[layout.TABLE_STAGE] = stage.ctypes.data
    table[layout.TABLE_PIECE_BITS] = _piece_bits(asking, program.row_words)
    return table


def _divided(computed: Sequence[Unit], n_parts: int) -> list[list[list[int]]]:
    """Return units by number in sequences: large ones in few, for each takes much memory."""
    sizes = np.array([unit.n_rows for unit in computed], np.int64)
    is_large = (sizes > LONG) | np.array([unit.bounds is not None for unit in computed], np.bool_)
    large, small = np.flatnonzero(is_large), np.flatnonzero(~is_large)
    few = sequences(sizes[large], max(n_parts // 2, 1))
    many = sequences(sizes[small], SEQUENCES_PER_PART * n_parts)
    return [
        [chosen[numbers].tolist() for numbers in divided]
        for chosen, divided in ((large, few), (small, many))
    ]


def _collect(
    asking: Asking,
    program: Program,
    values: Sequence[Words],
    stage: Words,
    memory: object,
    run: Run,
) -> list[Flags | None]:
    """Write the results of a pass to columns; return of each where it is there, as a bitmap."""
    rows = asking.rows
    n = len(rows.codes) - asking.base
    flags = program.outputs[:, layout.OUTPUT_FLAGGED]
    validity = [
        _bitmap(n) if flag or is_number else None
        for flag, is_number in zip(flags, program.is_float, strict=True)
    ]
    targets, flag_bits, number_bits = np.zeros((3, program.row_words), np.int64)
    for slot, (column, bits) in enumerate(zip(values, validity, strict=True)):
        targets[slot] = column.ctypes.data
        if bits is not None:
            (flag_bits if flags[slot] else number_bits)[slot] = bits.ctypes.data
    cursors, calls = asking.cells.copy(), list[list[Call]]()
    common, cursors_at = codes_table(rows.codes, rows.shift), cursors.ctypes.data
    common[layout.TABLE_STAGE] = stage.ctypes.data
    common[layout.TABLE_PIECE_BITS] = _piece_bits(rows, program.row_words)
    common[layout.TABLE_ROW_WORDS] = program.row_words
    common[layout.TABLE_FLAGS] = program.flags
    common[layout.TABLE_TARGETS] = targets.ctypes.data
    common[layout.TABLE_FLAG_BITS] = flag_bits.ctypes.data
    common[layout.TABLE_NUMBER_BITS] = number_bits.ctypes.data
    common[layout.TABLE_FIRST_ASKING] = asking.base
    common[layout.TABLE_ABSENT] = program.absent.ctypes.data
    for stripes in asking.stripes:
        places = np.empty(2 * TILE, np.int64)
        common[layout.TABLE_SCRATCH] = places.ctypes.data
        calls.append([])
        for k in stripes:
            table = common.copy()
            table[layout.TABLE_CURSORS] = cursors_at + 8 * k * cursors.shape[1]
            first = max(k << rows.stripe_bits, asking.first_row)
            end = min(k + 1 << rows.stripe_bits, len(rows.codes))
            addresses = targets, flag_bits, number_bits
            owners = rows, program, values, validity, stage, memory, cursors, places, addresses
            calls[-1].append(Call(table, first, end - first, owners))
    run("collect", calls)
    is_placed = rows.n_placed == len(rows.codes)
    placed = None if is_placed else _placed_bits(rows, asking.first_row)
    offset = asking.first_row - asking.base
    return [placed if bits is None else _shifted(bits, offset) for bits in validity]


def _placed_bits(rows: Ordered, first_row: int) -> Flags:
    return np.packbits(rows.codes[first_row:] >= 0, bitorder="little")


def _shifted(bits: Flags, offset: int) -> Flags:
    """Return a bitmap without its first bits."""
    if offset == 0:
        return bits
    rest = np.append(bits[1:], np.uint8(0))
    return (bits >> np.uint8(offset)) | (rest << np.uint8(8 - offset))


def _bitmap(n: int) -> Flags:
    return np.empty(-(-n // 8), np.uint8)


def _found(
    wanted: Wanted, element: str, words: Words, validity: Flags | None, overflow_row: int
) -> Found:
    values: npt.NDArray[Any] = words
    if is_float(element, wanted):
        values = words.view(np.float64)
    elif wanted.statistic in ("min", "max", "first", "last", "lag", "mode"):
        if element == "uint64":
            values = words.view(np.uint64) ^ np.uint64(1 << 63)
        elif element == "bool":
            values = words.astype(np.bool_)
    return Found(values, validity, overflow_row)


def _first_row(rows: Ordered, dealt: Words) -> int:
    """Return the first of some dealt rows in the input; -1 if they are nobody."""
    found = dealt[dealt != NOBODY]
    return min((_input_row(rows, dealt_row) for dealt_row in found.tolist()), default=-1)


def _input_row(rows: Ordered, dealt_row: int) -> int:
    stripe = dealt_row >> rows.stripe_bits
    partition = int(np.searchsorted(rows.cells[stripe], dealt_row, "right")) - 1
    first = stripe << rows.stripe_bits
    codes = rows.codes[first : first + (1 << rows.stripe_bits)]
    own = np.flatnonzero((codes >= 0) & (codes >> np.int32(rows.shift) == partition))
    return first + int(own[dealt_row - rows.cells[stripe, partition]])
