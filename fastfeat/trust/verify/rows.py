"""The rows that `verify` compares; from data larger than memory, as many as fit.

A path is a way to compute features. All paths must give the same bits for any choice of rows. If
the plan has windows, some entities are taken with all their rows; otherwise the first rows are
taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.errors import InvalidPlan, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.entities import SHARE, keys_in_common, share_plan
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import batch_hint, history_table, is_batch, naming_history
from fastfeat.execute.inputs import check_place, read_columns
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Schema, Table, call, pa, schema_within
from fastfeat.io.budget import LEAST_TABLE, Budget, Need
from fastfeat.io.columns.decode import plain_table
from fastfeat.io.columns.types import row_bytes
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import scan
from fastfeat.ir.scope import window_nodes

MOST_ROWS = 1 << 20
_SHARE = 8
"""Rows with their features may take 1 / 8 of the free memory; several copies exist at a time."""
_FEATURES = 4
"""Number of feature tables in memory at a time."""
_KEY_BYTES = 384
"""Bytes of a learnt key as Python objects in two tables; 365 were measured with 1M integers."""
IsTaken = Callable[[Table], Any]
"""Returns a bool for each of some rows."""


class VerifiedRows(NamedTuple):
    """The rows to compare.

    Args:
        many: Rows for all paths except the reference.
        sample: Rows that the reference may compute; equal to `many` for plans with windows.
        earlier: The history as a table; None without history.
        again: The data set, to read it once more, in pieces; it begins with the rows in `many`.
            None if that is not possible.
    """

    many: Any
    sample: Any
    earlier: Any
    again: Any = None


class SideInputs(NamedTuple):
    """The lookup tables and the history, which every call of `transform` gets besides its rows."""

    tables: Tables
    history: Any

    def transform(
        self, fitted: Fitted, rows: Any, *, backend: str = "cpu", to: str = "arrow"
    ) -> Any:
        """Return the features of rows, computed without the prepared way of small batches."""
        return transform(fitted, self.of(rows, backend), to=to, prepares=False)

    def transform_again(self, fitted: Fitted, rows: Any) -> Any:
        """Return the features of rows, computed in the prepared way if there is one."""
        return transform(fitted, self.of(rows))

    def of(self, rows: Any, backend: str = "cpu") -> CallRows:
        """Return rows as an argument of `transform`, with these tables and this history."""
        return CallRows(rows, None, self.history, self.tables, backend)


def rows_in_memory(
    fitted: Fitted,
    rows: CallRows,
    columns: Sequence[str],
    n_rows: int,
    if_there: Sequence[str] = (),
) -> VerifiedRows:
    """Return the rows to verify from data that is read whole.

    Without windows in the plan, the sample has at most `n_rows` rows. The data may lack the columns
    `if_there`.
    """
    past = fitted.declaration.past_columns
    table = read_columns(rows.data, columns, [*past, *if_there])
    check_place(table, "cpu")
    earlier = history_table(rows.history, past, "cpu", fitted.declaration.row_id)
    many = table.slice(0, MOST_ROWS)  # in larger pieces than a sample, which would be joined
    has_past = len(window_nodes(fitted.nodes.values())) > 0
    return VerifiedRows(many, many if has_past else _sample(table, n_rows), earlier)


def _sample(table: Any, n_rows: int) -> Any:
    if table.num_rows <= n_rows:
        return table
    last: int = table.num_rows - 1
    return plain_table(table).take(np.unique(np.linspace(0, last, n_rows).astype(np.int64)))


def rows_of_parts(
    fitted: Fitted,
    rows: CallRows,
    columns: Sequence[str],
    of_history: Sequence[str],
    n_rows: int,
    budget: Budget,
    if_there: Sequence[str] = (),
) -> VerifiedRows:
    """Return the rows to verify from data that is read in pieces.

    Without windows in the plan, the sample has at most `n_rows` rows. The data may lack the columns
    `if_there`. `of_history` are the columns to read from the history. Messages of errors in the
    history name the history.
    """
    dataset, history = dataset_of(rows.data), rows.history
    read_columns(pa.Table.from_batches([], dataset.schema), columns)
    columns = list(dict.fromkeys([*columns, *fitted.declaration.past_columns, *if_there]))
    earlier = None
    if of_history and history is not None and not is_batch(history):
        with naming_history(batch_hint(history)):
            earlier = dataset_of(history)
            read_columns(pa.Table.from_batches([], earlier.schema), of_history)
    most = _most_rows(fitted, schema_within(dataset.schema, columns), budget)
    if not window_nodes(fitted.nodes.values()):
        many, sample = _first_and_sample(dataset, columns, most, n_rows, budget)
        return VerifiedRows(many, sample, None, None if dataset.is_one_shot else dataset)
    datasets = [dataset, *([earlier] if earlier else [])]
    is_taken = _of_some_entities(fitted, rows.tables, datasets, most)
    many = _first(dataset, columns, most, is_taken, budget)
    known = None if earlier is None else _first(earlier, of_history, most, is_taken, budget)
    return VerifiedRows(many, many, known)


def needs_of_reference(fitted: Fitted) -> list[Need]:
    """Return the memory that the reference and `transform_row` need for the plan's learnt keys."""
    n_keys = _n_keys(fitted)
    what = f"the reference, which looks up {counted(n_keys, 'learnt key')} in Python,"
    return [Need(what, n_keys * _KEY_BYTES)] if n_keys else []


