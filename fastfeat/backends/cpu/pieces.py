"""Chunked columns as pieces of rows in which each input is one contiguous piece of memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from fastfeat.backends.search import WORD_ROWS
from fastfeat.io.arrow import pa
from fastfeat.io.column import Chunk, physical_chunks
from fastfeat.scalars.value import InputSlot


class Piece(NamedTuple):
    """Rows [start, stop) whose inputs are each one contiguous piece of memory."""

    start: int
    stop: int
    inputs: tuple[tuple[Chunk, int], ...]


def pieces(
    chunks: Sequence[Sequence[Chunk]],
    n_rows: int,
    columns: Mapping[InputSlot, Any],
    slots: Sequence[InputSlot],
) -> Iterator[Piece]:
    """Yield all rows in pieces that begin at multiples of 64.

    Where a chunk ends within a word of 64 rows, that word is a piece of its own, and copied.

    Args:
        chunks: the chunks of each column, without empty ones.
        n_rows: number of rows.
        columns: the columns, for what is copied.
        slots: which column each element of `chunks` is.
    """
    if not n_rows:
        return
    ends = {end for parts in chunks for end in _ends(parts)}
    seams = {end - end % WORD_ROWS for end in ends if end % WORD_ROWS}
    whole = {end for end in ends if not end % WORD_ROWS}
    breaks = whole | seams | {seam + WORD_ROWS for seam in seams}
    edges = sorted({0, n_rows, *(edge for edge in breaks if edge < n_rows)})
    cursors = [_Cursor(parts) for parts in chunks]
    for start, stop in pairwise(edges):
        if start in seams and any(cursor.splits(start, stop) for cursor in cursors):
            yield Piece(start, stop, tuple(_copied(columns[s], start, stop) for s in slots))
        else:
            yield Piece(start, stop, tuple(cursor.at(start) for cursor in cursors))


def _ends(parts: Sequence[Chunk]) -> Iterator[int]:
    """Yield the row after each chunk but the last."""
    end = 0
    for chunk in parts[:-1]:
        end += chunk.length
        yield end


@dataclass(slots=True)
class _Cursor:
    """Walks the chunks of one column forward."""

    parts: Sequence[Chunk]
    index: int = 0
    start: int = 0

    def at(self, row: int) -> tuple[Chunk, int]:
        """Return the chunk that holds a row, and which of its rows that is."""
        while row >= self.start + self.parts[self.index].length:
            self.start += self.parts[self.index].length
            self.index += 1
        return self.parts[self.index], row - self.start

    def splits(self, start: int, stop: int) -> bool:
        """Return whether rows [start, stop) are not in one chunk."""
        chunk, offset = self.at(start)
        return offset + (stop - start) > chunk.length


def _copied(column: Any, start: int, stop: int) -> tuple[Chunk, int]:
    joined = column.slice(start, stop - start).combine_chunks()
    whole = joined if isinstance(joined, pa.ChunkedArray) else pa.chunked_array([joined])
    parts = physical_chunks(whole)
    return parts[0], 0
