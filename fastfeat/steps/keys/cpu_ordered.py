"""Rows kept by group and value: where aggregates of groups read the order of values.

In memory they are as they came, keys and groups, and sorted in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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

ROW_BYTES = 12
SMALL_PIECE = 1 << 12  # rows, of which pieces are joined as they come
_RUN = "grouped"


@dataclass(slots=True)
class OrderedRows:
    """The values of some rows by group.

    Args:
        element: type of the values, of `fastfeat_kernels.column.ELEMENTS`.
        n_groups: how many groups there are.
        first: the rows of the first batch, as long as there is no other.
        pieces: keys of values, as `column.key_of` gives them, and the group of each.
        ordered: all rows in order, as long as no other has come since.
    """

    element: str
    n_groups: int
    first: Partitions | None = None
    pieces: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = field(
        default_factory=list[tuple[NDArray[np.int64], NDArray[np.int32]]]
    )
    ordered: Ordered | None = None


def keep(rows: OrderedRows, chunks: Sequence[Chunk], groups: NDArray[np.int32]) -> None:
    """Keep further rows."""
    if len(groups) == 0 or rows.n_groups == 0:
        return
    run, parts = runner(_RUN), n_parts(len(groups))
    split = split_by_group(rows.element, chunks, groups, rows.n_groups, run, parts)
    if rows.first is None and not rows.pieces and rows.ordered is None:
        rows.first = split
        return
    _to_pieces(rows)
    _append(rows, keys_in(split))


def join(a: OrderedRows, b: OrderedRows) -> OrderedRows:
    """Return the rows of both, which are used up."""
    _to_pieces(a)
    _to_pieces(b)
    for piece in b.pieces:
        _append(a, piece)
    return a


def in_order(rows: OrderedRows) -> Ordered:
    """Return the rows sorted by group and value; more may come after."""
    run = runner(_RUN)
    if rows.ordered is None and rows.first is not None:
        parts = n_parts(len(rows.first.values))
        rows.ordered = order_partitions(rows.element, rows.first, rows.n_groups, run, parts)
        rows.first = None
    elif rows.ordered is None:
        keys = [keys for keys, _ in rows.pieces]
        groups = np.concatenate([np.zeros(0, np.int32), *(groups for _, groups in rows.pieces)])
        chunks = physical_chunks(
            pa.chunked_array([array_of_values(one, None, pa.int64()) for one in keys], pa.int64())
        )
        rows.pieces = []
        found = order("int64", chunks, groups, rows.n_groups, run, n_parts(len(groups)))
        rows.ordered = found._replace(element=rows.element)
    return rows.ordered


def table_of(rows: OrderedRows) -> Table:
    """Return the rows as columns of keys and groups."""
    _to_pieces(rows)
    keys = [array_of_values(keys, None, pa.int64()) for keys, _ in rows.pieces]
    groups = [array_of_values(groups, None, pa.int32()) for _, groups in rows.pieces]
    return pa.table(
        {
            "key": pa.chunked_array(keys, pa.int64()),
            "group": pa.chunked_array(groups, pa.int32()),
        }
    )


def keep_table(rows: OrderedRows, table: Table) -> None:
    """Keep the rows of a table of keys and groups."""
    for batch in table.to_batches():
        keys, groups = (np.array(column) for column in batch.columns)
        rows.pieces.append((keys, groups))


def n_bytes_of(rows: OrderedRows) -> int:
    """Return the memory that the rows take."""
    arrays: list[NDArray[Any]] = [array for piece in rows.pieces for array in piece]
    if rows.first is not None:
        arrays += [rows.first.values, rows.first.groups, rows.first.starts]
    if rows.ordered is not None:
        arrays += rows.ordered[1:]
    return sum(array.nbytes for array in arrays)


def most_bytes(n_groups: int, n_rows: int) -> int:
    """Return the most memory that so many rows take, in order or not."""
    return ROW_BYTES * n_rows + 16 * n_groups + (1 << 15)


def _to_pieces(rows: OrderedRows) -> None:
    """Keep all rows as pieces, to which others can come."""
    if rows.first is not None:
        rows.pieces, rows.first = [keys_in(rows.first)], None
    if rows.ordered is not None:
        rows.pieces, rows.ordered = [keys_of(rows.ordered)], None


def _append(rows: OrderedRows, piece: tuple[NDArray[np.int64], NDArray[np.int32]]) -> None:
    """Append a piece, joined to the last one where both are small."""
    if rows.pieces and max(len(piece[0]), len(rows.pieces[-1][0])) < SMALL_PIECE:
        keys, groups = rows.pieces.pop()
        piece = np.concatenate([keys, piece[0]]), np.concatenate([groups, piece[1]])
    if len(piece[0]):
        rows.pieces.append(piece)
