# pyright: basic
"""Bins of numbers on the CPU: cells of a block at once, then a step or two within each cell.

`engine.cpu` imports it by name.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.binned import (
    ENTRY,
    MOST_EDGES,
    N_ACCUMULATORS,
    N_TABLE_WORDS,
    OFFSET_BITS,
    SPREAD,
    TABLE_BASE,
    TABLE_BIT_OFFSET,
    TABLE_CELLS,
    TABLE_COUNTS,
    TABLE_EDGES,
    TABLE_ELEMENT,
    TABLE_FACTOR,
    TABLE_FLAGS,
    TABLE_IS_OF_BITS,
    TABLE_LEAST,
    TABLE_MOMENTS,
    TABLE_MOST,
    TABLE_N_COLUMNS,
    TABLE_N_EDGES,
    TABLE_N_OUTSIDE,
    TABLE_OFFSETS,
    TABLE_OUTSIDE,
    TABLE_ROOM,
    TABLE_SCALES,
    TABLE_SCRATCH,
    TABLE_STEP,
    TABLE_VALIDITY,
    TABLE_VALUES,
)
from fastfeat_kernels.binned.cpu.ordered import ORDERED_ENTRIES
from fastfeat_kernels.blocks import (
    FLOAT32,
    HIGHEST,
    INFINITE,
    INT8,
    LOWEST,
    NAN_BITS,
    mask,
    read_floats,
    read_integers,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    enter_ieee,
    float_of,
    leave_ieee,
    opaque,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    pointer_uint16,
    prefetch,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.moments import N_ROWS, TABLE_STATE
from fastfeat_kernels.moments.cpu import add_floats, add_integers
from fastfeat_kernels.moments.cpu.integers import normalize_state

i64 = types.int64
UINT64 = ELEMENTS.index("uint64")
COUNT_BIT = OFFSET_BITS + 20
"""Place of the count in a word of totals; the bits below hold the places of 2**19 rows."""
BLOCKS_AT_ONCE = 1 << 9
PLACES = (1 << COUNT_BIT) - 1
COUNT = 1 << COUNT_BIT
N_TOTALS = MOST_EDGES + 1


@njit(**INNER_OPTIONS)
def read_block(words, row, n):
    """Return the address of n float64, NaN for missing rows."""
    element, scratch = words[TABLE_ELEMENT], words[TABLE_SCRATCH]
    validity, bit = words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row
    if element <= FLOAT32:
        address = read_floats(element, words[TABLE_VALUES], row, n, scratch)
    else:
        source = read_integers(element, words[TABLE_VALUES], row, n, scratch + 8 * BLOCK)
        integers, floats = pointer_int64(source), pointer_float64(scratch)
        if element == UINT64:
            for i in range(n):
                floats[i] = types.float64(types.uint64(integers[i] ^ i64(LOWEST)))
        else:
            for i in range(n):
                floats[i] = types.float64(integers[i])
        address = scratch
    if validity != 0:
        mask(scratch, address, validity, bit, n, i64(NAN_BITS))
        address = scratch
    return address


@njit(**INNER_OPTIONS)
def write_outside(words, address, n, low, high):
    """Write down the values below the first edge, and not below the last."""
    x, written = pointer_float64(address), pointer_float64(words[TABLE_OUTSIDE])
    m = words[TABLE_N_OUTSIDE]
    for i in range(n):
        if (x[i] < low) | (x[i] >= high):
            written[m] = x[i]
            m += 1
    words[TABLE_N_OUTSIDE] = m


@njit(**INNER_OPTIONS)
def next_bin(x, j, edges, step):
    """Return the bin of a value: that of its cell's beginning or the next."""
    return j + i64(edges[j + 1] <= x)


@njit(**INNER_OPTIONS)
def next_of_two(x, j, edges, step):
    """Return the bin of a value: that of its cell's beginning or one of the next two."""
    return j + i64(edges[j + 1] <= x) + i64(edges[j + 2] <= x)


@njit(**INNER_OPTIONS)
def next_of_three(x, j, edges, step):
    """Return the bin of a value: that of its cell's beginning or one of the next three."""
    after = i64(edges[j + 1] <= x) + i64(edges[j + 2] <= x)
    return j + (after + i64(edges[j + 3] <= x))


@njit(**INNER_OPTIONS)
def bin_from(x, j, edges, step):
    """Return the bin of a value by bisection, from a bin that is not above it."""
    while step >= 0:
        j += i64(edges[j + (i64(1) << step)] <= x) << step  # a select would become a branch
        step -= 1
    return j


