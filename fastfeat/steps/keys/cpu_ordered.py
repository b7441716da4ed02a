"""Rows kept by group and value, for aggregates of groups that need the order of values.

In memory, keys and groups are kept as they came and sorted at the end. Spilled rows are sorted into
a run, a file of blocks. Runs are merged as they are read, some groups at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import Chunk
from fastfeat_kernels.grouped.order import (
    Ordered,
    keys_in,
    keys_of,
    order,
    order_partitions,
    split_by_group,
)
from fastfeat_kernels.grouped.tables import Partitions
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.unnamed import UnnamedFile, unnamed_file

ROW_BYTES = 12
_SCHEMA = pa.schema([("key", pa.int64()), ("group", pa.int32())])
SMALL_PIECE = 1 << 12  # rows; smaller pieces are joined as they come
DIGIT_BITS = 16  # of keys that are searched in runs digit by digit
BLOCK_ROWS = 1 << 16  # of a run, read at a time
RANGE_ROWS = 1 << 20  # whole groups of about so many rows are in memory at a time
_RUN = "grouped"


IsIn = Callable[[NDArray[np.int32]], NDArray[np.bool_]]


class Piece(NamedTuple):
    """Some values.

    Args:
        keys: `column.key_of` each value.
        groups: The group of each.
    """

    keys: NDArray[np.int64]
    groups: NDArray[np.int32]


class Run(NamedTuple):
    """Sorted rows in an unnamed file.

    Args:
        file: The file.
        blocks: First byte and number of rows of each block. A block has its keys, then its groups.
    """

    file: UnnamedFile
    blocks: list[tuple[int, int]]


@dataclass(slots=True)
class OrderedRows:
    """The values of some rows by group.

    Args:
        element: Type of the values, from `fastfeat_kernels.column.ELEMENTS`.
        n_groups: Number of groups.
        first: The rows of the first batch, until another comes.
        pieces: The other rows.
        ordered: All rows in memory in order, until more come.
        runs: Sorted rows on disk.
    """

    element: str
    n_groups: int
    first: Partitions | None = None
    pieces: list[Piece] = field(default_factory=list[Piece])
    ordered: Ordered | None = None
    runs: list[Run] = field(default_factory=list["Run"])


def keep(rows: OrderedRows, chunks: Sequence[Chunk], groups: NDArray[np.int32]) -> None:
    """Add rows."""
    if len(groups) == 0 or rows.n_groups == 0:
        return
    run, parts = runner(_RUN), n_parts(len(groups))
    split = split_by_group(rows.element, chunks, groups, rows.n_groups, run, parts)
    if rows.first is None and not rows.pieces and rows.ordered is None:
        rows.first = split
        return
    _to_pieces(rows)
    append(rows, Piece(*keys_in(split)))


def join(a: OrderedRows, b: OrderedRows) -> OrderedRows:
    """Return the rows of both. Both are consumed."""
    _to_pieces(a)
    _to_pieces(b)
    for piece in b.pieces:
        append(a, piece)
    a.runs += b.runs
    return a


def unordered(rows: OrderedRows) -> Piece:
    """Return the rows in memory."""
    _to_pieces(rows)
    if len(rows.pieces) != 1:
        rows.pieces = [_joined(rows.pieces)]
    return rows.pieces[0]


def chunks_of(keys: NDArray[np.int64]) -> list[Chunk]:
    """Return keys as a column that kernels read."""
    array = array_of_values(keys, None, pa.int64())
    return list(physical_chunks(pa.chunked_array([array], pa.int64())))


def in_order(rows: OrderedRows) -> Ordered:
    """Return the rows sorted by group and value; more may be added later."""
    run = runner(_RUN)
    if rows.ordered is None and rows.first is not None:
        parts = n_parts(len(rows.first.values))
        rows.ordered = order_partitions(rows.element, rows.first, rows.n_groups, run, parts)
        rows.first = None
    elif rows.ordered is None:
        keys, groups = unordered(rows)
        rows.pieces = []
        chunks = chunks_of(keys)
        found = order("int64", chunks, groups, rows.n_groups, run, n_parts(len(groups)))
        rows.ordered = found._replace(element=rows.element)
    return rows.ordered


def spill(rows: OrderedRows, folder: Path) -> None:
    """Write the rows in memory to a run in a folder; the file lives as long as a reader does."""
    if rows.first is None and not rows.pieces and rows.ordered is None:
        return
    run = Run(rows.runs[0].file if rows.runs else unnamed_file(folder), [])
    for block in _blocks(in_order(rows)):
        run.blocks.append((run.file.append(block.keys), len(block.keys)))
        run.file.append(block.groups)
    rows.ordered = None
    rows.runs.append(run)


def ranges_in_order(rows: OrderedRows, multiple: int = 1) -> Iterator[tuple[int, Ordered]]:
    """Yield neighbouring groups with their rows in order, and the number of the first group.

    Without runs, this yields all groups at once. With runs, it yields as few groups as fill
    `RANGE_ROWS` rows. Groups of one multiple of `multiple` stay together.
    """
    if not rows.runs:
        yield 0, in_order(rows)
        return
    first, held, n_held = 0, list[Piece](), 0
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
    """Return the number of values of some groups; `is_in` maps group codes to flags."""
    return sum(int(is_in(block.groups).sum()) for block in _all_blocks(rows))


def keys_at(rows: OrderedRows, places: NDArray[np.int64], is_in: IsIn) -> NDArray[np.int64]:
    """Return the keys at the given places (from 0, shape (n,)) of some groups' values in order."""
    if not rows.runs:
        keys, groups = unordered(rows)
        return np.partition(keys[is_in(groups)], np.unique(places))[places]
    return keys_by_digits(lambda: _all_blocks(rows), [(is_in, places)])[0]


