"""Sums of lists, on the caller's threads; `fastfeat_kernels.lists` has the spec."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Call, Run
from fastfeat_kernels.lists import layout


class Sums(NamedTuple):
    """Sums of lists, each array of shape (n_rows,).

    Args:
        sums: the exact sum rounded once, 0 of no numbers; anything where it is left.
        counts: how many numbers there are.
        left: where the caller must add up itself.
    """

    sums: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    left: npt.NDArray[np.bool_]


def sums_of(
    offsets: npt.NDArray[np.int64], values: npt.NDArray[np.float64], run: Run, n_parts: int = 1
) -> Sums:
    """Return the sum of the numbers of each list.

    Args:
        offsets: where lists begin and end in `values`, shape (n_rows + 1,).
        values: their numbers, NaN where missing, contiguous.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of rows to divide the work; the result does not depend on it.
    """
    n_rows = len(offsets) - 1
    sums, counts = np.empty(n_rows, np.float64), np.empty(n_rows, np.int64)
    left = np.empty(n_rows, np.int64)
    arrays = {
        layout.OFFSETS: offsets,
        layout.VALUES: values,
        layout.SUMS: sums,
        layout.COUNTS: counts,
        layout.LEFT: left,
    }
    table = np.zeros(layout.N_WORDS, np.int64)
    for word, array in arrays.items():
        table[word] = array.ctypes.data
    share = max(-(-n_rows // n_parts), 1)
    starts = range(0, n_rows, share)
    run("sums", [[Call(table, start, min(share, n_rows - start), arrays)] for start in starts])
    return Sums(sums, counts, left != 0)
