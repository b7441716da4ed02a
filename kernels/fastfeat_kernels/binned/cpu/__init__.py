# pyright: basic
"""Bins of numbers on the CPU: a cell, steps by half, and one addition for count and place.

`engine.cpu` imports it by name.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.binned import (
    ENTRY,
    MOST_EDGES,
    OFFSET_BITS,
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
    TABLE_MOST,
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
from fastfeat_kernels.blocks import (
    FLOAT32,
    HIGHEST,
    LOWEST,
    NAN_BITS,
    mask,
    read_floats,
    read_integers,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    bits_of,
    enter_ieee,
    float_of,
    leave_ieee,
    opaque,
    pointer_float64,
    pointer_int64,
    pointer_uint8,
    pointer_uint16,
    select,
    shift_logical,
    smaller,
)

i64 = types.int64
UINT64 = ELEMENTS.index("uint64")
COUNT_BIT = OFFSET_BITS + 20
"""Where the count stands in a word that is added to: below it are the places of 2**19 rows."""
BLOCKS_AT_ONCE = 1 << 9
PLACES = (1 << COUNT_BIT) - 1
N_WORDS = MOST_EDGES + 1


@njit(**INNER_OPTIONS)
def read_block(words, row, n):
    """Return the address of n float64, NaN where a row is missing."""
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
def count_outside(address, n, low, high):
    """Return how many values are below the first edge, or not below the last."""
    x, n_outside = pointer_float64(address), i64(0)
    for i in range(n):
        n_outside += i64(x[i] < low) + i64(x[i] >= high)
    return n_outside


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
    """Return the bin of a value, of that where its cell begins and the next."""
    return j + i64(edges[j + 1] <= x)


@njit(**INNER_OPTIONS)
def next_of_two(x, j, edges, step):
    """Return the bin of a value, of that where its cell begins and the next two."""
    return j + i64(edges[j + 1] <= x) + i64(edges[j + 2] <= x)


@njit(**INNER_OPTIONS)
def bin_from(x, j, edges, step):
    """Return the bin of a value, in steps by half from one that is not above it."""
    while step > 0:
        j = select(edges[j + step] <= x, j + step, j)
        step >>= 1
    return j


@njit(**INNER_OPTIONS)
def add_to_bin(accumulator, j, x, edges, scales):
    """Add a value to a bin: one to its count, and its place in it."""
    accumulator[j] += (i64(1) << COUNT_BIT) + i64((x - edges[j]) * scales[j])


@njit(**INNER_OPTIONS)
def linear_cell(x, base, factor):
    """Return the cell of a value."""
    return i64((x - base) * factor)


@njit(**INNER_OPTIONS)
def cell_of_bits(x, base, shift):
    """Return the cell of a value by the bits that order it."""
    bits = bits_of(x + 0.0)  # -0.0 is no less than 0.0
    key = bits ^ ((bits >> 63) & i64(HIGHEST))
    return shift_logical(key - base, shift)


def _loop(cell_of, bin_of):
    """Return the loop over a block of floats, two at a time.

    Values are brought into the span of the cells before; NaN becomes the least.

    Args:
        cell_of: cells of one kind.
        bin_of: what finds a bin from where a cell begins.
    """

    @njit(**INNER_OPTIONS)
    def add_block(words, address, n, base, factor):
        x, edges = pointer_float64(address), pointer_float64(words[TABLE_EDGES])
        scales, cells = pointer_float64(words[TABLE_SCALES]), pointer_uint16(words[TABLE_CELLS])
        first, step = words[TABLE_SCRATCH] + 16 * BLOCK, words[TABLE_STEP]
        even, odd = pointer_int64(first), pointer_int64(first + 8 * N_WORDS)
        least, greatest = float_of(words[TABLE_LEAST]), edges[words[TABLE_N_EDGES]]
        for i in range(0, n & ~1, 2):
            x0, x1 = x[i], x[i + 1]
            x0, x1 = select(x0 > least, x0, least), select(x1 > least, x1, least)
            x0, x1 = select(x0 < greatest, x0, greatest), select(x1 < greatest, x1, greatest)
            j0, j1 = i64(cells[cell_of(x0, base, factor)]), i64(cells[cell_of(x1, base, factor)])
            j0, j1 = bin_of(x0, j0, edges, step), bin_of(x1, j1, edges, step)
            add_to_bin(even, j0, x0, edges, scales)
            add_to_bin(odd, j1, x1, edges, scales)
        if n & 1:
            x0 = select(x[n - 1] > least, x[n - 1], least)
            x0 = select(x0 < greatest, x0, greatest)
            j0 = bin_of(x0, i64(cells[cell_of(x0, base, factor)]), edges, step)
            add_to_bin(even, j0, x0, edges, scales)

    return add_block


def _loops(cell_of):
    """Return the loops with cells of one kind, for one edge in a cell, two, or more."""
    one, two, more = _loop(cell_of, next_bin), _loop(cell_of, next_of_two), _loop(cell_of, bin_from)

    @njit(**INNER_OPTIONS)
    def add_block(words, address, n, base, factor):
        if words[TABLE_STEP] == 1:
            if words[TABLE_MOST] == 1:
                one(words, address, n, base, factor)
            else:
                two(words, address, n, base, factor)
        else:
            more(words, address, n, base, factor)

    return add_block


add_linear, add_by_bits = _loops(linear_cell), _loops(cell_of_bits)


@njit(**INNER_OPTIONS)
def flush(words):
    """Add what rows were added to since to counts and sums of places, and begin anew."""
    counts, offsets = pointer_int64(words[TABLE_COUNTS]), pointer_int64(words[TABLE_OFFSETS])
    first = words[TABLE_SCRATCH] + 16 * BLOCK
    even, odd = pointer_int64(first), pointer_int64(first + 8 * N_WORDS)
    for j in range(words[TABLE_N_EDGES] + 1):
        counts[j] += (even[j] >> COUNT_BIT) + (odd[j] >> COUNT_BIT)
        offsets[j] += (even[j] & PLACES) + (odd[j] & PLACES)
        even[j], odd[j] = i64(0), i64(0)


def _numbers(table, first, n):
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    flags = pointer_uint8(words[TABLE_FLAGS])
    base, factor = words[TABLE_BASE], words[TABLE_FACTOR]
    edges = pointer_float64(words[TABLE_EDGES])
    low, high = edges[1], edges[words[TABLE_N_EDGES]]
    flush(words)
    for start in range(0, n, BLOCK):
        m = smaller(n - start, BLOCK)
        address = read_block(words, first + start, m)
        if words[TABLE_IS_OF_BITS] != 0:
            add_by_bits(words, address, m, base, factor)
        else:
            add_linear(words, address, m, float_of(base), float_of(factor))
        n_outside = count_outside(address, m, low, high)
        if n_outside > 0:
            if words[TABLE_N_OUTSIDE] + n_outside <= words[TABLE_ROOM]:
                write_outside(words, address, m, low, high)
            else:
                flags[start // BLOCK] = types.uint8(1)
        if (start // BLOCK) % BLOCKS_AT_ONCE == BLOCKS_AT_ONCE - 1:
            flush(words)
    flush(words)
    leave_ieee(saved)
    return 0


ENTRIES = {ENTRY: _numbers}
