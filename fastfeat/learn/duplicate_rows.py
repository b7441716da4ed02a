"""Estimating how many training rows are copies of others, for plans with folds by row number.

Most tables have none, and a small sample shows it: if 1 % of n rows repeat, a sample of 20 sqrt(n)
rows has four pairs. Whole groups of copies are counted only if the sample has some. A twin is a row
that equals another in all columns. A word is a 64-bit integer made of a value's bits, equal for
equal values; rows are hashed from the words of their columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array, Uint64Array

from fastfeat.errors import FastfeatError, InvalidData, RowsRepeated, counted, warn
from fastfeat.execute.batch import take_rows
from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.columns.decode import decode_column, plain
from fastfeat.io.device import DeviceTable
from fastfeat.io.sources.read import column_names, read_table
from fastfeat.plan.lower.typed import TypedPlan

MOST_ROWS = 100_000
"""Highest number of rows of a sample."""

FEW_ROWS = 4_000
"""Up to so many rows, all are inspected; of more rows about half as many, with all their copies."""

_FIRST_ROWS = 20
"""Size of a sample, times the square root of all rows: 1 % of twins give four pairs there."""

_FEWEST_ROWS = 4
"""The same factor for the first sample of tables of codes, which have many pairs by chance."""

_MORE_ROWS = 10
"""The same factor for the sample that checks the columns once some rows have twins."""

_FEW_COLUMNS = 8
_GROUP = 4
"""Columns inspected together: sorting rows takes as long as reading some columns."""

_FEWEST = 50
"""Least number of different rows for a pattern: rows of a small example may be equal by chance."""

_SHARE = 0.01
"""Share of rows that equal an earlier one at which a warning is due."""

_TELLS = 0.9
"""Share of different rows that half of the columns must separate if twins are not by chance."""

_MOST_CHUNKS = 64
_MOST_BYTES = 32
"""Longest text in bytes that is hashed here, eight bytes at a time; Arrow encodes longer ones."""

_PIECE = 1 << 16
"""Number of rows to hash at a time, so that their words stay in the cache."""

_HALF = np.uint64(32)
_FACTORS = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)
_MISSING = np.uint64(0x9E3779B97F4A7C15)
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)
"""For each number of bytes of a text in a word, the mask of their bits."""


def warn_of_twins(typed: TypedPlan, table: Any, data: Any) -> None:
    """Warn about rows that equal earlier ones in all columns, if folds divide rows by number.

    The twin of such a row, in another fold, reveals the row's label. The warning is due if at least
    1 % of the rows repeat, and each of two halves of the columns separates 90 % of the different
    rows. Then so few rows are equal by chance that these must be copies.

    A `table` in the memory of a device is not checked. `data` is the source of the table; its other
    columns are read only if the columns of the table do not decide.
    """
    n_rows = table.num_rows
    if n_rows <= _FEWEST or isinstance(table, DeviceTable):
        return
    try:
        share = _share_of_twins(table, data)
    except FastfeatError:  # columns that only this check reads
        return
    if share is None:
        return
    warn(
        f"data: {'by a sample, about ' if n_rows > FEW_ROWS else ''}{share:.0%} of "
        f"{counted(n_rows, 'row')} equal an earlier row in all columns, as after a bootstrap, "
        "oversampling, or reading a file twice. Folds are divided by row number, so the copy of a "
        "row in another fold reveals its label. Name the column that identifies rows, "
        "Plan(row_id='id'), to keep copies in one fold; or remove the repeated rows",
        RowsRepeated,
    )


def _share_of_twins(table: Any, data: Any) -> float | None:
    """Return the fraction of rows that equal an earlier one; None if no warning is due.

    Raises FastfeatError if columns of the data cannot be read again.
    """
    n_rows, columns = table.num_rows, _columns_of(table, data)
    if n_rows <= FEW_ROWS:
        every: Int64Array = np.arange(n_rows, dtype=np.int64)
        n_repeats = _n_repeats(columns, every, _SHARE * n_rows)
        if not n_repeats or not _told_apart(columns, every, _TELLS):
            return None
        return n_repeats / n_rows
    halves = _sampled(n_rows, int(_FEWEST_ROWS * n_rows**0.5))
    least = 1 - (1 - _TELLS) * len(halves) / n_rows
    if columns.are_codes and not _told_apart(columns, halves, least):
        return None
    rows = _sampled(n_rows, min(int(_FIRST_ROWS * n_rows**0.5), MOST_ROWS))
    n_pairs = _n_repeats(columns, rows, _SHARE / 2 * len(rows) ** 2 / n_rows)
    if not n_pairs:
        return None
    halves = _sampled(n_rows, min(int(_MORE_ROWS * n_rows**0.5), MOST_ROWS))
    leading = _told_apart(columns, halves, 1 - (1 - _TELLS) * len(halves) / n_rows)
    if leading is None:
        return None
    chosen = _chosen(leading, n_rows)
    if chosen is None:
        return min(n_pairs * n_rows / len(rows) ** 2, 1.0)
    n_repeats = _n_repeats(columns, chosen, _SHARE * len(chosen))
    return n_repeats / len(chosen) if n_repeats else None


class _Columns(NamedTuple):
    """The columns of the data.

    Args:
        known: Columns read so far: floats and times first, since they separate most rows, then
            integers, then others.
        data: The source of the columns.
        names: Names of all columns; None if unknown.
        there: Names of the columns read so far.
    """

    known: Sequence[ChunkedArray]
    data: Any
    names: Sequence[str] | None
    there: frozenset[str]

    @property
    def begins_with_codes(self) -> bool:
        """Whether the columns read so far have neither floats nor times, which come first."""
        return _cost(self.known[0].type) > 0

    @property
    def are_codes(self) -> bool:
        """Whether the data has only a few columns, all of them read, without any float or time."""
        names = self.names
        if names is None or len(names) > min(_FEW_COLUMNS, len(self.there)):
            return False
        return self.begins_with_codes

    def further(self) -> Iterator[ChunkedArray]:
        """Yield the columns that are not read yet, reading each one only when it is requested.

        Files may have many columns, so each is read only if rows are still equal in the columns
        before it. Raises FastfeatError if one cannot be read again.
        """
        if self.names is None:
            raise InvalidData("the names of the data's columns are unknown")
        for name in self.names:
            if name not in self.there:
                (column,) = read_table(self.data, [name]).columns
                yield column

    def groups(self) -> Iterator[Sequence[ChunkedArray]]:
        """Yield columns to compare together: a float or time alone, others in growing groups.

        Raises FastfeatError if one cannot be read again.
        """
        begin, n = 0, _GROUP if self.begins_with_codes else 1
        while begin < len(self.known):
            yield self.known[begin : begin + n]
            begin, n = begin + n, max(2 * n, _GROUP)
        yield from ([column] for column in self.further())


def _columns_of(table: Any, data: Any) -> _Columns:
    """Return the columns of the data; the arguments are described in `warn_of_twins`."""
    known = data if isinstance(data, pa.Table) else table
    columns = sorted(known.columns, key=lambda column: _cost(column.type))
    return _Columns(columns, data, column_names(data), frozenset(known.column_names))


@lru_cache(maxsize=64)
def _cost(kind: Any) -> int:
    """Return the rank of a column type in the order of comparison: floats and times are first."""
    if pa.types.is_floating(kind) or pa.types.is_temporal(kind):
        return 0
    return 1 if pa.types.is_integer(kind) else 2


def _n_repeats(columns: _Columns, rows: Int64Array, fewest: float) -> int:
    """Return the number of `rows` that equal an earlier one in all columns; 0 if below `fewest`.

    Rows that are unique in some columns are not inspected in the others. `rows` are ascending row
    numbers.
    """
    hashes, n_repeats = np.zeros(len(rows), np.uint64), 0
    for group in columns.groups():
        found = [words for one in group if (words := _words(one, rows)) is not None]
        if not found:
            continue
        hashes = _row_hashes(found, hashes)
        known = np.sort(hashes)
        is_again = known[1:] == known[:-1]
        n_repeats = int(np.count_nonzero(is_again))
        if not n_repeats or n_repeats < fewest:
            return 0
        if 4 * n_repeats < len(rows):
            repeated = known[1:][is_again]
            places = np.searchsorted(repeated, hashes)
            is_alike = repeated[np.minimum(places, n_repeats - 1)] == hashes
            rows, hashes = rows[is_alike], hashes[is_alike]
    return n_repeats


class _Leading(NamedTuple):
    """Columns sorted by their number of distinct values, most first.

    Args:
        columns: The columns.
        n_different: Number of different values of each in the sample.
        n_rows: Number of rows of the sample.
    """

    columns: Sequence[ChunkedArray]
    n_different: Sequence[int]
    n_rows: int


def _told_apart(columns: _Columns, rows: Int64Array, least: float) -> _Leading | None:
    """Return the columns by number of values if each of two halves of them tells most rows apart.

    The result is None otherwise: rows may then be equal by chance. The column with the most values
    is in the first half, the next two in the second, and so on. `least` is the share of the
    distinct rows that each half must separate. `rows` are ascending row numbers.
    """
    every: list[ChunkedArray] = []
    found: list[Uint64Array] = []
    for column in (one for group in columns.groups() for one in group):
        words = _words(column, rows)
        if words is not None:
            every.append(column)
            found.append(words)
    if len(found) < 2:
        return None
    n_different = _n_different(_row_hashes(found))
    if n_different < _FEWEST:
        return None
    known = np.sort(np.stack(found), axis=1)
    n_values = 1 + np.count_nonzero(known[:, 1:] != known[:, :-1], axis=1)
    order: list[int] = np.argsort(-n_values, kind="stable").tolist()
    for own in ((0, 3), (1, 2)):  # equal rows are equal in each half
        half: list[Uint64Array] = [found[k] for place, k in enumerate(order) if place % 4 in own]
        if _n_different(_row_hashes(half)) < least * n_different:
            return None
    return _Leading([every[k] for k in order], n_values[order].tolist(), len(rows))


def _chosen(leading: _Leading, n_rows: int) -> Int64Array | None:
    """Return a sample of rows selected by hashed column values, so that it has all copies of a row.

    None if no column suits.
    """
    share = FEW_ROWS / 2 / n_rows
    least = np.uint64(int(share * 2**64))
    for column, n_different in zip(leading.columns[:3], leading.n_different, strict=False):
        if n_different * 4 < leading.n_rows:
            return None
        found: list[Int64Array] = []
        for begin in range(0, n_rows, _PIECE):
            piece = column.slice(begin, _PIECE)
            words = _words_in_place(piece, None)
            if words is None:
                break
            found.append(begin + np.flatnonzero(_spread(words) < least))
        else:
            chosen = np.concatenate(found)
            return chosen if _FEWEST <= len(chosen) <= MOST_ROWS else None
    return None


@lru_cache(maxsize=4)
def _sampled(n_rows: int, most: int) -> Int64Array:
    """Return ascending numbers of sampled rows, each chosen independently.

    So twins are found anywhere; one row from each of equal stretches would miss adjacent twins.
    """
    chosen = _spread(np.arange(1, most + 1, dtype=np.uint64)) >> _HALF
    rows = np.sort((chosen * (n_rows / 2**32)).astype(np.int64))
    rows = rows[np.append(True, rows[1:] != rows[:-1])]
    rows.flags.writeable = False  # fits with the same number of rows share them
    return rows


def _words(column: ChunkedArray, rows: Int64Array) -> Uint64Array | None:
    """Return a 64-bit integer for each value, equal for equal values; None if all are missing.

    `rows` are ascending row numbers. Raises FastfeatError if values cannot be compared, such as
    lists: rows may differ in them alone.
    """
    words = _words_in_place(column, rows)
    if words is not None:
        return words
    values = plain(decode_column(take_rows(column, rows)))
    if pa.types.is_null(values.type):
        return None
    try:
        codes = call("dictionary_encode", values).combine_chunks().indices
    except pa.ArrowNotImplementedError as error:
        raise InvalidData(f"values of {values.type} cannot be compared") from error
    return call("coalesce", codes, pa.scalar(-1, codes.type)).to_numpy().astype(np.uint64)


def _words_in_place(column: ChunkedArray, rows: Int64Array | None) -> Uint64Array | None:
    """Return the bits of each value as a 64-bit integer; None for types that need a conversion.

    `rows` are ascending row numbers; None for all.
    """
    chunks = column.chunks
    if len(chunks) == 1:
        return _words_of_chunk(chunks[0], rows)
    if not chunks or len(chunks) > _MOST_CHUNKS or _is_dictionary(column.type):
        return None
    found: list[Uint64Array] = []
    begin = 0
    for chunk in chunks:
        own = None
        if rows is not None:
            first, end = np.searchsorted(rows, (begin, begin + len(chunk)))
            own = rows[first:end] - begin
        words = _words_of_chunk(chunk, own)
        if words is None:
            return None
        found.append(words)
        begin += len(chunk)
    return np.concatenate(found)


def _words_of_chunk(chunk: Array, rows: Int64Array | None) -> Uint64Array | None:
    """Return the bits of each value of a chunk as a 64-bit integer; see `_words_in_place`."""
    if _is_dictionary(chunk.type):
        chunk = chunk.indices
    words: Uint64Array | None = None
    width, begin, end = _width(chunk.type), chunk.offset, chunk.offset + len(chunk)
    if width is None:
        return None
    buffers = chunk.buffers()
    if width > 1:
        values = np.frombuffer(buffers[1], f"u{width // 8}", end)
        found = values[begin:].astype(np.uint64) if rows is None else values[rows + begin]
        words = found.astype(np.uint64, copy=False)
        if not chunk.null_count:
            return words
    places: Int64Array = np.arange(begin, end, dtype=np.int64) if rows is None else rows + begin
    if width == 1:
        words = _bits(buffers[1], places).astype(np.uint64)
    elif width < 0:
        words = _words_of_text(buffers[1], buffers[2], -width // 8, places)
    if words is not None and chunk.null_count:
        words[_bits(buffers[0], places) == 0] = _MISSING
    return words


@lru_cache(maxsize=64)
def _is_dictionary(kind: Any) -> bool:
    return pa.types.is_dictionary(kind)


@lru_cache(maxsize=64)
def _width(kind: Any) -> int | None:
    """Return the bits of a value; negative for the offsets of text; None for other types."""
    types = pa.types
    if types.is_string(kind) or types.is_binary(kind):
        return -32
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return -64
    return kind.bit_width if types.is_primitive(kind) and kind.bit_width <= 64 else None


def _bits(buffer: Any, places: Int64Array) -> Any:
    shifts = (places & 7).astype(np.uint8)
    return (np.frombuffer(buffer, np.uint8)[places >> 3] >> shifts) & np.uint8(1)


def _words_of_text(
    offsets: Any, data: Any, offset_bytes: int, places: Int64Array
) -> Uint64Array | None:
    """Return a hash of each text, eight bytes at a time; None if some texts are long."""
    if data is None or data.size < 8 or not len(places):
        return None
    ends = np.frombuffer(offsets, f"i{offset_bytes}")
    begins = ends[places].astype(np.int64)
    sizes = ends[places + 1] - begins
    longest = int(sizes.max(initial=0))
    if longest > _MOST_BYTES:
        return None
    every = np.ndarray((data.size - 7,), "<u8", data, 0, (1,))  # the word at each byte
    is_inside = int(begins[-1]) + longest + 8 <= data.size
    found = sizes.astype(np.uint64)
    for first in range(0, max(longest, 1), 8):
        at = begins + first if first else begins
        if is_inside:
            words = every[at]
        else:
            read = np.minimum(at, data.size - 8)
            words = every[read] >> np.minimum(8 * (at - read), 63).astype(np.uint64)
        words &= _MASKS[sizes if longest <= 8 else np.minimum(np.maximum(sizes - first, 0), 8)]
        hashes = _row_hashes([words], found)
        found = np.where(sizes > first, hashes, found) if first else hashes
    return found * _MISSING  # without it `_row_hashes` of two texts would not depend on their order


def _row_hashes(found: Sequence[Uint64Array], of_rows: Uint64Array | None = None) -> Uint64Array:
    """Return a hash of each row, from one 64-bit integer per column and row.

    `of_rows` has a hash of each row in other columns; None to start anew.
    """
    hashes = np.zeros_like(found[0]) if of_rows is None else of_rows.copy()
    for words in found:
        hashes ^= words
        hashes *= _FACTORS[0]
        hashes ^= hashes >> _HALF
    return hashes


def _n_different(hashes: Uint64Array) -> int:
    known = np.sort(hashes)
    return len(known) and 1 + int(np.count_nonzero(known[1:] != known[:-1]))


def _spread(values: Uint64Array) -> Uint64Array:
    """Hash numbers in place: each bit reaches the upper half, and from there the lower one."""
    values ^= values >> _HALF
    values *= _FACTORS[0]
    values ^= values >> _HALF
    values *= _FACTORS[1]
    return values
