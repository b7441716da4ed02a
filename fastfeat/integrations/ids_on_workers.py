"""A search for rows with the same id, on the workers of an engine (Ray, Spark).

The rows are exchanged by a hash of their id, so that rows with the same id are in the same share,
and compared there. A worker numbers only the rows of its share, so the driver gets counts, not row
numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import Plan
from fastfeat.engine.cpu import threads
from fastfeat.errors import FastfeatError, WarningHistory
from fastfeat.execute.row_identity import check_alike, check_ids
from fastfeat.integrations.exchange import Exchange, RowsWithHistory, exchange_of_ids
from fastfeat.integrations.on_workers import error_of_text, text_of_error
from fastfeat.io.arrow import Schema, Table, pa, schema_with
from fastfeat.learn.duplicate_ids import warn_of_repeats

COUNTS: Schema = pa.schema(
    [("n_rows", pa.int64()), ("n_repeats", pa.int64()), ("error", pa.string())]
)
"""The schema of a share's counts: rows, rows that repeat an id, or an error."""


@dataclass(frozen=True, slots=True, eq=False)
class IdCheck:
    """A search for repeated ids, to be sent to workers: data only, without code.

    Args:
        exchange: The exchange that brings rows with the same id together.
        row_id: The column of the id.
        compares_rows: Whether windows see the rows, so that each id may occur once only.
    """

    exchange: Exchange
    row_id: str
    compares_rows: bool


def id_schema(plan: Plan, schema: Schema) -> Schema | None:
    """Return the schema of the columns that are compared between rows with the same id.

    Returns None if the plan has no row ids.
    """
    declared, row_id = plan.declaration, plan.declaration.row_id
    if row_id is None or row_id not in schema.names:
        return None
    names = dict.fromkeys([row_id, *declared.columns, *declared.label_sources])
    return schema_with(schema, [name for name in names if name in schema.names])


def id_check(plan: Plan, rows: Schema, n_shares: int) -> IdCheck:
    """Return the search for repeated ids; the plan must have a `row_id`.

    `rows` is the schema that `id_schema` returned.

    Raises:
        TypeMismatch: The column's type cannot be an id.
    """
    row_id, are_seen = plan.declaration.row_id, bool(plan.declaration.history_columns)
    assert row_id is not None
    return IdCheck(exchange_of_ids(row_id, rows, n_shares), row_id, are_seen)


def counts_of_share(check: IdCheck, share: RowsWithHistory) -> Table:
    """Count the rows of a share, and those that repeat an id; return one row of schema `COUNTS`."""
    table = share.table
    try:
        with threads.using_threads(1):
            n_repeats = 0
            if check.compares_rows:
                check_ids(check.row_id, table)
            else:
                n_repeats, _ = check_alike(check.row_id, table, table.column_names)
            counts = {"n_rows": [table.num_rows], "n_repeats": [n_repeats], "error": [None]}
    except FastfeatError as error:
        counts = {"n_rows": [0], "n_repeats": [0], "error": [text_of_error(error)]}
    return pa.table(counts, COUNTS)


def warn_repeated_ids(check: IdCheck, found: Iterable[Table]) -> None:
    """Warn, on the driver, if rows of any share repeat an id, given the `COUNTS` of all shares.

    Raises:
        FastfeatError: The error that a worker reported.

    Warns:
        RowsRepeated: Some rows repeat the id of another row.
    """
    counts = [row for table in found for row in table.to_pylist()]
    for row in counts:
        if row["error"] is not None:
            raise error_of_text(row["error"])
    n_rows, n_repeats = (sum(row[name] for row in counts) for name in ("n_rows", "n_repeats"))
    if n_repeats:
        warn_of_repeats(check.row_id, n_repeats, n_rows, None, WarningHistory())