@njit(**INNER_OPTIONS)
def within_of(words):
    """Return the address of a block of values clamped to the span of the cells."""
    return words[TABLE_SCRATCH] + 8 * BLOCK


@njit(**INNER_OPTIONS)
def cells_of(words):
    """Return the address of the cells of a block."""
    return words[TABLE_SCRATCH] + 16 * BLOCK


@njit(**INNER_OPTIONS)
def totals_of(words):
    """Return the address of the totals of each bin: all of one turn, then of the next."""
    return words[TABLE_SCRATCH] + 24 * BLOCK


@njit(**INNER_OPTIONS)
def linear_cell(x, base, factor):
    """Return the cell of a value."""
    return types.int32((x - float_of(base)) * float_of(factor))


@njit(**INNER_OPTIONS)
def cell_of_bits(x, base, shift):
    """Return the cell of a value by the bits that order it."""
    bits = bits_of(x + 0.0)  # -0.0 must not be less than 0.0
    key = bits ^ ((bits >> 63) & i64(HIGHEST))
    return types.int32(shift_logical(key - base, shift))


def _loop_of_cells(cell_of):
    """Return the first loop over a block of floats, vectorized, which finds their cells.

    `cell_of` gives the cell of a value, for one kind of cells.
    """

    @njit(**SEPARATE_OPTIONS)
    def find_cells(words, address, n):
        """Write values, clamped to the span of the cells, and cells; return how many were outside.

        NaN becomes the least, and counts as inside.
        """
        x, edges = pointer_float64(address), pointer_float64(words[TABLE_EDGES])
        within, cells = pointer_float64(within_of(words)), pointer_int32(cells_of(words))
        base, factor, least = words[TABLE_BASE], words[TABLE_FACTOR], float_of(words[TABLE_LEAST])
        low, high, n_outside = edges[1], edges[words[TABLE_N_EDGES]], i64(0)
        for i in range(n):
            value = x[i]
            n_outside += i64((value < low) | (value >= high))
            value = select(value > least, value, least)
            value = select(value < high, value, high)
            within[i], cells[i] = value, cell_of(value, base, factor)
        return n_outside

    return find_cells


def _loop_of_bins(bin_of):
    """Return the second loop over a block of floats, four at a time, which adds each to its bin.

    `bin_of` finds a bin from the bin at the beginning of a cell.
    """

    @njit(**INNER_OPTIONS)
    def added(x, cell, begins, edges, scales, step):
        """Return the bin of a value, and the summand for it: one in its count, and its place."""
        j = bin_of(x, i64(begins[cell]), edges, step)
        return j, COUNT + i64((x - edges[j]) * scales[j])

    @njit(**SEPARATE_OPTIONS)  # inlined, it would have too few registers
    def add_block(words, n, ahead, log_bytes):
        x, cells = pointer_float64(within_of(words)), pointer_int32(cells_of(words))
        begins, edges = pointer_uint16(words[TABLE_CELLS]), pointer_float64(words[TABLE_EDGES])
        scales, step = pointer_float64(words[TABLE_SCALES]), words[TABLE_STEP]
        totals0, totals1, totals2, totals3 = (
            pointer_int64(totals_of(words)),
            pointer_int64(totals_of(words) + 8 * N_TOTALS),
            pointer_int64(totals_of(words) + 16 * N_TOTALS),
            pointer_int64(totals_of(words) + 24 * N_TOTALS),
        )
        whole = n & ~3
        for i in range(0, whole, 4):
            prefetch(ahead + (i << log_bytes))
            j0, word0 = added(x[i], cells[i], begins, edges, scales, step)
            j1, word1 = added(x[i + 1], cells[i + 1], begins, edges, scales, step)
            j2, word2 = added(x[i + 2], cells[i + 2], begins, edges, scales, step)
            j3, word3 = added(x[i + 3], cells[i + 3], begins, edges, scales, step)
            totals0[j0] += word0
            totals1[j1] += word1
            totals2[j2] += word2
            totals3[j3] += word3
        for i in range(whole, n):
            j0, word0 = added(x[i], cells[i], begins, edges, scales, step)
            totals0[j0] += word0

    return add_block


find_linear, find_by_bits = _loop_of_cells(linear_cell), _loop_of_cells(cell_of_bits)
add_of_one, add_of_two, add_of_three, add_of_more = map(
    _loop_of_bins, (next_bin, next_of_two, next_of_three, bin_from)
)


