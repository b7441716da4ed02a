"""even_quantiles: a table of evenly spaced quantiles from 0 to 1, no more than there are rows."""

from __future__ import annotations

from collections.abc import Iterable

from fastfeat.aggregates.definition import Values
from fastfeat.aggregates.function import AggregateFunction, Summary, parameter
from fastfeat.aggregates.interpolate import float_quantile, neighbours
from fastfeat.aggregates.quantiles import table_by_definition
from fastfeat.aggregates.rules import to_table
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params
from fastfeat.ir.writing import PLAIN


def _probabilities(n_rows: int, params: Params) -> list[float]:
    n = min(parameter(params, "n_quantiles"), n_rows)
    return [k / (n - 1) for k in range(n)] if n > 1 else [0.0]


def _ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    for q in _probabilities(n_rows, params):
        yield from neighbours(count, q, "linear")[:2]


def _finalize(summary: Summary, params: Params) -> tuple[float, ...] | None:
    count = summary.moments.count
    if count == 0:
        return None
    probabilities = _probabilities(summary.moments.n_rows, params)
    return tuple(float_quantile(summary.order, count, q) for q in probabilities)


def _reference(values: Values, params: Params, dtype: DType) -> tuple[float, ...] | None:
    last = min(parameter(params, "n_quantiles"), len(values)) - 1
    even = [k / last for k in range(last + 1)] if last > 0 else [0.0]
    return table_by_definition(values, even, dtype)


EVEN_QUANTILES = AggregateFunction(
    "even_quantiles",
    frozenset({"count", "order"}),
    to_table,
    _finalize,
    _reference,
    _ranks,
    written=PLAIN,
    called="quantiles",
)
