"""Functions of lists on a device: one function in this module per kind of result.

`lists.requests` has a row for each function of lists, with its kind of result and its kernel. The
host computes functions of lists of text, except their lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.lists.requests import Elements, Gives, Request

from fastfeat.engine.gpu.columns.kernels import on_device
from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.pieces.ragged import Cost, compute_values, over_spans
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.columns.lists import list_array
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, UINT64, DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.lists import cpu as host
from fastfeat.steps.lists.gpu.columns import (
    BIT_BYTES,
    DeviceListFunction,
    HostLists,
    ListPiece,
    bits_on_device,
    copy_and_run,
    host_lists,
    run_lists,
    unit_bytes,
    value_array,
    words_of,
)
from fastfeat.steps.lists.gpu.sums import sums
from fastfeat.steps.lists.rows import OUT_OF_BOUNDS, REQUESTED, element_type
from fastfeat.steps.on_device import DeviceKernel, DeviceStep, argument_in_host
from fastfeat.steps.step import Argument, StepFailed


def list_step(work: DeviceListFunction) -> DeviceStep:
    """Return the function that computes a step of lists on a device, by `work`."""

    def step(
        runtime: Runtime, args: Sequence[Argument], params: ParameterValues, n_rows: int
    ) -> Any:
        given = [argument_in_host(runtime, arg) for arg in args]
        return work(runtime, host_lists(given[0]), given, params)

    return step


def _length(request: Request) -> DeviceListFunction:
    def work(
        runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: ParameterValues
    ) -> Any:
        def of_piece(piece: ListPiece) -> DeviceArray:
            out = runtime.allocate(8 * piece.n_rows)
            run_lists(runtime, request.kernel, piece, {"OUT": out.address})
            return value_array(piece, INT64, out, piece.words.get("LISTS", 0))

        of_rows = copy_and_run(runtime, lists, of_piece, with_elements=request.reads_elements)
        return compute_values(runtime, lists.offsets, INT64, Cost(8, 0), of_rows)

    return work


def _element(request: Request) -> DeviceListFunction:
    def work(
        runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: ParameterValues
    ) -> Any:
        def of_piece(piece: ListPiece) -> DeviceArray:
            n = piece.n_rows
            out = runtime.allocate(n * lists.width or word_bytes(n))
            validity = runtime.allocate(word_bytes(n))
            places = {"OUT": out.address, "OUT_VALIDITY": validity.address}
            outside = run_lists(runtime, request.kernel, piece, {**request.words(params), **places})
            if outside is not None and not params.get("null_on_oob", True):
                told = OUT_OF_BOUNDS.format(index=params["index"])
                raise StepFailed(piece.start + outside, told, InvalidData)
            return value_array(piece, lists.dtype, out, validity)

        cost = Cost((lists.width or BIT_BYTES) + BIT_BYTES, unit_bytes(lists))
        of_rows = copy_and_run(runtime, lists, of_piece)
        return compute_values(runtime, lists.offsets, lists.dtype, cost, of_rows)

    return work


def _end(request: Request) -> DeviceListFunction:
    def work(
        runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: ParameterValues
    ) -> Any:
        dtype = FLOAT64 if lists.dtype.is_float else INT64
        dtype = UINT64 if lists.dtype == UINT64 else dtype

        def of_piece(piece: ListPiece) -> DeviceArray:
            out = runtime.allocate(8 * piece.n_rows)
            validity = runtime.allocate(word_bytes(piece.n_rows))
            places = {"OUT": out.address, "OUT_VALIDITY": validity.address}
            run_lists(runtime, request.kernel, piece, {**request.words(params), **places})
            return value_array(piece, dtype, out, validity)

        cost = Cost(8 + BIT_BYTES, unit_bytes(lists))
        return compute_values(
            runtime, lists.offsets, dtype, cost, copy_and_run(runtime, lists, of_piece)
        )

    return work


def _contains(request: Request) -> DeviceListFunction:
    def work(
        runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: ParameterValues
    ) -> Any:
        items = host.items_of(args[1], lists.dtype)
        values = words_of(items.keys)
        is_key = present_rows(items.keys)
        present = items.known if lists.present is None else items.known & lists.present

        def of_piece(piece: ListPiece) -> DeviceArray:
            rows, n = slice(piece.start, piece.start + piece.n_rows), piece.n_rows
            held, out = on_device(runtime, values[rows]), runtime.allocate(word_bytes(n))
            words = {"ITEMS": held.address, "OUT": out.address}
            has_item = None if is_key is None else bits_on_device(runtime, is_key[rows])
            if has_item is not None:
                words["HAS_ITEM"] = has_item.address
            run_lists(runtime, request.kernel, piece, words)
            return value_array(piece, BOOL, out, bits_on_device(runtime, present[rows]))

        cost = Cost(8 + 3 * BIT_BYTES, unit_bytes(lists))
        return compute_values(
            runtime, lists.offsets, BOOL, cost, copy_and_run(runtime, lists, of_piece)
        )

    return work


def _slice(request: Request) -> DeviceListFunction:
    def work(
        runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: ParameterValues
    ) -> Any:
        def of_piece(piece: ListPiece) -> Array:
            return _written(runtime, request.kernel, piece, request.words(params))

        cost = Cost(16, 2 * unit_bytes(lists))
        made = over_spans(runtime, lists.offsets, cost, copy_and_run(runtime, lists, of_piece))
        return pa.concat_arrays(made) if made else args[0].values.chunk(0)

    return work


def _written(runtime: Runtime, kernel: str, piece: ListPiece, words: Mapping[str, int]) -> Array:
    """Return the slice of each list of a piece.

    One kernel measures the slices, another writes them.
    """
    lengths, offsets = runtime.allocate(8 * piece.n_rows), np.zeros(piece.n_rows + 1, np.int64)
    run_lists(runtime, f"measure_{kernel}", piece, {**words, "OUT": lengths.address})
    runtime.download(lengths, offsets[1:])
    runtime.synchronize()
    np.cumsum(offsets, out=offsets)
    n, lists = int(offsets[-1]), piece.lists
    data = np.empty(n * lists.width or word_bytes(n), np.uint8)
    bits = np.empty(word_bytes(n), np.uint8)
    out, validity = runtime.allocate(data.nbytes), runtime.allocate(bits.nbytes)
    runtime.zero(out)
    runtime.zero(validity)
    starts = on_device(runtime, offsets)
    places = {"OUT": out.address, "OUT_VALIDITY": validity.address, "OUT_OFFSETS": starts.address}
    run_lists(runtime, f"write_{kernel}", piece, {**words, **places})
    runtime.download(out, data)
    runtime.download(validity, bits)
    runtime.synchronize()
    buffers = [pa.py_buffer(bits), pa.py_buffer(data)]
    elements = pa.Array.from_buffers(lists.elements.type, n, buffers)
    rows = slice(piece.start, piece.start + piece.n_rows)
    return list_array(offsets, elements, None if lists.present is None else lists.present[rows])


_TAKES: Mapping[Elements, Callable[[DType], bool]] = {
    "any": lambda dtype: True,
    "integers and floats": lambda dtype: dtype.is_float or dtype.is_integer,
    "numbers": lambda dtype: dtype.is_number,
    "values": lambda dtype: dtype.is_number or dtype.is_temporal,
}
_GIVES: Mapping[Gives, Callable[[Request], DeviceListFunction]] = {
    "element": _element,
    "end": _end,
    "flag": _contains,
    "length": _length,
    "mean": sums,
    "slice": _slice,
    "sum": sums,
}
"""Functions that compute a request, by the kind of its result."""


def _kernel(request: Request) -> DeviceKernel:
    takes, step = _TAKES[request.elements], list_step(_GIVES[request.gives](request))
    return DeviceKernel(step, lambda types: takes(element_type(types)))


KERNELS = {name: _kernel(request) for name, request in REQUESTED.items()}
