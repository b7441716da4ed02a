"""Features of one row that sees a log: a dict in, an array of features per plan out.

This is the general way for plans with one stage, through the kernel that computes one row.
`ask.prepared` is faster, and supports fewer plans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import FastfeatError
from fastfeat.execute.batch import Batch
from fastfeat.execute.lookup_tables import table_values
from fastfeat.execute.row.definitions import RowKernel
from fastfeat.execute.row.kernel import row_kernel_after_windows
from fastfeat.execute.row.one_row import transform_row
from fastfeat.execute.windows import naming_functions, naming_row_numbers
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.keys import stored_array
from fastfeat.ir.node import Node
from fastfeat.live.ask.features import LogView, kept_arrays, request_windows
from fastfeat.live.lower.live_plan import LivePlan
from fastfeat.live.lower.schedules import PlanSchedules, WindowRound
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.steps.windows.cpu import values_over


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """The features of one row.

    Args:
        features: For each plan, a float array of shape (n_features,) with the type of the plan's
            matrix; NaN means missing.
        kept: Results of the window functions that other windows read, as arrays of one value, by
            name in `LivePlan.kept`.
    """

    features: Mapping[str, NDArray[Any]]
    kept: Mapping[str, Array]


@with_ieee_arithmetic
def answer_row(
    lowered: LivePlan,
    row: Mapping[str, Any],
    log: Table,
    seen: Sequence[LogView],
    tables: Mapping[str, Any],
) -> AnsweredRow:
    """Return the features of one row that sees a log, by plan.

    Args:
        lowered: The live plan.
        row: Value of each column that the plans read from the row itself.
        log: Log columns of the row, with the types seen in fit; late columns, which are filled in
            after the answer, may be missing.
        seen: The visible log rows, one view per order of `lowered.orders`.
        tables: Lookup tables.
    """
    features: dict[str, NDArray[Any]] = {}
    batches: dict[str, Batch] = {}
    for name, prepared in lowered.prepared.items():
        fitted = prepared.fitted
        if not prepared.rounds:
            features[name] = transform_row(fitted, row, tables=tables)
            continue
        made: dict[Node, Any] = dict(table_values(fitted.table_columns, tables))
        batch = batches[name] = prepared.batch(log, made, "cpu", 0)
        known: dict[Any, Any] = {**row, **made}
        with use_zone_tables(fitted.zones):
            for one in prepared.rounds:
                known.update(_values(one, batch, log, seen[one.order]))
        features[name] = _features(prepared, known)
    return AnsweredRow(features, kept_arrays(lowered, batches, lowered.kept))


def _values(one: WindowRound, batch: Batch, log: Table, seen: LogView) -> dict[Node, Any]:
    """Return the results of a round's window functions for one row; None for a missing result.

    The results are values as a column stores them, such as times in ticks. Results that other
    windows read also become columns of the batch.
    """
    wanted = request_windows(one, batch, log, seen)
    calls = [statistic.call for statistic in one.statistics]

    with naming_functions(calls), naming_row_numbers(batch):
        values = values_over(wanted.past, wanted.asked)
    found: dict[Node, Any] = {}
    for statistic, value, texts in zip(one.statistics, values, wanted.texts, strict=True):
        dtype = batch.types[statistic.call]
        is_code = value is not None and dtype.holds_bytes
        found[statistic.call] = texts[value].as_py() if is_code else value
        if statistic.is_kept:
            stored = stored_array([found[statistic.call]], dtype)
            batch.made[statistic.call] = pa.chunked_array([stored])
    return found


def _features(prepared: PlanSchedules, row: Mapping[Any, Any]) -> NDArray[Any]:
    """Return the features of a row, computed by the kernel that this thread keeps for the plan."""
    local = prepared.local
    kernel: RowKernel | None = getattr(local, "kernel", None)
    if kernel is None:
        kernel = row_kernel_after_windows(prepared.fitted)
    local.kernel = None  # its buffers are in use: a call from an interrupt makes its own
    try:
        features = kernel(row)
    except FastfeatError:
        local.kernel = kernel
        raise
    local.kernel = kernel
    return features
