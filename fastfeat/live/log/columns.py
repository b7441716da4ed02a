"""Columns of a log in memory: rows are appended at the end, and read at any positions.

Values of fixed width are in NumPy buffers. Text and bytes have the layout of Arrow: one buffer with
all values, and an array with the end of each value. Lists have one column of all their elements. A
place is the position of a row in memory. Stored form: numbers as they are, times in ticks, text as
Arrow arrays, lists as their elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.columns import conform
from fastfeat.io.columns.bits import array_of_values, pack, present_rows, unpack
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.lists import list_array, list_column, lists_of, offsets_of
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import UTF8, DType
from fastfeat.live.lower.row_tables import given_type

Places = NDArray[np.integer[Any]]
"""Positions of rows in the columns of a log, shape (n_rows,)."""


class GrowingArray:
    """A NumPy array that grows at its end, in amortized constant time per value."""

    __slots__ = ("_memory", "n")

    def __init__(self, values: NDArray[Any]) -> None:
        """Begin with `values`, without copying them; they may be overwritten."""
        self._memory = values
        self.n = len(values)

    @property
    def values(self) -> NDArray[Any]:
        """A view of the values, which may be written to."""
        return self._memory[: self.n]

    def more(self, n: int) -> NDArray[Any]:
        """Extend the array by n values, and return a view of them for the caller to write."""
        end = self.n + n
        if end > len(self._memory):  # pages that were never written take no memory
            memory = np.empty(max(end, len(self._memory) * 3 // 2), self._memory.dtype)
            memory[: self.n] = self._memory[: self.n]
            self._memory = memory
        added = self._memory[self.n : end]
        self.n = end
        return added

    def extend(self, values: NDArray[Any] | float) -> None:
        """Append the values of an array, or one number."""
        values = np.atleast_1d(values)
        self.more(len(values))[:] = values

    def cut(self, n: int) -> None:
        """Keep the first n values, and drop all later ones."""
        self.n = n


class Presence:
    """For each row of a column, whether it has a value; no memory while all rows have one."""

    __slots__ = ("_flags",)

    def __init__(self) -> None:
        self._flags: GrowingArray | None = None

    def append(self, present: BoolArray | None, before: int, n_rows: int) -> None:
        if self._flags is None:
            if present is None:
                return
            self._flags = GrowingArray(np.ones(before, np.bool_))
        self._flags.more(n_rows)[:] = True if present is None else present

    def add(self, *, is_there: bool, before: int) -> None:
        if self._flags is None:
            if is_there:
                return
            self._flags = GrowingArray(np.ones(before, np.bool_))
        self._flags.more(1)[0] = is_there

    def put(self, places: Places, present: BoolArray | None, n_rows: int) -> None:
        if self._flags is None:
            if present is None:
                return
            self._flags = GrowingArray(np.ones(n_rows, np.bool_))
        self._flags.values[places] = True if present is None else present

    def take(self, places: Places) -> BoolArray | None:
        """Return flags of the rows at `places` that have values; None if all do."""
        if self._flags is None:
            return None
        present = self._flags.values.take(places)
        return None if present.all() else present

    def cut(self, n_rows: int) -> None:
        if self._flags is not None:
            self._flags.cut(n_rows)


def ranges(starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Return the integers of several ranges, one range after the other.

    Range k begins at `starts[k]` and has `lengths[k]` integers.

    Example:
        >>> ranges(np.array([5, 2]), np.array([2, 3])).tolist()
        [5, 6, 2, 3, 4]
    """
    ends = np.cumsum(lengths)
    numbers = np.arange(int(ends[-1]) if len(ends) else 0)
    numbers += np.repeat(starts - (ends - lengths), lengths)
    return numbers


class LogColumnValues(NamedTuple):
    """Values for some rows of a column, in stored form.

    Args:
        values: Numbers, elements of all lists, or an Arrow array of text.
        present: Flags of the rows that have a value, shape (n_rows,); None if all do.
        lengths: For lists, the number of elements of each row.
    """

    values: Any
    present: BoolArray | None
    lengths: NDArray[np.int64] | None = None


class LogColumn(Protocol):
    """A column of a log, whose rows are found by their place."""

    def read(self, column: ChunkedArray, name: str) -> LogColumnValues:
        """Convert an Arrow column to stored form, for `append` or `put`; nothing is added yet.

        `name` names the column in messages. Raises `TypeMismatch` or `InvalidData` if the values
        cannot be converted exactly to the column's type.
        """
        ...

    def append(self, piece: LogColumnValues, n_rows: int) -> None:
        """Append `n_rows` rows with the values of a piece."""
        ...

    def add(self, value: Any) -> None:
        """Append one row: times are in ticks, text is a str or bytes, and None is missing."""
        ...

    def put(self, places: Places, piece: LogColumnValues) -> None:
        """Overwrite the values of the rows at `places`."""
        ...

    def take(self, places: Places) -> Array:
        """Return a copy of the values of the rows at `places`, as an Arrow array."""
        ...

    def cut(self, n_rows: int) -> None:
        """Keep the first `n_rows` rows, and drop all later ones."""
        ...

    def only(self, places: Places) -> LogColumn:
        """Return a new column with copies of the rows at `places`, in that order."""
        ...


