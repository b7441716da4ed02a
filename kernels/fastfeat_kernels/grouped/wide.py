"""What the windows of groups do not hold: exact sums of any width for the few groups that need it.

Python integers in the units of `Moments`, sorted by group; each group stands there once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.moments.layout import FLOAT_SCALE

Integers = npt.NDArray[Any]  # of Python integers


class Left(NamedTuple):
    """Sums, and sums of squares, that are to be added to those of some groups.

    Args:
        groups: shape (n,): their numbers, sorted.
        sums: shape (n,): in units of 2**-FLOAT_SCALE.
        squares: shape (n,): in units of 2**(-2 * FLOAT_SCALE); zeros where nobody asks.
    """

    groups: npt.NDArray[np.int64]
    sums: Integers
    squares: Integers


def no_left() -> Left:
    """Return nothing."""
    return Left(np.zeros(0, np.int64), np.zeros(0, object), np.zeros(0, object))


def left_of_rows(
    values: npt.NDArray[np.float64], groups: npt.NDArray[np.int32], level: int
) -> Left:
    """Return the sums of rows that are left over."""
    if len(values) == 0:
        return no_left()
    sums = np.zeros(len(values), object)
    sums[:] = [_exact(value) for value in values.tolist()]
    squares = sums * sums if level > 1 else np.zeros(len(values), object)
    return add_left(Left(groups.astype(np.int64), sums, squares), no_left())


def add_left(a: Left, b: Left) -> Left:
    """Return both together; a group that comes out as nothing is left out."""
    if len(a.groups) + len(b.groups) == 0:
        return a
    groups, index = np.unique(np.concatenate([a.groups, b.groups]), return_inverse=True)
    sums, squares = np.zeros(len(groups), object), np.zeros(len(groups), object)
    np.add.at(sums, index, np.concatenate([a.sums, b.sums]))
    np.add.at(squares, index, np.concatenate([a.squares, b.squares]))
    kept = (sums != 0) | (squares != 0)
    return Left(groups[kept], sums[kept], squares[kept])


def negated(left: Left) -> Left:
    """Return what takes it away."""
    return Left(left.groups, -left.sums, -left.squares)


def take_left(left: Left, indices: npt.NDArray[np.int64]) -> Left:
    """Return what is left of groups by number, as `state.take` has them."""
    if len(left.groups) == 0:
        return left
    at = np.minimum(np.searchsorted(left.groups, indices), len(left.groups) - 1)
    found = np.flatnonzero(left.groups[at] == indices)
    return Left(found.astype(np.int64), left.sums[at[found]], left.squares[at[found]])


def scaled(value: int, n_bits: int) -> int:
    """Return value * 2**n_bits, which is an integer."""
    return value << n_bits if n_bits >= 0 else value >> -n_bits


def _exact(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return (numerator << FLOAT_SCALE) // denominator
