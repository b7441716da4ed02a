"""Recognizing training rows in `transform`: target encodings have already seen their labels.

Rows are recognized by their ids, or in a plan without ids by one hash of all of them together: then
a subset is not recognized. Nothing of this is saved with a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array, Uint64Array
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_target
from fastfeat.errors import (
    EncodedInFold,
    FastfeatError,
    TypeMismatch,
    WarningHistory,
    counted,
    shortened,
    warn,
)
from fastfeat.execute import values as row_values
from fastfeat.execute.batch import Batch, TrainingRows, take_rows
from fastfeat.execute.inputs import column_in_host
from fastfeat.io.arrow import pa
from fastfeat.io.columns import keys as column_keys
from fastfeat.io.columns import times
from fastfeat.io.columns.decode import has_value
from fastfeat.io.columns.types import UnsupportedType, schema_of
from fastfeat.io.device import DeviceTable
from fastfeat.io.sources.read import is_in_parts
from fastfeat.ir.dtypes import INT64, NULL, DType
from fastfeat.ir.node import Aggregate, Column, Node, postorder
from fastfeat.ir.show import show
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.source_columns import own_columns
from fastfeat.plan.lower.lower import NodeTypes

HashedColumns = tuple[tuple[str, DType], ...]
RowSetDigest = tuple[int, int, int]
"""Hash of a set of rows: their number, a hash of the leading columns, a hash of all columns.

