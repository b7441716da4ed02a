"""Window order of the rows of a table: by entity, time, tie, and input order."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import field, replace

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int32Array, Int64Array, Uint8Array
from fastfeat_kernels.column import (
    BLOCK,
    ELEMENTS,
    ArrowChunk,
    CallRunner,
    ChunkRows,
    KernelRowCall,
    split_rows,
)
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.requests import WindowInput

MAX_PARTITIONS = 1 << 10  # partitions that rows are dealt out to at a time
PARTITION_ROWS = 1 << 13  # rows with values and results that fit into the second-level cache
MIN_STRIPE_BITS, MAX_STRIPE_BITS = 13, 16  # their dealt values stay in that cache while written
STRIPES = 64  # at least, where these bits allow it
SEQUENCES_PER_PART = 4  # sequences of calls per part: partitions may differ much in size
FEWEST_STRIPE_BITS = 6  # for few rows, so that their waiting results take little memory
FEW_ROWS = 1 << 11  # up to here NumPy sorts faster than the kernels are called
PADDING = 8  # words behind the last that the kernel may read


@dataclass(frozen=True, slots=True)
class WindowOrder:
    """Rows in window order; rows without an entity or a time are left out.

    Rows are first dealt out: each stripe of the input is distributed to partitions of neighbouring
    entities, in input order within each. A dealt row is a row's number in that arrangement. Rows
    that are left out leave their places at the end of their stripe unused.

    Args:
        codes: Shape (n_rows,): entity of each row, negative for none.
        n_entities: Number of entities.
        n_parts: Number of runs of stripes that the work is divided into.
        shift: Partition p has the entities e with e >> shift == p.
        stripe_bits: A stripe has 1 << stripe_bits rows.
        cells: Shape (stripes, partitions + 1): first dealt row of each partition, and the end.
        partition_starts: Shape (partitions + 1,): first place of each partition, and the end.
        starts: Shape (n_entities + 1,): first place of each entity, and the end.
        arrivals: Shape (n,): dealt row in each place.
        times: Shape (n + PADDING,): time in each place.
        time_chunks: Times in input order.
        is_as_given: Whether all rows are in input order, and none is left out.
        spare: Unused memory of n_rows words, or None. The next column that is dealt out takes it,
            which is faster than new memory.
    """

    codes: Int32Array
    n_entities: int
    n_parts: int
    shift: int
    stripe_bits: int
    cells: Int64Array
    partition_starts: Int64Array
    starts: Int64Array
    arrivals: Int32Array
    times: Int64Array
    time_chunks: Sequence[ArrowChunk]
    is_as_given: bool = False
    spare: list[Int64Array] = field(default_factory=list[Int64Array])

    @property
    def n_placed(self) -> int:
        """Number of rows with an entity and a time."""
        return len(self.arrivals)


def ordered(
    codes: Int32Array,
    times: Sequence[ArrowChunk],
    ties: WindowInput | None,
    n_entities: int,
    run: CallRunner,
    n_parts: int = 1,
    shift: int | None = None,
) -> WindowOrder:
    """Return the rows in window order."""
    codes = np.ascontiguousarray(codes, np.int32)
    if int(codes.max(initial=-1)) >= n_entities:
        raise ValueError(f"entity {codes.max()} is not in [0, {n_entities})")
    check_lengths(codes, [WindowInput("int64", times), *([] if ties is None else [ties])])
    is_alone = shift is None
    if is_alone and ties is None and _are_few(len(codes), n_entities):
        known = plain_words(times)
        if known is not None:
            return _ordered_few(codes, known, times, n_entities, n_parts)
    if shift is None:
        shift = partition_shift(len(codes), n_entities)
    n_partitions = max(-(-n_entities >> shift), 1)
    parts = split_rows(times, n_parts)
    codes = _placed(codes, times, parts, run)
    if is_alone:
        codes = _in_runs(codes, n_entities)
    bits = _stripe_bits(len(codes))
    cells, partition_starts = _cells(codes, shift, n_partitions, bits, run)
    n = int(partition_starts[-1])
    rows = WindowOrder(
        codes,
        n_entities,
        n_parts,
        shift,
        bits,
        cells,
        partition_starts,
        np.empty(n_entities + 1, np.int64),
        np.empty(n, np.int32),
        np.zeros(n + PADDING, np.int64),
        times,
    )
    rows.starts[-1] = n
    if n_entities == 0:
        return rows
    numbers = np.empty(len(codes), np.int32)
    dealt = deal(rows, WindowInput("int64", times), run, numbers)[0]
    dealt_ties = None if ties is None else _tie_keys(ties, *deal(rows, ties, run))
    is_moved = np.zeros(n_partitions, np.int64)
    run("order", _order_calls(rows, dealt, numbers, dealt_ties, is_moved))
    is_as_given = n == len(codes) and not is_moved.any() and _is_dealt_in_order(codes, shift)
    return replace(rows, is_as_given=is_as_given, spare=[dealt])


def _are_few(n_rows: int, n_entities: int) -> bool:
    """Return whether the batch is not empty and fits one stripe and one partition."""
    is_stripe = 0 < n_rows <= 1 << MIN_STRIPE_BITS and n_rows < 2 * PARTITION_ROWS
    return is_stripe and (0 < n_entities <= 2 or n_rows <= FEW_ROWS)


def _ordered_few(
    codes: Int32Array,
    times: Int64Array,
    chunks: Sequence[ArrowChunk],
    n_entities: int,
    n_parts: int,
) -> WindowOrder:
    """Return `ordered` rows of a small batch: one stripe, one partition.

    NumPy sorts them in the time that the tables of two calls take: 200 rows of one entity in 25 us
    instead of 110.
    """
    kept = np.flatnonzero(codes >= 0) if int(codes.min()) < 0 else None
    own, moments = (codes, times) if kept is None else (codes[kept], times[kept])
    n = len(own)
    is_ordered = bool((moments[1:] >= moments[:-1]).all()) and (
        n_entities == 1 or bool((own[1:] >= own[:-1]).all())
    )
    order = np.arange(n) if is_ordered else _order_of_few(own, moments, n_entities)
    placed = np.zeros(n + PADDING, np.int64)
    placed[:n] = moments[order]
    starts = np.zeros(n_entities + 1, np.int64)
    np.cumsum(np.bincount(own, minlength=n_entities), out=starts[1:])
    ends = np.array([0, n], np.int64)
    return WindowOrder(
        codes,
        n_entities,
        n_parts,
        partition_shift(len(codes), n_entities),
        min(MIN_STRIPE_BITS, max((len(codes) - 1).bit_length(), FEWEST_STRIPE_BITS)),
        ends[None],
        ends,
        starts,
        order.astype(np.int32),
        placed,
        chunks,
        kept is None and is_ordered,
    )


def _order_of_few(own: Int32Array, moments: Int64Array, n_entities: int) -> npt.NDArray[np.intp]:
    """Return rows by entity, then time; a radix pass handles rows that arrive in order of time."""
    if n_entities < 1 << 15 and bool((moments[1:] >= moments[:-1]).all()):
        return np.argsort(own.astype(np.int16), kind="stable")
    return np.lexsort((moments, own))


def plain_words(chunks: Sequence[ArrowChunk]) -> Int64Array | None:
    """Return columns of 8-byte values as one array; None if some may be missing."""
    pieces: list[Int64Array] = []
    for chunk in chunks:
        if chunk.validity:
            return None
        memory = (ctypes.c_int64 * chunk.length).from_address(chunk.values)
        pieces.append(np.frombuffer(memoryview(memory), np.int64))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.empty(0, np.int64)])


def n_tied(rows: WindowOrder, run: CallRunner, first_row: int = 0) -> int:
    """Return the number of rows that share their entity and time with another row.

    Rows before `first_row` are not counted: their ties have been counted already.
    """
    n = rows.n_placed
    if n < 2:
        return 0
    is_again = np.zeros(n + 1, np.bool_)  # whether a place equals the one before it
    np.equal(rows.times[1:n], rows.times[: n - 1], out=is_again[1:n])
    is_again[rows.starts] = False
    is_third = is_again[1:] & is_again[:-1]  # or a later one
    if first_row:
        is_counted = permutation(rows, run) >= first_row
        is_again[:n] &= is_counted
        is_third[: n - 1] &= is_counted[1:]
    return 2 * int(np.count_nonzero(is_again)) - int(np.count_nonzero(is_third))


def permutation(rows: WindowOrder, run: CallRunner) -> Int64Array:
    """Return the row number in each place, shape (n,)."""
    numbers = np.arange(len(rows.codes), dtype=np.int64)
    chunk = PlainChunk(numbers.ctypes.data, len(numbers), numbers)
    return deal(rows, WindowInput("int64", [chunk]), run)[0][rows.arrivals]


@dataclass(frozen=True, slots=True)
class PlainChunk:
    """An array of numbers without missing values as a column."""

    values: int
    length: int
    owner: object
    value_bit_offset: int = 0
    validity: int = 0
    bit_offset: int = 0


def deal(
    rows: WindowOrder, column: WindowInput, run: CallRunner, numbers: Int32Array | None = None
) -> tuple[Int64Array, Uint8Array | None]:
    """Return the values of a column by dealt row, and for integers whether they are present.

    Floats come as float64 with NaN for missing, integers as keys. If `numbers` is given, the entity
    of each dealt row is written there; the column must then have no missing values.
    """
    n = len(rows.codes)
    if rows.cells.shape == (1, 2) and column.element in ("float64", "int64"):
        known = None if numbers is not None else plain_words(column.chunks)
        if known is not None:
            return _dealt_few(rows, known), None
    is_marked = any(chunk.validity for chunk in column.chunks)
    is_marked &= numbers is None and not column.element.startswith("float")
    dealt = _memory_for(rows)
    present = np.empty(n, np.uint8) if is_marked else None
    cursors, size = rows.cells[:, :-1].copy(), 1 << rows.stripe_bits
    common, cursors_at = codes_table(rows.codes, rows.shift), cursors.ctypes.data
    common[layout.TABLE_ELEMENT] = ELEMENTS.index(column.element)
    common[layout.TABLE_DEALT] = dealt.ctypes.data
    common[layout.TABLE_DEALT_PRESENT] = 0 if present is None else present.ctypes.data
    common[layout.TABLE_DEALT_CODES] = 0 if numbers is None else numbers.ctypes.data
    owners, calls = (rows, cursors, dealt, present, numbers), list[list[KernelRowCall]]()
    for part in split_rows(column.chunks, rows.n_parts, size):
        scratch = np.empty(BLOCK, np.int64)
        common[layout.TABLE_SCRATCH] = scratch.ctypes.data
        calls.append([])
        for one in (stripe for rows_of_part in part for stripe in _stripes_of(rows_of_part, size)):
            stripe = (one.chunk_start + one.first) // size
            call = _rows_call(one, common, owners, scratch)
            call.table[layout.TABLE_CURSORS] = cursors_at + 8 * stripe * cursors.shape[1]
            calls[-1].append(call)
    run("deal", calls)
    return dealt, present


def _dealt_few(rows: WindowOrder, words: Int64Array) -> Int64Array:
    """Return words of one stripe and partition, none missing, by dealt row."""
    if rows.n_placed == len(words):
        return words
    dealt = np.zeros(len(words), np.int64)
    dealt[: rows.n_placed] = words[rows.codes >= 0]
    return dealt


def _memory_for(rows: WindowOrder) -> Int64Array:
    """Return memory for a dealt column; another thread may have taken the spare memory."""
    try:
        return rows.spare.pop()
    except IndexError:
        return np.empty(len(rows.codes), np.int64)


def _stripes_of(rows: ChunkRows[ArrowChunk], size: int) -> Iterator[ChunkRows[ArrowChunk]]:
    """Yield the rows of a chunk, split by stripe."""
    first, end = rows.first, rows.first + rows.n
    while first < end:
        stripe_end = ((rows.chunk_start + first) // size + 1) * size - rows.chunk_start
        n = min(stripe_end, end) - first
        yield ChunkRows(rows.chunk, first, n, rows.chunk_start)
        first += n


def check_lengths(codes: Int32Array, columns: Sequence[WindowInput]) -> None:
    """Raise ValueError if the number of rows of a column differs from the number of codes."""
    for column in columns:
        n_rows = sum(chunk.length for chunk in column.chunks)
        if n_rows != len(codes):
            raise ValueError(f"a column has {n_rows} rows, but there are {len(codes)} codes")


def counted(
    codes: Int32Array,
    shift: int,
    n_partitions: int,
    ranges: Sequence[tuple[int, int]],
    run: CallRunner,
) -> Int64Array:
    """Return the number of rows in each range and partition, shape (ranges, partitions)."""
    counts = np.zeros((len(ranges), n_partitions), np.int64)
    calls, common, counts_at = (
        list[list[KernelRowCall]](),
        codes_table(codes, shift),
        counts.ctypes.data,
    )
    for k, (first, end) in enumerate(ranges):
        table = common.copy()
        table[layout.TABLE_CURSORS] = counts_at + 8 * k * n_partitions
        calls.append([KernelRowCall(table, first, end - first, (codes, counts))])
    run("count", calls)
    return counts


def _cells(
    codes: Int32Array, shift: int, n_partitions: int, bits: int, run: CallRunner
) -> tuple[Int64Array, Int64Array]:
    """Return `cells` and `partition_starts` of `WindowOrder`."""
    firsts = range(0, len(codes), 1 << bits)
    ranges = [(first, min(first + (1 << bits), len(codes))) for first in firsts]
    counts = counted(codes, shift, n_partitions, ranges, run)
    cells = np.zeros((len(ranges), n_partitions + 1), np.int64)
    np.cumsum(counts, axis=1, out=cells[:, 1:])
    cells += np.arange(len(ranges), dtype=np.int64)[:, None] << bits
    return cells, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts.sum(axis=0))])


def codes_table(codes: Int32Array, shift: int) -> Int64Array:
    """Return a table for input rows by their entities."""
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_CODES] = codes.ctypes.data
    table[layout.TABLE_SHIFT] = shift
    return table


def partition_shift(n_rows: int, n_entities: int) -> int:
    """Return the number of bits by which entity numbers are shifted to give their partitions."""
    n_partitions = min(max(n_rows // PARTITION_ROWS, 1), MAX_PARTITIONS)
    if n_partitions == 1:
        return max(n_entities - 1, 0).bit_length()
    shift = 0
    while n_entities >> shift > n_partitions:
        shift += 1
    return shift


def _stripe_bits(n_rows: int) -> int:
    bits = (n_rows // STRIPES).bit_length()
    return min(max(bits, MIN_STRIPE_BITS), MAX_STRIPE_BITS)


def _rows_call(one: ChunkRows[ArrowChunk], common: Int64Array, *owners: object) -> KernelRowCall:
    """Return a call on input rows, from the words that all calls share."""
    table = common.copy()
    table[layout.TABLE_CODES] += 4 * one.chunk_start
    table[layout.TABLE_VALUES] = one.chunk.values
    table[layout.TABLE_VALUE_BIT_OFFSET] = one.chunk.value_bit_offset
    table[layout.TABLE_VALIDITY] = one.chunk.validity
    table[layout.TABLE_BIT_OFFSET] = one.chunk.bit_offset
    return KernelRowCall(table, one.first, one.n, (one.chunk, *owners))


def _placed(
    codes: Int32Array,
    times: Sequence[ArrowChunk],
    parts: Sequence[Sequence[ChunkRows[ArrowChunk]]],
    run: CallRunner,
) -> Int32Array:
    """Return the entity of each row, -1 if its time is missing."""
    if not any(chunk.validity for chunk in times):
        return codes
    kept, calls, common = np.empty_like(codes), list[list[KernelRowCall]](), codes_table(codes, 0)
    for part in parts:
        calls.append([_rows_call(one, common, codes, kept) for one in part])
        for call, one in zip(calls[-1], part, strict=True):
            call.table[layout.TABLE_KEPT] = kept.ctypes.data + 4 * one.chunk_start
    run("keep", calls)
    return kept


def _in_runs(codes: Int32Array, n_entities: int) -> Int32Array:
    """Return entities renumbered in input order if their rows are together: no row moves then."""
    ends = codes[1:] != codes[:-1]
    n_runs = int(np.count_nonzero(ends)) + 1
    if len(codes) == 0 or n_runs > n_entities or codes.min() < 0:
        return codes
    first = codes[np.append(0, np.flatnonzero(ends) + 1)]
    if (first[1:] >= first[:-1]).all() or len(np.unique(first)) < n_runs:
        return codes
    return np.cumsum(np.append(False, ends), dtype=np.int32)


def _is_dealt_in_order(codes: Int32Array, shift: int) -> bool:
    partitions: Int32Array = codes >> np.int32(shift)
    return bool((partitions[1:] >= partitions[:-1]).all())


def _tie_keys(ties: WindowInput, dealt: Int64Array, present: Uint8Array | None) -> Int64Array:
    """Return keys that order ties: missing ones first, -0.0 as 0.0."""
    if ties.element.startswith("float"):
        # as bits: addition would warn of signaling NaNs, such as in the memory of rows in no window
        bits = np.where(dealt == -(2**63), np.int64(0), dealt)
        keys = bits ^ ((bits >> 63) & np.int64(2**63 - 1))
        return np.where(np.isnan(dealt.view(np.float64)), np.int64(-(2**63)), keys)
    if present is None:
        return dealt
    order = np.argsort(dealt, kind="stable")
    ranks = np.empty(len(dealt), np.int64)
    ranks[order] = np.cumsum(np.diff(dealt[order], prepend=dealt[order[:1]]) != 0)
    return np.where(present != 0, ranks, -1)


def _order_calls(
    rows: WindowOrder,
    dealt: Int64Array,
    numbers: Int32Array,
    ties: Int64Array | None,
    is_moved: Int64Array,
) -> list[list[KernelRowCall]]:
    sizes = np.diff(rows.partition_starts)
    common, calls = order_table(rows), list[list[KernelRowCall]]()
    common[layout.TABLE_DEALT] = dealt.ctypes.data
    common[layout.TABLE_DEALT_CODES] = numbers.ctypes.data
    common[layout.TABLE_DEALT_TIES] = 0 if ties is None else ties.ctypes.data
    common[layout.TABLE_CELL_STRIDE] = rows.cells.shape[1]
    common[layout.TABLE_N_STRIPES] = len(rows.cells)
    cells_at, is_moved_at = rows.cells.ctypes.data, is_moved.ctypes.data
    for partitions in sequences(sizes, SEQUENCES_PER_PART * rows.n_parts):
        n_spare = layout.N_DIGITS + 2 * int(sizes[partitions].max(initial=0))
        spare = np.empty(n_spare, np.int64)
        common[layout.TABLE_SPARE] = spare.ctypes.data
        calls.append([])
        for p in partitions:
            table = common.copy()
            table[layout.TABLE_CELLS] = cells_at + 8 * p
            table[layout.TABLE_IS_MOVED] = is_moved_at + 8 * p
            table[layout.TABLE_FIRST_PLACE] = rows.partition_starts[p]
            table[layout.TABLE_END_PLACE] = rows.partition_starts[p + 1]
            first, n = entities_of(rows, p)
            calls[-1].append(
                KernelRowCall(table, first, n, (rows, dealt, numbers, ties, spare, is_moved))
            )
    return calls


def order_table(rows: WindowOrder) -> Int64Array:
    """Return a table for rows in window order."""
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_STARTS] = rows.starts.ctypes.data
    table[layout.TABLE_ARRIVALS] = rows.arrivals.ctypes.data
    table[layout.TABLE_TIMES] = rows.times.ctypes.data
    return table


def entities_of(rows: WindowOrder, partition: int) -> tuple[int, int]:
    """Return the first entity of a partition, and its number of entities."""
    first = partition << rows.shift
    return first, min(1 << rows.shift, rows.n_entities - first)


def sequences(sizes: Int64Array, n_sequences: int) -> list[list[int]]:
    """Return partitions in sequences of about equal numbers of rows, the largest first.

    >>> sequences(np.array([1, 5, 3]), 2)
    [[1], [2, 0]]
    """
    found: list[list[int]] = [[] for _ in range(min(n_sequences, len(sizes)))]
    loads = [0] * len(found)
    for p in np.argsort(-sizes, kind="stable").tolist():
        k = loads.index(min(loads))
        found[k].append(p)
        loads[k] += int(sizes[p])
    return found
