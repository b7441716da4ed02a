"""Copy columns of keys to a device, in the form that kernels of keys read.

A column is one part of a key: an Arrow column in host memory, in the form of `io.columns.keys`, or
a DeviceArray of numbers. Of a dictionary column the entries go to the device, and the entry number
of each row. A kernel gets a column as a few 64-bit words, such as addresses; together the words are
the kernel's table. Numbers that kernels compute for rows stay on the device if there is room;
otherwise they are computed in pieces (ranges of rows) and copied back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from fastfeat_kernels import hashing
from fastfeat_kernels.column import ELEMENTS, TEXT
from fastfeat_kernels.hashing import cuda
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.gpu.columns.kernels import download_array, launch_rows, on_device
from fastfeat.engine.gpu.pieces.adopt import adopt
from fastfeat.engine.gpu.pieces.pieces import pieces_of, room_of_pieces
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import Array, ChunkedArray, cast, pa
from fastfeat.io.columns.bits import array_of_values, present_rows
from fastfeat.io.columns.keys import key_type
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.scalars.hashing import hash_type
from fastfeat.steps.step import Argument

_WORD_BYTES = 8
_BYTE_BITS = 8


@dataclass(frozen=True, slots=True)
class KeyRows:
    """Rows of a column of keys on a device; `hashing` defines the words that kernels read.

    Args:
        element: Type of the values, from `column.ELEMENTS`, or `column.TEXT`.
        values: Address of the first value; for text, of the byte at offset 0.
        value_bit: For bools, the bit of the first one; for a dictionary, the address of its
            indices.
        validity: Address of the bitmap; 0 if no value is missing, except NaN.
        bit: Bit of the first row in the bitmap.
        offsets: Address of the offsets of text.
        offset_bytes: Width of an offset in bytes.
        owners: Objects that keep the memory.
    """

    element: str
    values: int
    value_bit: int
    validity: int
    bit: int
    offsets: int
    offset_bytes: int
    owners: tuple[object, ...]

    def words(self, first_row: int = 0) -> list[int]:
        """Return the column's words for kernels; `first_row` is the number of its first row."""
        is_text = self.element == TEXT
        element = hashing.IS_TEXT if is_text else ELEMENTS.index(self.element)
        place = (self.values, self.value_bit, self.validity, self.bit)
        return [*place, element, self.offsets, self.offset_bytes, first_row]


def key_rows(runtime: Runtime, column: Any, dtype: DType, start: int, n: int) -> KeyRows:
    """Return rows [start, start + n) of a column of keys, copied to the device if necessary.

    A column on the host is stored as keys are. Raises InvalidData if an array is on another device
    or not aligned, and OutOfDeviceMemory.
    """
    if isinstance(column, DeviceArray):
        found = adopt(runtime, column.slice(start, n), column.name)
        place = (found.values, found.value_bit, found.validity, found.bit)
        return KeyRows(storage(column.dtype), *place, 0, 0, found.owners)
    rows = column.slice(start, n)
    if not dtype.holds_bytes:
        return _numbers(runtime, _joined(rows, key_type(dtype)))
    if not pa.types.is_dictionary(rows.type):
        return _text(runtime, _joined_text(rows.chunks, rows.type))
    entries = _text(
        runtime, _joined_text([c.dictionary for c in rows.chunks], rows.type.value_type)
    )
    indices = on_device(runtime, dictionary_codes(rows.chunks))
    return KeyRows(
        TEXT, entries.values, indices.address, entries.validity, entries.bit,
        entries.offsets, entries.offset_bytes, (indices, *entries.owners),
    )  # fmt: skip


def row_bytes(column: Any, dtype: DType) -> float:
    """Return the device memory in bytes per row of a column of keys, 0 if it is on the device.

    For text it is the mean of all rows. If much longer rows do not fit, pieces become smaller.
    """
    if isinstance(column, DeviceArray) or not len(column):
        return 0
    if not dtype.holds_bytes:
        return _WORD_BYTES + 1 / _BYTE_BITS
    return sum(_n_bytes(chunk) for chunk in column.chunks) / len(column) + 1 / _BYTE_BITS


def _n_bytes(chunk: Array) -> int:
    """Return the bytes of a text chunk: offsets and text, or dictionary codes and entries."""
    if pa.types.is_dictionary(chunk.type):
        return 4 * len(chunk) + _n_bytes(chunk.dictionary)
    if not len(chunk):
        return 0
    ends = _offsets(chunk)
    return int(ends[-1] - ends[0]) + ends.nbytes


def dictionary_codes(chunks: Sequence[Array]) -> NDArray[np.int32]:
    """Return each row's entry number, int32, counted through the dictionaries of all chunks.

    A missing row has -1.
    """
    starts = accumulate((len(chunk.dictionary) for chunk in chunks), initial=0)
    pieces = [_codes(chunk, start) for chunk, start in zip(chunks, starts, strict=False)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int32)


def _codes(chunk: Array, start: int) -> NDArray[np.int32]:
    indices, present = chunk.indices, present_rows(chunk.indices)
    filled = indices if present is None else indices.fill_null(0)
    codes = filled.to_numpy(zero_copy_only=False).astype(np.int32) + np.int32(start)
    return codes if present is None else np.where(present, codes, np.int32(-1))