The hashes do not depend on the order of the rows.
"""

_FEW = 1 << 16
"""Up to this many rows are hashed whole, at 2 to 10 ms per column of 1M; beyond, one row in 256."""
_MOST_LEADING = 3
_ODD, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """The labeled training rows that target encodings learned from, stored as hashes, ids or files.

    Args:
        encoder: Text of one of the encodings, for messages.
        columns: Columns that are hashed, with their types: those that features read from their own
            row.
        n_leading: Number of these columns that the hash of leading columns covers.
        digests: Maps the hash of a set of rows to the number of rows learned from. The sets are the
            rows learned from, the rows passed to `fit`, and all rows of the data. Empty if rows
            have ids.
        row_id: The id column and its type, if rows have ids.
        ids: Ids of the rows learned from, as integers.
        files: Name, size in bytes and modification time of the files that contain the rows, if they
            were read in passes: such rows have no digest.
    """

    encoder: str
    columns: HashedColumns = ()
    n_leading: int = 0
    digests: Mapping[RowSetDigest, int] = field(default_factory=dict[RowSetDigest, int])
    row_id: tuple[str, DType] | None = None
    ids: Uint64Array = field(default_factory=lambda: np.zeros(0, np.uint64), repr=False)
    files: frozenset[tuple[str, int, int | None]] = frozenset()

    @cached_property
    def sorted_ids(self) -> Uint64Array:
        """The ids in ascending order.

        Sorted on first use, so that fit does not pay 70 ms for 1M rows.
        """
        return np.sort(self.ids)


def record_encoded_rows(
    training: TrainingRows, plan: Declaration, encoders: Sequence[Aggregate], table: Any
) -> EncodedRows | None:
    """Return a record of the labeled rows that target encodings used; None if there are none.

    Rows in the memory of a device are not recognized.

    Args:
        training: The rows, in their state after fit.
        plan: The fitted plan.
        encoders: The plan's encodings that read labels.
        table: All rows of the data, in host memory.
    """
    if not encoders or isinstance(table, DeviceTable):
        return None
    batch = training.learnt_from
    has_target = np.zeros(batch.n_rows, np.bool_)
    for target in dict.fromkeys(encoder.args[0] for encoder in encoders):
        has_target |= _is_present(batch, target)
    if not has_target.any():
        return None
    learnt = None if batch.source is None else batch.source.numbers
    if not has_target.all():
        learnt = np.flatnonzero(has_target) if learnt is None else learnt[has_target]
    shown, row_id = show(encoders[0]), _known_column(plan.row_id, schema_of(table))
    if row_id is not None:
        ids, present = _ids(table, *row_id)
        known = present if learnt is None else _chosen(learnt, present)
        return EncodedRows(shown, row_id=row_id, ids=ids.copy() if known is None else ids[known])
    columns = _columns(plan, batch.types)
    if not columns:
        return None
    n_leading, digests = _digests_of_sets(training, table, columns, learnt)
    n_learnt = int(np.count_nonzero(has_target))
    return EncodedRows(shown, columns, n_leading, dict.fromkeys(digests, n_learnt))


def record_encoded_files(
    plan: Declaration, files: Iterable[tuple[str, int, int | None]] | None
) -> EncodedRows | None:
    """Return a record of the training files read in passes; None if no encoding reads labels.

    `files` holds the name, size in bytes and modification time of each; None for other data.
    """
    encoders = [node for node in postorder(list(plan.nodes.values())) if is_target(node)]
    return EncodedRows(show(encoders[0]), files=frozenset(files)) if encoders and files else None


def warn_encoded_files(
    rows: EncodedRows | None,
    files: Iterable[tuple[str, int, int | None]] | None,
    told: WarningHistory,
) -> None:
    """Warn if features are computed for training files whose labels a target encoding knows.

    `files` holds the name, size in bytes and modification time of each; None for other data.
    """
    known = [] if rows is None or files is None else [file for file in files if file in rows.files]
    if known and rows is not None:
        warn(
            f"fit has learnt from {shortened(name for name, *_ in known)}, so the target encoding "
            f"{rows.encoder} has seen the labels there. Do not train a model on these features. "
            "Get training features from fitted, manifest = plan.fit_transform_to(data, out)",
            EncodedInFold,
            told,
        )


def warn_encoded_paths(rows: EncodedRows | None, data: Any, told: WarningHistory) -> None:
    """Warn if data that is read whole comes from training files whose labels an encoding knows."""
    if rows is None or not rows.files or callable(data) or not is_in_parts(data):
        return
    from fastfeat.io.sources.dataset import dataset_of  # seldom needed

    warn_encoded_files(rows, dataset_of(data).identity, told)


def _digests_of_sets(
    training: TrainingRows, table: Any, columns: HashedColumns, learnt: Int64Array | None
) -> tuple[int, list[RowSetDigest]]:
    """Return the number of leading columns, and a hash of each set of rows to recognize later.

    The sets are all rows of the data, the rows learned from, and the rows passed to `fit`. Work on
    all rows is done once and shared by fits of the same data. `learnt` holds the numbers of the
    rows learned from, or None for all.
    """
    shared, key = training.rows.shared, ("encoded_rows", columns)
    if key not in shared:
        n_leading, values = _leading(table, columns)
        shared[key] = n_leading, values, _digests(table, columns[n_leading:], values, None)
    n_leading, values, of_all = shared[key]
    sets = {id(rows): rows for rows in (learnt, training.wanted) if rows is not None}.values()
    others = [_digests(table, columns[n_leading:], values, rows) for rows in sets]
    return n_leading, [of_all, *others]


def _is_present(batch: Batch, target: Node) -> BoolArray:
    """Return flags of the rows in which the target has a value."""
    return has_value(column_in_host(row_values.values_of(batch, target)[1], batch.backend))


def _known_column(
    name: str | None, schema: Mapping[str, DType | UnsupportedType]
) -> tuple[str, DType] | None:
    """Return a hashable column's name and type; None if it is absent or cannot be hashed."""
    dtype = None if name is None else schema.get(name)
    if name is None or not isinstance(dtype, DType) or dtype.is_list or dtype == NULL:
        return None
    return name, dtype


