"""Copy columns of lists to a device, in pieces (ranges of rows), in the form that kernels read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.lists import cuda
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.gpu.columns.kernels import download_array, launch_rows, on_device
from fastfeat.engine.gpu.columns.memory import (
    DeviceColumn,
    fill_column,
    laid_out,
    place_column,
    word_bytes,
)
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.lists import lists_of
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.lists.rows import element_type
from fastfeat.steps.step import Argument

ListResultT = TypeVar("ListResultT")
BIT_BYTES: float = 1 / 8


@dataclass(frozen=True, slots=True)
class HostLists:
    """A column of lists in host memory.

    Args:
        argument: The argument of the step.
        offsets: Position of each row's first element, and the end, shape (n_rows + 1,).
        elements: The elements of all rows, of type `io.columns.types.storage_type`.
        present: Whether each row has a list; None if all do.
        dtype: Type of the elements.
    """

    argument: Argument
    offsets: Int64Array
    elements: Array
    present: BoolArray | None
    dtype: DType

    @property
    def stored(self) -> DType:
        """The storage type of the elements: times are integers."""
        return DType(storage(self.dtype))

    @property
    def width(self) -> int:
        """Bytes per element; 0 for bools, which are bits."""
        return 0 if self.stored == BOOL else np.dtype(self.stored.name).itemsize


@dataclass(frozen=True, slots=True)
class ListPiece:
    """A range of rows of a column of lists, copied to a device.

    Args:
        lists: The column.
        start: The first row.
        n_rows: Number of rows.
        words: The 64-bit words that tell a kernel where the rows are, by name.
        owners: The device buffers that hold the rows.
    """

    lists: HostLists
    start: int
    n_rows: int
    words: Mapping[str, int]
    owners: tuple[object, ...]


DeviceListFunction = Callable[[Runtime, HostLists, Sequence[Argument], ParameterValues], Any]
"""`(runtime, lists, arguments, parameters) -> column`."""


def host_lists(argument: Argument) -> HostLists:
    """Return the column of a step's argument as lists in host memory."""
    dtype, lists = element_type([argument.dtype]), lists_of(argument.values)
    return HostLists(argument, lists.offsets, lists.values, lists.present, dtype)


def copy_and_run(
    runtime: Runtime,
    lists: HostLists,
    work: Callable[[ListPiece], ListResultT],
    *,
    with_elements: bool = True,
) -> Callable[[int, int], ListResultT]:
    """Return a function of (first row, end) that copies these rows to the device and runs `work`.

    `with_elements` says whether `work` reads elements too, not only offsets.
    """

    def of_rows(start: int, stop: int) -> ListResultT:
        return work(_upload(runtime, lists, start, stop, with_elements))

    return of_rows


def _upload(
    runtime: Runtime, lists: HostLists, start: int, stop: int, with_elements: bool
) -> ListPiece:
    offsets = lists.offsets[start : stop + 1]
    held = on_device(runtime, np.ascontiguousarray(offsets))
    words: dict[str, int] = {"OFFSETS": held.address}
    owners: list[object] = [held]
    if lists.present is not None:
        bits = bits_on_device(runtime, lists.present[start:stop])
        words["LISTS"] = bits.address
        owners.append(bits)
    if with_elements:
        first, end = int(offsets[0]), int(offsets[-1])
        column = _elements(runtime, lists, first, end)
        words |= _element_words(lists, column, first)
        owners.append(column.owners)
    return ListPiece(lists, start, stop - start, words, tuple(owners))


def bits_on_device(runtime: Runtime, flags: BoolArray) -> Buffer:
    """Return flags as bits on the device, in whole 64-bit words."""
    packed = np.zeros(word_bytes(len(flags)), np.uint8)
    packed[: -(-len(flags) // 8)] = np.packbits(flags, bitorder="little")
    return on_device(runtime, packed)


def _elements(runtime: Runtime, lists: HostLists, first: int, end: int) -> DeviceColumn:
    """Copy elements [first, end) to the device."""
    if first == end:
        return DeviceColumn(0, 0, 0, 0, ())
    elements = pa.chunked_array([lists.elements.slice(first, end - first)])
    memory = place_column(runtime, elements, lists.stored, end - first)
    fill_column(runtime, memory, elements, lists.stored)
    return laid_out(memory, elements, lists.stored)


def _element_words(lists: HostLists, column: DeviceColumn, first: int) -> dict[str, int]:
    """Return the words that tell a kernel where the elements are."""
    return {
        "VALUES": column.values - first * lists.width,
        "VALUE_BIT_OFFSET": column.value_bit - first,
        "VALIDITY": column.validity,
        "BIT_OFFSET": column.bit - first,
        "ELEMENT": ELEMENTS.index(lists.stored.name),
        "WIDTH": lists.width,
    }


def run_lists(
    runtime: Runtime, kernel: str, piece: ListPiece, words: Mapping[str, int]
) -> int | None:
    """Run a kernel over the rows of a piece; return the first row that it reports, if any.

    `words` are further words that the kernel reads, by name, besides those in `piece`.
    """
    report = on_device(runtime, np.array([cuda.NO_ROW], np.int64))
    table = cuda.table_words({**piece.words, **words, "REPORT": report.address})
    module = runtime.module(cuda.text(runtime.geometry.block))
    launch_rows(runtime, module, kernel, table, 0, piece.n_rows)
    row = int(download_array(runtime, report, np.int64, 1)[0])
    return None if row == cuda.NO_ROW else row


def unit_bytes(lists: HostLists) -> float:
    """Return the bytes that an element takes on the device."""
    return (lists.width or BIT_BYTES) + BIT_BYTES


def value_array(
    piece: ListPiece, dtype: DType, values: Buffer, validity: Buffer | int
) -> DeviceArray:
    """Return results for the rows of a piece as a column; `validity` is a bitmap or its address."""
    owner, n = (values, validity, piece.owners), piece.n_rows
    at = validity if isinstance(validity, int) else validity.address
    return DeviceArray(dtype, n, values.address, validity=at, owner=owner)


def words_of(array: Array) -> NDArray[np.int64]:
    """Return the 8-byte values of an Arrow array as int64, with the same bits."""
    return np.frombuffer(array.buffers()[1], np.int64, len(array), array.offset * 8)
