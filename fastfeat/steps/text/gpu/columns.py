"""Copy columns of text to a device, in pieces (ranges of rows) that fit, for text kernels.

The offsets of a piece are 64-bit offsets of the whole column. Its bytes are contiguous, however
many chunks the column has. A kernel reads a table of 64-bit words: addresses and parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.text import (
    TABLE_BIT_OFFSET,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_FOUND,
    TABLE_OFFSETS,
    TABLE_VALIDITY,
    cuda,
)
from fastfeat_kernels.text.requests import Request, TextAccess
from numpy.typing import NDArray

from fastfeat.engine.gpu.columns.kernels import download_array, launch_rows, on_device
from fastfeat.engine.gpu.columns.memory import bytes_at, fill_column, laid_out, place_column
from fastfeat.engine.gpu.pieces.ragged import Cost, array_on_host, compute_values
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import validity_of
from fastfeat.io.columns.strings import TextChunk, text_chunks
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.entries import content_column, over_entries
from fastfeat.steps.on_device import DeviceStep
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.text.rows import NOT_UTF8, kernel_params

TextResultT = TypeVar("TextResultT")
DeviceTextFunction = Callable[[Runtime, ChunkedArray, ParameterValues], Any]
_WORD_BYTES = 8


class _Part(NamedTuple):
    """The bytes of a chunk: offset of the first in the column, host address, number of bytes."""

    first: int
    address: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class HostTexts:
    """A column of text in host memory.

    Args:
        column: Text or bytes, without dictionary.
        offsets: Offset of each row's first byte, and the end, shape (n_rows + 1,); the first may be
            any number.
        parts: The bytes of each chunk, in order.
    """

    column: ChunkedArray
    offsets: Int64Array
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A range of rows of a column of text, copied to a device.

    Args:
        start: Number of the first row in the column.
        rows: The rows in host memory.
        offsets: The column's offsets of these rows.
        words: Words that tell a kernel where the rows are, by their position in its table.
        owners: The device buffers that hold the rows.
    """

    start: int
    rows: ChunkedArray
    offsets: Int64Array
    words: Mapping[int, int]
    owners: tuple[object, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def validity(self) -> tuple[int, int]:
        """Address of the validity bitmap, 0 if no row is missing, and the bit of the first row."""
        return self.words.get(TABLE_VALIDITY, 0), self.words.get(TABLE_BIT_OFFSET, 0)


class PlacedWords(NamedTuple):
    """The words of a kernel's table for a function's parameters, and the memory they point to.

    Args:
        words: Words by their position in the table.
        held: Buffers that must live until the kernels have run.
    """

    words: dict[int, int]
    held: tuple[Buffer, ...]


class PieceReport(NamedTuple):
    """A kernel's report about a piece: the first row that failed, and status bits of all rows."""

    failed: int | None
    found: int


def host_texts(column: ChunkedArray) -> HostTexts:
    """Return a column of text with its offsets as int64.

    A single chunk's offsets are not copied.
    """
    chunks = text_chunks(column)
    own = [_offsets_of(chunk) for chunk in chunks]
    end = int(own[0][0]) if own else 0
    joined, parts = [np.array([end], np.int64)], list[_Part]()
    for chunk, offsets in zip(chunks, own, strict=True):
        begin = int(offsets[0])
        n_bytes = int(offsets[-1]) - begin
        parts.append(_Part(end, chunk.data + begin, n_bytes))
        joined.append(offsets[1:] + (end - begin))
        end += n_bytes
    return HostTexts(column, own[0] if len(own) == 1 else np.concatenate(joined), tuple(parts))


def _offsets_of(chunk: TextChunk) -> NDArray[np.int64]:
    n_bytes = (chunk.length + 1) * chunk.offset_bytes
    held = bytes_at(chunk.offsets, n_bytes).view(f"i{chunk.offset_bytes}")
    return held.astype(np.int64, copy=False)


def upload_piece(
    runtime: Runtime, texts: HostTexts, start: int, stop: int, reads: TextAccess = "bytes"
) -> TextPiece:
    """Copy rows [start, stop), at least one, to the device.

    `reads` says how much of the text kernels read; with "offsets", no bytes are copied.
    """
    rows, offsets = texts.column.slice(start, stop - start), texts.offsets[start : stop + 1]
    first, end = int(offsets[0]), int(offsets[-1])
    held = on_device(runtime, np.ascontiguousarray(offsets))
    data = _upload_bytes(runtime, texts, first, first if reads == "offsets" else end, reads)
    words = {TABLE_OFFSETS: held.address, TABLE_DATA: data.address - first}
    if not rows.null_count:
        return TextPiece(start, rows, offsets, words, (held, data))
    present = validity_of(rows)
    memory = place_column(runtime, present, BOOL, len(rows))
    fill_column(runtime, memory, present, BOOL)
    bits = laid_out(memory, present, BOOL)
    words |= {TABLE_VALIDITY: bits.values, TABLE_BIT_OFFSET: bits.value_bit}
    return TextPiece(start, rows, offsets, words, (held, data, memory))


def _upload_bytes(
    runtime: Runtime, texts: HostTexts, first: int, end: int, reads: TextAccess
) -> Buffer:
    unit = _WORD_BYTES if reads == "words" else 1
    buffer = runtime.allocate(max(1, -(-(end - first) // unit)) * unit)
    for part in texts.parts:
        low, high = max(first, part.first), min(end, part.first + part.n_bytes)
        if low < high:
            content = bytes_at(part.address + low - part.first, high - low)
            runtime.upload(content, buffer, low - first)
    return buffer


def run_rows(
    runtime: Runtime, subject: str, kernel: str, piece: TextPiece, words: Mapping[int, int]
) -> PieceReport:
    """Run a kernel over the rows of a piece, and wait for its report.

    `subject` is one of `cuda.SUBJECTS`. `words` are further words of the kernel's table, besides
    those in `piece`.
    """
    report = on_device(runtime, np.array([cuda.NO_ROW, 0], np.int64))
    places = {TABLE_FAILED: report.address, TABLE_FOUND: report.address + 8}
    table = cuda.table_words({**piece.words, **words, **places})
    module = runtime.module(cuda.text(subject, runtime.geometry.block))
    launch_rows(runtime, module, kernel, table, 0, piece.n_rows)
    failed, found = download_array(runtime, report, np.int64, 2).tolist()
    return PieceReport(None if failed == cuda.NO_ROW else failed, found)


def copy_and_run(
    runtime: Runtime,
    texts: HostTexts,
    work: Callable[[TextPiece], TextResultT],
    reads: TextAccess = "bytes",
) -> Callable[[int, int], TextResultT]:
    """Return a function of (first row, end) that copies the rows to the device and runs `work`."""
    return lambda start, stop: work(upload_piece(runtime, texts, start, stop, reads))


def values_of_text(
    runtime: Runtime,
    column: ChunkedArray,
    dtype: DType,
    cost: Cost,
    work: Callable[[TextPiece], DeviceArray],
    reads: TextAccess = "bytes",
) -> Any:
    """Return a column computed from text, one value per row; see `ragged.compute_column`.

    `column` has no dictionary. `work` computes the values of a piece; `cost` is the memory it
    takes, and `reads` says how much of the text it reads.
    """
    texts = host_texts(column)
    return compute_values(
        runtime, texts.offsets, dtype, cost, copy_and_run(runtime, texts, work, reads)
    )


def text_step(
    work: DeviceTextFunction, brought: Callable[[Runtime, Any], Array] = array_on_host
) -> DeviceStep:
    """Return the function that computes a step of text on a device, by `work`.

    For a dictionary column, `work` gets the entries, and the host looks up their results for the
    rows. `work` takes a column without dictionary and returns a column on the device or a chunked
    array. `brought` copies a column on the device to a host array.
    """

    def step(
        runtime: Runtime, args: Sequence[Argument], params: ParameterValues, n_rows: int
    ) -> Any:
        def of_entries(entries: ChunkedArray) -> Array:
            made = work(runtime, entries, params)
            is_there = isinstance(made, pa.ChunkedArray)
            return made.combine_chunks() if is_there else brought(runtime, made)

        column = content_column(args[0])
        if not pa.types.is_dictionary(column.type):
            return work(runtime, column, params)
        return over_entries(column, of_entries)

    return step


def checked(piece: TextPiece, failed: int | None) -> None:
    """Raise StepFailed if a kernel reported row `failed` of a piece, which is not UTF-8."""
    if failed is not None:
        raise StepFailed(piece.start + failed, NOT_UTF8)


def result_array(piece: TextPiece, dtype: DType, values: Buffer, start: int = 0) -> DeviceArray:
    """Return the results of a piece as a column; missing text gives missing."""
    owner, (validity, bit) = (values, piece.owners), piece.validity
    return DeviceArray(dtype, piece.n_rows, values.address + start, 0, validity, bit, owner=owner)


def placed_words(runtime: Runtime, request: Request, params: ParameterValues) -> PlacedWords:
    """Return the words for a function's parameters; arrays among them are copied to the device."""
    words, held = dict[int, int](), list[Buffer]()
    for place, word in request.words(kernel_params(request, params)).items():
        if isinstance(word, int):
            words[place] = word
        else:
            held.append(on_device(runtime, word))
            words[place] = held[-1].address
    return PlacedWords(words, tuple(held))


def cost_of(request: Request, row_bytes: float) -> Cost:
    """Return the device memory that a function takes.

    `row_bytes` is the memory per row, besides the row's text.
    """
    return Cost(row_bytes, 0 if request.reads == "offsets" else 1)