def _columns(plan: Declaration, types: NodeTypes) -> HashedColumns:
    """Return the columns to hash: those that features read from their own row, numbers first."""
    read = [name for name in own_columns(plan.nodes.values()) if name not in plan.late]
    schema = {name: types[Column(name)] for name in read}
    known = [column for name in read if (column := _known_column(name, schema)) is not None]
    return tuple(sorted(known, key=lambda column: column[1].holds_bytes))


def warn_encoded(
    rows: EncodedRows | None, table: Any, wanted: Int64Array | None, told: WarningHistory
) -> None:
    """Warn if fit used the label of any wanted row in a target encoding.

    `wanted` holds row numbers, shape (n_wanted,), or None for all.
    """
    if rows is None or EncodedInFold in told.kinds or isinstance(table, DeviceTable):
        return
    try:
        n = _n_known(rows, table, wanted)
    except FastfeatError:  # a column that no feature reads; others are reported later
        return
    if n:
        given = counted(_n_rows(table, wanted), "row")
        warn(
            f"fit has learnt from {n:,} of {given} passed to transform, so the target encoding "
            f"{rows.encoder} has seen their labels. Do not train a model on these features. Get "
            "training features from fitted, features = plan.fit_transform(data)",
            EncodedInFold,
            told,
        )


def _n_known(rows: EncodedRows, table: Any, wanted: Int64Array | None) -> int:
    """Return the number of wanted rows that fit learned from.

    Rows are found by their ids; without ids, by one hash of all wanted rows together.
    """
    if rows.row_id is None:
        return _n_alike(rows, table, wanted)
    if rows.row_id[0] not in table.column_names or not len(rows.ids):
        return 0
    ids, present = _ids(table, *rows.row_id)
    known = present if wanted is None else _chosen(wanted, present)
    asked, there = ids if known is None else ids[known], rows.sorted_ids
    places = np.searchsorted(there, asked)
    places[places == len(there)] = 0
    return int(np.count_nonzero(there[places] == asked))


def n_split(rows: EncodedRows, table: Any) -> tuple[int, int]:
    """Return the number of rows that fit learned from, found by id, and the number of all rows.

    The first number is also 0 if the data is no split into learned and new rows: if fit learned
    from all its rows, or if it has every row that fit learned from. `table` is in host memory;
    `rows` must have ids.
    """
    n_rows, n_known = int(table.num_rows), _n_known(rows, table, None)
    if n_known in (0, n_rows):
        return 0, n_rows
    assert rows.row_id is not None
    ids, _ = _ids(table, *rows.row_id)
    has_all = bool(np.isin(rows.sorted_ids, ids).all())
    return 0 if has_all else n_known, n_rows


def _chosen(rows: Int64Array, present: BoolArray | None) -> Int64Array:
    """Return the row numbers in `rows` for which a value is present."""
    return rows if present is None else rows[present[rows]]


def _n_rows(table: Any, wanted: Int64Array | None) -> int:
    return int(table.num_rows) if wanted is None else len(wanted)


def _n_alike(rows: EncodedRows, table: Any, wanted: Int64Array | None) -> int:
    """Return the number of wanted rows that fit learned from, found by the hash of all wanted rows.

    Hashes only the leading columns if their hash already differs.
    """
    n_rows = _n_rows(table, wanted)
    known = [digests for digests in rows.digests if digests[0] == n_rows]
    if not known:
        return 0
    values = _values(table, rows.columns[: rows.n_leading])
    if _sum(values, wanted) not in {digests[1] for digests in known}:
        return 0
    found = _digests(table, rows.columns[rows.n_leading :], values, wanted)
    return rows.digests.get(found, 0)


def _leading(table: Any, columns: HashedColumns) -> tuple[int, Uint64Array]:
    """Return how many leading columns to hash for the sample of rows, and their hash per row.

    Rows are sampled by this hash. A column with few distinct values would sample no rows or far too
    many.
    """
    n_rows, n_leading = table.num_rows, 1
    values = _values(table, columns[:1])
    while n_rows > _FEW and n_leading < min(_MOST_LEADING, len(columns)):
        if n_rows >> 10 <= np.count_nonzero(_is_picked(values)) <= n_rows >> 6:
            break
        n_leading += 1
        values = _values(table, columns[:n_leading])
    return n_leading, values


