"""The rank of a value, from 0 to 1, among quantiles learnt from the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.ir.dtypes import FLOAT64, DType
from fastfeat.ir.parameters import Parameter, Real
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import integral_floats, op
from fastfeat.scalars.arithmetic import float_type
from fastfeat.scalars.binning import has_table, table_size
from fastfeat.scalars.op import Op
from fastfeat.scalars.table import count_not_above, padded_length
from fastfeat.scalars.value import ScalarFunction, TableKey, Value, as_f64, join_status


def _rank_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return float_type([types[0], types[2]], params)


def _interpolate_rank(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return the rank of a value among sorted quantiles: 0 for the first, 1 for the last.

    The ranks of the quantiles are evenly spaced. Between two quantiles the rank is interpolated. If
    several quantiles equal the value, its rank is the mean of their first and last rank. For a
    value beyond the ends, or closer to them than `margin`, the rank is 0 or 1; it is 0 for a value
    close to both ends.
    """
    value, table, number = values
    assert table.node is not None
    length = padded_length(max(1, table_size(table.node)))
    knots = op.table(TableKey(table.node, "knots", length))
    first_of_ties = op.table(TableKey(table.node, "first_of_ties", length))
    x, last = as_f64(value), as_f64(number) - 1.0
    step = 1.0 / op.select(last > 0.0, last, 1.0)

    def rank(position: Op) -> Op:
        return op.select((position >= last) & (last > 0.0), 1.0, position * step)

    count = count_not_above(knots, length, x)
    below = op.select(count > 0, count - 1, 0)
    above = op.select(below < length - 1, below + 1, below)
    knot, next_knot = op.load_f64(knots, below), op.load_f64(knots, above)
    position = integral_floats.from_small(below)
    low, high = rank(position), rank(position + 1.0)
    middle = 0.5 * (rank(op.load_f64(first_of_ties, below)) + low)
    between = low + (high - low) * ((x - knot) / (next_knot - knot))
    result = op.select(knot.eq(x), middle, between)
    margin = params["margin"]
    # within the table, whatever an artifact contains: without values there is no last quantile
    place = op.to_i64(op.select((last > 0.0) & (last < length), last, 0.0))
    smallest, largest = op.load_f64(knots, 0), op.load_f64(knots, place)
    at_end = x >= largest if margin == 0 else x + margin > largest
    at_start = x <= smallest if margin == 0 else x - margin < smallest
    result = op.select(at_end, op.select(last > 0.0, 1.0, 0.0) if margin == 0 else 1.0, result)
    result = op.select(at_start, 0.0, result)
    return Value(FLOAT64, result, status=join_status(value, number))


FUNCTIONS: dict[str, ScalarFunction] = {
    "interpolate_rank": ScalarFunction(
        _rank_type,
        _interpolate_rank,
        parameters=(Parameter("margin", Real(0.0, 0.5), user_name=None),),
        n_args=3,
        written=PLAIN,
        belongs=has_table,
    ),
}