def keys_by_digits(
    blocks: Callable[[], Iterable[Piece]], wanted: Sequence[tuple[IsIn, NDArray[np.int64]]]
) -> list[NDArray[np.int64]]:
    """Return keys by rank, found digit by digit, the highest digit first.

    Each digit takes one pass over all rows. `blocks` returns the rows in any order. `wanted` has
    pairs of `is_in` (see `count_in`) and places of values in order.
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


def _all_blocks(rows: OrderedRows) -> Iterator[Piece]:
    """Yield all rows, in any order."""
    return chain([unordered(rows)], *map(_blocks_of_run, rows.runs))


def table_of(rows: OrderedRows) -> Table:
    """Return the rows as columns of keys and groups."""
    return pa.Table.from_batches([_batch_of(block) for block in _all_blocks(rows)], _SCHEMA)


def keep_table(rows: OrderedRows, table: Table) -> None:
    """Add the rows of a table of keys and groups."""
    for batch in table.to_batches():
        rows.pieces.append(Piece(*(np.array(column) for column in batch.columns)))


def n_bytes_of(rows: OrderedRows) -> int:
    """Return the memory of the rows in bytes."""
    arrays: list[NDArray[Any]] = [array for piece in rows.pieces for array in piece]
    if rows.first is not None:
        arrays += [rows.first.values, rows.first.groups, rows.first.starts]
    if rows.ordered is not None:
        arrays += rows.ordered[1:]
    return sum(array.nbytes for array in arrays)


def most_bytes(n_groups: int, n_rows: int) -> int:
    """Return the highest memory in bytes of so many rows, in order or not."""
    return ROW_BYTES * n_rows + 16 * n_groups + (1 << 15)


def _to_pieces(rows: OrderedRows) -> None:
    """Keep all rows as pieces, so that others can be appended."""
    if rows.first is not None:
        rows.pieces, rows.first = [Piece(*keys_in(rows.first))], None
    if rows.ordered is not None:
        rows.pieces, rows.ordered = [Piece(*keys_of(rows.ordered))], None


def append(rows: OrderedRows, piece: Piece) -> None:
    """Append a piece, joined to the last one if both are small."""
    if rows.pieces and max(len(piece.keys), len(rows.pieces[-1].keys)) < SMALL_PIECE:
        piece = _joined([rows.pieces.pop(), piece])
    if len(piece.keys):
        rows.pieces.append(piece)


def _joined(pieces: Iterable[Piece]) -> Piece:
    keys, groups = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for piece in pieces:
        keys.append(piece.keys)
        groups.append(piece.groups)
    return Piece(np.concatenate(keys), np.concatenate(groups))


def _batch_of(piece: Piece) -> Any:
    """Return a piece as a batch of a table."""
    arrays = (
        array_of_values(np.ascontiguousarray(column), None, kind)
        for column, kind in zip(piece, _SCHEMA.types, strict=True)
    )
    return pa.RecordBatch.from_arrays(list(arrays), schema=_SCHEMA)


def _blocks(ordered: Ordered) -> Iterator[Piece]:
    """Yield ordered rows, a block at a time."""
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
        yield Piece(ordered.keys[places], np.repeat(np.arange(a, b + 1, dtype=np.int32), counts))


def _blocks_of_run(run: Run) -> Iterator[Piece]:
    """Yield the rows of a run, a block at a time."""
    for first, n in run.blocks:
        content = run.file.read(first, ROW_BYTES * n)
        yield Piece(np.frombuffer(content, np.int64, n), np.frombuffer(content, np.int32, n, 8 * n))


def _merged(runs: Sequence[Iterator[Piece]]) -> Iterator[Piece]:
    """Yield the rows of runs in order, some at a time.

    Each step yields the rows up to the earliest end among the open blocks.
    """
    heads = [(block, run) for run in runs if (block := next(run, None)) is not None]
    while heads:
        ends = [(int(block.groups[-1]), int(block.keys[-1])) for block, _ in heads]
        end, taken = min(ends), list[Piece]()
        left: list[tuple[Piece, Iterator[Piece]]] = []
        for block, run in heads:
            some, rest = _halves(block, _upto(block, *end))
            taken.append(some)
            following = rest if len(rest.keys) else next(run, None)
            if following is not None:
                left.append((following, run))
        heads = left
        keys, groups = _joined(taken)
        order = np.lexsort((keys, groups))
        yield Piece(keys[order], groups[order])


def _upto(block: Piece, group: int, key: int) -> int:
    """Return how many rows of a block come up to a group and key."""
    first, stop = np.searchsorted(block.groups, [group, group + 1]).tolist()
    return first + int(np.searchsorted(block.keys[first:stop], key, "right"))


def _halves(piece: Piece, n: int) -> tuple[Piece, Piece]:
    return Piece(piece.keys[:n], piece.groups[:n]), Piece(piece.keys[n:], piece.groups[n:])


def _ordered_of(element: str, piece: Piece, first: int, stop: int) -> Ordered:
    """Return the rows of groups [first, stop), which are in order."""
    counts = np.bincount(piece.groups - first, minlength=stop - first).astype(np.int64)
    return Ordered(element, piece.keys, np.cumsum(counts) - counts, counts)