@njit(**INNER_OPTIONS)
def add_block(words, address, n, ahead, log_bytes):
    """Add a block of floats; return how many are outside of all edges.

    It prefetches the next block meanwhile, at address `ahead`, with values of 2**log_bytes bytes.
    Without that, memory and kernel would wait for each other in turn.
    """
    if words[TABLE_IS_OF_BITS] != 0:
        n_outside = find_by_bits(words, address, n)
    else:
        n_outside = find_linear(words, address, n)
    if words[TABLE_STEP] > 0:
        add_of_more(words, n, ahead, log_bytes)
    elif words[TABLE_MOST] == 1:
        add_of_one(words, n, ahead, log_bytes)
    elif words[TABLE_MOST] == 2:  # for example two edges of a frequent value, in one cell
        add_of_two(words, n, ahead, log_bytes)
    else:
        add_of_three(words, n, ahead, log_bytes)
    return n_outside


@njit(**INNER_OPTIONS)
def flush(words):
    """Add the totals of recent rows to counts and sums of places, and reset them."""
    counts, offsets = pointer_int64(words[TABLE_COUNTS]), pointer_int64(words[TABLE_OFFSETS])
    totals = pointer_int64(totals_of(words))
    for j in range(words[TABLE_N_EDGES] + 1):
        for k in range(j, j + N_ACCUMULATORS * N_TOTALS, N_TOTALS):
            counts[j] += totals[k] >> COUNT_BIT
            offsets[j] += totals[k] & PLACES
            totals[k] = i64(0)


@njit(**INNER_OPTIONS)
def add_moments(words, row, n):
    """Add a block to the moments."""
    moments = pointer_int64(words[TABLE_MOMENTS])
    pointer_int64(moments[TABLE_STATE])[N_ROWS] += n
    if words[TABLE_ELEMENT] <= FLOAT32:
        add_floats(moments, row, n)
    else:
        add_integers(moments, row, n)


def _numbers(table, first, n):
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    flags, state = (
        pointer_uint8(words[TABLE_FLAGS]),
        pointer_int64(words[TABLE_MOMENTS])[TABLE_STATE],
    )
    edges = pointer_float64(words[TABLE_EDGES])
    low, high = edges[1], edges[words[TABLE_N_EDGES]]
    element = words[TABLE_ELEMENT]
    log_bytes = 3 - element if element <= FLOAT32 else (element - INT8) & 3
    flush(words)
    for start in range(0, n, BLOCK):
        m = smaller(n - start, BLOCK)
        address = read_block(words, first + start, m)
        ahead = words[TABLE_VALUES] + ((first + start + m) << log_bytes)
        n_outside = add_block(words, address, m, ahead, log_bytes)
        if n_outside > 0:
            if words[TABLE_N_OUTSIDE] + n_outside <= words[TABLE_ROOM]:
                write_outside(words, address, m, low, high)
            else:
                flags[start // BLOCK] = types.uint8(1)
        add_moments(words, first + start, m)
        if (start // BLOCK) % BLOCKS_AT_ONCE == BLOCKS_AT_ONCE - 1:
            flush(words)
            normalize_state(state)
    flush(words)
    normalize_state(state)
    leave_ieee(saved)
    return 0


@njit(**INNER_OPTIONS)
def write_finite(words, address, n):
    """Write the finite values of a block."""
    x, written = pointer_float64(address), pointer_float64(words[TABLE_OUTSIDE])
    m, n_finite = words[TABLE_N_OUTSIDE], i64(0)
    for i in range(n):
        n_finite += i64((bits_of(x[i]) & i64(HIGHEST)) < i64(INFINITE))
    if n_finite == n:
        for i in range(n):
            written[m + i] = x[i] + 0.0
        words[TABLE_N_OUTSIDE] = m + n
        return
    for i in range(n):
        written[m] = x[i] + 0.0
        m += i64((bits_of(x[i]) & i64(HIGHEST)) < i64(INFINITE))
    words[TABLE_N_OUTSIDE] = m


def _spread(table, first, n):
    saved = enter_ieee()
    tables = opaque(table)
    for k in range(pointer_int64(tables)[TABLE_N_COLUMNS]):
        words = pointer_int64(tables + 8 * N_TABLE_WORDS * k)
        for start in range(0, n, BLOCK):
            m = smaller(n - start, BLOCK)
            write_finite(words, read_block(words, first + start, m), m)
        written = pointer_float64(words[TABLE_OUTSIDE])
        for i in range(words[TABLE_N_OUTSIDE], words[TABLE_ROOM]):
            written[i] = float_of(i64(INFINITE))
    leave_ieee(saved)
    return 0


ENTRIES = {ENTRY: _numbers, SPREAD: _spread, **ORDERED_ENTRIES}
