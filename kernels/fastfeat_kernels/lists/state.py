"""Functions of lists, on the caller's threads; `fastfeat_kernels.lists` has the spec.

Every function takes `offsets`, shape (n_rows + 1,), the ends of lists in the elements; the
elements, contiguous, of 8 bytes each; `run`, which runs sequences of calls of `cpu.ENTRIES`; and
`n_parts`, the number of row ranges for the work. Results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels import lists as layout
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.column import CallRunner, KernelRowCall

MAGNITUDE: Final = 2**63 - 1
SIGN: Final = -(2**63)
FEWEST_ROWS: Final = 8  # in a call


class ListSums(NamedTuple):
    """Sums of lists, each array of shape (n_rows,).

    Args:
        sums: Exact sum rounded once, 0 without numbers; undefined for left rows.
        counts: Number of values.
        left: Rows that the caller must sum itself.
    """

    sums: npt.NDArray[np.float64]
    counts: Int64Array
    left: BoolArray


def sums_of(
    offsets: Int64Array, values: npt.NDArray[np.float64], run: CallRunner, n_parts: int = 1
) -> ListSums:
    """Return the sum of the numbers of each list; NaN is missing."""
    sums, counts, left = _run("sums", offsets, values, {}, run, n_parts)
    return ListSums(sums.view(np.float64), counts, left != 0)


def integer_sums_of(
    offsets: Int64Array, values: Int64Array, run: CallRunner, n_parts: int = 1
) -> tuple[Int64Array, BoolArray]:
    """Return the sum of the integers of each list, and a mask of int64 overflows."""
    sums, _, left = _run("integer_sums", offsets, values, {}, run, n_parts)
    return sums, left != 0


def extremes_of(
    offsets: Int64Array,
    values: npt.NDArray[Any],
    run: CallRunner,
    n_parts: int = 1,
    *,
    greatest: bool,
) -> tuple[npt.NDArray[Any], Int64Array]:
    """Return the minimum or maximum of each list, 0 without values, and the number of values.

    The values are float64, in the total order and NaN for missing, or int64 or uint64.
    """
    magnitude = MAGNITUDE if values.dtype.kind == "f" else 0
    flip = (SIGN if values.dtype.kind == "u" else 0) ^ (-1 if greatest else 0)
    words = {layout.MAGNITUDE: magnitude, layout.FLIP: flip}
    found, counts, _ = _run("extremes", offsets, values, words, run, n_parts)
    return found.view(values.dtype), counts


def elements_of(
    offsets: Int64Array, values: npt.NDArray[Any], index: int, run: CallRunner, n_parts: int = 1
) -> tuple[npt.NDArray[Any], BoolArray]:
    """Return the element at a place of each list, 0 without one, and a mask of lists that have one.

    A negative index counts from the end.
    """
    words = {layout.INDEX: max(min(index, 2**62), -(2**62))}
    found, there, _ = _run("elements", offsets, values, words, run, n_parts)
    return found.view(values.dtype), there != 0


def _run(
    entry: str,
    offsets: Int64Array,
    values: npt.NDArray[Any],
    words: Mapping[int, int],
    run: CallRunner,
    n_parts: int,
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the output of an entry: results, counts, and left-over lists, each (n_rows,)."""
    n_given = len(offsets) - 1
    if n_given < FEWEST_ROWS:  # the added rows are empty
        offsets = np.append(offsets, np.repeat(offsets[-1:], FEWEST_ROWS - n_given))
    n_rows = len(offsets) - 1
    results, counts, left = (np.empty(n_rows, np.int64) for _ in range(3))
    arrays = {
        layout.OFFSETS: offsets,
        layout.VALUES: values,
        layout.RESULTS: results,
        layout.COUNTS: counts,
        layout.LEFT: left,
    }
    table = np.zeros(layout.N_WORDS, np.int64)
    for word, array in arrays.items():
        table[word] = array.ctypes.data
    for word, number in words.items():
        table[word] = number
    n_parts = min(n_parts, n_rows // FEWEST_ROWS)
    ends = [n_rows * part // n_parts for part in range(n_parts + 1)]
    run(
        entry, [[KernelRowCall(table, start, end - start, arrays)] for start, end in pairwise(ends)]
    )
    return results[:n_given], counts[:n_given], left[:n_given]