def _numbers(runtime: Runtime, array: Array) -> KeyRows:
    element = "float64" if pa.types.is_floating(array.type) else str(array.type)
    if not len(array):
        return KeyRows(element, 0, 0, 0, 0, 0, 0, ())
    held = np.frombuffer(array.buffers()[1], np.uint8, 8 * len(array), 8 * array.offset)
    values = on_device(runtime, held)
    validity, bit, bitmap = _bitmap(runtime, array)
    return KeyRows(element, values.address, 0, validity, bit, 0, 0, (values, bitmap))


def _text(runtime: Runtime, array: Array) -> KeyRows:
    if not len(array):
        return KeyRows(TEXT, 0, 0, 0, 0, 0, 8, ())
    ends, data = _offsets(array), array.buffers()[2]
    first, n_bytes = int(ends[0]), int(ends[-1] - ends[0])
    content = np.frombuffer(data, np.uint8, n_bytes, first) if n_bytes else np.zeros(0, np.uint8)
    offsets, held = on_device(runtime, ends), on_device(runtime, content)
    validity, bit, bitmap = _bitmap(runtime, array)
    owners = (offsets, held, bitmap)
    return KeyRows(
        TEXT, held.address - first, 0, validity, bit, offsets.address, ends.itemsize, owners
    )


def _offsets(array: Array) -> NDArray[Any]:
    width = 8 if array.type in (pa.large_string(), pa.large_binary()) else 4
    return np.frombuffer(array.buffers()[1], f"i{width}", len(array) + 1, array.offset * width)


def _bitmap(runtime: Runtime, array: Array) -> tuple[int, int, Buffer | None]:
    """Copy a validity bitmap to the device; return its address, first bit and buffer.

    The address is 0 if no value is missing.
    """
    bitmap = array.buffers()[0]
    if bitmap is None or not array.null_count:
        return 0, 0, None
    skipped, bit = divmod(array.offset, _BYTE_BITS)
    n_bytes = -(-(bit + len(array)) // _BYTE_BITS)
    buffer = on_device(runtime, np.frombuffer(bitmap, np.uint8, n_bytes, skipped))
    return buffer.address, bit, buffer


def _joined(rows: ChunkedArray, wanted: Any) -> Array:
    return pa.concat_arrays(rows.chunks) if rows.num_chunks else pa.array([], wanted)


def _joined_text(chunks: Sequence[Array], kind: Any) -> Array:
    """Return chunks of text as one array; several chunks get 64-bit offsets."""
    if len(chunks) == 1:
        return chunks[0]
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    large = pa.large_string() if is_text else pa.large_binary()
    return pa.concat_arrays([cast(c, large) for c in chunks]) if chunks else pa.array([], large)


KEPT_SHARE = 1 / 4
"""Share of the room for pieces; columns that take more do not stay on the device."""


WriteNumbers = Callable[[int, int, int], None]
"""`(start, n, address)`: write the numbers of rows [start, start + n) to an address."""


def numbers_by(
    runtime: Runtime,
    columns: Sequence[Any],
    dtypes: Sequence[DType],
    dtype: DType,
    n_rows: int,
    write: WriteNumbers,
) -> Any:
    """Return the numbers that `write` computes for rows: a DeviceArray, or an Arrow array if large.

    `write` reads the key columns `columns`, which are as for `key_rows`. `dtype` is the type of the
    numbers; none is missing. Raises OutOfDeviceMemory if not even 64 rows fit.
    """
    width = np.dtype(storage(dtype)).itemsize
    is_kept = width * n_rows <= KEPT_SHARE * room_of_pieces(runtime)
    n_bytes = sum(row_bytes(column, d) for column, d in zip(columns, dtypes, strict=True))
    if is_kept:
        target = runtime.allocate(max(width * n_rows, width))
        for start, stop in pieces_of(runtime, n_bytes, n_rows).spans:
            write(start, stop - start, target.address + width * start)
        return DeviceArray(dtype, n_rows, target.address, owner=target)
    found = np.empty(n_rows, storage(dtype))
    for start, stop in pieces_of(runtime, n_bytes + width, n_rows).spans:
        piece = runtime.allocate(width * (stop - start))
        write(start, stop - start, piece.address)
        found[start:stop] = download_array(runtime, piece, found.dtype, stop - start)
    return array_of_values(found, None, arrow_type(dtype))


def hash_cross(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return the hash of each row's values in several columns, or the hash's bucket."""
    columns, dtypes = [arg.values for arg in args], [arg.dtype for arg in args]
    module = runtime.module(cuda.text(runtime.geometry.block))

    def write(start: int, n: int, target: int) -> None:
        pairs = zip(columns, dtypes, strict=True)
        rows = [key_rows(runtime, column, dtype, start, n) for column, dtype in pairs]
        header = [len(rows), params["seed"], target, params["n_buckets"] or 0]
        words = [*header, *(word for column in rows for word in column.words())]
        table = np.array([word % 2**64 for word in words], np.uint64)
        launch_rows(runtime, module, cuda.KERNELS["mixed"], table, 0, n)

    with settle_on_error(runtime):
        return numbers_by(runtime, columns, dtypes, hash_type(params), n_rows, write)
