"""Windows over data larger than memory: functions of other rows, as columns on disk.

One pass over the data writes each row to its share, a hash partition by entity. Then the functions
are computed share by share in memory, and written to a file in the order of the rows. Later passes
over the data read these columns beside it. Functions with other entity keys need a pass of their
own (a stage), and read the functions of an earlier stage like any column.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, Any

from fastfeat.backends import backend_named
from fastfeat.errors import InvalidPlan
from fastfeat.execute.entities import WindowStage, stages_of
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import batch_hint, is_batch, naming_history
from fastfeat.execute.large_shares import compute_large_share
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.order_warnings import warn_tied
from fastfeat.execute.shares import RowsOnDisk, groups_of, merge_shares, write_rows
from fastfeat.execute.stage_work import (
    RowSource,
    SpilledColumn,
    StageWork,
    WindowContext,
    bytes_in,
    compute_share,
    compute_stage,
    no_rows,
    open_stage,
    split,
)
from fastfeat.execute.time_ordered_stage import compute_in_time_order, is_bounded
from fastfeat.io.arrow import ChunkedArray, Table
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.frames import rows_only
from fastfeat.io.sources.scan import ScannedTable, with_place_in_errors
from fastfeat.io.temporary_files import explain_write_errors
from fastfeat.ir.node import Call, Node, postorder
from fastfeat.ir.scope import is_of_other_rows
from fastfeat.ir.show import show


def window_context(fitted: Fitted, tables: Tables, backend: str) -> WindowContext:
    """Return the types, learned values and tables that a fitted plan's window functions need."""
    return WindowContext(
        fitted.types,
        fitted.inputs,
        fitted.tables,
        fitted.zones,
        dict(fitted.constants),
        tables,
        fitted.declaration.late,
        fitted.told,
        False,
        backend_named(backend),
    )


def history_of(history: Any) -> Dataset | str | None:
    """Return earlier rows as a data set; "batch" and None are returned unchanged.

    Raises:
        FastfeatError: The history cannot be read; the message says that it is the history.
    """
    if history is None or is_batch(history):
        return history
    with naming_history(batch_hint(history)):
        return dataset_of(history)


def check_shared(features: Mapping[str, Node]) -> None:
    """Raise InvalidPlan for the first feature that sees rows of other shares."""
    for name, node in features.items():
        unshared = _unshared([node])
        if unshared is not None:
            raise InvalidPlan(
                f"feature {name!r} needs all rows at once: {show(unshared)}. It cannot be computed "
                "when data is read in pieces. Read the data whole, "
                "fitted.transform(data, history=...), or leave the feature out: "
                "fitted.select([...])"
            )


def is_shared(roots: Sequence[Node]) -> bool:
    """Return whether a common entity key splits the rows that expressions see into partitions."""
    return _unshared(roots) is None


def _unshared(roots: Sequence[Node]) -> Call | None:
    """Return the first function that needs all rows at once; None if all rows can be split by keys.

    Such a function has no entity key, and its window is not bounded.
    """
    functions = [one for one in postorder(list(roots)) if is_of_other_rows(one)]
    of_all = (node for stage in stages_of(functions) if not stage.keys for node in stage.nodes)
    return next((node for node in of_all if not is_bounded(node)), None)


class WindowColumns:
    """Functions of other rows that have been computed so far, as columns on disk."""

    def __init__(self, source: RowSource) -> None:
        """Start without any columns."""
        self.source = source
        self._places: dict[Call, SpilledColumn] = {}
        self._seen: dict[Call, SpilledColumn] = {}
        self._stack = ExitStack()
        self._finalizer = weakref.finalize(self, self._stack.close)

    def make(self, bound: WindowContext, nodes: Iterable[Call]) -> None:
        """Compute the given functions for all rows, unless they were computed before.

        Everything that they read must be learned.

        Raises:
            InvalidData: A function without a key sees all rows, and they are not sorted by time.
            FastfeatError: A row cannot be computed, with its number in the data.
        """
        lacking = [node for node in nodes if node not in self._places]
        with explain_write_errors(self.source.folder):
            for stage in stages_of(lacking):
                there = self._seen if stage.of_seen else self._places
                own = tuple(node for node in stage.nodes if node not in there)
                if own:
                    self._make(bound, replace(stage, nodes=own))

    def of_rows(self, nodes: Iterable[Call], first: int, n_rows: int) -> dict[Node, ChunkedArray]:
        """Return the columns of the given functions for `n_rows` rows from row `first` on."""
        read: dict[int, Table] = {}
        found: dict[Node, ChunkedArray] = {}
        for node in nodes:
            rows, name, n_earlier = self._places[node]
            if id(rows) not in read:
                read[id(rows)] = rows.rows(n_earlier + first, n_rows)
            found[node] = read[id(rows)].column(name)
        return found

    def close(self) -> None:
        """Delete the temporary files."""
        self._finalizer()

    def _make(self, bound: WindowContext, stage: WindowStage) -> None:
        """Compute the functions of a stage, and write them to disk in row order."""
        source, work = self.source, open_stage(bound, stage, self.source)
        given = [self._seen[node] for node in stage.given]
        if not stage.keys:
            made, n_earlier = compute_in_time_order(work, given, self._stack)
            self._place(work, made, n_earlier)
            return
        with ExitStack() as stack:
            past: Sequence[IO[bytes] | None] = [None] * work.n_shares
            n_earlier = 0
            if isinstance(source.history, Dataset):
                with naming_history():
                    earlier, _ = split(work, source.history, given, 0, stack)
                past, n_earlier = earlier.ended(), earlier.n_rows
            rows, origins = split(work, source.dataset, given, n_earlier, stack)
            none = compute_stage(work, no_rows(work, given), None, given)
            files = rows.ended()
            sizes = [bytes_in(a) + bytes_in(b) for a, b in zip(past, files, strict=True)]
            with with_place_in_errors(ScannedTable(rows_only(rows.n_rows), 0, origins)):
                shares = [
                    compute_large_share(work, file, of_past, given, n_earlier)
                    or compute_share(work, file, of_past, given, n_earlier, sizes)
                    for file, of_past in zip(files, past, strict=True)
                ]
            n_rows = rows.n_rows + (n_earlier if stage.of_seen else 0)
            groups = groups_of(merge_shares(shares), n_rows)
            made = write_rows(groups, none.schema, source.folder, self._stack)
        self._place(work, made, n_earlier)

    def _place(self, work: StageWork, made: RowsOnDisk, n_earlier: int) -> None:
        """Record the file and the column in which each function of a stage is stored."""
        stage = work.stage
        warn_tied(work.n_tied, work.bound.told)
        for k, node in enumerate(stage.nodes):
            place = SpilledColumn(made, str(k), n_earlier if stage.of_seen else 0)
            self._places.setdefault(node, place)
            if stage.of_seen:
                self._seen[node] = place
