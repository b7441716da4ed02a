"""Hashes of columns in chunks, on the caller's threads; `fastfeat_kernels.hashing` has the spec."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from fastfeat_kernels import hashing as layout
from fastfeat_kernels.arrays import Uint64Array
from fastfeat_kernels.column import (
    ELEMENTS,
    TEXT,
    AnyChunk,
    ArrowChunk,
    ArrowTextChunk,
    CallRunner,
    KernelRowCall,
)
from fastfeat_kernels.records import dataclass

ALIGNMENT: Final = 64  # rows; parts begin at multiples of it


@dataclass(frozen=True, slots=True)
class HashedColumn:
    """A column to hash.

    `element` is a type of `column.ELEMENTS`, or `column.TEXT` for text and bytes.
    """

    element: str
    chunks: Sequence[AnyChunk]

    @property
    def ends(self) -> list[int]:
        """Row after the last of each chunk."""
        return list(accumulate(chunk.length for chunk in self.chunks))


def hash_column(
    element: str, chunks: Sequence[AnyChunk], run: CallRunner, n_parts: int = 1, *, seed: int = 0
) -> Uint64Array:
    """Return the hash of each value, `(n_rows,)`; 0 for missing values.

    Args:
        element: Type of the values, of `column.ELEMENTS`, or `column.TEXT` for text and bytes.
        chunks: The column.
        run: Runs sequences of calls of `cpu.ENTRIES`.
        n_parts: Number of row ranges for the work; the result does not depend on it.
        seed: Seed of XXH64, from 0 to 2**64 - 1.
    """
    entry = TEXT if element == TEXT else "numbers"
    return _hash(entry, [HashedColumn(element, chunks)], run, n_parts, seed)


def hash_rows(
    columns: Sequence[HashedColumn], run: CallRunner, n_parts: int = 1, *, seed: int = 0
) -> Uint64Array:
    """Return the hash of each row of several columns, `(n_rows,)`; a missing value is a part too.

    Args:
        columns: At least one, all with the same number of rows; their chunks may differ.
        run: Runs sequences of calls of `cpu.ENTRIES`.
        n_parts: Number of row ranges for the work; the result does not depend on it.
        seed: Seed of XXH64, from 0 to 2**64 - 1.
    """
    return _hash("mixed", columns, run, n_parts, seed)


def _hash(
    entry: str, columns: Sequence[HashedColumn], run: CallRunner, n_parts: int, seed: int
) -> Uint64Array:
    ends = [column.ends for column in columns]
    n_rows = ends[0][-1] if ends[0] else 0
    assert all((end[-1] if end else 0) == n_rows for end in ends)
    hashes = np.empty(n_rows, np.uint64)
    share = max(-(-n_rows // (n_parts * ALIGNMENT)), 1) * ALIGNMENT
    cuts = sorted({0, n_rows, *(end for column in ends for end in column)})
    run(
        entry,
        [
            _calls(columns, ends, _between(cuts, first, min(first + share, n_rows)), hashes, seed)
            for first in range(0, n_rows, share)
        ],
    )
    return hashes


def _between(cuts: Sequence[int], first: int, end: int) -> list[tuple[int, int]]:
    """Return the runs of rows of a part; none crosses a cut."""
    inside = [cut for cut in cuts if first < cut < end]
    return list(pairwise([first, *inside, end]))


def _calls(
    columns: Sequence[HashedColumn],
    ends: Sequence[Sequence[int]],
    runs: Sequence[tuple[int, int]],
    hashes: Uint64Array,
    seed: int,
) -> list[KernelRowCall]:
    """Return the calls of one part, which share scratch memory."""
    scratch = np.empty(layout.N_SCRATCH_WORDS, np.int64)
    calls: list[KernelRowCall] = []
    for first, end in runs:
        table = np.zeros((1 + len(columns), layout.N_COLUMN_WORDS), np.int64)
        header = table.reshape(-1)[layout.N_COLUMN_WORDS - layout.N_HEADER_WORDS :]
        header[layout.N_COLUMNS] = len(columns)
        header[layout.SEED] = np.uint64(seed).astype(np.int64)
        header[layout.HASHES], header[layout.SCRATCH] = hashes.ctypes.data, scratch.ctypes.data
        chunks: list[AnyChunk] = []
        for words, column, column_ends in zip(table[1:], columns, ends, strict=True):
            place = bisect_right(column_ends, first)
            chunks.append(column.chunks[place])
            words[layout.START] = column_ends[place - 1] if place else 0
            _describe(words, column.element, chunks[-1])
        calls.append(KernelRowCall(header, first, end - first, (chunks, hashes, scratch)))
    return calls


def _describe(words: npt.NDArray[np.int64], element: str, chunk: AnyChunk) -> None:
    words[layout.VALIDITY], words[layout.BIT_OFFSET] = chunk.validity, chunk.bit_offset
    if element == TEXT:
        text = cast("ArrowTextChunk", chunk)
        words[layout.ELEMENT], words[layout.VALUES] = layout.IS_TEXT, text.data
        words[layout.OFFSETS], words[layout.OFFSET_BYTES] = text.offsets, text.offset_bytes
    else:
        numbers = cast("ArrowChunk", chunk)
        words[layout.ELEMENT], words[layout.VALUES] = ELEMENTS.index(element), numbers.values
        words[layout.VALUE_BIT_OFFSET] = numbers.value_bit_offset
