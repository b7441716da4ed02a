"""Selected rows of a data set, as a data set of their own with row numbers from 0."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, counted
from fastfeat.io.arrow import Array, ChunkedArray, Table, call, pa
from fastfeat.io.columns.bits import array_of_values, unpack
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.parts import ChosenPart
from fastfeat.io.sources.scan import scan


@dataclass(frozen=True, slots=True, eq=False)
class RowFlags:
    """One bit for each row of a data set: whether the row is selected.

    Args:
        bits: bool, without nulls, shape (n_rows,).
    """

    bits: ChunkedArray

    @property
    def n_chosen(self) -> int:
        """The number of selected rows."""
        return _count(self.bits)

    @property
    def digest(self) -> str:
        """A SHA-256 hash of the flags, in hex digits."""
        found = hashlib.sha256(f"{len(self.bits)}".encode())
        for chunk in self.bits.chunks:
            found.update(np.packbits(_flags(chunk)).tobytes() + b"\0")
        return found.hexdigest()

    def invert(self) -> RowFlags:
        """Return the flags that select exactly the other rows."""
        return RowFlags(call("invert", self.bits))

    def numbers(self, k: int, n: int) -> NDArray[np.int64]:
        """Return the numbers of up to `n` selected rows, after the first `k` selected ones."""
        found: list[NDArray[np.int64]] = []
        first = 0
        for chunk in self.bits.chunks:
            n_here = _count(chunk)
            if k < n_here and n > 0:
                found.append(first + np.flatnonzero(_flags(chunk))[k : k + n])
                n -= len(found[-1])
            k, first = max(0, k - n_here), first + len(chunk)
        return np.concatenate([np.zeros(0, np.int64), *found])

    def of(self, first: int, n_rows: int) -> Any:
        """Return the flags of `n_rows` rows from row `first` on, as an Arrow array or column."""
        return self.bits.slice(first, n_rows)


def flags_of(found: Sequence[NDArray[np.bool_]]) -> RowFlags:
    """Return the row flags of a data set from arrays of bools, in row order."""
    chunks = [array_of_values(flags, None, pa.bool_()) for flags in found]
    return RowFlags(pa.chunked_array(chunks, pa.bool_()))


def chosen_rows(dataset: Dataset, flags: RowFlags, name: str) -> Dataset:
    """Return a data set of the selected rows; `name` names it in messages.

    The data set must be readable more than once.
    """
    n_rows = len(flags.bits)

    def tables(
        columns: Sequence[str], most_bytes: Callable[[], int], start: int
    ) -> Iterator[tuple[int, Table]]:
        first = int(next(iter(flags.numbers(start, 1)), n_rows))
        row = _count(flags.of(0, first))
        with closing(scan(dataset, columns, most_bytes, start=first)) as pieces:
            for piece in pieces:
                end = piece.first_row + piece.table.num_rows
                if end > n_rows:
                    raise InvalidData(
                        f"the data had {counted(n_rows, 'row')} when it was first read, and has "
                        "more now: a data set must not change while it is read. Start again"
                    )
                chosen = flags.of(piece.first_row, piece.table.num_rows)
                kept = piece.table.filter(chosen) if columns else rows_only(_count(chosen))
                yield row, kept
                row += kept.num_rows

    own = dataset.identity
    identity = None if own is None else [*own, (f"rows={flags.digest}", 0, None)]
    part = ChosenPart(name, dataset.schema, flags.n_chosen, identity, tables)
    return Dataset(dataset.schema, (part,), dataset.column_errors)


def _count(flags: Any) -> int:
    return call("sum", flags).as_py() or 0


def _flags(chunk: Array) -> NDArray[np.bool_]:
    return unpack(chunk.buffers()[1], chunk.offset, len(chunk))
