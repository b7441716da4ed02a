"""Runs the text kernels over a column in chunks on the caller's threads, and collects outputs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array, Uint8Array
from fastfeat_kernels.column import ArrowTextChunk, CallRunner, ChunkRows, KernelRowCall, split_rows
from fastfeat_kernels.memory import words_at
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.text import (
    N_SCRATCH_WORDS,
    N_TABLE_WORDS,
    TABLE_BIT_OFFSET,
    TABLE_DATA,
    TABLE_FAILED,
    TABLE_FOUND,
    TABLE_OFFSET_BYTES,
    TABLE_OFFSETS,
    TABLE_OUT,
    TABLE_OUT_DATA,
    TABLE_OUT_END,
    TABLE_OUT_OFFSET_BYTES,
    TABLE_OUT_ROW,
    TABLE_OUT_START,
    TABLE_PASS,
    TABLE_SCRATCH,
    TABLE_VALIDITY,
    WRITE,
)

Offsets = npt.NDArray[np.int32 | np.int64]
Allocate = Callable[[int], Uint8Array]
"""Function that allocates a number of bytes, uninitialised."""
TextTableWords = Mapping[int, int | Int64Array]
"""For each word, one number for the tables of all calls, or one number per call."""

ROWS_PER_WORD: Final = 64  # parts begin at multiples of it, so no two threads write one bitmap word
MAX_NARROW: Final = 2**31 - 1  # bytes of text that offsets of 32 bits can reach


class InvalidUtf8(ValueError):
    """A row of the column is not UTF-8, and the function needs its characters."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} is not valid UTF-8")
        self.row = row


class MissingRows(NamedTuple):
    """Missing rows: bits in Arrow's order, None if there are none, and their number."""

    validity: Uint8Array | None
    n_missing: int


class TextRows(NamedTuple):
    """Rows of text; a missing row is empty.

    Args:
        offsets: `(lead + n_rows + 1,)`, of 32 bits if that suffices, else of 64.
        data: The bytes.
        validity: Bits in Arrow's order; None if no row is missing.
        n_missing: Number of missing rows.
        lead: Number of offsets and bits before those of the first row.
    """

    offsets: Offsets
    data: Uint8Array
    validity: Uint8Array | None
    n_missing: int
    lead: int = 0


@dataclass(frozen=True, slots=True)
class TextInput:
    """A column cut into runs of rows, with the runner of kernels and the allocator of memory."""

    chunks: Sequence[ArrowTextChunk]
    parts: list[list[ChunkRows[ArrowTextChunk]]]
    run: CallRunner
    allocate: Allocate

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return sum(chunk.length for chunk in self.chunks)

    @property
    def calls(self) -> list[ChunkRows[ArrowTextChunk]]:
        """The rows of each call, in order."""
        return [rows for part in self.parts for rows in part]


def fresh_bytes(n_bytes: int) -> Uint8Array:
    """Return uninitialised NumPy memory."""
    return np.empty(n_bytes, np.uint8)


def column_of(
    chunks: Sequence[ArrowTextChunk], run: CallRunner, n_parts: int, allocate: Allocate
) -> TextInput:
    """Return a column in chunks, to be processed in at most n_parts runs of rows."""
    return TextInput(chunks, split_rows(chunks, n_parts, ROWS_PER_WORD), run, allocate)


def run_entry(column: TextInput, entry: str, words: TextTableWords, owners: object) -> Int64Array:
    """Run an entry over all rows; return its reports, one number per call."""
    calls = column.calls
    tables = np.zeros((len(calls), N_TABLE_WORDS), np.int64)
    scratch = np.empty((len(column.parts), N_SCRATCH_WORDS), np.int64)
    for word, value in words.items():
        tables[:, word] = value
    tables[:, TABLE_FAILED] = -1
    sequences: list[list[KernelRowCall]] = []
    remaining = zip(tables, calls, strict=True)
    for part, own_scratch in zip(column.parts, scratch, strict=True):
        sequences.append([])
        for table, rows in (next(remaining) for _ in part):
            _fill(table, rows.chunk, rows.chunk_start)
            table[TABLE_SCRATCH] = own_scratch.ctypes.data
            sequences[-1].append(
                KernelRowCall(table, rows.first, rows.n, (rows.chunk, scratch, owners))
            )
    column.run(entry, sequences)
    failed = np.flatnonzero(tables[:, TABLE_FAILED] >= 0)
    if len(failed):
        first = int(failed[0])
        raise InvalidUtf8(calls[first].chunk_start + int(tables[first, TABLE_FAILED]))
    return tables[:, TABLE_FOUND]


def _fill(table: Int64Array, chunk: ArrowTextChunk, chunk_start: int) -> None:
    table[TABLE_OFFSETS] = chunk.offsets
    table[TABLE_OFFSET_BYTES] = chunk.offset_bytes
    table[TABLE_DATA] = chunk.data
    table[TABLE_VALIDITY] = chunk.validity
    table[TABLE_BIT_OFFSET] = chunk.bit_offset
    table[TABLE_OUT_ROW] = chunk_start


