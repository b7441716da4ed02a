"""A column of text as the kernels see it: Arrow's offsets and bytes, in chunks, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

ROWS_PER_WORD: Final = 64  # parts meet at such multiples: no two threads write one bitmap word


class TextChunk(Protocol):
    """One contiguous piece of a column of text; the caller keeps its memory alive."""

    @property
    def offsets(self) -> int:
        """Address of the offset where the first row starts; `length` + 1 of them are read."""
        ...

    @property
    def offset_bytes(self) -> int:
        """Width of an offset: 4 or 8."""
        ...

    @property
    def data(self) -> int:
        """Address of the byte at offset 0."""
        ...

    @property
    def validity(self) -> int:
        """Address of the bitmap, 0 where no value is missing."""
        ...

    @property
    def bit_offset(self) -> int:
        """Bit of the first row in the bitmap."""
        ...

    @property
    def length(self) -> int:
        """Number of rows."""
        ...


class TextRows(NamedTuple):
    """Rows [first, first + n) of a chunk, whose row 0 is row `chunk_start` of the column."""

    chunk: TextChunk
    first: int
    n: int
    chunk_start: int


def split_text_rows(chunks: Sequence[TextChunk], n_parts: int) -> list[list[TextRows]]:
    """Return the rows of a column in at most n_parts runs of about equal length, in order.

    Every run but the last has a multiple of 64 rows.

    >>> split_text_rows([], 4)
    []
    """
    n_rows = sum(chunk.length for chunk in chunks)
    share = max(-(-n_rows // (n_parts * ROWS_PER_WORD)), 1) * ROWS_PER_WORD
    parts: list[list[TextRows]] = []
    room = chunk_start = 0
    for chunk in chunks:
        first = 0
        while first < chunk.length:
            if room == 0:
                parts.append([])
                room = share
            n = min(chunk.length - first, room)
            parts[-1].append(TextRows(chunk, first, n, chunk_start))
            first, room = first + n, room - n
        chunk_start += chunk.length
    return parts