def column_of(dtype: DType) -> LogColumn:
    """Return an empty column for values of a type."""
    if dtype.of is not None:
        return ListColumn(dtype)
    if dtype.holds_bytes:
        return TextColumn(dtype)
    return MissingColumn() if dtype.name == "null" else FixedColumn(dtype)


class FixedColumn:
    """A column of numbers, bools, dates, times or durations; a missing float is NaN."""

    def __init__(self, dtype: DType) -> None:
        """Begin an empty column."""
        self._dtype = dtype
        self._type = arrow_type(dtype)
        self._storage = storage_type(dtype)
        self._is_float = dtype.is_float
        self._presence = Presence()
        if dtype.is_temporal:
            numbers = np.dtype(f"i{self._type.bit_width // 8}")
        else:
            numbers = np.dtype("float64" if dtype.name == "decimal" else dtype.name)
        self._values = GrowingArray(np.empty(0, numbers))

    def read(self, column: ChunkedArray, name: str) -> LogColumnValues:
        """Convert an Arrow column to stored form; see `LogColumn.read`."""
        if column.type != self._type and column.type != self._storage:
            column = conform.conform(column, name, self._dtype)
        pieces = [self._numbers(chunk) for chunk in column.chunks]
        if len(pieces) == 1:
            return pieces[0]
        empty = np.empty(0, self._values.values.dtype)
        values = np.concatenate([empty, *(piece.values for piece in pieces)])
        if all(piece.present is None for piece in pieces):
            return LogColumnValues(values, None)
        flags = [
            np.ones(len(piece.values), np.bool_) if piece.present is None else piece.present
            for piece in pieces
        ]
        return LogColumnValues(values, np.concatenate(flags))

    def _numbers(self, chunk: Array) -> LogColumnValues:
        present, n_rows, offset = present_rows(chunk), len(chunk), chunk.offset
        numbers = self._values.values.dtype
        if chunk.type == pa.bool_():
            values = unpack(chunk.buffers()[1], offset, n_rows)
        elif n_rows == 0:
            values = np.empty(0, numbers)
        else:
            given = numbers if chunk.type == self._type else np.dtype(chunk.type.to_pandas_dtype())
            buffer = chunk.buffers()[1]
            values = np.frombuffer(buffer, given, n_rows, offset * given.itemsize)
            values = values.astype(numbers, copy=False)
        if self._is_float and present is not None:
            return LogColumnValues(np.where(present, values, numbers.type(np.nan)), None)
        return LogColumnValues(values, present)

    def append(self, piece: LogColumnValues, n_rows: int) -> None:
        """Append rows; see `LogColumn.append`."""
        self._presence.append(piece.present, self._values.n, n_rows)
        self._values.more(n_rows)[:] = piece.values

    def add(self, value: Any) -> None:
        """Append one row; see `LogColumn.add`."""
        if value is None and self._is_float:
            value = np.nan
        self._presence.add(is_there=value is not None, before=self._values.n)
        self._values.more(1)[0] = 0 if value is None else value

    def put(self, places: Places, piece: LogColumnValues) -> None:
        """Overwrite rows; see `LogColumn.put`."""
        self._presence.put(places, piece.present, self._values.n)
        self._values.values[places] = piece.values

    def take(self, places: Places) -> Array:
        """Return rows as an Arrow array; see `LogColumn.take`."""
        values = self._values.values.take(places)  # indexing takes three times as long
        if not self._is_float:
            return array_of_values(values, self._presence.take(places), self._type)
        is_missing = np.isnan(values)
        present = ~is_missing if is_missing.any() else None
        return array_of_values(values, present, self._type)

    def fill(self, places: Places, target: NDArray[Any], present: NDArray[np.uint8] | None) -> None:
        """Copy the values of the rows at `places` into `target`.

        For types other than floats, `present` receives 1 for each row that has a value, else 0.
        """
        target[:] = self._values.values.take(places)
        if present is not None:
            flags = self._presence.take(places)
            present[:] = 1 if flags is None else flags

    def cut(self, n_rows: int) -> None:
        """Keep the first `n_rows` rows; see `LogColumn.cut`."""
        self._values.cut(n_rows)
        self._presence.cut(n_rows)

    def only(self, places: Places) -> FixedColumn:
        """Return a new column with some rows; see `LogColumn.only`."""
        column = FixedColumn(self._dtype)
        column._values = GrowingArray(self._values.values.take(places))
        column._presence.append(self._presence.take(places), 0, len(places))
        return column