def bitmap(n_rows: int) -> Uint8Array:
    """Return zero bits, in whole words."""
    return np.zeros(-(-n_rows // 64) * 8, np.uint8)


def missing_of(column: TextInput) -> MissingRows:
    """Return the missing rows of a column."""
    if all(chunk.validity == 0 for chunk in column.chunks):
        return MissingRows(None, 0)
    bits = bitmap(column.n_rows)
    n_present = int(run_entry(column, "validity", {TABLE_OUT: bits.ctypes.data}, bits).sum())
    n_missing = column.n_rows - n_present
    return MissingRows(bits if n_missing else None, n_missing)


def written_texts(
    column: TextInput, entry: str, words: TextTableWords, owners: object, sizes: Int64Array
) -> TextRows:
    """Return the text that an entry makes from each row; `sizes` are the measured bytes a call."""
    texts, places = empty_texts(column, sizes)
    run_entry(column, entry, {**words, **places, TABLE_PASS: WRITE}, (texts, owners))
    return texts


def pieces_of_texts(
    column: TextInput, entry: str, words: TextTableWords, owners: object, longest: int
) -> list[TextRows]:
    """Return the pieces that an entry makes from the rows, as one `TextRows` per call.

    They are written without measuring: each call has room for its input, or for `longest` bytes a
    row.
    """
    calls = column.calls
    sizes = [
        min(int(size), longest * rows.n)
        for size, rows in zip(sizes_of_input(column), calls, strict=True)
    ]
    width = 4 if max(sizes, default=0) <= MAX_NARROW else 8
    firsts = [rows.chunk_start + rows.first for rows in calls]
    leads = [first % ROWS_PER_WORD for first in firsts]
    offsets = [
        column.allocate(width * (lead + rows.n + 1)).view(f"int{8 * width}")
        for lead, rows in zip(leads, calls, strict=True)
    ]
    for lead, ends in zip(leads, offsets, strict=True):
        ends[: lead + 1] = 0
    data = [column.allocate(size) for size in sizes]
    places: TextTableWords = {
        TABLE_OUT: np.array(
            [
                array.ctypes.data + (lead - first) * width
                for array, lead, first in zip(offsets, leads, firsts, strict=True)
            ],
            np.int64,
        ),
        TABLE_OUT_OFFSET_BYTES: width,
        TABLE_OUT_DATA: np.array([array.ctypes.data for array in data], np.int64),
        TABLE_OUT_END: np.array(sizes, np.int64),
    }
    found = run_entry(column, entry, {**words, **places}, (owners, offsets, data))
    validity, n_missing = missing_of(column)
    pieces: list[TextRows] = []
    for k, (first, lead, n_bytes) in enumerate(zip(firsts, leads, found.tolist(), strict=True)):
        bits = None if validity is None else validity[(first - lead) // 8 :]
        pieces.append(TextRows(offsets[k], data[k][:n_bytes], bits, n_missing and -1, lead))
    return pieces


def empty_texts(column: TextInput, sizes: Int64Array) -> tuple[TextRows, TextTableWords]:
    """Return memory for text with the given bytes per call, and words with the calls' places."""
    ends = np.cumsum(sizes)
    n_bytes = int(ends[-1]) if len(ends) else 0
    narrow = n_bytes <= MAX_NARROW
    width = 4 if narrow else 8
    offsets = column.allocate(width * (column.n_rows + 1)).view(f"int{8 * width}")
    offsets[0] = 0
    data = column.allocate(n_bytes)
    places: TextTableWords = {
        TABLE_OUT: offsets.ctypes.data,
        TABLE_OUT_OFFSET_BYTES: width,
        TABLE_OUT_DATA: data.ctypes.data,
        TABLE_OUT_START: ends - sizes,
        TABLE_OUT_END: ends,
    }
    return TextRows(offsets, data, *missing_of(column)), places


def sizes_of_input(column: TextInput) -> Int64Array:
    """Return the bytes of the rows of each call."""
    sizes = [
        offset_of(rows.chunk, rows.first + rows.n) - offset_of(rows.chunk, rows.first)
        for rows in column.calls
    ]
    return np.array(sizes, np.int64)


def offset_of(chunk: ArrowTextChunk, row: int) -> int:
    """Return the offset of a chunk's row in its bytes."""
    width = chunk.offset_bytes
    return words_at(chunk.offsets + row * width, 1, bits=8 * width)[0]


def text_at(column: TextInput, row: int) -> bytes:
    """Return the bytes of a row."""
    for chunk in column.chunks:
        if row < chunk.length:
            start, stop = offset_of(chunk, row), offset_of(chunk, row + 1)
            return ctypes.string_at(chunk.data + start, stop - start)
        row -= chunk.length
    raise IndexError("row")
