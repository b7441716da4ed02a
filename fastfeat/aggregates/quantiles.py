"""quantiles: a table of the quantiles at given probabilities, interpolated linearly."""

from __future__ import annotations

from collections.abc import Iterable

from fastfeat.aggregates.definition import Values
from fastfeat.aggregates.function import AggregateFunction, Summary, parameter
from fastfeat.aggregates.interpolate import float_quantile, neighbours
from fastfeat.aggregates.quantile import QUANTILE
from fastfeat.aggregates.rules import to_table
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.writing import PLAIN


def _ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    for q in parameter(params, "probabilities"):
        yield from neighbours(count, q, "linear")[:2]


def _finalize(summary: Summary, params: Params) -> tuple[float, ...] | None:
    count = summary.moments.count
    if count == 0:
        return None
    return tuple(
        float_quantile(summary.order, count, q) for q in parameter(params, "probabilities")
    )


def _reference(values: Values, params: Params, dtype: DType) -> tuple[float, ...] | None:
    return table_by_definition(values, parameter(params, "probabilities"), dtype)


def table_by_definition(
    values: Values, probabilities: Iterable[float], dtype: DType
) -> tuple[float, ...] | None:
    """Return each quantile by its own definition; None of no values."""
    table = [
        QUANTILE.reference(values, (("interpolation", "linear"), ("q", q)), dtype)
        for q in probabilities
    ]
    return None if None in table else tuple(float(q) for q in table if isinstance(q, float))


QUANTILES = AggregateFunction(
    "quantiles",
    frozenset({"count", "order"}),
    to_table,
    _finalize,
    _reference,
    _ranks,
    written=PLAIN,
)
