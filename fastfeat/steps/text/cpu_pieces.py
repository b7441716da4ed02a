"""Hashed pieces of text on the CPU: the buckets of each row, for sparse matrices."""

from __future__ import annotations

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.text.hashed_pieces import buckets_of_pieces
from fastfeat_kernels.text.state import InvalidUtf8
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.columns.strings import text_chunks
from fastfeat.ir.node import Call
from fastfeat.steps.entries import content_column
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.text.rows import NOT_UTF8, REQUESTED, kernel_params


def buckets_by_row(
    call: Call, texts: Argument
) -> tuple[Int64Array, NDArray[np.int32], BoolArray | None]:
    """Return the buckets of the hashed pieces of each row of text, and which rows have a text.

    The first result has the start of each row's buckets, and the number of all. Present rows are
    None if no text is missing.
    """
    column, request = content_column(texts), REQUESTED[call.function]
    own, parts = kernel_params(request, dict(call.params)), n_parts(len(column))
    try:
        starts, buckets = buckets_of_pieces(
            request, own, text_chunks(column), runner("text"), parts
        )
    except InvalidUtf8 as error:
        raise StepFailed(error.row, NOT_UTF8) from None
    present = None if not column.null_count else column.is_valid().to_numpy()
    return starts, buckets, present
