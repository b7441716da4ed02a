"""Functions of text on a device: one function in this module per kind of result.

`text.requests` has a row for each function of text, with its kind of result and its kernel. Counts,
flags and numbers stay on the device; text comes back to the host. A first kernel measures the text
of each row, the host adds up the lengths (it needs the offsets anyway), and a second kernel writes
the text there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from fastfeat_kernels.text import TABLE_OUT, TABLE_OUT_DATA
from fastfeat_kernels.text.requests import Gives, Request

from fastfeat.engine.gpu.columns.kernels import on_device
from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.pieces.ragged import Cost, over_spans
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import pack, validity_of
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, INT64
from fastfeat.ir.parameters import MAX_MEMORY, ParameterValues
from fastfeat.steps.on_device import DeviceKernel, DeviceStep
from fastfeat.steps.text.gpu.columns import (
    TextPiece,
    checked,
    copy_and_run,
    cost_of,
    host_texts,
    placed_words,
    result_array,
    run_rows,
    text_step,
    values_of_text,
)
from fastfeat.steps.text.gpu.hashes import bucket_count, bucket_counts, hashes
from fastfeat.steps.text.gpu.numbers import numbers
from fastfeat.steps.text.growth import check_growth
from fastfeat.steps.text.rows import REQUESTED


def _counts(request: Request) -> DeviceStep:
    """Return the function that computes a step with one int64 per row."""

    def work(runtime: Runtime, column: ChunkedArray, params: ParameterValues) -> Any:
        words, _held = placed_words(runtime, request, params)

        def of_piece(piece: TextPiece) -> DeviceArray:
            out = runtime.allocate(8 * piece.n_rows)
            places = {**words, TABLE_OUT: out.address}
            report = run_rows(runtime, request.subject, request.entry, piece, places)
            checked(piece, report.failed)
            return result_array(piece, INT64, out)

        cost = cost_of(request, 8)
        return values_of_text(runtime, column, INT64, cost, of_piece, request.reads)

    return text_step(work)


def _flags(request: Request) -> DeviceStep:
    """Return the function that computes a step with one bool per row."""

    def work(runtime: Runtime, column: ChunkedArray, params: ParameterValues) -> Any:
        words, _held = placed_words(runtime, request, params)

        def of_piece(piece: TextPiece) -> DeviceArray:
            out = runtime.allocate(word_bytes(piece.n_rows))
            places = {**words, TABLE_OUT: out.address}
            report = run_rows(runtime, request.subject, request.entry, piece, places)
            checked(piece, report.failed)
            return result_array(piece, BOOL, out)

        cost = cost_of(request, 1 / 8)
        return values_of_text(runtime, column, BOOL, cost, of_piece, request.reads)

    return text_step(work)


def _texts(request: Request) -> DeviceStep:
    """Return the function that computes a step with one text per row."""

    def work(runtime: Runtime, column: ChunkedArray, params: ParameterValues) -> Any:
        words, _held = placed_words(runtime, request, params)
        if request.gives == "grown_text":
            given: dict[str, Any] = {"max_memory": MAX_MEMORY, **params, "literal": True}
            check_growth(column, **given)

        def of_piece(piece: TextPiece) -> Array:
            return _written(runtime, request, piece, words)

        texts, cost = host_texts(column), Cost(16, 1 + request.growth)
        made = over_spans(runtime, texts.offsets, cost, copy_and_run(runtime, texts, of_piece))
        return pa.chunked_array(made, pa.large_string())

    return text_step(work)


def _written(
    runtime: Runtime, request: Request, piece: TextPiece, words: Mapping[int, int]
) -> Array:
    """Return the resulting text of a piece; one kernel measures it, another writes it."""
    subject, entry = request.subject, request.entry
    lengths, offsets = runtime.allocate(8 * piece.n_rows), np.zeros(piece.n_rows + 1, np.int64)
    places = {**words, TABLE_OUT: lengths.address}
    report = run_rows(runtime, subject, f"measure_{entry}", piece, places)
    checked(piece, report.failed)
    runtime.download(lengths, offsets[1:])
    runtime.synchronize()
    np.cumsum(offsets, out=offsets)
    data, starts = np.empty(int(offsets[-1]), np.uint8), on_device(runtime, offsets)
    written = runtime.allocate(max(1, data.nbytes))
    places = {**words, TABLE_OUT: starts.address, TABLE_OUT_DATA: written.address}
    run_rows(runtime, subject, f"write_{entry}", piece, places)
    runtime.download(written, data)
    runtime.synchronize()
    buffers = [_bitmap(piece.rows), pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), piece.n_rows, buffers)


def _bitmap(rows: ChunkedArray) -> Any:
    return pack(validity_of(rows).to_numpy()) if rows.null_count else None


_GIVES: Mapping[Gives, Callable[[Request], DeviceStep]] = {
    "count": _counts,
    "flag": _flags,
    "text": _texts,
    "piece": _texts,
    "grown_text": _texts,
    "bucket_counts": bucket_counts,
    "parsed_integer": numbers,
    "parsed_float": numbers,
}
"""The step of a function, by the kind of its result."""
KERNELS = {
    "bucket_count": DeviceKernel(bucket_count),
    "hash": DeviceKernel(hashes),
    **{name: DeviceKernel(_GIVES[request.gives](request)) for name, request in REQUESTED.items()},
}