def _n_keys(fitted: Fitted) -> int:
    vocabularies = {id(v): v for v in fitted.learnt.values() if isinstance(v, Vocabulary)}
    return sum(map(len, vocabularies.values()))


def _most_rows(fitted: Fitted, schema: Schema, budget: Budget) -> int:
    """Return the number of rows that fit in the memory budget, with several copies of features."""
    room = budget.room() - _n_keys(fitted) * _KEY_BYTES
    width = row_bytes(schema) + _FEATURES * row_bytes(fitted.schema)
    return max(1, min(MOST_ROWS, room // _SHARE // width))


def _of_some_entities(
    fitted: Fitted, tables: Tables, datasets: Sequence[Dataset], most: int
) -> IsTaken | None:
    """Return a function that selects the rows of some entities; None to take all rows.

    All rows of a selected entity are selected, by a hash of its key. About `most` rows of each data
    set are selected.
    """
    known = [dataset.n_rows for dataset in datasets if dataset.n_rows is not None]
    n_shares = -(-max(known) // most) if known else _UNKNOWN
    try:
        keys = keys_in_common(window_nodes(fitted.nodes.values()))
    except InvalidPlan:  # no key groups all rows that a row sees
        return None
    if n_shares < 2 or not keys:
        return None
    made = share_plan(
        keys, n_shares, fitted.inputs, fitted.tables, fitted.zones, dict(fitted.constants)
    )

    def is_taken(rows: Table) -> Any:
        share = transform(made, CallRows(rows, tables=tables))[SHARE]
        return call("equal", share.fill_null(0), n_shares - 1)

    return is_taken


def _first(
    dataset: Dataset,
    columns: Sequence[str],
    most: int,
    is_taken: IsTaken | None,
    budget: Budget,
) -> Table:
    """Return the first `most` rows of a data set; only those that `is_taken` selects, if given."""
    kept: list[Table] = []
    n = 0
    with closing(scan(dataset, columns, lambda: _table_bytes(budget))) as tables:
        for scanned in tables:
            rows = scanned.table
            chosen = rows if is_taken is None else rows.filter(is_taken(rows))
            kept.append(chosen.slice(0, most - n))
            n += kept[-1].num_rows
            if n >= most:
                break
    pa.default_memory_pool().release_unused()
    return pa.concat_tables(kept)


def _first_and_sample(
    dataset: Dataset, columns: Sequence[str], most: int, n_rows: int, budget: Budget
) -> tuple[Table, Table]:
    """Return the first `most` rows, and about `n_rows` rows evenly spaced among all.

    The data is read once. The sample starts with every row and drops half of its rows whenever it
    is too large, so the total number need not be known.
    """
    first: list[Table] = []
    sample: list[Table] = []
    n_first = n_sample = 0
    step = 1
    with closing(scan(dataset, columns, lambda: _table_bytes(budget))) as tables:
        for scanned in tables:
            rows = scanned.table
            if n_first < most:
                first.append(rows.slice(0, most - n_first))
                n_first += first[-1].num_rows
            offset = -scanned.first_row % step
            numbers: NDArray[np.int64] = np.arange(offset, int(rows.num_rows), step)
            sample.append(plain_table(rows).take(pa.array(numbers)))
            n_sample += len(numbers)
            while n_sample >= 2 * n_rows:
                joined = pa.concat_tables(sample)
                sample = [joined.take(pa.array(np.arange(0, n_sample, 2)))]
                n_sample, step = sample[0].num_rows, 2 * step
    found = pa.concat_tables(first), _sample(pa.concat_tables(sample), n_rows)
    pa.default_memory_pool().release_unused()
    return found


def _table_bytes(budget: Budget) -> int:
    return max(LEAST_TABLE, budget.table_bytes() // 2)


_UNKNOWN = 8
"""Shares of entities if the number of rows is unknown."""
