"""Sort distinct keys that are too many to sort in memory: an external merge sort.

The order is that of codes: the most frequent key first, equally frequent keys by value. A run is a
sorted part of the keys in a file. All runs are read in step, one range of keys after the other;
each range is sorted and appended to the result. Memory holds the result and one range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.io import budget
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.columns.bits import pack, present_rows
from fastfeat.io.columns.keys import key_type
from fastfeat.io.temporary_files import UnnamedFile, unnamed_file
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys.cpu_key_files import Weighted, batch_of, read

BLOCK_KEYS = 1 << 12  # keys of a run, read at a time
RANGE_KEYS = 1 << 15  # keys of all runs, put in order at a time

Order = Callable[[Sequence[Array], NDArray[np.int64]], NDArray[np.int64]]
"""`(parts, counts) -> places of the keys in the order of codes`."""

Rank = tuple[Any, ...]
"""Sort key: comparing these tuples in Python gives the order of codes."""


def in_order_on_disk(
    found: Iterable[Weighted], dtypes: Sequence[DType], order: Order, folder: Path
) -> Weighted:
    """Return distinct keys with their counts, sorted in the order of codes.

    `found` yields the keys in any order, each key once. `order` returns the sorted positions of
    some keys. Unnamed files go to `folder`.
    """
    budget.free_unused()
    file, runs = unnamed_file(folder), list[_Run]()
    filled = _Filled([_Column(dtype) for dtype in dtypes])
    for keys in found:
        if len(keys.counts):
            runs.append(_written(file, _taken(keys, order(keys.parts, keys.counts))))
            for column, part in zip(filled.columns, keys.parts, strict=True):
                column.expect(part)
            filled.n += len(keys.counts)
    budget.free_unused()
    filled.open()
    for some in _ranges(file, runs, dtypes):
        filled.append(_taken(some, order(some.parts, some.counts)))
    return filled.keys()


class _Run(NamedTuple):
    """Sorted keys in a file.

    Args:
        blocks: Byte offset and number of bytes of each block of keys.
        lasts: Sort tuple (see `_rank`) of the last key of each block.
    """

    blocks: list[tuple[int, int]]
    lasts: list[Rank]


def _taken(keys: Weighted, places: NDArray[np.int64]) -> Weighted:
    at = pa.array(places)
    return Weighted(tuple(call("array_take", part, at) for part in keys.parts), keys.counts[places])


def _written(file: UnnamedFile, keys: Weighted) -> _Run:
    """Append sorted keys to a file as a run; return the run."""
    run, n = _Run([], []), len(keys.counts)
    batch = batch_of(keys)
    for first in range(0, n, BLOCK_KEYS):
        content = batch.slice(first, BLOCK_KEYS).serialize()
        run.blocks.append((file.append(content), content.size))
        run.lasts.append(_rank(keys, min(first + BLOCK_KEYS, n) - 1))
    return run


def _rank(keys: Weighted, place: int) -> Rank:
    """Return a tuple by which keys sort: minus the count, then the parts, a missing part first."""
    parts: list[tuple[Any, ...]] = []
    for part in keys.parts:
        value = part[place]
        if not value.is_valid:
            parts.append((False,))
        elif pa.types.is_large_string(part.type):  # text that need not be valid UTF-8
            parts.append((True, value.as_buffer().to_pybytes()))
        else:
            parts.append((True, value.as_py()))
    return (-int(keys.counts[place]), *parts)


def _ranges(file: UnnamedFile, runs: Sequence[_Run], dtypes: Sequence[DType]) -> Iterator[Weighted]:
    """Yield all keys of all runs in ascending ranges; within a range, keys are not sorted."""
    lasts = sorted(last for run in runs for last in run.lasts)
    step = max(1, RANGE_KEYS // BLOCK_KEYS)
    readers = [_Reader(file, run, dtypes) for run in runs]
    for k in range(step - 1, len(lasts) + step - 1, step):
        end = lasts[min(k, len(lasts) - 1)]
        pieces = [piece for reader in readers for piece in reader.upto(end)]
        yield _joined(pieces)


@dataclass(slots=True)
class _Reader:
    """A sequential reader of one run.

    Args:
        file: The file of the run.
        run: Its blocks.
        dtypes: Types of the parts of its keys.
        at: Number of the next block.
        rest: Keys of the previous block that have not been returned yet.
    """

    file: UnnamedFile
    run: _Run
    dtypes: Sequence[DType]
    at: int = 0
    rest: Weighted | None = None

    def upto(self, end: Rank) -> Iterator[Weighted]:
        """Yield the next keys, through the last one that sorts at or before `end`."""
        while self.rest is not None or self.at < len(self.run.blocks):
            if self.rest is None:
                self.rest = self._next()
            rest, is_whole = self.rest, self.run.lasts[self.at - 1] <= end
            if is_whole:
                self.rest = None
                yield rest
                continue
            n = _upto(rest, end)
            if n:
                self.rest = _slice(rest, n, len(rest.counts))
                yield _slice(rest, 0, n)
            return

    def _next(self) -> Weighted:
        first, n_bytes = self.run.blocks[self.at]
        self.at += 1
        return read(self.file, first, n_bytes, self.dtypes)


def _slice(keys: Weighted, first: int, stop: int) -> Weighted:
    parts = tuple(part.slice(first, stop - first) for part in keys.parts)
    return Weighted(parts, keys.counts[first:stop])


def _upto(keys: Weighted, end: Rank) -> int:
    """Return how many of the sorted keys are at or before `end`, a tuple from `_rank`."""
    low, high = 0, len(keys.counts)
    while low < high:
        middle = (low + high) // 2
        if _rank(keys, middle) <= end:
            low = middle + 1
        else:
            high = middle
    return low


def _joined(pieces: Sequence[Weighted]) -> Weighted:
    parts = tuple(
        pa.concat_arrays(part) for part in zip(*(one.parts for one in pieces), strict=True)
    )
    return Weighted(parts, np.concatenate([one.counts for one in pieces]))


@dataclass(slots=True)
class _Column:
    """The result column for one part of the keys, in memory that is allocated once.

    Args:
        dtype: Its type.
        n_bytes: Bytes of its text.
        has_missing: Whether one of its values is missing.
        values: The values; for text, Arrow offsets into `data`.
        data: The text.
        present: Whether each value is present; None if none is missing.
        at: Bytes of text written so far.
    """

    dtype: DType
    n_bytes: int = 0
    has_missing: bool = False
    values: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.int64))
    data: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    present: NDArray[np.bool_] | None = None
    at: int = 0

    def expect(self, part: Array) -> None:
        """Add the size of values that `append` will receive later."""
        self.has_missing |= part.null_count > 0
        if self.dtype.holds_bytes:
            offsets = _offsets(part)
            self.n_bytes += int(offsets[-1] - offsets[0])

    def open(self, n: int) -> None:
        """Allocate memory for `n` values, after all `expect` calls."""
        if self.dtype.holds_bytes:
            self.values, self.data = np.zeros(n + 1, np.int64), np.empty(self.n_bytes, np.uint8)
        else:
            self.values = np.empty(n, _numpy_type(self.dtype))
        self.present = np.ones(n, np.bool_) if self.has_missing else None

    def append(self, part: Array, first: int) -> None:
        """Copy values to positions `first` and following."""
        n = len(part)
        present = present_rows(part)
        if self.present is not None and present is not None:
            self.present[first : first + n] = present
        if not self.dtype.holds_bytes:
            buffer = part.buffers()[1]
            values = np.frombuffer(buffer, self.values.dtype, n, part.offset * 8)
            self.values[first : first + n] = values
            return
        offsets, data = _offsets(part), part.buffers()[2]
        begin, n_bytes = int(offsets[0]), int(offsets[-1] - offsets[0])
        self.values[first + 1 : first + n + 1] = offsets[1:] - (begin - self.at)
        if n_bytes:
            self.data[self.at : self.at + n_bytes] = np.frombuffer(data, np.uint8, n_bytes, begin)
        self.at += n_bytes

    def array(self, n: int) -> Array:
        """Return the `n` values as an Arrow array."""
        validity = None if self.present is None else pack(self.present)
        buffers = [validity, pa.py_buffer(self.values)]
        if self.dtype.holds_bytes:
            buffers.append(pa.py_buffer(self.data))
        return pa.Array.from_buffers(key_type(self.dtype), n, buffers)


def _offsets(part: Array) -> NDArray[np.int64]:
    buffer = part.buffers()[1]
    if buffer is None or not len(part):
        return np.zeros(1, np.int64)
    return np.frombuffer(buffer, np.int64, len(part) + 1, part.offset * 8)


def _numpy_type(dtype: DType) -> Any:
    return np.dtype(key_type(dtype).to_pandas_dtype())


@dataclass(slots=True)
class _Filled:
    """The sorted keys, to which one range after the other is appended.

    Args:
        columns: One result column per part.
        n: Final number of keys.
        counts: Number of rows of each key, shape (n,).
        at: Number of keys written so far.
    """

    columns: list[_Column]
    n: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    at: int = 0

    def open(self) -> None:
        """Allocate memory for `n` keys."""
        self.counts = np.empty(self.n, np.int64)
        for column in self.columns:
            column.open(self.n)

    def append(self, keys: Weighted) -> None:
        n = len(keys.counts)
        self.counts[self.at : self.at + n] = keys.counts
        for column, part in zip(self.columns, keys.parts, strict=True):
            column.append(part, self.at)
        self.at += n

    def keys(self) -> Weighted:
        """Return all keys with their counts."""
        return Weighted(tuple(column.array(self.n) for column in self.columns), self.counts)
