"""Limbs of the lines of groups in NumPy: carries, moves to a higher window, integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.grouped.layout import (
    LIMB_BITS,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    SQUARES,
    SUM,
)

Integers = npt.NDArray[Any]  # of Python integers

_SUMS = (slice(SUM, SUM + N_SUM_LIMBS), slice(SQUARES, SQUARES + N_SQUARE_LIMBS))


def integers_of(lines: Int64Array, level: int) -> list[Integers]:
    """Return the sums and, at level 2, the sums of squares of lines, in units of the lowest bit."""
    return [_integers(lines[:, columns]) for columns in _SUMS[:level]]


def carried_sums(lines: Int64Array) -> Int64Array:
    """Return the limbs of the sums of lines, shape (n, 3): the highest signed, others 40 bits."""
    return _carried(lines[:, _SUMS[0]])


def align_lines(lines: Int64Array, level: int, up: int) -> tuple[Int64Array, list[Integers]]:
    """Return carried lines of a window `up` bits higher, and for each sum the part that falls out.

    These parts are in units of the old lowest bit.
    """
    aligned, fallen = lines.copy(), list[Integers]()
    for power, columns in enumerate(_SUMS[:level], 1):
        limbs = _carried(lines[:, columns])
        high, low = _shifted_right(limbs, power * up)
        aligned[:, columns] = high
        fallen.append(low)
    return aligned, fallen


def _integers(limbs: Int64Array) -> Integers:
    total = np.zeros(len(limbs), object)
    for k in range(limbs.shape[1]):
        total = (total << LIMB_BITS) + limbs[:, k].astype(object)
    return total


def _carried(limbs: Int64Array) -> Int64Array:
    carried = limbs.copy()
    for k in range(limbs.shape[1] - 1, 0, -1):
        carried[:, k - 1] += carried[:, k] >> LIMB_BITS
        carried[:, k] &= (1 << LIMB_BITS) - 1
    return carried


def _shifted_right(limbs: Int64Array, n_bits: int) -> tuple[Int64Array, Integers]:
    """Return carried limbs shifted right, and the bits that fall out as integers."""
    n_limbs = limbs.shape[1]
    n_whole, rest = divmod(n_bits, LIMB_BITS)
    n_kept = max(n_limbs - n_whole, 0)
    shifted = np.zeros_like(limbs)
    shifted[:, n_limbs - n_kept :] = limbs[:, :n_kept] >> rest
    low = limbs[:, :n_kept] & ((1 << rest) - 1)
    if n_kept > 1:
        shifted[:, n_limbs - n_kept + 1 :] += low[:, :-1] << (LIMB_BITS - rest)
    fallen = limbs[:, n_kept:]
    if n_kept and rest:
        fallen = np.concatenate([low[:, -1:], fallen], axis=1)
    lost = np.zeros(len(limbs), object)
    groups = np.flatnonzero(fallen.any(axis=1))
    lost[groups] = _integers(fallen[groups])
    return shifted, lost