class TextColumn:
    """A column of text or bytes: all bytes in one buffer, with the end of each value."""

    def __init__(self, dtype: DType) -> None:
        """Begin an empty column."""
        self._dtype = dtype
        self._type = given_type(dtype)
        self._ends = GrowingArray(np.zeros(1, np.int64))
        self._content = GrowingArray(np.empty(0, np.uint8))
        self._presence = Presence()
        self._value_of: GrowingArray | None = None  # row to value number, once one was replaced

    def read(self, column: ChunkedArray, name: str) -> LogColumnValues:
        """Convert an Arrow column to stored form; see `LogColumn.read`."""
        column = decode_column(key_column(column, name, self._dtype))
        chunks = column.chunks or [pa.nulls(0, self._type)]
        whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
        present = present_rows(whole)
        if present is not None:  # bytes of missing values must not stay
            whole = whole.fill_null("" if self._dtype == UTF8 else b"")
        return LogColumnValues(whole, present)

    def _add(self, values: Array) -> None:
        n = len(values)
        if n == 0:
            return
        _, ends, content = values.buffers()
        bounds = np.frombuffer(ends, np.int64, n + 1, values.offset * 8)
        first, last = int(bounds[0]), int(bounds[-1])
        np.add(bounds[1:], self._content.n - first, out=self._ends.more(n))
        if last > first:
            self._content.more(last - first)[:] = np.frombuffer(
                content, np.uint8, last - first, first
            )

    def append(self, piece: LogColumnValues, n_rows: int) -> None:
        """Append rows; see `LogColumn.append`."""
        n_values = self._ends.n - 1
        n_before = n_values if self._value_of is None else self._value_of.n
        self._presence.append(piece.present, n_before, n_rows)
        if self._value_of is not None:
            self._value_of.extend(np.arange(n_values, n_values + n_rows))
        self._add(piece.values)

    def add(self, value: Any) -> None:
        """Append one row; see `LogColumn.add`."""
        n_values = self._ends.n - 1
        n_before = n_values if self._value_of is None else self._value_of.n
        self._presence.add(is_there=value is not None, before=n_before)
        if self._value_of is not None:
            self._value_of.more(1)[0] = n_values
        content = value.encode() if isinstance(value, str) else value or b""
        self._ends.more(1)[0] = self._content.n + len(content)
        if content:
            self._content.more(len(content))[:] = np.frombuffer(content, np.uint8)

    def put(self, places: Places, piece: LogColumnValues) -> None:
        """Overwrite rows; the old values stay in memory until `Log.tidy` drops rows."""
        n_values = self._ends.n - 1
        if self._value_of is None:
            self._value_of = GrowingArray(np.arange(n_values))
        self._presence.put(places, piece.present, self._value_of.n)
        self._value_of.values[places] = np.arange(n_values, n_values + len(places))
        self._add(piece.values)

    def take(self, places: Places) -> Array:
        """Return rows as an Arrow array; see `LogColumn.take`."""
        n_values = self._ends.n - 1
        buffers = [None, pa.py_buffer(self._ends.values), pa.py_buffer(self._content.values)]
        values = pa.Array.from_buffers(self._type, n_values, buffers)
        numbers = places if self._value_of is None else self._value_of.values.take(places)
        wanted = array_of_values(np.ascontiguousarray(numbers, np.int64), None, pa.int64())
        taken = call("array_take", values, wanted)
        present = self._presence.take(places)
        if present is None:
            return taken
        return pa.Array.from_buffers(
            self._type, len(places), [pack(present), *taken.buffers()[1:]], offset=taken.offset
        )

    def cut(self, n_rows: int) -> None:
        """Keep the first `n_rows` rows; see `LogColumn.cut`."""
        self._presence.cut(n_rows)
        if self._value_of is not None:  # values of earlier rows may come later in the buffer
            self._value_of.cut(n_rows)
            return
        self._ends.cut(n_rows + 1)
        self._content.cut(int(self._ends.values[-1]))

    def only(self, places: Places) -> TextColumn:
        """Return a new column with some rows; see `LogColumn.only`."""
        column, taken = TextColumn(self._dtype), self.take(places)
        column.append(column.read(pa.chunked_array([taken]), ""), len(places))
        return column


