"""Exact sums of any width, for the few groups with values outside their windows.

Python integers in the units of `Moments`, sorted by group; each group occurs once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.grouped import layout
from fastfeat_kernels.moments import N_SQUARE_LIMBS, N_SUM_LIMBS, SQUARES, SUM
from fastfeat_kernels.moments.state import integer_of

GROUPS_AT_A_TIME = 1 << 12  # 7 MB of limbs

Integers = npt.NDArray[Any]  # of Python integers


class Left(NamedTuple):
    """Sums, and sums of squares, to be added to those of some groups.

    Args:
        groups: Shape (n,): group numbers, sorted.
        sums: Shape (n,): in units of 2**-FLOAT_SCALE.
        squares: Shape (n,): in units of 2**(-2 * FLOAT_SCALE); zeros if not requested.
    """

    groups: npt.NDArray[np.int64]
    sums: Integers
    squares: Integers


def no_left() -> Left:
    """Return sums for no groups."""
    return Left(np.zeros(0, np.int64), np.zeros(0, object), np.zeros(0, object))


def left_of_rows(
    values: npt.NDArray[np.float64], groups: npt.NDArray[np.int32], level: int, run: CallRunner
) -> Left:
    """Return the sums of left-over rows.

    `values`, shape (n,), must be finite. Level 1 leaves the squares out.
    """
    order = np.argsort(groups, kind="stable")
    values, groups = values[order], groups[order]
    is_first = np.ones(len(groups), np.bool_)
    is_first[1:] = groups[1:] != groups[:-1]
    local = (np.cumsum(is_first) - 1).astype(np.int32)
    known = groups[is_first].astype(np.int64)
    starts = np.append(np.flatnonzero(is_first), len(groups))
    sums, squares = list[int](), list[int]()
    for first in range(0, len(known), GROUPS_AT_A_TIME):
        n = min(GROUPS_AT_A_TIME, len(known) - first)
        rows = slice(int(starts[first]), int(starts[first + n]))
        states = _add_wide(values[rows], local[rows] - np.int32(first), n, level, run)
        sums += [integer_of(state, SUM, N_SUM_LIMBS) for state in states]
        squares += [integer_of(state, SQUARES, N_SQUARE_LIMBS) for state in states]
    found = Left(known, np.zeros(len(known), object), np.zeros(len(known), object))
    found.sums[:], found.squares[:] = sums, squares
    return found


def _add_wide(
    values: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int32],
    n_groups: int,
    level: int,
    run: CallRunner,
) -> npt.NDArray[np.int64]:
    states = np.zeros((n_groups, layout.N_WIDE_WORDS), np.int64)
    table = np.zeros(layout.N_TABLE_WORDS, np.int64)
    table[layout.TABLE_VALUES] = values.ctypes.data
    table[layout.TABLE_GROUPS] = groups.ctypes.data
    table[layout.TABLE_LINES] = states.ctypes.data
    table[layout.TABLE_N_GROUPS] = n_groups
    table[layout.TABLE_LEVEL] = level
    run("wide", [[KernelRowCall(table, 0, len(values), (values, groups, states))]])
    return states


def add_left(a: Left, b: Left) -> Left:
    """Return the sum of both; groups with a total of 0 are left out."""
    if len(a.groups) + len(b.groups) == 0:
        return a
    groups, index = np.unique(np.concatenate([a.groups, b.groups]), return_inverse=True)
    sums, squares = np.zeros(len(groups), object), np.zeros(len(groups), object)
    np.add.at(sums, index, np.concatenate([a.sums, b.sums]))
    np.add.at(squares, index, np.concatenate([a.squares, b.squares]))
    kept = (sums != 0) | (squares != 0)
    return Left(groups[kept], sums[kept], squares[kept])


def negated(left: Left) -> Left:
    """Return the sums with opposite signs; adding them subtracts the originals."""
    return Left(left.groups, -left.sums, -left.squares)


def take_left(left: Left, indices: npt.NDArray[np.int64]) -> Left:
    """Return the sums of groups by number, like `state.take`."""
    if len(left.groups) == 0:
        return left
    at = np.minimum(np.searchsorted(left.groups, indices), len(left.groups) - 1)
    found = np.flatnonzero(left.groups[at] == indices)
    return Left(found.astype(np.int64), left.sums[at[found]], left.squares[at[found]])


def scaled(value: int, n_bits: int) -> int:
    """Return value * 2**n_bits, which must be an integer."""
    return value << n_bits if n_bits >= 0 else value >> -n_bits
