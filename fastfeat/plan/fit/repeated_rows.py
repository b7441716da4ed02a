"""Rows that stand twice in training data: told by their id, or guessed where they have none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
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

_FEWEST_ROWS = 4
"""The same of a sample that tells halves of the columns by their chance pairs: codes have many."""

_FEW_COLUMNS = 8
_MANY_ROWS = 10_000
"""Rows of which that sample, of 400, has all of `_FEWEST` different ones."""

_FEWEST = 50
"""Different rows that tell of a pattern: those of an example may be alike by chance."""

_MOST_SHARES = 256

_HALF = np.uint64(33)
_FACTORS = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)

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
        if n_rows >= _MANY_ROWS and _are_of_codes(table, data):
            rows = _sampled(n_rows, int(_FEWEST_ROWS * n_rows**0.5))
            if not _are_told_apart([*_every_hash(table, data, rows)], _most_alike(n_rows, rows)):
                return
        few = min(int(_FIRST_ROWS * n_rows**0.5), MOST_ROWS)  # that clean tables stop at
        for most in (few, MOST_ROWS):
            rows = None if n_rows <= min(2 * most, MOST_ROWS) else _sampled(n_rows, most)
            least = _SHARE if rows is None or most == MOST_ROWS else _SHARE / 2
            share = _share_of_twins(table, data, rows, least)
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


def _share_of_twins(table: Any, data: Any, rows: Rows | None, least: float) -> float | None:
    """Return the share of rows that equal an earlier one; None where no warning is due.

    Args:
        table: as of `warn_of_twins`.
        data: as there.
        rows: the numbers of those looked at; None for all.
        least: the share from which on one is.

    Raises:
        FastfeatError: columns of the data cannot be read again.
    """
    n_rows = table.num_rows
    n_looked_at = n_rows if rows is None else len(rows)
    pairs = (n_rows / n_looked_at) ** 2  # for each pair of twins that a sample has both of
    fewest = least * n_rows / pairs
    found: list[Hashes] = []
    groups, n_repeats = np.zeros(n_looked_at, np.uint64), 0
    for hashes in _every_hash(table, data, rows):
        found.append(hashes)
        groups = _joined(groups, hashes) if len(found) > 1 else hashes
        n_repeats = n_looked_at - _n_different(groups)
        if n_repeats < fewest or not n_repeats:
            return None
    if not found or not _are_told_apart(found, _most_alike(n_rows, rows)):
        return None
    return min(n_repeats * pairs / n_rows, 1.0)


@lru_cache(maxsize=4)
def _sampled(n_rows: int, most: int) -> Rows:
    """Return the numbers of rows that are looked at, ascending, each chosen by itself.

    Twins are found wherever they stand: of equal stretches one row each would leave out neighbours.
    """
    chosen = _spread(np.arange(1, most + 1, dtype=np.uint64)) >> np.uint64(32)
    rows = np.sort((chosen * (n_rows / 2**32)).astype(np.int64))
    rows = rows[np.append(True, rows[1:] != rows[:-1])]
    rows.flags.writeable = False  # fits of as many rows share them
    return rows


def _every_hash(table: Any, data: Any, rows: Rows | None) -> Iterator[Hashes]:
    """Yield a number of each row looked at, a column at a time, equal ones for equal values.

    Raises:
        FastfeatError: other columns cannot be read again.
    """
    for column in _columns(table, data):
        hashes = _numbers(column, rows)
        if hashes is not None:
            yield hashes


def _numbers(column: ChunkedArray, rows: Rows | None) -> Hashes | None:
    """Return a number for each value, by its bits: twins are copies. None where none can tell.

    Args:
        column: has the values.
        rows: the numbers of those looked at; None for all.
    """
    if rows is not None and not (column.num_chunks == 1 and _has_words(column)):
        column, rows = take_rows(column, rows), None
    values = plain(decoded(column))
    kind = values.type
    if pa.types.is_nested(kind) or pa.types.is_null(kind):
        return None
    if _has_words(values):  # as most have: in place
        size = kind.bit_width // 8
        chunks = [
            np.frombuffer(c.buffers()[1], f"u{size}", len(c), c.offset * size)
            for c in values.chunks
        ]
        words = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
        return _spread((words if rows is None else words[rows]).astype(np.uint64))
    try:
        codes = call("dictionary_encode", values).combine_chunks().indices
    except pa.ArrowNotImplementedError:
        return None
    return _spread(call("coalesce", codes, pa.scalar(-1, codes.type)).to_numpy().astype(np.uint64))


def _has_words(column: ChunkedArray) -> bool:
    """Return whether all values are there, each in a word."""
    kind = column.type
    is_word = pa.types.is_primitive(kind) and kind.bit_width in (8, 16, 32, 64)
    return is_word and column.num_chunks > 0 and not column.null_count


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


def _are_of_codes(table: Any, data: Any) -> bool:
    """Return whether the columns are few and all known, and the first of them no measure."""
    known = data if isinstance(data, pa.Table) else table
    names = column_names(data)
    if names is None or len(names) > _FEW_COLUMNS or len(names) > len(known.column_names):
        return False
    return min(map(_cost, known.columns)) > 0


def _most_alike(n_rows: int, rows: Rows | None) -> float:
    """Return the share of the different rows looked at that may be alike in half of the columns.

    Args:
        n_rows: how many rows there are.
        rows: the numbers of those looked at; None for all.
    """
    return (1 - _TELLS) * (1.0 if rows is None else len(rows) / n_rows)


def _are_told_apart(found: Sequence[Hashes], most_alike: float) -> bool:
    """Return whether each of two halves of the columns tells most of the different rows apart.

    The column of most values is in the first half, the next two in the second, and so on.

    Args:
        found: the hashes of each column.
        most_alike: the share of the different rows that may be alike in a half.
    """
    n_different = _n_different(_of_all(found))
    if n_different < _FEWEST or len(found) < 2:
        return False
    columns = sorted(found, key=_n_different, reverse=True)
    halves = ([c for k, c in enumerate(columns) if k % 4 in own] for own in ((0, 3), (1, 2)))
    least = (1 - most_alike) * n_different  # where rows are equal, they are in each half
    return all(_n_different(_of_all(half)) >= least for half in halves)


def _of_all(found: Sequence[Hashes]) -> Hashes:
    """Return a hash of each row of those of its columns."""
    of_rows = found[0]
    for hashes in found[1:]:
        of_rows = _joined(of_rows, hashes)
    return of_rows


def _joined(of_rows: Hashes, hashes: Hashes) -> Hashes:
    """Return hashes of rows with one more column, to which the order of columns counts."""
    return mixed(of_rows * np.uint64(3) + hashes)


def _spread(values: Hashes) -> Hashes:
    """Hash numbers in place, as MurmurHash3 does at its end.

    `mixed` leaves small numbers in proportion, so that many pairs of them have equal sums.
    """
    for factor in _FACTORS:
        values ^= values >> _HALF
        values *= factor
    values ^= values >> _HALF
    return values
