"""Rows of one id on the workers of an engine: exchanged by the id, and compared where they meet.

A worker numbers no rows but those of its share, so that counts come to the driver, and no numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastfeat.api.plan import Plan
from fastfeat.engine.cpu.threads import using_threads
from fastfeat.errors import FastfeatError, GivenWarnings
from fastfeat.execute.row_identity import check_alike, check_ids
from fastfeat.integrations.exchange import Exchange, Rows, exchange_of_ids
from fastfeat.integrations.on_workers import error_of_text, text_of_error
from fastfeat.io.arrow import Schema, Table, pa, schema_with
from fastfeat.learn.repeated_ids import warn_of_repeats

COUNTS: Schema = pa.schema(
    [("n_rows", pa.int64()), ("n_repeats", pa.int64()), ("error", pa.string())]
)
"""Of a share of the rows: how many there are, how many have the id of another, or what is wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class IdCheck:
    """A look for rows of one id, on its way to workers: data alone, without code.

    Args:
        exchange: brings the rows of an id together.
        row_id: the column of the id.
        are_seen: whether windows see the rows, so that an id may stand once only.
    """

    exchange: Exchange
    row_id: str
    are_seen: bool


def ids_read(plan: Plan, schema: Schema) -> Schema | None:
    """Return the schema of what rows of one id are compared in; None where there are no ids.

    Args:
        plan: what is fitted.
        schema: of the rows.
    """
    declared, row_id = plan.declaration, plan.declaration.row_id
    if row_id is None or row_id not in schema.names:
        return None
    names = dict.fromkeys([row_id, *declared.columns, *declared.label_sources])
    return schema_with(schema, [name for name in names if name in schema.names])


def id_check(plan: Plan, rows: Schema, n_shares: int) -> IdCheck:
    """Return the look for rows of one id.

    Args:
        plan: what is fitted, which has a `row_id`.
        rows: as `ids_read` gave it.
        n_shares: how many shares of the rows there are.

    Raises:
        TypeMismatch: a column that is no id.
    """
    row_id, are_seen = plan.declaration.row_id, bool(plan.declaration.history_columns)
    assert row_id is not None
    return IdCheck(exchange_of_ids(row_id, rows, n_shares), row_id, are_seen)


def counts_of_share(check: IdCheck, share: Rows) -> Table:
    """Return how many rows of a share have the id of another, on a worker.

    Args:
        check: what is looked for.
        share: the rows.

    Returns:
        A table of one row of `COUNTS`.
    """
    table = share.table
    try:
        with using_threads(1):
            n_repeats = 0
            if check.are_seen:
                check_ids(check.row_id, table)
            else:
                n_repeats, _ = check_alike(check.row_id, table, table.column_names)
            counts = {"n_rows": [table.num_rows], "n_repeats": [n_repeats], "error": [None]}
    except FastfeatError as error:
        counts = {"n_rows": [0], "n_repeats": [0], "error": [text_of_error(error)]}
    return pa.table(counts, COUNTS)


def tell_repeats(check: IdCheck, found: Iterable[Table]) -> None:
    """Warn of rows of one id, on the driver, from the counts of all shares.

    Args:
        check: what was looked for.
        found: tables of `COUNTS`.

    Raises:
        FastfeatError: a worker has told it.

    Warns:
        RowsRepeated: rows have the id of another one.
    """
    counts = [row for table in found for row in table.to_pylist()]
    for row in counts:
        if row["error"] is not None:
            raise error_of_text(row["error"])
    n_rows, n_repeats = (sum(row[name] for row in counts) for name in ("n_rows", "n_repeats"))
    if n_repeats:
        warn_of_repeats(check.row_id, n_repeats, n_rows, None, GivenWarnings())
