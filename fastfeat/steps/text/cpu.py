"""Steps of text on the CPU, by the text and hashing kernels; dictionaries are computed by entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fastfeat_kernels.text import (
    BY_BUCKET_COUNTS,
    BY_BUCKET_N,
    BY_BUCKET_OUT,
    BY_BUCKET_ROWS,
    N_SCRATCH_WORDS,
    N_TABLE_WORDS,
    NOT_PARSEABLE,
    OUT_OF_RANGE,
    PARSED,
    SAME_OUT,
    SAME_VALIDITY_OUT,
    SIDE_BIT,
    SIDE_DATA,
    SIDE_OFFSET_BYTES,
    SIDE_OFFSETS,
    SIDE_VALIDITY,
    SIDE_WORDS,
    SIDES,
    TABLE_BIT_OFFSET,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_OFFSET_BYTES,
    TABLE_OFFSETS,
    TABLE_OUT,
    TABLE_SCRATCH,
    TABLE_VALIDITY,
)
from fastfeat_kernels.text.functions import (
    BucketCounts,
    FlagColumn,
    IntegerColumn,
    TextTooLong,
    computed,
)
from fastfeat_kernels.text.requests import Gives, Request
from fastfeat_kernels.text.state import InvalidUtf8, TextRows

from fastfeat.engine.cpu.kernels import n_parts, runner, written_kernel
from fastfeat.engine.cpu.step_calls import (
    KernelCall,
    KernelColumn,
    MemoryRequest,
    StepCalls,
    form_of,
    scratch_of,
)
from fastfeat.io.arrow import Array, ChunkedArray, DataType, pa
from fastfeat.io.columns import conform
from fastfeat.io.columns.strings import content_at, text_chunks
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import DType
from fastfeat.ir.parameters import MAX_MEMORY, ParameterValues
from fastfeat.steps.entries import content_column, over_entries
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.text import growth
from fastfeat.steps.text.rows import (
    NOT_UTF8,
    NUMBERS,
    REQUESTED,
    kernel_params,
    not_parseable,
    number_text,
    out_of_range,
)

TextKernel = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]
_RUN = "text"
_NO_TEXT = pa.nulls(0, pa.large_string())


def _step(request: Request) -> TextKernel:
    """Return the function that computes a step, for a row of the kernels' table of requests."""
    gives = _GIVES[request.gives]

    def step(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Any:
        def work(column: ChunkedArray) -> Array:
            return gives(column, _computed(request, params, column), request, params)

        return over_entries(content_column(args[0]), work)

    return step


def _computed(request: Request, params: ParameterValues, column: ChunkedArray) -> Any:
    """Return the kernel's result for a column of text.

    Raises StepFailed for invalid UTF-8, and for text that would grow too much.
    """
    own, most = kernel_params(request, params), params.get("max_memory", MAX_MEMORY)
    limit = {"most_bytes": growth.most_bytes(most)} if request.gives == "grown_text" else {}

    def run(own: Mapping[str, Any]) -> Any:
        parts = n_parts(len(column))
        return computed(request, own, text_chunks(column), runner(_RUN), parts, write.empty_bytes)

    try:
        return run({**own, **limit})
    except InvalidUtf8 as error:
        raise StepFailed(error.row, NOT_UTF8) from None
    except TextTooLong as error:
        growth.check_grown(len(column), growth.content_bytes(column), error.n_bytes, most)
        return run(own)  # it is shorter than the column


def _integers(
    column: ChunkedArray, found: IntegerColumn, request: Request, params: ParameterValues
) -> Array:
    return _array(pa.int64(), len(column), found.values, found)


def _flags(
    column: ChunkedArray, found: FlagColumn, request: Request, params: ParameterValues
) -> Array:
    return _array(pa.bool_(), len(column), found.bits, found)


def _texts(
    column: ChunkedArray, found: list[TextRows], request: Request, params: ParameterValues
) -> Any:
    return pa.chunked_array([_text(piece) for piece in found] or [_NO_TEXT])


def _text(piece: TextRows) -> Array:
    kind = pa.string() if piece.offsets.itemsize == 4 else pa.large_string()
    buffers = [_bitmap(piece), pa.py_buffer(piece.offsets), pa.py_buffer(piece.data)]
    n_rows = len(piece.offsets) - 1 - piece.lead
    return pa.Array.from_buffers(kind, n_rows, buffers, piece.n_missing, piece.lead)


def _array(kind: Any, n_rows: int, values: Any, found: Any) -> Array:
    """Return a kernel's values and validity bits as an Arrow array of type `kind`."""
    return pa.Array.from_buffers(
        kind, n_rows, [_bitmap(found), pa.py_buffer(values)], found.n_missing
    )


def _bitmap(found: Any) -> Any:
    return None if found.validity is None else pa.py_buffer(found.validity)


def _numbers(column: ChunkedArray, found: Any, request: Request, params: ParameterValues) -> Array:
    """Return the numbers parsed from each row's text.

    Text that is not a number gives null, or raises StepFailed if the function is strict.
    """
    dtype = NUMBERS[request.gives]
    kind = arrow_type(dtype)
    if found.all_parsed:
        return _array(kind, len(column), found.values, found)
    wrong = found.status != PARSED
    if params["strict"]:
        row = int(np.flatnonzero(wrong)[0])
        text = content_at(column, row)
        if found.status[row] == OUT_OF_RANGE:
            raise out_of_range(row, text, dtype.name)
        assert found.status[row] == NOT_PARSEABLE
        raise not_parseable(row, text, number_text(request, params))
    kept = np.packbits(~wrong, bitorder="little")
    if found.validity is not None:
        kept &= found.validity[: len(kept)]
    n_rows = len(column)
    found.values[wrong] = 0
    return pa.Array.from_buffers(kind, n_rows, [pa.py_buffer(kept), pa.py_buffer(found.values)])


def _bucket_counts(
    column: ChunkedArray, found: BucketCounts, request: Request, params: ParameterValues
) -> Array:
    """Return the counts of each row as a struct column with one field per bucket."""
    by_bucket = np.ascontiguousarray(found.counts.T)
    columns = [_array(pa.int32(), len(column), counts, found) for counts in by_bucket]
    return pa.StructArray.from_arrays(columns, [str(k) for k in range(len(columns))])


def _bucket_count(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Any:
    counts = args[0].values
    chunks = counts.chunks if isinstance(counts, pa.ChunkedArray) else [counts]
    pieces = [chunk.field(params["bucket"]) for chunk in chunks]
    return pa.chunked_array(pieces, pa.int32())


_GIVES: Mapping[Gives, Callable[[ChunkedArray, Any, Request, ParameterValues], Any]] = {
    "count": _integers,
    "flag": _flags,
    "text": _texts,
    "piece": _texts,
    "grown_text": _texts,
    "bucket_counts": _bucket_counts,
    "parsed_integer": _numbers,
    "parsed_float": _numbers,
}
"""`(column, kernel result, request, parameters) -> Arrow column`, by the kind of result."""
KERNELS: dict[str, TextKernel] = {
    "bucket_count": _bucket_count,
    **{name: _step(request) for name, request in REQUESTED.items()},
}


def _calls(request: Request) -> Callable[..., StepCalls | None]:
    """Return a function that prepares the kernel calls of a request; see `CALLS`."""

    def calls(
        args: Sequence[Argument], given: Sequence[DataType], params: ParameterValues
    ) -> StepCalls | None:
        form = form_of(given[0])
        if form is None or form >= 0 or not conform.is_accepted_text(given[0], args[0].dtype):
            return None
        held = request.words(kernel_params(request, params))
        words = np.zeros(N_TABLE_WORDS, np.int64)
        for word, number in held.items():
            words[word] = number if isinstance(number, int) else number.ctypes.data
        words[TABLE_FAILED], words[TABLE_OFFSET_BYTES] = -1, -form
        counts = request.gives == "bucket_counts"
        if counts and params["n_buckets"] > _MOST_BUCKETS:
            return None  # they would take much memory that is kept
        values = MemoryRequest(4 * params["n_buckets"] if counts else _WIDTHS[request.gives])
        column = KernelColumn(
            0,
            form,
            values=TABLE_DATA,
            offsets=TABLE_OFFSETS,
            validity=TABLE_VALIDITY,
            validity_bit=TABLE_BIT_OFFSET,
        )
        call = KernelCall(
            written_kernel(_RUN, request.entry),
            words,
            (column,),
            {TABLE_OUT: values, TABLE_SCRATCH: scratch_of(N_SCRATCH_WORDS)},
            unless_failed=TABLE_FAILED,
            cleared=values if counts or not values.row_bytes else None,
            owners=held,
        )
        if not counts:
            return StepCalls((call,), values, values.row_bytes, 0, form)
        by_bucket, columns = _by_bucket(values, params["n_buckets"])
        return StepCalls((call, by_bucket), columns, 4, 0, form)

    return calls


def _by_bucket(counts: MemoryRequest, n_buckets: int) -> tuple[KernelCall, MemoryRequest]:
    """Return the kernel call that turns one row of counts per row into one column per bucket.

    The second item is the memory of these columns.
    """
    words, columns = np.zeros(4, np.int64), MemoryRequest(4 * n_buckets)
    words[BY_BUCKET_N] = n_buckets
    rooms = {BY_BUCKET_COUNTS: counts, BY_BUCKET_OUT: columns}
    kernel = written_kernel(_RUN, "by_bucket")
    return KernelCall(kernel, words, (), rooms, rows=BY_BUCKET_ROWS), columns


def _bucket_count_calls(
    args: Sequence[Argument], given: Sequence[DataType], params: ParameterValues
) -> StepCalls:
    return replace(args[0].values, part=params["bucket"])


_MOST_BUCKETS = 1 << 8
"""Highest number of buckets for prepared calls."""
_WIDTHS: Mapping[Gives, int] = {"count": 8, "flag": 0, "bucket_counts": 4}
"""Bytes per value of the results of prepared calls; 0 for a bool."""
CALLS: dict[str, Callable[..., StepCalls | None]] = {
    "bucket_count": _bucket_count_calls,
    **{name: _calls(request) for name, request in REQUESTED.items() if request.gives in _WIDTHS},
}
"""Steps as calls of kernels, for columns of the given Arrow types; None if not possible."""


def presence_calls(given: DataType, dtype: DType) -> StepCalls | None:
    """Return a kernel call that computes whether each row has a text; None if not possible.

    `given` is the Arrow type of the column, `dtype` the type that fit saw.
    """
    return _compared("present", [given], dtype)


def equality_calls(given: Sequence[DataType], dtype: DType) -> StepCalls | None:
    """Return a kernel call that computes whether two columns have equal texts; None if impossible.

    `given` has the Arrow types of the columns, `dtype` is the type that fit saw.
    """
    return _compared("same", given, dtype)


def _compared(entry: str, given: Sequence[DataType], dtype: DType) -> StepCalls | None:
    words = np.zeros(SIDES + 2 * SIDE_WORDS, np.int64)
    columns: list[KernelColumn] = []
    for k, one in enumerate(given):
        form, first = form_of(one), SIDES + SIDE_WORDS * k
        if form not in (-4, -8) or not conform.is_accepted_text(one, dtype):
            return None
        words[first + SIDE_OFFSET_BYTES] = -form
        columns.append(
            KernelColumn(
                k,
                form,
                values=first + SIDE_DATA,
                offsets=first + SIDE_OFFSETS,
                validity=first + SIDE_VALIDITY,
                validity_bit=first + SIDE_BIT,
            )
        )
    out, valid = MemoryRequest(0), MemoryRequest(0)
    rooms = {SAME_OUT: out, SAME_VALIDITY_OUT: valid}
    call = KernelCall(written_kernel(_RUN, entry), words, tuple(columns), rooms)
    return StepCalls((call,), out, 0, None if entry == "present" else valid)
