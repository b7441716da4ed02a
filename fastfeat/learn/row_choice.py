"""The rows given to fit, and the rows it learns from, for data that is read in passes.

Fit does not learn from a row without a label. If the label looks ahead (is computed from later
rows), it is therefore computed for all rows first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from fastfeat_kernels.records import dataclass

from fastfeat.backends import backend_named
from fastfeat.execute.batch import Batch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import BATCH
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns
from fastfeat.execute.window_columns import WindowColumns, window_context
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.scan import ScannedTable, scan, with_place_in_errors
from fastfeat.ir.node import Call, Node
from fastfeat.ir.scope import is_of_table, window_of
from fastfeat.learn.labels import (
    LabelCounts,
    Latest,
    check_any_label,
    counts_of,
    labels_of,
    latest_time,
)
from fastfeat.plan.declare.late_columns import windows_ahead
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.plan.lower.task_graph import functions_of_rows


class SelectionFlags(NamedTuple):
    """Flags of a range of rows: given to fit, and learned from.

    Args:
        given: Whether each row is given to fit, shape (n_rows,).
        learnt: Whether fit learns from the row, shape (n_rows,).
    """

    given: BoolArray
    learnt: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class ChosenRows:
    """The rows of the data that are given to fit, and those that it learns from: one bit per row.

    Args:
        given: Whether a row is given to fit; None for all.
        learnt: Whether fit learns from the row.
    """

    given: ChunkedArray | None
    learnt: ChunkedArray

    @property
    def n_given(self) -> int:
        """Number of rows that are given to fit."""
        return len(self.learnt) if self.given is None else _count(self.given)

    @property
    def n_learnt(self) -> int:
        """Number of rows that fit learns from."""
        return _count(self.learnt)

    @property
    def digest_of_given(self) -> str:
        """Hash of the flags of the rows given to fit; "" if all rows are given."""
        if self.given is None:
            return ""
        flags = self.given.to_numpy(zero_copy_only=False)
        return hashlib.sha256(np.packbits(flags).tobytes()).hexdigest()

    def of(self, first: int, n_rows: int) -> SelectionFlags:
        """Return the flags of rows `first` to `first + n_rows` (exclusive)."""
        learnt = _flags(self.learnt, first, n_rows)
        given = self.given
        return SelectionFlags(
            np.ones(n_rows, np.bool_) if given is None else _flags(given, first, n_rows), learnt
        )

    def n_learnt_before(self, row: int) -> int:
        """Return the number of rows before `row` that fit learns from."""
        return _count(self.learnt.slice(0, row))

    def row_of_given(self, k: int) -> int:
        """Return the row number in the data of the k-th row given to fit, counted from 0.

        If there are no more than k given rows, it is the number of all rows.
        """
        if self.given is None:
            return k
        first = 0
        for chunk in self.given.chunks:
            n = _count(chunk)
            if k < n:
                rows = np.flatnonzero(chunk.to_numpy(zero_copy_only=False))
                return first + int(rows[k])
            k, first = k - n, first + len(chunk)
        return first


def _count(flags: Any) -> int:
    return call("sum", flags).as_py() or 0


def _flags(column: ChunkedArray, first: int, n_rows: int) -> BoolArray:
    """Return the flags of a range of rows as an array of bools."""
    return column.slice(first, n_rows).combine_chunks().to_numpy(zero_copy_only=False)


def choose_rows(
    label: Fitted | None,
    functions: WindowColumns,
    given: BoolArray | None,
    tables: Tables,
) -> ChosenRows | None:
    """Return flags of the rows given to fit and of those to learn from; None if both are all rows.

    `label` is None unless it looks ahead. `given` says which rows of the data are given to fit,
    shape (n_rows,); None for all. Raises InvalidData if no row has a label; warns RowsWithoutLabel
    if some have none.
    """
    of_given = None if given is None else pa.chunked_array([pa.array(given)])
    known = None if label is None else _with_label(label, functions, of_given, tables)
    learnt = of_given if known is None else known
    return None if learnt is None else ChosenRows(of_given, learnt)


def _with_label(
    label: Fitted, columns: WindowColumns, given: ChunkedArray | None, tables: Tables
) -> ChunkedArray | None:
    """Return flags of the given rows that have a label; None if all rows are given and have one."""
    source = columns.source
    functions = functions_of_rows(label.schedule)
    columns.make(window_context(label, tables, "cpu"), functions)
    past = [source.history] if isinstance(source.history, Dataset) else []
    latest = _latest(label, [*past, source.dataset], source.most_bytes, tables)
    names = label.declaration.row_columns
    found: list[Any] = []
    total = LabelCounts()
    reasons: tuple[str, ...] = ()
    with closing(scan(source.dataset, names, source.most_bytes)) as pieces:
        for piece in pieces:
            first, n_rows = piece.first_row, piece.table.num_rows
            made = columns.of_rows(functions, first, n_rows)
            with with_place_in_errors(piece):
                rows = CallRows(piece.table, history=BATCH, tables=tables)
                labels = labels_of(label, rows, made=made, latest=latest, first_row=first)
            asked = np.ones(n_rows, np.bool_) if given is None else _flags(given, first, n_rows)
            total, reasons = total.with_more(counts_of(labels, asked)), labels.reasons
            found.append(pa.array(labels.known & asked))
    return pa.chunked_array(found, pa.bool_()) if check_any_label(total, reasons) else None


def _latest(
    label: Fitted,
    datasets: Sequence[Dataset],
    most_bytes: int | Callable[[], int],
    tables: Tables,
) -> Latest:
    """Return the latest time of all rows, for each order of rows that the label's windows need.

    An order is a time column with entity keys. The windows see later rows and have no `end`.
    """
    functions = windows_ahead(label.declaration.nodes.values())
    windows = dict.fromkeys(map(window_of, functions))
    orders = [
        window.args[0]
        for window in windows
        if isinstance(window.args[0], Call)
        and not is_of_table(window.args[0])
        and dict(window.params)["end"] is None
    ]
    found: dict[Node, int | None] = dict.fromkeys(orders)
    if not orders:
        return found
    columns = columns_of([order.args[0] for order in orders])
    for dataset in datasets:
        with closing(scan(dataset, columns, most_bytes)) as pieces:
            for piece in pieces:
                for order, latest in _latest_in(label, piece, orders).items():
                    there = [one for one in (found[order], latest) if one is not None]
                    found[order] = max(there, default=None)
    return found


def _latest_in(label: Fitted, piece: ScannedTable, orders: Sequence[Call]) -> Latest:
    """Return the latest time of a chunk of rows for each order."""
    times = {order: order.args[0] for order in orders}
    cpu = backend_named("cpu")
    batch = Batch(piece.table, label.types, cpu, {}, {}, first_number=piece.first_row)
    make(batch, list(times.values()))
    compute_columns(batch, times.values())
    return {order: latest_time(batch, time) for order, time in times.items()}
