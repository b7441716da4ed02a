"""Functions of lists on a device: lengths, elements, ends, slices, whether an item is contained.

Lists of text, but for their lengths, are the host's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.lists import cuda
from numpy.typing import NDArray

from fastfeat.dtypes import BOOL, FLOAT64, INT64, UINT64, DType
from fastfeat.engine.gpu.columns.kernels import on_device
from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.pieces.ragged import Cost, made_values, over_spans
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.bits import present_rows
from fastfeat.io.columns.lists import list_array
from fastfeat.io.device import DeviceArray
from fastfeat.steps.lists import cpu as host
from fastfeat.steps.lists.cpu import within_reach
from fastfeat.steps.lists.gpu.columns import (
    HostLists,
    ListPiece,
    bits_on_device,
    host_lists,
    placed,
    run_lists,
)
from fastfeat.steps.lists.rows import OUT_OF_BOUNDS
from fastfeat.steps.on_device import DeviceStep, Params, argument_in_host
from fastfeat.steps.step import Argument, StepFailed

Work = Callable[[Runtime, HostLists, Sequence[Argument], Params], Any]

Takes = Callable[[DType], bool]
"""Says whether a step takes elements of a type."""
BIT_BYTES: float = 1 / 8


def list_step(work: Work) -> DeviceStep:
    """Return the step of a function of lists."""

    def step(runtime: Runtime, args: Sequence[Argument], params: Params, n_rows: int) -> Any:
        given = [argument_in_host(runtime, arg) for arg in args]
        return work(runtime, host_lists(given[0]), given, params)

    return step


def unit_bytes(lists: HostLists) -> float:
    """Return the memory that an element takes."""
    return (lists.width or BIT_BYTES) + BIT_BYTES


def value_array(
    piece: ListPiece, dtype: DType, values: Buffer, validity: Buffer | int
) -> DeviceArray:
    """Return values of the rows of a piece.

    Args:
        piece: the rows.
        dtype: of the values.
        values: holds them.
        validity: their bitmap, or its address.
    """
    owner, n = (values, validity, piece.owners), piece.n_rows
    at = validity if isinstance(validity, int) else validity.address
    return DeviceArray(dtype, n, values.address, validity=at, owner=owner)


def words_of(array: Array) -> NDArray[np.int64]:
    """Return the values of an Arrow array, of 8 bytes each, as integers of the same bits."""
    return np.frombuffer(array.buffers()[1], np.int64, len(array), array.offset * 8)


def _len(runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: Params) -> Any:
    def of_piece(piece: ListPiece) -> DeviceArray:
        out = runtime.allocate(8 * piece.n_rows)
        run_lists(runtime, "list_lengths", piece, {"OUT": out.address})
        return value_array(piece, INT64, out, piece.words.get("LISTS", 0))

    work = placed(runtime, lists, of_piece, with_elements=False)
    return made_values(runtime, lists.offsets, INT64, Cost(8, 0), work)


def _get(runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: Params) -> Any:
    index, null_on_oob = params["index"], params.get("null_on_oob", True)

    def of_piece(piece: ListPiece) -> DeviceArray:
        n = piece.n_rows
        out = runtime.allocate(n * lists.width or word_bytes(n))
        validity = runtime.allocate(word_bytes(n))
        words = {"OUT": out.address, "OUT_VALIDITY": validity.address, "INDEX": within_reach(index)}
        outside = run_lists(runtime, "list_get", piece, words)
        if outside is not None and not null_on_oob:
            told = OUT_OF_BOUNDS.format(index=index)
            raise StepFailed(piece.start + outside, told, InvalidData)
        return value_array(piece, lists.dtype, out, validity)

    cost = Cost((lists.width or BIT_BYTES) + BIT_BYTES, unit_bytes(lists))
    work = placed(runtime, lists, of_piece)
    return made_values(runtime, lists.offsets, lists.dtype, cost, work)


def _end(function: int) -> Work:
    """Return what finds the least or the greatest element of each list."""

    def work(runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: Params) -> Any:
        dtype = FLOAT64 if lists.dtype.is_float else INT64
        dtype = UINT64 if lists.dtype == UINT64 else dtype

        def of_piece(piece: ListPiece) -> DeviceArray:
            out = runtime.allocate(8 * piece.n_rows)
            validity = runtime.allocate(word_bytes(piece.n_rows))
            places = {"OUT": out.address, "OUT_VALIDITY": validity.address}
            run_lists(runtime, "list_ends", piece, {**places, "FUNCTION": function})
            return value_array(piece, dtype, out, validity)

        cost = Cost(8 + BIT_BYTES, unit_bytes(lists))
        return made_values(runtime, lists.offsets, dtype, cost, placed(runtime, lists, of_piece))

    return work


def _contains(runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: Params) -> Any:
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
        run_lists(runtime, "list_contains", piece, words)
        return value_array(piece, BOOL, out, bits_on_device(runtime, present[rows]))

    cost = Cost(8 + 3 * BIT_BYTES, unit_bytes(lists))
    return made_values(runtime, lists.offsets, BOOL, cost, placed(runtime, lists, of_piece))


def _slice(runtime: Runtime, lists: HostLists, args: Sequence[Argument], params: Params) -> Any:
    length = params.get("length")
    words = {
        "INDEX": within_reach(params["offset"]),
        "LENGTH": cuda.NO_LENGTH if length is None else within_reach(length),
    }

    def of_piece(piece: ListPiece) -> Array:
        return _written(runtime, piece, words)

    cost = Cost(16, 2 * unit_bytes(lists))
    made = over_spans(runtime, lists.offsets, cost, placed(runtime, lists, of_piece))
    return pa.concat_arrays(made) if made else args[0].values.chunk(0)


def _written(runtime: Runtime, piece: ListPiece, words: Mapping[str, int]) -> Array:
    """Return the slices of a piece: measured, then written."""
    lengths, offsets = runtime.allocate(8 * piece.n_rows), np.zeros(piece.n_rows + 1, np.int64)
    run_lists(runtime, "measure_slices", piece, {**words, "OUT": lengths.address})
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
    run_lists(runtime, "write_slices", piece, {**words, **places})
    runtime.download(out, data)
    runtime.download(validity, bits)
    runtime.synchronize()
    buffers = [pa.py_buffer(bits), pa.py_buffer(data)]
    elements = pa.Array.from_buffers(lists.elements.type, n, buffers)
    rows = slice(piece.start, piece.start + piece.n_rows)
    return list_array(offsets, elements, None if lists.present is None else lists.present[rows])


def _has_elements(dtype: DType) -> bool:
    """Return whether kernels read elements of a type: numbers and times."""
    return dtype.is_number or dtype.is_temporal


def _has_ends(dtype: DType) -> bool:
    return dtype.is_float or dtype.is_integer


KERNELS: dict[str, DeviceStep] = {
    "list.contains": list_step(_contains),
    "list.get": list_step(_get),
    "list.len": list_step(_len),
    "list.max": list_step(_end(cuda.MAX)),
    "list.min": list_step(_end(cuda.MIN)),
    "list.slice": list_step(_slice),
}
TAKES: dict[str, Takes] = {
    "list.contains": _has_elements,
    "list.get": _has_elements,
    "list.max": _has_ends,
    "list.min": _has_ends,
    "list.slice": _has_elements,
}
"""The types of elements that a function takes, where that are not all."""
