"""Profiles of many columns of few rows: their edges, counts and exact sums, many columns at once.

A column by itself takes about a millisecond of calls, whatever its rows are. Columns whose values
all differ have their edges at the same places of their sorted values, so that a matrix of them is
counted at once. Others are left to `layout` and `counting`; both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.quality.layout import N_BINS, SAMPLED
from fastfeat.quality.profile import POSITIONS, ColumnProfile, normal

MOST_ROWS: Final = SAMPLED
"""Rows of which all are the sample. Sums of so many products of two digits are exact as floats."""
_DIGIT: Final = 20
"""Bits of a digit: 2**13 products of two are below 2**53."""
_MOST_DIGITS: Final = 8
_MOST_EXPONENT: Final = 1000
"""Of the largest value: 2 to the power of it, and of less, are floats."""
_AT_ONCE: Final = 1 << 17
"""Values of a matrix, 1 MiB of them: more would leave the cache."""
_EXACT: Final = 2.0**53
_LARGEST: Final = np.finfo(np.float64).max

Floats = NDArray[np.float64]


def counted_at_once(
    layouts: Sequence[ColumnProfile], columns: Sequence[ChunkedArray]
) -> list[ColumnProfile | None]:
    """Return the profiles of columns of numbers, of one length; None of those that do not suit.

    Args:
        layouts: of each column the name, the type and the kind.
        columns: the rows, as they are stored (`io.columns.conform`), at most `MOST_ROWS`.
    """
    found: list[ColumnProfile | None] = [None] * len(columns)
    suited = [k for k, column in enumerate(columns) if _is_plain(column)]
    n_rows = len(columns[0]) if columns else 0
    if not N_BINS < n_rows <= MOST_ROWS:
        return found
    n_at_once = max(1, _AT_ONCE // n_rows)
    for begin in range(0, len(suited), n_at_once):
        places = suited[begin : begin + n_at_once]
        matrix = np.empty((len(places), n_rows))
        for row, place in enumerate(places):
            matrix[row] = columns[place].to_numpy()
        matrix += 0.0  # 0.0 has no sign
        for row, profile in _profiles([layouts[k] for k in places], matrix):
            found[places[row]] = profile
    return found


def _is_plain(column: ChunkedArray) -> bool:
    """Return whether the values of a column are floats or integers, and all there."""
    of = column.type
    is_number = pa.types.is_floating(of) or pa.types.is_integer(of)
    return is_number and not column.null_count


def _profiles(layouts: Sequence[ColumnProfile], matrix: Floats) -> list[tuple[int, ColumnProfile]]:
    """Return the profiles of the rows of a matrix that suit, with the number of each.

    Args:
        layouts: as of `counted_at_once`.
        matrix: the columns as its rows, shape (n_columns, n_rows).
    """
    ordered = np.sort(matrix, axis=1)  # NaN is last
    with np.errstate(invalid="ignore"):
        suits = (ordered[:, 1:] > ordered[:, :-1]).all(axis=1)
        suits &= (ordered[:, 0] > -_LARGEST) & (ordered[:, -1] < _LARGEST)
        suits &= ~np.array([one.dtype.startswith(("int", "uint")) for one in layouts]) | (
            np.abs(ordered).max(axis=1) < _EXACT  # an integer beyond is not its float
        )
    begins = np.array(_begins(ordered.shape[1]))
    rows = np.flatnonzero(suits)
    ordered = ordered[rows]
    edges = np.column_stack([ordered[:, begins], np.nextafter(ordered[:, -1], np.inf)])
    with np.errstate(over="ignore"):
        widths = np.diff(edges, axis=1)
        scales = POSITIONS / widths
    is_atom = np.nextafter(edges[:, :-1], np.inf) == edges[:, 1:]
    scales[is_atom | ~np.isfinite(scales)] = 0.0
    sizes = np.diff(np.append(begins, ordered.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        distances = ordered - np.repeat(edges[:, :-1], sizes, axis=1)
        factors = np.repeat(scales, sizes, axis=1)
        steps = np.where(factors > 0, distances * factors, 0.0)
    offsets = np.add.reduceat(np.floor(steps), begins, axis=1)  # whole numbers below 2**53
    counts = np.concatenate([[0], sizes, [0]])
    none = np.zeros((len(rows), 1))
    offsets = np.column_stack([none, offsets, none]).astype(np.int64)
    ends = np.zeros((len(rows), 1), np.bool_)
    is_atom = np.column_stack([ends, is_atom, ends])
    sums = _sums(ordered)
    found: list[tuple[int, ColumnProfile]] = []
    for k, row in enumerate(rows.tolist()):
        exact, one = sums[k], layouts[row]
        if exact is None or np.isinf(widths[k]).any():
            continue
        profile = ColumnProfile(
            *(one.name, one.dtype, one.kind),
            n_rows=ordered.shape[1],
            edges=edges[k],
            is_atom=is_atom[k],
            counts=counts,
            offsets=offsets[k],
            least=float(ordered[k, 0]),
            greatest=float(ordered[k, -1]),
            sum=exact[0],
            squares=exact[1],
        )
        found.append((row, profile))
    return found


def _begins(n_rows: int) -> list[int]:
    """Return the places of sorted values, which all differ, at which bins begin."""
    most, begin, found = n_rows / N_BINS, 0, list[int]()
    while begin < n_rows:
        found.append(begin)
        begin = int(begin + most)
    return found


def _sums(ordered: Floats) -> list[tuple[tuple[int, int], tuple[int, int]] | None]:
    """Return the exact sums of the rows of a matrix, and of their squares; None of spread ones.

    Values are cut into digits, of which sums and sums of products are whole numbers below 2**53.

    Args:
        ordered: finite, ascending, shape (n_columns, n_rows).
    """
    _, exponents = np.frexp(ordered)
    highest = np.frexp(np.maximum(-ordered[:, 0], ordered[:, -1]))[1].astype(np.int64)
    exponents = np.where(ordered == 0, highest[:, None], exponents)
    n_digits = -(-(53 + highest - exponents.min(axis=1)) // _DIGIT)
    most = int(min(n_digits.max(initial=1), _MOST_DIGITS))
    digits = np.empty((len(ordered), most, ordered.shape[1]))
    fits = (n_digits <= most) & (np.abs(highest) < _MOST_EXPONENT)
    factors = np.ldexp(1.0, np.where(fits, -highest, 0))  # a quarter of what ldexp of all takes
    rest = ordered * np.where(fits, factors, 0.0)[:, None]
    for k in range(most):
        rest *= 2.0**_DIGIT
        np.trunc(rest, out=digits[:, k])
        rest -= digits[:, k]
    totals = digits.sum(axis=2).astype(np.int64).tolist()
    products = np.matmul(digits, digits.transpose(0, 2, 1)).astype(np.int64)
    by_place = np.zeros((len(ordered), 2 * most - 1), np.int64)
    for a in range(most):
        by_place[:, a : a + most] += products[:, a]
    found: list[tuple[tuple[int, int], tuple[int, int]] | None] = []
    lows = (highest - _DIGIT * most).tolist()
    for is_exact, low, of_values, of_squares in zip(
        fits.tolist(), lows, totals, by_place.tolist(), strict=True
    ):
        total, squares = _of_digits(of_values), _of_digits(of_squares)
        found.append((normal(total, low), normal(squares, 2 * low)) if is_exact else None)
    return found


def _of_digits(digits: Sequence[int]) -> int:
    """Return a whole number of its digits, the highest first; they may be larger than a digit."""
    found = 0
    for digit in digits:
        found = (found << _DIGIT) + digit
    return found