def _values(table: Any, columns: HashedColumns) -> Uint64Array:
    """Return a hash per row over the given columns, shape (n_rows,)."""
    first, *others = columns
    values = column_hashes(table, *first, seed=0)
    for seed, (name, dtype) in enumerate(others, start=1):
        values += column_hashes(table, name, dtype, seed=seed)
    return mix_hashes(values)


def _is_picked(values: Uint64Array) -> BoolArray:
    """Return flags of the sampled rows, one in 256, by the hash of their leading columns."""
    return values.astype(np.uint8) == 0


def _digests(
    table: Any, others: HashedColumns, values: Uint64Array, rows: Int64Array | None
) -> RowSetDigest:
    """Return the hash of a set of rows; see `RowSetDigest`.

    `values` are the `_values` of the leading columns; `rows` holds row numbers, or None for all.
    """
    n_rows = _n_rows(table, rows)
    if n_rows > _FEW:
        picked = np.flatnonzero(_is_picked(values if rows is None else values[rows]))
        picked = picked if rows is None else rows[picked]
    else:
        picked = np.arange(len(values)) if rows is None else rows
    of_all = values[picked]
    if others:
        some = pa.table({name: take_rows(table.column(name), picked) for name, _ in others})
        of_all = mix_hashes(of_all + _values(some, others))
    return n_rows, _sum(values, rows), int(of_all.sum())


def _sum(values: Uint64Array, rows: Int64Array | None) -> int:
    """Return the sum of the rows' hashes, which does not depend on the order of the rows."""
    return int((values if rows is None else values[rows]).sum())


def mix_hashes(values: Uint64Array) -> Uint64Array:
    """Mix the bits of each row's sum of column hashes, in place.

    Without this, values could be exchanged between rows without a change of the total.
    """
    for first in range(0, len(values), _FEW):  # in place and piecewise: allocating memory is slow
        piece = values[first : first + _FEW]
        piece ^= piece >> _HALF
        piece *= _ODD
    return values


def column_hashes(table: Any, name: str, dtype: DType, *, seed: int) -> Uint64Array:
    """Return the hash of each value of a column, 0 if missing."""
    from fastfeat.steps.keys.cpu_hashing import key_hashes  # this kernel also numbers folds

    keys = column_keys.key_column(table.column(name), name, dtype, narrow=True)
    return key_hashes([keys], [dtype], is_cross=False, seed=seed)


def id_hashes(table: Any, name: str) -> Uint64Array:
    """Return the hash of each id, shape (n_rows,), by which rows are assigned to workers.

    Raises:
        TypeMismatch: A column type that cannot be an id.
    """
    known = _known_column(name, schema_of(table))
    if known is None:
        raise TypeMismatch(
            f"row_id={name!r}: ids must be text, bytes, numbers, dates or times. Cast the column "
            "first"
        )
    return column_hashes(table, *known, seed=0)


def _ids(table: Any, name: str, dtype: DType) -> tuple[Uint64Array, BoolArray | None]:
    """Return an integer per id, and flags of the rows that have one.

    The integer is a hash for text, bytes and floats. The flags are None if every row has an id.
    """
    column = table.column(name)
    if dtype == INT64 and column.type == pa.int64() and column.num_chunks == 1:
        (chunk,) = column.chunks
        if not chunk.null_count:  # 2 us for one row instead of 15
            return chunk.to_numpy().view(np.uint64), None
    if dtype.is_integer or dtype.is_temporal:
        ids, present = times.ticks_of(column_keys.key_column(column, name, dtype))
        return ids.view(np.uint64), present
    hashes = column_hashes(table, name, dtype, seed=0)
    return hashes, hashes != 0
