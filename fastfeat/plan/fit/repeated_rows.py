"""Rows that stand twice in training data: told by their id, or guessed where they have none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from fastfeat.aggregates import is_fold_by_number
from fastfeat.backends import Backend
from fastfeat.errors import (
    FastfeatError,
    GivenWarnings,
    InvalidData,
    RowsRepeated,
    counted,
    warn,
)
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.budget import Budget
from fastfeat.io.columns.decode import decoded, plain
from fastfeat.io.device import DeviceTable
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.read import column_names, read_table
from fastfeat.io.sources.scan import scan
from fastfeat.ir.node import postorder
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.plan.run.batch import take_rows
from fastfeat.plan.run.encoded_rows import Hashes, id_hashes, mixed
from fastfeat.plan.run.row_identity import Rows, check_alike, check_present
from fastfeat.plan.run.shares import ShareWriter, share_in

MOST_ROWS = 100_000
"""Rows that are looked at: of more, a sample."""

_FIRST_ROWS = 20
"""Times the square root of all rows: 1 % of twins are four pairs of such a sample."""

_FEWEST = 50
"""Different rows that tell of a pattern: those of an example may be alike by chance."""

_MOST_SHARES = 256

_SHARE = 0.01
"""Of all rows, those that equal an earlier one where a warning is due."""

_TELLS = 0.9
"""Of the different rows, those that half of the columns tells apart where twins are no chance."""


def warn_of_ids(plan: Declaration, table: Any, backend: Backend, told: GivenWarnings) -> None:
    """Warn of rows of the data that have the `row_id` of an earlier one.

    Args:
        plan: what is fitted; where windows see the rows, ids that repeat have raised an error.
        table: the rows.
        backend: computes on the device that some of them are on.
        told: the warnings that came.

    Raises:
        InvalidData: a row without an id; rows of one id that differ in what the plan reads.
        TypeMismatch: a column that is no id.
    """
    row_id = plan.row_id
    if row_id is None or plan.history_columns:
        return
    if row_id not in table.column_names:
        return
    read = dict.fromkeys((*plan.columns, *plan.label_sources))
    columns = [name for name in read if name in table.column_names]
    n_repeats, row = check_alike(row_id, table, columns, backend=backend)
    if n_repeats:
        warn_of_repeats(row_id, n_repeats, table.num_rows, row, told)


def warn_of_ids_in_passes(
    plan: Declaration, dataset: Dataset, budget: Budget, folder: Path | None, told: GivenWarnings
) -> None:
    """Warn as `warn_of_ids` of rows that are read once, and exchanged by their id through files.

    Args:
        plan: what is fitted, without windows.
        dataset: the rows.
        budget: of memory.
        folder: where files without names go; None for that of the system.
        told: the warnings that came.

    Raises:
        InvalidData, TypeMismatch: as `warn_of_ids`.
    """
    row_id = plan.row_id
    if row_id is None or row_id not in dataset.schema.names:
        return
    read = dict.fromkeys((row_id, *plan.columns, *plan.label_sources))
    columns = [name for name in read if name in dataset.schema.names]
    n_bytes, n_rows, n_repeats, first = dataset.bytes_of(columns), 0, 0, -1
    n_shares = min(_MOST_SHARES, 1 + 8 * n_bytes // max(1, budget.spare()))
    with ExitStack() as stack:
        writer = ShareWriter(n_shares, folder, stack)
        with closing(scan(dataset, columns, budget.table_bytes)) as pieces:
            for piece in pieces:
                table, begin, n = piece.table, piece.first_row, int(piece.table.num_rows)
                check_present(row_id, table, begin)
                numbers = np.arange(begin, begin + n)
                writer.add(table, id_hashes(table, row_id).astype(np.int64) % n_shares, numbers)
                n_rows += n
        if not n_rows:
            return
        for file in writer.ended():
            table, numbers = share_in(file)
            found, row = check_alike(row_id, table, columns, numbers)
            if row is not None and found:
                first = row if first < 0 else min(first, row)
            n_repeats += found
    if n_repeats:
        warn_of_repeats(row_id, n_repeats, n_rows, first, told)


def warn_of_repeats(
    row_id: str, n_repeats: int, n_rows: int, row: int | None, told: GivenWarnings
) -> None:
    """Warn of rows that have the id of an earlier one.

    Args:
        row_id: the column of the id.
        n_repeats: how many there are.
        n_rows: how many rows the data has.
        row: the number of the first of them; None where it is not known.
        told: the warnings that came.
    """
    first = "" if row is None else f", first row {row},"
    warn(
        f"data: {n_repeats:,} of {counted(n_rows, 'row')}{first} have the {row_id!r} of "
        "an earlier row, and equal it in all columns that the plan reads. By row_id= they are one "
        "row: folds keep them together, and each counts in what fit learns",
        RowsRepeated,
        told,
    )


def has_default_folds(typed: TypedPlan) -> bool:
    """Return whether an encoder divides rows by their number."""
    return any(map(is_fold_by_number, postorder(typed.nodes.values())))


def warn_of_twins(typed: TypedPlan, table: Any, data: Any) -> None:
    """Warn of rows that equal earlier ones in all columns, where folds divide them by their number.

    Such a row is told of its own label by its twin, in another fold. The warning is due where at
    least 1 % of the rows repeat, and each of two halves of the columns tells 90 % of the different
    rows apart: by chance so few rows are alike then that these must be copies.

    Args:
        typed: the plan that is fitted.
        table: the rows as they were read, which are not looked at in the memory of a device.
        data: what they were read from, whose other columns are looked at where these do not tell.
    """
    n_rows = table.num_rows
    if n_rows <= _FEWEST or isinstance(table, DeviceTable) or not typed.once(has_default_folds):
        return
    try:
        for most in (int(_FIRST_ROWS * n_rows**0.5), MOST_ROWS):  # a few, that clean tables stop at
            rows = None if n_rows <= 2 * most and n_rows <= MOST_ROWS else _sampled(n_rows, most)
            share = _share_of_twins(table, data, rows)
            if share is None:
                return
            if rows is None:
                break
    except FastfeatError:  # of columns that nothing else reads
        return
    warn(
        f"data: {'' if rows is None else 'by a sample, about '}{share:.0%} of "
        f"{counted(n_rows, 'row')} equal an earlier row in all columns, as after a bootstrap, "
        "oversampling, or a file that came twice. Folds are of row numbers, so that the twin of a "
        "row tells of its label: Plan(row_id='id') says which column tells rows apart, and twins "
        "are one row; or leave the repeats out",
        RowsRepeated,
    )


def _share_of_twins(table: Any, data: Any, rows: Rows | None) -> float | None:
    """Return the share of rows that equal an earlier one; None where no warning is due.

    Args:
        table: as of `warn_of_twins`.
        data: as there.
        rows: the numbers of those looked at; None for all.

    Raises:
        FastfeatError: columns of the data cannot be read again.
    """
    n_rows = table.num_rows
    n_looked_at = n_rows if rows is None else len(rows)
    pairs = (n_rows / n_looked_at) ** 2  # for each pair of twins that a sample has both of
    least = _SHARE * n_rows / pairs * (1.0 if rows is None or n_looked_at == MOST_ROWS else 0.5)
    found: list[Hashes] = []
    groups, n_repeats = np.zeros(n_looked_at, np.uint64), 0
    for hashes in _every_hash(table, data, rows):
        found.append(hashes)
        groups = mixed(groups + hashes)
        n_repeats = n_looked_at - _n_different(groups)
        if n_repeats < least or not n_repeats:
            return None
    most_alike = (1 - _TELLS) * n_rows / n_looked_at / pairs
    if not found or not _are_told_apart(found, most_alike):
        return None
    return min(n_repeats * pairs / n_rows, 1.0)


def _sampled(n_rows: int, most: int) -> Rows:
    """Return the numbers of rows that are looked at, ascending: one of each of equal stretches."""
    edges = np.linspace(0, n_rows, min(most, MOST_ROWS) + 1).astype(np.int64)
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def _every_hash(table: Any, data: Any, rows: Rows | None) -> Iterator[Hashes]:
    """Yield a number of each row looked at, a column at a time, equal ones for equal values.

    Raises:
        FastfeatError: other columns cannot be read again.
    """
    for column in _columns(table, data):
        hashes = _numbers(column if rows is None else take_rows(column, rows))
        if hashes is not None:
            yield hashes


def _numbers(column: ChunkedArray) -> Hashes | None:
    """Return a number for each value, by its bits: twins are copies. None where none can tell."""
    values = plain(decoded(column))
    kind = values.type
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return None
    size = kind.bit_width // 8 if pa.types.is_primitive(kind) else 0
    if size and not values.null_count:  # as most are: in place
        chunks = [
            np.frombuffer(c.buffers()[1], f"u{size}", len(c), c.offset * size)
            for c in values.chunks
        ]
        return mixed(np.concatenate(chunks).astype(np.uint64))
    try:
        codes = call("dictionary_encode", values).combine_chunks().indices
    except pa.ArrowNotImplementedError:
        return None
    return mixed(call("coalesce", codes, pa.scalar(-1, codes.type)).to_numpy().astype(np.uint64))


def _columns(table: Any, data: Any) -> Iterator[ChunkedArray]:
    """Yield the columns of the data: those that were read, numbers first; the others one by one.

    Files may have many that nobody has read: they are read where rows are alike in the first ones.
    """
    known = data if isinstance(data, pa.Table) else table
    yield from sorted(known.columns, key=_cost)
    names = column_names(data)
    if names is None:
        raise InvalidData("the data has columns that nobody knows")
    for name in names:
        if name not in known.column_names:
            (column,) = read_table(data, [name]).columns
            yield column


def _cost(column: ChunkedArray) -> int:
    """Return a number by which columns are looked at: one that tells most rows apart at once."""
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_temporal(kind):
        return 0
    return 1 if pa.types.is_integer(kind) else 2


def _n_different(hashes: Hashes) -> int:
    known = np.sort(hashes)
    return len(known) and 1 + int(np.count_nonzero(known[1:] != known[:-1]))


def _are_told_apart(found: Sequence[Hashes], least: float) -> bool:
    """Return whether each of two halves of the columns tells most of the different rows apart.

    The column of most values is in the first half, the next two in the second, and so on.

    Args:
        found: the hashes of each column.
        least: how many pairs of rows may be alike in a half.
    """
    _, first = np.unique(_of_all(found), return_index=True)
    columns = [hashes[first] for hashes in found]
    if len(first) < _FEWEST or len(columns) < 2:
        return False
    columns.sort(key=_n_different, reverse=True)
    halves = ([c for k, c in enumerate(columns) if k % 4 in own] for own in ((0, 3), (1, 2)))
    return all(len(first) - _n_different(_of_all(half)) <= least * len(first) for half in halves)


def _of_all(found: Sequence[Hashes]) -> Hashes:
    """Return a hash of each row of those of its columns."""
    of_rows = found[0].copy()
    for hashes in found[1:]:
        of_rows = mixed(of_rows + hashes)
    return of_rows
