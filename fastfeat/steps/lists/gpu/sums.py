"""Exact sums and means of lists on a device; the host computes rows that the kernel cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.lists.requests import Request
from numpy.typing import NDArray

from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.pieces.ragged import Cost, compute_values
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import FLOAT64, INT64
from fastfeat.steps.lists import cpu as host
from fastfeat.steps.lists.gpu.columns import (
    BIT_BYTES,
    DeviceListFunction,
    HostLists,
    ListPiece,
    copy_and_run,
    run_lists,
    unit_bytes,
    value_array,
    words_of,
)
from fastfeat.steps.step import Argument, StepFailed


class _Sums(NamedTuple):
    """The sums of a piece: values, their bitmap, and flags of rows that the kernel left out."""

    piece: ListPiece
    values: Buffer
    validity: Buffer
    left: Buffer


def sums(request: Request) -> DeviceListFunction:
    """Return the function that computes the sum or the mean of each list on a device."""

    def work(
        runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: Mapping[str, Any]
    ) -> Any:
        is_float = lists.dtype.is_float
        kernel = request.kernel if is_float or not request.of_integers else request.of_integers
        dtype = FLOAT64 if is_float or request.gives == "mean" else INT64

        def of_piece(piece: ListPiece) -> DeviceArray:
            n = piece.n_rows
            values, left = runtime.allocate(8 * n), runtime.allocate(n)
            found = _Sums(piece, values, runtime.allocate(word_bytes(n)), left)
            places = {
                "OUT": found.values.address,
                "OUT_VALIDITY": found.validity.address,
                "LEFT": found.left.address,
            }
            if run_lists(runtime, kernel, piece, {**request.words(params), **places}) is not None:
                _complete(runtime, request, found, params)
            return value_array(piece, dtype, found.values, found.validity)

        cost = Cost(8 + 1 + BIT_BYTES, unit_bytes(lists))
        return compute_values(
            runtime, lists.offsets, dtype, cost, copy_and_run(runtime, lists, of_piece)
        )

    return work


def _complete(runtime: Runtime, request: Request, found: _Sums, params: Mapping[str, Any]) -> None:
    """Compute on the host the rows that the kernel left out; add them to `found`."""
    n = found.piece.n_rows
    left, values = np.empty(n, np.bool_), np.empty(n, np.int64)
    bits = np.empty(word_bytes(n), np.uint8)
    for buffer, array in zip(found[1:], (values, bits, left), strict=True):
        runtime.download(buffer, array)
    runtime.synchronize()
    rows = np.flatnonzero(left)
    result = _on_host(request, found.piece, rows, params)
    values[rows] = words_of(result)
    present = np.unpackbits(bits, bitorder="little")
    known = present_rows(result)
    present[rows] = 1 if known is None else known
    runtime.upload(values, found.values)
    runtime.upload(np.packbits(present, bitorder="little"), found.validity)


def _on_host(
    request: Request, piece: ListPiece, rows: NDArray[np.intp], params: Mapping[str, Any]
) -> Array:
    """Return the sums of the given rows of a piece, computed by the host."""
    argument = piece.lists.argument
    chosen = argument.values.chunk(0).take(pa.array(rows + piece.start))
    given = Argument(pa.chunked_array([chosen]), argument.dtype)
    try:
        return host.KERNELS[f"list.{request.name}"]([given], params, len(rows))
    except StepFailed as failure:
        row, *told = failure.args
        raise StepFailed(piece.start + int(rows[row]), *told) from None
