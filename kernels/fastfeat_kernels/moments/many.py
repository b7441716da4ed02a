"""Moments of many columns of one type: one state each in one array, all read out together.

A column takes 0.2 us beside its rows, instead of 30 us alone. Results equal those of `exact` for
each column. Columns with infinities, without values, with sums wider than the windows here, or with
results beyond the normal floats are computed by `exact`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from fastfeat_kernels.arrays import BoolArray, Float64Array, Int64Array, Uint64Array
from fastfeat_kernels.column import ELEMENTS, CallRunner, EqualChunks, KernelRowCall, value_of_key
from fastfeat_kernels.moments import (
    COUNT,
    MAX_KEY,
    MIN_KEY,
    N_NEGATIVE_INFINITE,
    N_POSITIVE_INFINITE,
    N_ROWS,
    N_SCRATCH_WORDS,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    N_TABLE_WORDS,
    SCRATCH,
    SQUARES,
    SUM,
    TABLE_BIT_OFFSET,
    TABLE_ELEMENT,
    TABLE_LEVEL,
    TABLE_N_COLUMNS,
    TABLE_SCRATCH,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
    entry_of,
)
from fastfeat_kernels.moments.exact import PRECISION, deviation_of, mean_of, variance_of
from fastfeat_kernels.moments.state import Level, Moments, begin, read_state, scale_of
from fastfeat_kernels.records import dataclass

WIDTH: Final = 8
"""Limbs of a sum in the computation: from 2**-60 to 2**190, or as many bits elsewhere."""
MASK: Final = 2**32 - 1
LARGEST_COUNT: Final = 2**31
_ABSENT: Final = 1 << 20  # a place after all limbs


@dataclass(frozen=True, slots=True, eq=False)
class ManyMoments:
    """Moments of many columns.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        level: 0 leaves out both sums, 1 the sum of squares, 2 nothing.
        words: The states, without scratch memory, shape (n_columns, SCRATCH).
    """

    element: str
    level: Level
    words: Int64Array

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self.words)

    def __getitem__(self, column: int) -> Moments:
        """Return the moments of one column."""
        return read_state(self.element, self.words[column], self.level)


def summarize_columns(
    element: str, columns: EqualChunks, level: Level, run: CallRunner, n_parts: int = 1
) -> ManyMoments:
    """Return the moments of columns; level 0 leaves out both sums, 1 the sum of squares.

    `n_parts` is the number of parts to divide the columns into.
    """
    n = len(columns.values)
    states = np.empty((n, SCRATCH), np.int64)
    begin(states)
    tables = np.zeros((n, N_TABLE_WORDS), np.int64)
    tables[:, TABLE_VALUES] = columns.values
    tables[:, TABLE_VALUE_BIT_OFFSET] = columns.value_bit_offset
    tables[:, TABLE_VALIDITY] = columns.validity
    tables[:, TABLE_BIT_OFFSET] = columns.bit_offset
    tables[:, TABLE_STATE] = states.ctypes.data + 8 * SCRATCH * np.arange(n)
    tables[:, TABLE_LEVEL], tables[:, TABLE_ELEMENT] = level, ELEMENTS.index(element)
    calls: list[list[KernelRowCall]] = []
    for places in np.array_split(np.arange(n), min(n_parts, n)):
        part, scratch = tables[places[0] : places[-1] + 1], np.empty(N_SCRATCH_WORDS, np.int64)
        part[:, TABLE_SCRATCH], part[0, TABLE_N_COLUMNS] = scratch.ctypes.data, len(part)
        calls.append([KernelRowCall(part, 0, columns.n_rows, (columns.owner, states, scratch))])
    run(entry_of(element), calls)
    return ManyMoments(element, level, states)


class Totals(NamedTuple):
    """Numbers of rows and exact sums of a column, like in `Moments`."""

    n_missing: int
    n_low: int
    n_high: int
    sum: int
    sum_of_squares: int
    scale: int


def totals_of(many: ManyMoments) -> list[Totals]:
    """Return the numbers of rows and the exact sums of each column."""
    sums = _integers(many.words[:, SUM : SUM + N_SUM_LIMBS])
    squares = _integers(many.words[:, SQUARES : SQUARES + N_SQUARE_LIMBS])
    counts = many.words[:, COUNT].tolist()
    if many.element == "uint64":  # the kernel saw x - 2**63
        each = zip(squares, sums, counts, strict=True)
        squares = [a + (b << 64) + (n << 126) for a, b, n in each]
        sums = [b + (n << 63) for b, n in zip(sums, counts, strict=True)]
    low = many.words[:, N_NEGATIVE_INFINITE].tolist()
    high = many.words[:, N_POSITIVE_INFINITE].tolist()
    scale = scale_of(many.element)
    rows = zip(null_counts_of(many), low, high, sums, squares, strict=True)
    return [Totals(*row, scale) for row in rows]


def _integers(limbs: Int64Array) -> list[int]:
    """Return the integers from rows of 32-bit limbs: carried, the last with the sign."""
    content, n_bytes = limbs.astype("<u4").tobytes(), 4 * limbs.shape[1]
    starts = range(0, len(content), n_bytes)
    return [int.from_bytes(content[k : k + n_bytes], "little", signed=True) for k in starts]


def counts_of(many: ManyMoments) -> list[int]:
    """Return the number of values of each column."""
    return many.words[:, COUNT].tolist()


def null_counts_of(many: ManyMoments) -> list[int]:
    """Return the number of missing rows of each column."""
    return (many.words[:, N_ROWS] - many.words[:, COUNT]).tolist()


def least_of(many: ManyMoments) -> list[float | int | bool | None]:
    """Return the minimum of each column; None without values."""
    return _values_of(many, MIN_KEY)


def greatest_of(many: ManyMoments) -> list[float | int | bool | None]:
    """Return the maximum of each column; None without values."""
    return _values_of(many, MAX_KEY)


def _values_of(many: ManyMoments, word: int) -> list[float | int | bool | None]:
    keys, element = many.words[:, word], many.element
    values: list[float | int | bool | None]
    if element.startswith("float"):
        values = (keys ^ ((keys >> 63) & (2**63 - 1))).view(np.float64).tolist()
    else:
        values = [value_of_key(element, key) for key in keys.tolist()]
    for k in np.flatnonzero(many.words[:, COUNT] == 0).tolist():
        values[k] = None
    return values


def means_of(many: ManyMoments) -> list[float | None]:
    """Return `exact.mean_of` each column."""
    found = _means(many)
    return _with_others(many, *found, mean_of)


def variances_of(many: ManyMoments, ddof: int) -> list[float | None]:
    """Return `exact.variance_of` each column."""
    found = _variances(many, ddof)
    return _with_others(many, *found, lambda moments: variance_of(moments, ddof))


def deviations_of(many: ManyMoments, ddof: int) -> list[float | None]:
    """Return `exact.deviation_of` each column.

    The square root of a normal float does not depend on whether its exponent is split off first.
    """
    variances, known = _variances(many, ddof)
    return _with_others(many, np.sqrt(variances), known, lambda m: deviation_of(m, ddof))


def _with_others(
    many: ManyMoments,
    values: Float64Array,
    known: BoolArray,
    value_of: Callable[[Moments], float | None],
) -> list[float | None]:
    """Return values, with unknown ones computed from the moments of their column."""
    found: list[float | None] = values.tolist()
    for k in np.flatnonzero(~known).tolist():
        found[k] = value_of(many[k])
    return found


def _means(many: ManyMoments) -> tuple[Float64Array, BoolArray]:
    """Return the mean of each column, and whether it is known."""
    limbs = many.words[:, SUM : SUM + N_SUM_LIMBS]
    first, end, negative = _extent(limbs)
    start = np.where(first == _ABSENT, 0, first)
    known = _is_plain(many) & (end - start < WIDTH)
    mantissa, exponent = _rounded(_magnitude(_window(limbs, start, WIDTH), negative))
    counts = np.where(known, many.words[:, COUNT], 1).astype(np.float64)
    quotient = np.where(negative, -mantissa, mantissa) / counts
    return _scaled(quotient, exponent + 32 * start - scale_of(many.element), known)


def _variances(many: ManyMoments, ddof: int) -> tuple[Float64Array, BoolArray]:
    """Return the variance of each column, and whether it is known.

    The sum of squares begins at twice the limb of the sum, so both have one unit.
    """
    limbs = many.words[:, SUM : SUM + N_SUM_LIMBS]
    squares = many.words[:, SQUARES : SQUARES + N_SQUARE_LIMBS]
    first, end, negative = _extent(limbs)
    first_square, end_square, _ = _extent(squares)
    start = np.minimum(first, first_square >> 1)
    start = np.where(start == _ABSENT >> 1, 0, start)
    counts = many.words[:, COUNT]
    known = _is_plain(many) & (counts > ddof) & (end - start < WIDTH)
    known &= end_square - 2 * start < 2 * WIDTH - 1
    counts = np.where(known, counts, 1).astype(np.uint64)
    total = _magnitude(_window(limbs, start, WIDTH), negative)
    of_squares = _window(squares, 2 * start, 2 * WIDTH)
    mantissa, exponent = _rounded(_spread(counts, of_squares, total))
    freedom = counts - np.where(known, ddof, 0).astype(np.uint64)
    quotient = mantissa / (counts * freedom).astype(np.float64)
    return _scaled(quotient, exponent + 64 * start - 2 * scale_of(many.element), known)


def _is_plain(many: ManyMoments) -> BoolArray:
    """Return a mask of columns with only finite values, at least one and not too many."""
    words = many.words
    if many.element == "uint64":  # its sums are less by 2**63 a value
        return np.zeros(len(words), np.bool_)
    plain = (words[:, COUNT] > 0) & (words[:, COUNT] < LARGEST_COUNT)
    return plain & ((words[:, N_POSITIVE_INFINITE] | words[:, N_NEGATIVE_INFINITE]) == 0)


def _extent(limbs: Int64Array) -> tuple[Int64Array, Int64Array, BoolArray]:
    """Return the first nonzero limb of each integer, the end of its magnitude, and its sign.

    `limbs`, shape (n, n_limbs), have 32 bits, the last with the sign.
    """
    n_limbs = limbs.shape[1]
    is_set: BoolArray = limbs != 0
    first = np.where(is_set.any(axis=1), is_set.argmax(axis=1), _ABSENT)
    negative = limbs[:, -1] < 0
    if negative.any():
        is_set = np.where(negative[:, np.newaxis], (limbs & MASK) != MASK, is_set)
    end = np.where(is_set.any(axis=1), n_limbs - is_set[:, ::-1].argmax(axis=1), 0)
    end = np.where(negative, np.maximum(end, first + 1) + 1, end)
    return first, end, negative


def _window(limbs: Int64Array, start: Int64Array, width: int) -> Uint64Array:
    """Return `width` limbs of each integer from a start on, shape (width, n)."""
    last = limbs.shape[1] - 1
    places = np.minimum(start[:, np.newaxis] + np.arange(width), last)
    return np.ascontiguousarray((np.take_along_axis(limbs, places, 1) & MASK).T).view(np.uint64)


def _magnitude(window: Uint64Array, negative: BoolArray) -> Uint64Array:
    """Return the magnitudes of integers in two's complement."""
    if not negative.any():
        return window
    flip = np.where(negative, np.uint64(MASK), np.uint64(0))
    carry = negative.astype(np.uint64)
    found = np.empty_like(window)
    for k, limb in enumerate(window):
        total = (limb ^ flip) + carry
        found[k], carry = total & MASK, total >> 32
    return found


