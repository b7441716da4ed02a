"""Rows kept for aggregates of groups that need sorted values, such as quantiles.

A row is a group number and a sort key: `column.key_of` maps each value to an int64 that sorts like
the values. In memory, rows are kept in the order in which they came and sorted at the end. Rows
that leave memory are sorted into a run, a file of blocks. Runs are merged as they are read, some
groups at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import ArrowChunk
from fastfeat_kernels.grouped.order import (
    SortedGroups,
    keys_in,
    keys_of,
    order,
    order_partitions,
    split_by_group,
)
from fastfeat_kernels.grouped.tables import Partitions
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.temporary_files import UnnamedFile, unnamed_file

ROW_BYTES = 12
_SCHEMA = pa.schema([("key", pa.int64()), ("group", pa.int32())])
SMALL_PIECE = 1 << 12  # rows; smaller pieces are joined as they come
DIGIT_BITS = 16  # of keys that are searched in runs digit by digit
BLOCK_ROWS = 1 << 16  # of a run, read at a time
RANGE_ROWS = 1 << 20  # whole groups of about so many rows are in memory at a time
_RUN = "grouped"


IsIn = Callable[[NDArray[np.int32]], NDArray[np.bool_]]


class KeyPiece(NamedTuple):
    """Some rows in memory.

    Args:
        keys: Sort key of each row's value, shape (n_rows,).
        groups: Group number of each row, shape (n_rows,).
    """

    keys: NDArray[np.int64]
    groups: NDArray[np.int32]


class SortedRun(NamedTuple):
    """Rows in an unnamed file, sorted by group and value.

    Args:
        file: The file.
        blocks: Byte offset and number of rows of each block. A block stores its sort keys, then its
            group numbers.
    """

    file: UnnamedFile
    blocks: list[tuple[int, int]]


@dataclass(slots=True)
class OrderedRows:
    """The rows kept so far, in one or several forms.

    Args:
        element: Type of the values, from `fastfeat_kernels.column.ELEMENTS`.
        n_groups: Number of groups.
        first: The rows of the first batch, partitioned by group, until another comes.
        pieces: Rows in memory as they came.
        ordered: All rows in memory, sorted by group and value, until more come.
        runs: Rows on disk.
    """

    element: str
    n_groups: int
    first: Partitions | None = None
    pieces: list[KeyPiece] = field(default_factory=list[KeyPiece])
    ordered: SortedGroups | None = None
    runs: list[SortedRun] = field(default_factory=list["SortedRun"])


def keep(rows: OrderedRows, chunks: Sequence[ArrowChunk], groups: NDArray[np.int32]) -> None:
    """Add a batch of rows: their values, and the group number of each."""
    if len(groups) == 0 or rows.n_groups == 0:
        return
    run, parts = runner(_RUN), n_parts(len(groups))
    split = split_by_group(rows.element, chunks, groups, rows.n_groups, run, parts)
    if rows.first is None and not rows.pieces and rows.ordered is None:
        rows.first = split
        return
    _to_pieces(rows)
    append(rows, KeyPiece(*keys_in(split)))


def join(a: OrderedRows, b: OrderedRows) -> OrderedRows:
    """Return the rows of both; use neither of them afterwards."""
    _to_pieces(a)
    _to_pieces(b)
    for piece in b.pieces:
        append(a, piece)
    a.runs += b.runs
    return a


def rows_in_memory(rows: OrderedRows) -> KeyPiece:
    """Return the rows in memory, in no particular order."""
    _to_pieces(rows)
    if len(rows.pieces) != 1:
        rows.pieces = [_joined(rows.pieces)]
    return rows.pieces[0]


def chunks_of(keys: NDArray[np.int64]) -> list[ArrowChunk]:
    """Return sort keys as a column in the form that kernels read."""
    array = array_of_values(keys, None, pa.int64())
    return list(physical_chunks(pa.chunked_array([array], pa.int64())))


def in_order(rows: OrderedRows) -> SortedGroups:
    """Return the rows in memory, sorted by group and value; more may be added later."""
    run = runner(_RUN)
    if rows.ordered is None and rows.first is not None:
        parts = n_parts(len(rows.first.values))
        rows.ordered = order_partitions(rows.element, rows.first, rows.n_groups, run, parts)
        rows.first = None
    elif rows.ordered is None:
        keys, groups = rows_in_memory(rows)
        rows.pieces = []
        chunks = chunks_of(keys)
        found = order("int64", chunks, groups, rows.n_groups, run, n_parts(len(groups)))
        rows.ordered = found._replace(element=rows.element)
    return rows.ordered


def spill(rows: OrderedRows, folder: Path) -> None:
    """Move the rows in memory to a file in a folder; it exists as long as something can read it."""
    if rows.first is None and not rows.pieces and rows.ordered is None:
        return
    run = SortedRun(rows.runs[0].file if rows.runs else unnamed_file(folder), [])
    for block in _blocks(in_order(rows)):
        run.blocks.append((run.file.append(block.keys), len(block.keys)))
        run.file.append(block.groups)
    rows.ordered = None
    rows.runs.append(run)


def ranges_in_order(rows: OrderedRows, multiple: int = 1) -> Iterator[tuple[int, SortedGroups]]:
    """Yield some neighbouring groups at a time: the number of the first, and their sorted rows.

    Without rows on disk, this yields all groups at once. Otherwise it yields as few groups as fill
    `RANGE_ROWS` rows. The groups k * multiple, ..., (k + 1) * multiple - 1 are never separated.
    """
    if not rows.runs:
        yield 0, in_order(rows)
        return
    first, held, n_held = 0, list[KeyPiece](), 0
    for block in _merged([*map(_blocks_of_run, rows.runs), _blocks(in_order(rows))]):
        held.append(block)
        n_held += len(block.keys)
        last = int(block.groups[-1]) // multiple * multiple  # it may go on
        if n_held < RANGE_ROWS or int(held[0].groups[0]) >= last:
            continue
        piece = _joined(held)
        whole, rest = _halves(piece, int(np.searchsorted(piece.groups, last)))
        yield first, _ordered_of(rows.element, whole, first, last)
        first, held, n_held = last, [rest], len(rest.keys)
    yield first, _ordered_of(rows.element, _joined(held), first, rows.n_groups)


def count_in(rows: OrderedRows, is_in: IsIn) -> int:
    """Return the number of rows in some groups; `is_in` maps group numbers to flags."""
    return sum(int(is_in(block.groups).sum()) for block in _all_blocks(rows))


def keys_at(rows: OrderedRows, places: NDArray[np.int64], is_in: IsIn) -> NDArray[np.int64]:
    """Return the sort keys at the given positions among the sorted values of some groups.

    `places` are the positions, counted from 0, shape (n,). `is_in` maps group numbers to flags.
    """
    if not rows.runs:
        keys, groups = rows_in_memory(rows)
        return np.partition(keys[is_in(groups)], np.unique(places))[places]
    return keys_by_digits(lambda: _all_blocks(rows), [(is_in, places)])[0]


def keys_by_digits(
    blocks: Callable[[], Iterable[KeyPiece]], wanted: Sequence[tuple[IsIn, NDArray[np.int64]]]
) -> list[NDArray[np.int64]]:
    """Return sort keys at positions of the sorted rows, without sorting them: by radix selection.

    Each digit of 16 bits takes one pass over all rows, the highest first. `blocks` returns the rows
    in any order. Each item of `wanted` has an `is_in`, which selects rows by group (see
    `count_in`), and positions among the sorted values of these rows. There is one result array per
    item.
    """
    found = [np.zeros(len(places), np.uint64) for _, places in wanted]
    left = [places.copy() for _, places in wanted]
    low = np.uint64((1 << DIGIT_BITS) - 1)
    for shift in range(64 - DIGIT_BITS, -1, -DIGIT_BITS):
        counts = [np.zeros((len(places), 1 << DIGIT_BITS), np.int64) for places in left]
        for block in blocks():
            digits = (block.keys ^ np.int64(-(2**63))).view(np.uint64) >> np.uint64(shift)
            for (is_in, _), known, own in zip(wanted, found, counts, strict=True):
                some = digits[is_in(block.groups)]
                for place, prefix in enumerate(known.tolist()):
                    at = some[some >> np.uint64(DIGIT_BITS) == np.uint64(prefix)] & low
                    own[place] += np.bincount(at.astype(np.int64), minlength=1 << DIGIT_BITS)
        for known, places, own in zip(found, left, counts, strict=True):
            every: NDArray[np.int64] = np.cumsum(own, axis=1)
            for k in range(len(places)):
                place = int(places[k])
                digit = int(np.searchsorted(every[k], place, "right"))
                places[k] = place - int(every[k, digit] - own[k, digit])
                known[k] = (known[k] << np.uint64(DIGIT_BITS)) + np.uint64(digit)
    return [known.view(np.int64) ^ np.int64(-(2**63)) for known in found]


def _all_blocks(rows: OrderedRows) -> Iterator[KeyPiece]:
    """Yield all rows, in memory and on disk, in any order."""
    return chain([rows_in_memory(rows)], *map(_blocks_of_run, rows.runs))


def table_of(rows: OrderedRows) -> Table:
    """Return all rows as an Arrow table of sort keys and group numbers."""
    return pa.Table.from_batches([_batch_of(block) for block in _all_blocks(rows)], _SCHEMA)


def keep_table(rows: OrderedRows, table: Table) -> None:
    """Add the rows of a table that `table_of` returned."""
    for batch in table.to_batches():
        rows.pieces.append(KeyPiece(*(np.array(column) for column in batch.columns)))


def n_bytes_of(rows: OrderedRows) -> int:
    """Return the bytes of the rows that are in memory."""
    arrays: list[NDArray[Any]] = [array for piece in rows.pieces for array in piece]
    if rows.first is not None:
        arrays += [rows.first.values, rows.first.groups, rows.first.starts]
    if rows.ordered is not None:
        arrays += rows.ordered[1:]
    return sum(array.nbytes for array in arrays)


def most_bytes(n_groups: int, n_rows: int) -> int:
    """Return the most bytes that `n_rows` rows in `n_groups` groups may take in memory."""
    return ROW_BYTES * n_rows + 16 * n_groups + (1 << 15)


def _to_pieces(rows: OrderedRows) -> None:
    """Turn all rows in memory into pieces, so that others can be appended."""
    if rows.first is not None:
        rows.pieces, rows.first = [KeyPiece(*keys_in(rows.first))], None
    if rows.ordered is not None:
        rows.pieces, rows.ordered = [KeyPiece(*keys_of(rows.ordered))], None


def append(rows: OrderedRows, piece: KeyPiece) -> None:
    """Append a piece of rows; it is joined to the last piece if both are small."""
    if rows.pieces and max(len(piece.keys), len(rows.pieces[-1].keys)) < SMALL_PIECE:
        piece = _joined([rows.pieces.pop(), piece])
    if len(piece.keys):
        rows.pieces.append(piece)


def _joined(pieces: Iterable[KeyPiece]) -> KeyPiece:
    keys, groups = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for piece in pieces:
        keys.append(piece.keys)
        groups.append(piece.groups)
    return KeyPiece(np.concatenate(keys), np.concatenate(groups))


def _batch_of(piece: KeyPiece) -> Any:
    """Return a piece of rows as an Arrow record batch."""
    arrays = (
        array_of_values(np.ascontiguousarray(column), None, kind)
        for column, kind in zip(piece, _SCHEMA.types, strict=True)
    )
    return pa.RecordBatch.from_arrays(list(arrays), schema=_SCHEMA)


def _blocks(ordered: SortedGroups) -> Iterator[KeyPiece]:
    """Yield sorted rows, `BLOCK_ROWS` at a time."""
    ends = np.cumsum(ordered.counts)
    n_rows = int(ends[-1]) if len(ends) else 0
    for first in range(0, n_rows, BLOCK_ROWS):
        stop = min(first + BLOCK_ROWS, n_rows)
        a, b = np.searchsorted(ends, [first, stop - 1], "right").tolist()
        some = slice(a, b + 1)
        begins = np.maximum(ends[some] - ordered.counts[some], first)
        counts = np.minimum(ends[some], stop) - begins
        shifts = ordered.starts[some] - (ends[some] - ordered.counts[some])
        places = np.repeat(shifts, counts) + np.arange(first, stop)
        yield KeyPiece(ordered.keys[places], np.repeat(np.arange(a, b + 1, dtype=np.int32), counts))


def _blocks_of_run(run: SortedRun) -> Iterator[KeyPiece]:
    """Read the rows of a run from its file, a block at a time."""
    for first, n in run.blocks:
        content = run.file.read(first, ROW_BYTES * n)
        yield KeyPiece(
            np.frombuffer(content, np.int64, n), np.frombuffer(content, np.int32, n, 8 * n)
        )


def _merged(runs: Sequence[Iterator[KeyPiece]]) -> Iterator[KeyPiece]:
    """Yield the rows of several sorted runs, merged into one order, some at a time.

    Each step takes the next block of every run, and yields the rows up to the first of the blocks'
    last rows.
    """
    heads = [(block, run) for run in runs if (block := next(run, None)) is not None]
    while heads:
        ends = [(int(block.groups[-1]), int(block.keys[-1])) for block, _ in heads]
        end, taken = min(ends), list[KeyPiece]()
        left: list[tuple[KeyPiece, Iterator[KeyPiece]]] = []
        for block, run in heads:
            some, rest = _halves(block, _upto(block, *end))
            taken.append(some)
            following = rest if len(rest.keys) else next(run, None)
            if following is not None:
                left.append((following, run))
        heads = left
        keys, groups = _joined(taken)
        order = np.lexsort((keys, groups))
        yield KeyPiece(keys[order], groups[order])


def _upto(block: KeyPiece, group: int, key: int) -> int:
    """Return how many rows of a sorted block are at or before a group and sort key."""
    first, stop = np.searchsorted(block.groups, [group, group + 1]).tolist()
    return first + int(np.searchsorted(block.keys[first:stop], key, "right"))


def _halves(piece: KeyPiece, n: int) -> tuple[KeyPiece, KeyPiece]:
    return KeyPiece(piece.keys[:n], piece.groups[:n]), KeyPiece(piece.keys[n:], piece.groups[n:])


def _ordered_of(element: str, piece: KeyPiece, first: int, stop: int) -> SortedGroups:
    """Return sorted rows in the form `SortedGroups`; they are all rows of groups [first, stop)."""
    counts = np.bincount(piece.groups - first, minlength=stop - first).astype(np.int64)
    return SortedGroups(element, piece.keys, np.cumsum(counts) - counts, counts)
