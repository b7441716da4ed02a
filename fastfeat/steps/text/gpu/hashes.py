"""Hashes of text on a device: of whole texts, and of n-grams and tokens, counted in buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels import hashing
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.hashing import cuda
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.text import (
    TABLE_BIT_OFFSET,
    TABLE_DATA,
    TABLE_N_BUCKETS,
    TABLE_OFFSETS,
    TABLE_OUT,
    TABLE_VALIDITY,
)
from fastfeat_kernels.text.requests import Request, signed_seed

from fastfeat.engine.gpu.columns.kernels import launch_rows
from fastfeat.engine.gpu.pieces.ragged import Cost, array_on_host, compute_column
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import INT32, UINT64
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.on_device import DeviceStep
from fastfeat.steps.step import Argument
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

_OFFSET_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class DeviceCounts:
    """Counts on a device, one column per bucket: the argument of the step "bucket_count"."""

    buckets: tuple[DeviceArray, ...]


def _hash(runtime: Runtime, column: ChunkedArray, params: ParameterValues) -> Any:
    """Return the hash of each row's text, or the hash's bucket."""
    n_buckets = params["n_buckets"]
    dtype, width = (UINT64, 8) if n_buckets is None else (INT32, 4)

    def of_piece(piece: TextPiece) -> DeviceArray:
        out = runtime.allocate(width * piece.n_rows)
        header = [1, signed_seed(params["seed"]), out.address, n_buckets or 0]
        table = np.array([*header, *_column_words(piece)], np.int64)
        module = runtime.module(cuda.text(runtime.geometry.block))
        launch_rows(runtime, module, cuda.KERNELS[TEXT], table, 0, piece.n_rows)
        return result_array(piece, dtype, out)

    return values_of_text(runtime, column, dtype, Cost(width, 1), of_piece, "words")


def _column_words(piece: TextPiece) -> list[int]:
    """Return the words that tell hashing kernels where the rows of a piece are."""
    words = {
        hashing.VALUES: piece.words[TABLE_DATA],
        hashing.VALIDITY: piece.words.get(TABLE_VALIDITY, 0),
        hashing.BIT_OFFSET: piece.words.get(TABLE_BIT_OFFSET, 0),
        hashing.ELEMENT: hashing.IS_TEXT,
        hashing.OFFSETS: piece.words[TABLE_OFFSETS],
        hashing.OFFSET_BYTES: _OFFSET_BYTES,
    }
    return [words.get(word, 0) for word in range(hashing.N_COLUMN_WORDS)]


def bucket_counts(request: Request) -> DeviceStep:
    """Return the function that computes a step: it counts n-grams or tokens per row and bucket."""

    def work(runtime: Runtime, column: ChunkedArray, params: ParameterValues) -> Any:
        words, _held = placed_words(runtime, request, params)

        def of_piece(piece: TextPiece) -> DeviceCounts:
            return _counted(runtime, request, piece, words)

        def brought(made: DeviceCounts) -> Array:
            return _struct(runtime, made)

        n_buckets, texts = words[TABLE_N_BUCKETS], host_texts(column)
        kind = pa.struct([(str(k), pa.int32()) for k in range(n_buckets)])
        counted = copy_and_run(runtime, texts, of_piece, request.reads)
        cost = cost_of(request, 4 * n_buckets)
        return compute_column(runtime, texts.offsets, kind, cost, counted, brought)

    return text_step(work, _struct)


def _counted(
    runtime: Runtime, request: Request, piece: TextPiece, words: Mapping[int, int]
) -> DeviceCounts:
    n, n_buckets = piece.n_rows, words[TABLE_N_BUCKETS]
    out = runtime.allocate(4 * n * n_buckets)
    runtime.zero(out)
    places = {**words, TABLE_OUT: out.address}
    report = run_rows(runtime, request.subject, request.entry, piece, places)
    checked(piece, report.failed)
    starts = range(0, 4 * n * n_buckets, 4 * n)
    return DeviceCounts(tuple(result_array(piece, INT32, out, start) for start in starts))


def _struct(runtime: Runtime, made: DeviceCounts) -> Array:
    """Return counts as a struct array in host memory."""
    columns = [array_on_host(runtime, bucket) for bucket in made.buckets]
    counts: Array = pa.StructArray.from_arrays(columns, [str(k) for k in range(len(columns))])
    return counts


def bucket_count(
    runtime: Runtime, args: Sequence[Argument], params: ParameterValues, n_rows: int
) -> Any:
    """Return the column of counts of one bucket."""
    counts, bucket = args[0].values, int(params["bucket"])
    if isinstance(counts, DeviceCounts):
        return counts.buckets[bucket]
    return pa.chunked_array([chunk.field(bucket) for chunk in counts.chunks], pa.int32())


hashes = text_step(_hash)
"""The step for hashes of text, or their buckets."""
