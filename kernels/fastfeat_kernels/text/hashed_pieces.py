"""Buckets of the hashed n-grams or tokens of rows of text, without a count for each bucket."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import ArrowTextChunk, CallRunner
from fastfeat_kernels.text import TABLE_OUT, TABLE_OUT_DATA
from fastfeat_kernels.text.functions import computed
from fastfeat_kernels.text.requests import Request, TextParams
from fastfeat_kernels.text.state import Allocate, column_of, fresh_bytes, run_entry


def buckets_of_pieces(
    request: Request,
    params: TextParams,
    chunks: Sequence[ArrowTextChunk],
    run: CallRunner,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> tuple[Int64Array, npt.NDArray[np.int32]]:
    """Return the buckets of the n-grams or tokens of each row, in order of the text.

    The first result has the start of each row's buckets, and the number of all. A first pass counts
    the pieces of each row: a row costs its pieces, whatever the number of buckets.
    """
    n_pieces = computed(request, {**params, "n_buckets": 1}, chunks, run, n_parts, allocate).counts
    starts = np.zeros(len(n_pieces) + 1, np.int64)
    np.cumsum(n_pieces[:, 0], out=starts[1:])
    buckets, places = np.empty(starts[-1], np.int32), starts[:-1].copy()
    held = request.words(params)
    words = {k: word if isinstance(word, int) else word.ctypes.data for k, word in held.items()}
    words |= {TABLE_OUT: buckets.ctypes.data, TABLE_OUT_DATA: places.ctypes.data}
    column = column_of(chunks, run, n_parts, allocate)
    if len(places):  # an empty array may have the address 0, which stands for counts
        run_entry(column, request.entry, words, (buckets, places, held))
    return starts, buckets
