"""Statistics over windows, on the caller's threads; `fastfeat_kernels.windows` has the spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.carries import Carries, carries_of, summed_columns
from fastfeat_kernels.windows.few_rows import NOBODY, compute_few, query_of_few
from fastfeat_kernels.windows.ordering import (
    SEQUENCES_PER_PART,
    WindowOrder,
    check_lengths,
    deal,
    entities_of,
    n_tied,
    order_table,
    ordered,
    partition_shift,
    permutation,
    sequences,
)
from fastfeat_kernels.windows.programs import (
    Dealt,
    WindowProgram,
    check_wanted_once,
    element_of,
    passes_of,
    prepared,
)
from fastfeat_kernels.windows.requests import (
    NO_BOUND,
    StatisticColumn,
    Wanteds,
    WantedStatistic,
    WindowBounds,
    WindowInput,
)
from fastfeat_kernels.windows.results import (
    Query,
    ResultColumns,
    ResultMemory,
    aligned,
    collect,
    columns_for,
    piece_bits,
    point_to_results,
    query_of_rows,
    stage_for,
    validity_of,
)
from fastfeat_kernels.windows.slices import LONG, WorkUnit, has_long, max_rows, one_unit, units
from fastfeat_kernels.windows.statistics import STATISTICS

__all__ = [
    "NO_BOUND",
    "StatisticColumn",
    "WantedStatistic",
    "WindowBounds",
    "WindowInput",
    "WindowOrder",
    "late_row",
    "n_tied",
    "ordered",
    "over",
    "partition_shift",
    "permutation",
]


class WorkUnits(NamedTuple):
    """Units of similar sizes.

    Args:
        program: Their program, with memory for the largest unit.
        sequences: Unit numbers, in sequences for threads.
    """

    program: WindowProgram
    sequences: Sequence[Sequence[int]]


class UnitShares(NamedTuple):
    """The units that the calls of a pass compute, divided among them.

    Args:
        computed: The units.
        divided: Sequences of unit numbers, similar sizes together, with the largest number of rows
            of one entity or slice.
        carries: Initial states of slices; None if no slice has one.
    """

    computed: Sequence[WorkUnit]
    divided: Sequence[tuple[int, Sequence[Sequence[int]]]]
    carries: Carries | None


def over(
    rows: WindowOrder,
    columns: Sequence[WindowInput],
    wanted: Sequence[WantedStatistic],
    run: CallRunner,
    n_parts: int = 1,
    first_row: int = 0,
    query: WindowOrder | None = None,
) -> list[StatisticColumn]:
    """Return statistics over windows in input order."""
    check_lengths(rows.codes, columns)
    elements, found = tuple([column.element for column in columns]), dict[int, StatisticColumn]()
    chosen: tuple[WantedStatistic, ...] = wanted if isinstance(wanted, Wanteds) else tuple(wanted)
    check_wanted_once(chosen, elements)
    if any(STATISTICS[one.statistic].picks == "latest" for one in wanted):
        lacking = [_may_lack(column) for column in columns]
        chosen = tuple([latest_as_lag(one, may_lack=lacking[one.column]) for one in wanted])
    if query is not None:
        _check_asking(rows, query, wanted)
    few = query_of_few(rows, first_row) if query is None else None
    asks = query_of_rows(query or rows, first_row, n_parts, run) if few is None else few
    memory, cut = ResultMemory({}, []), query is None and has_long(rows)
    dealt: dict[int, Dealt] = {}
    shares: UnitShares | None = None
    for places, read in passes_of(chosen, elements, cut):
        dealt = {k: one for k, one in dealt.items() if k in read}
        for k in sorted(read - dealt.keys()):
            is_time = _is_time(rows, columns[k])
            words, present = (None, None) if is_time else deal(rows, columns[k], run)
            dealt[k] = Dealt(elements[k], words, present)
        if few is not None:
            results, overflows = compute_few(few, places, chosen, elements, dealt, run)
            found |= _found(few, places, chosen, elements, results, overflows)
            continue
        if shares is None or cut:
            shares = _shares(rows, asks, query, places, chosen, elements, dealt, run, n_parts)
        work = [
            WorkUnits(prepared(places, chosen, elements, dealt, layout.BATCH + n_most), divided)
            for n_most, divided in shares.divided
        ]
        program = work[0].program
        results = columns_for(asks, program)
        stage = None
        if not asks.rows.is_as_given:
            stage = stage_for(asks, results, memory)
        overflows = _compute(rows, asks, shares, work, len(dealt), results, stage, memory, run)
        if stage is not None:
            collect(asks, program, results, stage, memory, run)
        found |= _found(asks, places, chosen, elements, results, overflows)
    return [found[k] for k in range(len(wanted))]


def _found(
    asks: Query,
    places: Sequence[int],
    wanted: Sequence[WantedStatistic],
    elements: Sequence[str],
    results: ResultColumns,
    overflows: Int64Array,
) -> dict[int, StatisticColumn]:
    """Return the statistics of a pass, by place."""
    validity, first_rows = validity_of(asks, results), _first_rows(asks.rows, overflows)
    found: dict[int, StatisticColumn] = {}
    for slot, k in enumerate(places):
        words = results.values[slot][asks.first_row - asks.base :]
        values = _values(wanted[k], elements, words, results.is_float[slot])
        found[k] = StatisticColumn(values, validity[slot], first_rows[slot])
    return found


def _check_asking(rows: WindowOrder, query: WindowOrder, wanted: Sequence[WantedStatistic]) -> None:
    """Raise ValueError for other entities, or for a statistic that needs the row itself."""
    if (query.n_entities, query.shift) != (rows.n_entities, rows.shift):
        raise ValueError("the query rows and the known rows differ in entities or in partitions")
    if any(one.window.own or STATISTICS[one.statistic].reads_own for one in wanted):
        raise ValueError("a statistic needs the query row itself, which the known rows lack")


def _is_time(rows: WindowOrder, column: WindowInput) -> bool:
    """Return whether a column is the column of times, at the same address, with no time missing."""
    places, times = (
        [(chunk.values, chunk.length, chunk.validity) for chunk in chunks]
        for chunks in (column.chunks, rows.time_chunks)
    )
    return column.element == "int64" and places == times and not any(v for *_, v in times)


def latest_as_lag(wanted: WantedStatistic, *, may_lack: bool) -> WantedStatistic:
    """Return the last value as a lag of the latest row, if no value is missing."""
    if may_lack or STATISTICS[wanted.statistic].picks != "latest":
        return wanted
    return wanted._replace(statistic="lag", n=1)


def _may_lack(column: WindowInput) -> bool:
    return column.element.startswith("float") or any(c.validity for c in column.chunks)


def late_row(rows: WindowOrder, first_row: int, run: CallRunner) -> int:
    """Return the input number of the first history row later than an asking row of its entity.

    The result is -1 without such a row. History ends before `first_row`.
    """
    query = query_of_rows(rows, first_row, rows.n_parts, run)
    found = np.full((len(query.asked), 1), NOBODY, np.int64)
    common, calls = order_table(rows), list[list[KernelRowCall]]()
    for partitions in sequences(np.diff(rows.partition_starts), SEQUENCES_PER_PART * rows.n_parts):
        calls.append([])
        for p in (p for p in partitions if query.asked[p]):
            table = common.copy()
            table[layout.TABLE_ASK_FROM] = query.ask_from[p]
            table[layout.TABLE_OVERFLOWS] = found[p].ctypes.data
            calls[-1].append(KernelRowCall(table, *entities_of(rows, p), (rows, found)))
    run("check", calls)
    return _first_row(rows, found)


def _compute(
    rows: WindowOrder,
    query: Query,
    shares: UnitShares,
    work: Sequence[WorkUnits],
    n_columns: int,
    results: ResultColumns,
    stage: Int64Array | None,
    memory: object,
    run: CallRunner,
) -> Int64Array:
    """Write the results of a pass to the stage, or to columns if there is no stage.

    The result is, for each unit and output, the first dealt row that overflows.
    """
    computed, carries, n_outputs = shares.computed, shares.carries, len(work[0].program.outputs)
    overflows = np.full((len(computed), n_outputs), NOBODY, np.int64)
    bounds = np.array([unit.bounds or (0, 0) for unit in computed], np.int64)
    overflows_at, bounds_at = overflows.ctypes.data, bounds.ctypes.data
    calls: list[list[KernelRowCall]] = []
    for program, divided in work:
        common = program_table(rows, query.rows, program, n_columns)
        point_to_results(common, results, query)
        if stage is not None:
            common[layout.TABLE_TARGETS] = 0
            common[layout.TABLE_STAGE] = stage.ctypes.data
        for numbers in divided:
            scratch = aligned(-(-program.n_scratch_bytes // 8))
            spare = aligned(program.n_spare_words)
            common[layout.TABLE_SCRATCH] = scratch.ctypes.data
            common[layout.TABLE_SPARE] = spare.ctypes.data
            calls.append([])
            for k in numbers:
                table, unit = common.copy(), computed[k]
                table[layout.TABLE_ASK_FROM] = query.ask_from[unit.partition]
                table[layout.TABLE_OVERFLOWS] = overflows_at + 8 * k * n_outputs
                table[layout.TABLE_FIRST_PLACE] = unit.first_place
                table[layout.TABLE_END_PLACE] = unit.end_place
                if unit.bounds:
                    table[layout.TABLE_STARTS] = bounds_at + 16 * k
                    table[layout.TABLE_ASKING_STARTS] = bounds_at + 16 * k
                if carries is not None and unit.n_carried:
                    table[layout.TABLE_CARRIED] = unit.n_carried
                    table[layout.TABLE_CARRY] = carries.address_of(unit)
                owners = rows, query, program, scratch, spare, results, stage, memory, carries
                calls[-1].append(
                    KernelRowCall(table, unit.first, unit.n, (*owners, overflows, bounds))
                )
    run(work[0].program.entry, calls)
    return overflows


def program_table(
    rows: WindowOrder, query: WindowOrder, program: WindowProgram, n_columns: int
) -> Int64Array:
    """Return a table for the rows in windows, the asking rows, and the program of a pass."""
    table = order_table(rows)
    table[layout.TABLE_ASKING_STARTS] = query.starts.ctypes.data
    table[layout.TABLE_ASKING_ARRIVALS] = query.arrivals.ctypes.data
    table[layout.TABLE_ASKING_TIMES] = query.times.ctypes.data
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
    table[layout.TABLE_PIECE_BITS] = piece_bits(query, program.row_words)
    return table


def _shares(
    rows: WindowOrder,
    asks: Query,
    query: WindowOrder | None,
    places: tuple[int, ...],
    wanted: tuple[WantedStatistic, ...],
    elements: tuple[str, ...],
    dealt: Mapping[int, Dealt],
    run: CallRunner,
    n_parts: int,
) -> UnitShares:
    """Return the units that the calls of a pass compute."""
    one = one_unit(rows, asks.asked) if query is None else None
    if one is not None:
        return UnitShares([one], [(int(np.diff(rows.starts).max()), [[0]])], None)
    chosen, carries = [wanted[k] for k in places], None
    computed = units(rows, chosen, asks.asked, query)
    if any(unit.n_carried for unit in computed):
        columns = prepared(places, wanted, elements, dealt, 1).columns[: len(dealt)]
        summed = summed_columns(chosen, list(dealt))
        carries = carries_of(rows, computed, columns, summed, run, n_parts)
        if carries.too_wide:
            computed = units(rows, chosen, asks.asked, query, carries.too_wide)
    return UnitShares(computed, _divided(rows, computed, n_parts), carries)


def _divided(
    rows: WindowOrder, computed: Sequence[WorkUnit], n_parts: int
) -> list[tuple[int, list[list[int]]]]:
    """Return `UnitShares.divided`; large units are in few sequences: each takes much memory."""
    sizes = np.array([unit.n_rows for unit in computed], np.int64)
    is_large = (sizes > LONG) | np.array([unit.bounds is not None for unit in computed], np.bool_)
    large, small = np.flatnonzero(is_large), np.flatnonzero(~is_large)
    found = [(large, sequences(sizes[large], max(n_parts // 2, 1)))] if len(large) else []
    found.append((small, sequences(sizes[small], SEQUENCES_PER_PART * n_parts)))
    return [
        (
            max_rows(rows, [computed[k] for k in chosen.tolist()]),
            [chosen[numbers].tolist() for numbers in divided],
        )
        for chosen, divided in found
    ]


def _values(
    wanted: WantedStatistic, elements: Sequence[str], words: Int64Array, is_float: bool
) -> npt.NDArray[Any]:
    if is_float:
        return words.view(np.float64)
    if STATISTICS[wanted.statistic].gives == "same":
        match element_of(wanted, elements):
            case "uint64":
                return words.view(np.uint64) ^ np.uint64(1 << 63)
            case "bool":
                return words.astype(np.bool_)
            case _:
                pass
    return words


def _first_rows(rows: WindowOrder, overflows: Int64Array) -> list[int]:
    """Return for each output the first input row that overflows; -1 if none does."""
    if (overflows == NOBODY).all():
        return [-1] * overflows.shape[1]
    return [_first_row(rows, dealt) for dealt in overflows.T]


def _first_row(rows: WindowOrder, dealt: Int64Array) -> int:
    """Return the first input row of some dealt rows; -1 if none of them is a row."""
    found = dealt[dealt != NOBODY]
    return min((_input_row(rows, dealt_row) for dealt_row in found.tolist()), default=-1)


def _input_row(rows: WindowOrder, dealt_row: int) -> int:
    stripe = dealt_row >> rows.stripe_bits
    partition = int(np.searchsorted(rows.cells[stripe], dealt_row, "right")) - 1
    first = stripe << rows.stripe_bits
    codes = rows.codes[first : first + (1 << rows.stripe_bits)]
    own = np.flatnonzero((codes >= 0) & (codes >> np.int32(rows.shift) == partition))
    return first + int(own[dealt_row - rows.cells[stripe, partition]])
