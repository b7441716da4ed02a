"""Rows partitioned into ranges of groups, used if a running state of every group does not fit.

A range is a set of groups with neighbouring numbers. Spilled rows go to unnamed files, which the
system removes however the process ends. At the end the ranges are read one by one; only the groups
of one range have moments, or sorted values, in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.column import ArrowChunk, split_rows
from fastfeat_kernels.grouped.growing import Table, new_table
from fastfeat_kernels.grouped.order import (
    MAX_PARTITION_BITS,
    SortedGroups,
    keys_in,
    order_partitions,
)
from fastfeat_kernels.grouped.summarize import add_partitions, new_task
from fastfeat_kernels.grouped.tables import Partitions, split_groups
from fastfeat_kernels.moments.state import Level
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.arrow import pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.temporary_files import UnnamedFile, unnamed_file

MIN_RANGE_BITS = 16
"""Groups per range, in bits; their moments take about 4 MiB."""
_RUN = "grouped"


class Range(NamedTuple):
    """All rows that belong to one range of groups.

    Args:
        first: Number of the range's first group.
        n_groups: Number of groups in the range.
        values: Values of the rows; see `Partitions`.
        groups: Group of each row, counted from `first`; see `Partitions`.
    """

    first: int
    n_groups: int
    values: NDArray[np.int64]
    groups: NDArray[np.int32]


class _Written(NamedTuple):
    """Rows in a file: for each range the values of all its rows, then their group numbers.

    Args:
        file: The file.
        begins: Byte offset in the file where each range begins, and where the last one ends.
        n_rows: Number of rows of each range.
    """

    file: UnnamedFile
    begins: NDArray[np.int64]
    n_rows: NDArray[np.int64]


@dataclass(slots=True)
class GroupRows:
    """Rows with their groups, partitioned into ranges of groups.

    Args:
        element: Type of the values, from `column.ELEMENTS`.
        n_groups: Number of groups.
        shift: Each range has 2**shift groups.
        pieces: Rows in memory, one item per batch.
        files: Rows on disk, one item per spill.
    """

    element: str
    n_groups: int
    shift: int
    pieces: list[Partitions] = field(default_factory=list[Partitions])
    files: list[_Written] = field(default_factory=list["_Written"])

    @property
    def n_bytes(self) -> int:
        """Bytes of the rows that are in memory."""
        return sum(piece.values.nbytes + piece.groups.nbytes for piece in self.pieces)

    @property
    def n_ranges(self) -> int:
        """Number of ranges, at least 1."""
        return max(-(-self.n_groups >> self.shift), 1)


def no_rows(element: str, n_groups: int, least_bits: int = 0) -> GroupRows:
    """Return a `GroupRows` without rows; each range has at least 2**least_bits groups."""
    bits = max(MIN_RANGE_BITS, n_groups.bit_length() - MAX_PARTITION_BITS, least_bits)
    return GroupRows(element, n_groups, bits)


def keep(rows: GroupRows, chunks: Sequence[ArrowChunk], groups: NDArray[np.int32]) -> None:
    """Add a batch of rows; `groups` has the group number of each row, shape (n_rows,)."""
    if len(groups) and rows.n_groups:
        groups = np.ascontiguousarray(groups, np.int32)
        parts = split_rows(chunks, n_parts(len(groups)))
        split = split_groups(rows.element, parts, groups, rows.n_groups, rows.shift, runner(_RUN))
        rows.pieces.append(split)


def join(a: GroupRows, b: GroupRows) -> GroupRows:
    """Return the rows of both, which must have equal groups; use neither afterwards."""
    a.pieces += b.pieces
    a.files += b.files
    return a


def spill(rows: GroupRows, folder: Path) -> None:
    """Move the rows in memory to an unnamed file in a folder."""
    if not rows.pieces:
        return
    n_rows = np.sum([np.diff(piece.starts) for piece in rows.pieces], axis=0)
    begins = np.zeros(len(n_rows) + 1, np.int64)
    np.cumsum(n_rows * _ROW_BYTES, out=begins[1:])
    file = rows.files[0].file if rows.files else unnamed_file(folder)
    begins += file.n_bytes
    for k in range(len(n_rows)):
        of_pieces = [slice(*piece.starts[k : k + 2].tolist()) for piece in rows.pieces]
        for piece, some in zip(rows.pieces, of_pieces, strict=True):
            file.append(piece.values[some])
        for piece, some in zip(rows.pieces, of_pieces, strict=True):
            file.append(piece.groups[some])
    rows.files.append(_Written(file, begins, n_rows))
    rows.pieces = []


def ranges(rows: GroupRows) -> Iterator[Range]:
    """Yield all rows, one range of groups after the other, in ascending order of the groups."""
    for k in range(rows.n_ranges):
        first = k << rows.shift
        values, groups = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        for written in rows.files:
            n = int(written.n_rows[k])
            content = written.file.read(int(written.begins[k]), n * _ROW_BYTES)
            values.append(np.frombuffer(content, np.int64, n))
            groups.append(np.frombuffer(content, np.int32, n, 8 * n))
        for piece in rows.pieces:
            some = slice(int(piece.starts[k]), int(piece.starts[k + 1]))
            values.append(piece.values[some])
            groups.append(piece.groups[some])
        numbers = np.concatenate(groups)
        numbers += np.where(
            numbers < 0, np.int32(first), np.int32(-first)
        )  # a missing value of group g is stored as ~g
        n_groups = min(1 << rows.shift, rows.n_groups - first)
        yield Range(first, n_groups, np.concatenate(values), numbers)


def add_range(table: Table, rows: GroupRows, some: Range, first: int = 0) -> None:
    """Add the rows of a range to a table with the moments of groups.

    The table may have other groups too; `first` is the number of the range's first group in it.
    """
    if not len(some.values):
        return
    run, moments = runner(_RUN), table.moments
    groups = some.groups
    if first:
        groups = groups + np.where(groups < 0, np.int32(-first), np.int32(first))
    stored = "float64" if rows.element.startswith("float") else "int64"
    array = array_of_values(some.values, None, getattr(pa, stored)())
    chunks: list[ArrowChunk] = list(physical_chunks(pa.chunked_array([array])))
    parts = split_rows(chunks, 1)
    task = new_task(stored, parts, moments.n_groups, moments.level, run, table.has_extremes)
    partitions = _partitions(rows, moments.n_groups, some.values, groups)
    add_partitions(table, task._replace(element=partitions.element), partitions, run)


def _partitions(
    rows: GroupRows, n_groups: int, values: NDArray[np.int64], groups: NDArray[np.int32]
) -> Partitions:
    """Return rows in the form of `Partitions`, all in a single partition."""
    stored = "float64" if rows.element.startswith("float") else "int64"
    element = "uint64" if rows.element == "uint64" else stored
    starts = np.array([0, len(groups)], np.int64)
    return Partitions(element, max(n_groups.bit_length(), 1), values, groups, starts)


def in_order(rows: GroupRows, some: Range) -> SortedGroups:
    """Return the values of a range's rows, sorted by group and then by value."""
    partitions = _partitions(rows, some.n_groups, some.values, some.groups)
    return order_partitions(rows.element, partitions, some.n_groups, runner(_RUN))


def keys_of(rows: GroupRows, some: Range) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the sort key (`column.key_of`) of each present value of a range, and its group."""
    return keys_in(_partitions(rows, some.n_groups, some.values, some.groups))


def table_of(rows: GroupRows, level: Level, extremes: bool) -> Table:
    """Return a table with the moments of all groups; `rows` may not be used afterwards."""
    table = new_table(rows.element, rows.n_groups, level, extremes)
    for some in ranges(rows):
        add_range(table, rows, some, some.first)
    return table


_ROW_BYTES = 12
