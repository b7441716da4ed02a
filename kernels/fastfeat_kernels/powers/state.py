"""Sums of powers of a column, which merge; shapes from such sums, and shapes of groups.

Shapes are rounded as the spec says, in any range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels import powers as layout
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import (
    ELEMENTS,
    ArrowChunk,
    CallRunner,
    ChunkRows,
    KernelRowCall,
    split_rows,
)
from fastfeat_kernels.moments.exact import nearest_float, rounded
from fastfeat_kernels.moments.state import integer_of
from fastfeat_kernels.records import dataclass

if TYPE_CHECKING:
    from fastfeat_kernels.grouped.order import SortedGroups


@dataclass(frozen=True, slots=True)
class PowerSums:
    """Exact sums of powers of the values of a column; equal for any split of its rows.

    Args:
        count: Number of values, infinities included.
        n_infinite: Number of infinities, which add nothing to the sums.
        sums: Sums of x, x**2, x**3 and x**4, in units of 1, or for floats 2**-1074 and its powers.
    """

    count: int = 0
    n_infinite: int = 0
    sums: tuple[int, int, int, int] = (0, 0, 0, 0)


NO_POWERS: Final = PowerSums()
"""The sums of no rows."""


def merge(a: PowerSums, b: PowerSums) -> PowerSums:
    """Return the sums of the rows of both, which must have one type.

    >>> merge(PowerSums(1, 0, (2, 4, 8, 16)), PowerSums()).sums
    (2, 4, 8, 16)
    """
    first, second, third, fourth = (x + y for x, y in zip(a.sums, b.sums, strict=True))
    return PowerSums(a.count + b.count, a.n_infinite + b.n_infinite, (first, second, third, fourth))


def summarize(
    element: str, chunks: Sequence[ArrowChunk], run: CallRunner, n_parts: int = 1
) -> PowerSums:
    """Return the sums of powers of a column.

    Args:
        element: Type of the values, of `column.ELEMENTS`.
        chunks: The column.
        run: Runs sequences of calls of `cpu.ENTRIES`.
        n_parts: Number of row ranges for the work; the result does not depend on it.
    """
    parts = split_rows(chunks, n_parts)
    states = [np.zeros(layout.N_STATE_WORDS, np.int64) for _ in parts]
    calls = [
        [_call(element, rows, state) for rows in part]
        for part, state in zip(parts, states, strict=True)
    ]
    run("rows", calls)
    found = NO_POWERS
    for state in states:
        found = merge(found, _read(state))
    return found


def shapes_of(
    ordered: SortedGroups, shape: str, options: int, run: CallRunner, n_parts: int = 1
) -> npt.NDArray[np.float64]:
    """Return the shape of the values of each group, shape (n_groups,); NaN if it is missing.

    Args:
        ordered: The values by group.
        shape: One of `layout.SHAPES`.
        options: `layout.options_of` it.
        run: Runs sequences of calls of `cpu.ENTRIES`.
        n_parts: Number of group ranges for the work; the result does not depend on it.
    """
    n_groups = len(ordered.counts)
    found = np.empty(n_groups, np.float64)
    share = -(-n_groups // n_parts) or 1
    calls: list[list[KernelRowCall]] = []
    for first in range(0, n_groups, share):
        memory = np.empty(layout.N_SUM_WORDS + layout.N_READING_WORDS, np.int64)
        table = np.zeros(layout.N_TABLE_WORDS, np.int64)
        table[layout.TABLE_ELEMENT] = ELEMENTS.index(ordered.element)
        table[layout.TABLE_STATE] = memory.ctypes.data
        table[layout.TABLE_KEYS] = ordered.keys.ctypes.data
        table[layout.TABLE_STARTS] = ordered.starts.ctypes.data
        table[layout.TABLE_COUNTS] = ordered.counts.ctypes.data
        table[layout.TABLE_SHAPE] = layout.SHAPES[shape]
        table[layout.TABLE_OPTIONS] = options
        table[layout.TABLE_OUT] = found.ctypes.data
        owners = memory, ordered, found
        calls.append([KernelRowCall(table, first, min(share, n_groups - first), owners)])
    run("groups", calls)
    return found


def _call(element: str, rows: ChunkRows[ArrowChunk], state: Int64Array) -> KernelRowCall:
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    chunk = rows.chunk
    table[layout.TABLE_VALUES] = chunk.values
    table[layout.TABLE_VALUE_BIT_OFFSET] = chunk.value_bit_offset
    table[layout.TABLE_VALIDITY] = chunk.validity
    table[layout.TABLE_BIT_OFFSET] = chunk.bit_offset
    table[layout.TABLE_ELEMENT] = ELEMENTS.index(element)
    table[layout.TABLE_STATE] = state.ctypes.data
    return KernelRowCall(table, rows.first, rows.n, (chunk, state))


def _read(state: Int64Array) -> PowerSums:
    first, second, third, fourth = (
        integer_of(state, layout.STATE_SUMS + start, n)
        for start, n in zip(layout.SUMS, layout.N_LIMBS, strict=True)
    )
    count, n_infinite = int(state[layout.COUNT]), int(state[layout.N_INFINITE])
    return PowerSums(count, n_infinite, (first, second, third, fourth))


def skew_of(powers: PowerSums, bias: bool) -> float | None:
    """Return the skewness; None if the spec says missing, NaN for infinities.

    `bias` gives the skewness of the values, not of a population that they are a sample of.
    """
    n = powers.count
    spread, third, _ = _central(powers)
    if powers.n_infinite:
        return math.nan
    if spread == 0 or (n < 3 and not bias):
        return None
    bottom, place = rounded(spread)
    top, top_place = rounded(third)
    square = float(bottom << (place & 1))
    divisor, x = square * math.sqrt(square), float(top)
    if not bias:
        x *= math.sqrt(float(n * (n - 1)))
        divisor *= float(n - 2)
    return _quotient(x, divisor, top_place - 3 * (place >> 1))


def kurtosis_of(powers: PowerSums, bias: bool, fisher: bool) -> float | None:
    """Return the kurtosis; None if the spec says missing, NaN for infinities.

    `bias` gives the kurtosis of the values, not of a population that they are a sample of. With
    `fisher` a normal distribution has 0, not 3.
    """
    n = powers.count
    spread, _, fourth = _central(powers)
    if powers.n_infinite:
        return math.nan
    if spread == 0 or (n < 4 and not bias):
        return None
    square = spread * spread
    bottom, place = rounded(square)
    divisor = float(bottom)
    if bias:
        exact = fourth - 3 * square * fisher
    else:
        divisor *= float((n - 2) * (n - 3))
        exact = (n * n - 1) * fourth - 3 * ((n - 1) ** 2 if fisher else 3 * n - 5) * square
    top, top_place = rounded(exact)
    return _quotient(float(top), divisor, top_place - place)


def _central(powers: PowerSums) -> tuple[int, int, int]:
    """Return second, third and fourth central moment, times n to the second, third and fourth."""
    n, (first, second, third, fourth) = powers.count, powers.sums
    return (
        n * second - first**2,
        n**2 * third - 3 * n * first * second + 2 * first**3,
        n**3 * fourth - 4 * n**2 * first * third + 6 * n * first**2 * second - 3 * first**4,
    )


def _quotient(x: float, divisor: float, exponent: int) -> float:
    """Return x * 2**exponent / divisor, rounded once."""
    top, top_unit = x.as_integer_ratio()
    bottom, bottom_unit = divisor.as_integer_ratio()
    up, down = max(exponent, 0), max(-exponent, 0)
    return nearest_float((top * bottom_unit) << up, (bottom * top_unit) << down)