def _spread(counts: Uint64Array, squares: Uint64Array, total: Uint64Array) -> Uint64Array:
    """Return counts * squares - total * total, which is not negative, as 32-bit limbs."""
    sums = np.zeros((len(squares) + 2, squares.shape[1]), np.int64)
    for k, limb in enumerate(squares):
        product = limb * counts
        sums[k] += (product & MASK).view(np.int64)
        sums[k + 1] += (product >> 32).view(np.int64)
    used = [k for k, limb in enumerate(total) if limb.any()]
    for i in used:
        for j in used:
            if j < i:
                continue
            product, twice = total[i] * total[j], int(i != j)
            sums[i + j] -= (product & MASK).view(np.int64) << twice
            sums[i + j + 1] -= (product >> 32).view(np.int64) << twice
    carry = np.zeros(squares.shape[1], np.int64)
    for limb in sums:
        carry += limb
        limb[:] = carry & MASK
        carry >>= 32
    return sums.view(np.uint64)


def _rounded(limbs: Uint64Array) -> tuple[Float64Array, Int64Array]:
    """Return integers as m * 2**e, m a float of 53 bits, ties to even, like `exact.rounded`.

    `limbs`, shape (n_limbs, n), have 32 bits.
    """
    is_set: BoolArray = limbs != 0
    top: Int64Array = len(limbs) - 1 - is_set[::-1].argmax(axis=0)
    lowest = is_set.argmax(axis=0)
    padded = np.concatenate([np.zeros((2, limbs.shape[1]), np.uint64), limbs])
    places: Int64Array = np.arange(limbs.shape[1], dtype=np.int64)
    high, middle, low = padded[top + 2, places], padded[top + 1, places], padded[top, places]
    n_bits = np.frexp(high.astype(np.float64))[1].astype(np.int64)
    shift = (32 - n_bits).astype(np.uint64)
    word = (((high << 32) | middle) << shift) | (low >> (32 - shift))
    is_more = (((low << shift) & MASK) != 0) | (lowest < top - 2)
    mantissa, rest, half = word >> 11, word & 0x7FF, 0x400
    up = (rest > half) | ((rest == half) & (is_more | ((mantissa & 1) != 0)))
    mantissa = mantissa + up.astype(np.uint64)
    return mantissa.astype(np.float64), 32 * top + n_bits - PRECISION


def _scaled(
    quotient: Float64Array, exponent: Int64Array, known: BoolArray
) -> tuple[Float64Array, BoolArray]:
    """Return quotient * 2**exponent, and whether it is known: a normal float, or 0."""
    size = np.frexp(quotient)[1] + exponent
    known = known & ((quotient == 0) | (np.abs(size) < 1000))
    return np.ldexp(quotient, np.where(known, exponent, 0)), known