class ListColumn:
    """A column of lists: a column of all elements, with the start and the length of each list."""

    def __init__(self, dtype: DType) -> None:
        """Begin an empty column of lists of type `dtype`."""
        assert dtype.of is not None
        self._dtype, self._of = dtype, dtype.of
        self._elements = column_of(dtype.of)
        self._n_elements = 0
        self._starts = GrowingArray(np.empty(0, np.int64))
        self._lengths = GrowingArray(np.empty(0, np.int64))
        self._presence = Presence()

    def read(self, column: ChunkedArray, name: str) -> LogColumnValues:
        """Convert an Arrow column to stored form; see `LogColumn.read`."""
        stored = list_column(column, name, self._dtype)
        lists = lists_of(stored)
        first, last = int(lists.offsets[0]), int(lists.offsets[-1])
        elements = lists.values.slice(first, last - first)
        piece = self._elements.read(pa.chunked_array([elements]), name)
        return LogColumnValues(piece, lists.present, np.diff(lists.offsets))

    def _add(self, piece: LogColumnValues) -> NDArray[np.int64]:
        """Append the elements of lists; return the position of each list's first element."""
        assert piece.lengths is not None
        offsets = offsets_of(piece.lengths) + self._n_elements
        n = int(offsets[-1]) - self._n_elements
        self._elements.append(piece.values, n)
        self._n_elements += n
        return offsets[:-1]

    def append(self, piece: LogColumnValues, n_rows: int) -> None:
        """Append rows; see `LogColumn.append`."""
        self._presence.append(piece.present, self._starts.n, n_rows)
        self._starts.more(n_rows)[:] = self._add(piece)
        self._lengths.more(n_rows)[:] = piece.lengths

    def add(self, value: Any) -> None:
        """Append one row, given as the list of its elements in stored form; None is missing."""
        elements: Sequence[Any] = () if value is None else value
        self._presence.add(is_there=value is not None, before=self._starts.n)
        self._starts.more(1)[0] = self._n_elements
        self._lengths.more(1)[0] = len(elements)
        for element in elements:
            self._elements.add(element)
        self._n_elements += len(elements)

    def put(self, places: Places, piece: LogColumnValues) -> None:
        """Overwrite rows; the old elements stay in memory until `Log.tidy` drops rows."""
        self._presence.put(places, piece.present, self._starts.n)
        self._starts.values[places] = self._add(piece)
        self._lengths.values[places] = piece.lengths

    def take(self, places: Places) -> Array:
        """Return rows as an Arrow array; see `LogColumn.take`."""
        starts, lengths = self._starts.values.take(places), self._lengths.values.take(places)
        elements = self._elements.take(ranges(starts, lengths))
        return list_array(offsets_of(lengths), elements, self._presence.take(places))

    def cut(self, n_rows: int) -> None:
        """Keep the first `n_rows` rows; see `LogColumn.cut`."""
        self._presence.cut(n_rows)
        self._starts.cut(n_rows)
        self._lengths.cut(n_rows)
        ends = self._starts.values + self._lengths.values
        self._n_elements = int(ends.max(initial=0))
        self._elements.cut(self._n_elements)

    def only(self, places: Places) -> ListColumn:
        """Return a new column with some rows; see `LogColumn.only`."""
        column = ListColumn(self._dtype)
        starts, lengths = self._starts.values.take(places), self._lengths.values.take(places)
        column._elements = self._elements.only(ranges(starts, lengths))
        offsets = offsets_of(lengths)
        column._n_elements = int(offsets[-1])
        column._starts, column._lengths = GrowingArray(offsets[:-1].copy()), GrowingArray(lengths)
        column._presence.append(self._presence.take(places), 0, len(places))
        return column


class MissingColumn:
    """A column in which every value is missing."""

    def read(self, column: ChunkedArray, name: str) -> LogColumnValues:
        """Convert an Arrow column to stored form; see `LogColumn.read`."""
        conform.conform(column, name, DType("null"))
        return LogColumnValues(None, None)

    def append(self, piece: LogColumnValues, n_rows: int) -> None:
        """Do nothing: a column of missing values has no memory."""

    def add(self, value: Any) -> None:
        """Do nothing; see `append`."""

    def put(self, places: Places, piece: LogColumnValues) -> None:
        """Do nothing; see `append`."""

    def take(self, places: Places) -> Array:
        """Return rows as an Arrow array of nulls; see `LogColumn.take`."""
        return pa.nulls(len(places))

    def cut(self, n_rows: int) -> None:
        """Keep the first `n_rows` rows; see `LogColumn.cut`."""

    def only(self, places: Places) -> MissingColumn:
        """Return a new column with some rows; see `LogColumn.only`."""
        return self
