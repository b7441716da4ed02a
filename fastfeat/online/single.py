"""One row that asks: a dict in, an array out, through the kernel that computes one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Array, Table
from fastfeat.io.types import storage_type
from fastfeat.ir.node import Node
from fastfeat.online.asking import Seen, kept_arrays, make_windows
from fastfeat.online.lowering import LivePlan
from fastfeat.online.prepared import Prepared
from fastfeat.plan.batch import Batch
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.row import RowKernel, row_kernel_after_windows
from fastfeat.plan.tables import table_values
from fastfeat.scalars.zones import using


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """The features of one row.

    Args:
        features: by plan, a float array of shape (n_features,), of the type of its matrix; NaN is
            missing.
        kept: what functions that windows read gave for it, by their name in `LivePlan.kept`,
            arrays of one value.
    """

    features: Mapping[str, NDArray[Any]]
    kept: Mapping[str, Array]


@in_ieee
def answer_row(
    lowered: LivePlan,
    row: Mapping[str, Any],
    log: Table,
    seen: Sequence[Seen],
    tables: Mapping[str, Any],
) -> AnsweredRow:
    """Return the features of one row, as `transform_row` gives those of plans without windows.

    Args:
        lowered: what is asked.
        row: value of each column that the plans read of the row itself.
        log: the columns of the log of the row, of the types that fit saw; late ones may be missing.
        seen: what it sees, by order.
        tables: the lookup tables.
    """
    features: dict[str, NDArray[Any]] = {}
    batches: dict[str, Batch] = {}
    for name, prepared in lowered.prepared.items():
        fitted = prepared.fitted
        if not prepared.rounds:
            features[name] = fitted.transform_row(row, tables=tables)
            continue
        made: dict[Node, Any] = dict(table_values(fitted.table_columns, tables))
        batch = batches[name] = prepared.batch(log, made, "cpu", 0)
        with using(fitted.zones):
            for one in prepared.rounds:
                make_windows(prepared, one, batch, log, seen[one.order])
        features[name] = _features(prepared, {**row, **made, **_values(prepared, batch)})
    return AnsweredRow(features, kept_arrays(lowered, batches))


def _values(prepared: Prepared, batch: Batch) -> dict[Node, Any]:
    """Return the value of each function over a window, as it is stored, None where missing."""
    found: dict[Node, Any] = {}
    for one in prepared.rounds:
        for statistic in one.statistics:
            column = batch.made[statistic.call]
            if prepared.fitted.types[statistic.call].is_temporal:
                column = column.chunk(0).view(storage_type(prepared.fitted.types[statistic.call]))
            found[statistic.call] = column[0].as_py()
    return found


def _features(prepared: Prepared, row: Mapping[Any, Any]) -> NDArray[Any]:
    """Return the features of a row by the kernel of this thread."""
    local = prepared.local
    kernel: RowKernel | None = getattr(local, "kernel", None)
    if kernel is None:
        kernel = row_kernel_after_windows(prepared.fitted)
    local.kernel = None  # its buffers are in use: what an interrupt runs makes its own
    try:
        features = kernel(row)
    except FastfeatError:
        local.kernel = kernel
        raise
    local.kernel = kernel
    return features
