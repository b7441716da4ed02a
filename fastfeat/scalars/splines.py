"""B-splines: one column of a spline basis, by de Boor's recursion.

Knots divide the range into intervals. With degree d, d + 1 of the basis functions are nonzero in an
interval. All columns share the search for the value's interval and the recursion, because equal
operations are one node; each column then picks its own function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from fastfeat.errors import BinsMerged, ColumnConstant, FastfeatWarning
from fastfeat.ir.dtypes import FLOAT64, DType
from fastfeat.ir.parameters import Parameter, TextChoice, Whole
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import op
from fastfeat.scalars.arithmetic import float_type, python_modulo
from fastfeat.scalars.binning import has_table, table_size
from fastfeat.scalars.op import Op
from fastfeat.scalars.spline_knots import MOST_DEGREE, MOST_KNOTS
from fastfeat.scalars.table import count_not_above, padded_length
from fastfeat.scalars.value import (
    BEYOND_KNOTS,
    ScalarFunction,
    TableKey,
    Value,
    as_f64,
    raise_status,
)

Extrapolation = Literal["constant", "linear", "continue", "periodic", "error"]
DEGREE = Parameter("degree", Whole(0, MOST_DEGREE), "Degree of the polynomials; 3 is cubic", 3)
EXTRAPOLATION = Parameter(
    "extrapolation",
    TextChoice(get_args(Extrapolation)),
    "Result for x beyond the outer knots",
    "constant",
)


class Spline(NamedTuple):
    """A basis of B-splines, with its knots in tables that the kernel reads.

    Args:
        degree: The degree of the polynomial pieces.
        n_knots: Number of knots from the first to the last.
        starts: Table of the starts of the intervals.
        n_starts: Length of `starts`.
        knots: Table of the knots, with `degree` more at each end.
    """

    degree: int
    n_knots: int
    starts: Op
    n_starts: int
    knots: Op

    @property
    def first(self) -> Op:
        """The first knot; NaN if none was learnt."""
        return op.load_f64(self.knots, self.degree)

    @property
    def last(self) -> Op:
        """The last knot."""
        return op.load_f64(self.knots, self.degree + self.n_knots - 1)


def _basis_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return float_type(types[:1], params)


def _spline_basis(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return the value of the basis function with number `index`; missing if there are no knots."""
    value, table = values
    extrapolation, index = params["extrapolation"], params["index"]
    is_periodic = extrapolation == "periodic"
    spline = _spline(table, params["degree"], is_periodic)
    x = as_f64(value)
    if is_periodic:
        x = spline.first + python_modulo(x - spline.first, spline.last - spline.first)
    within = op.select(x < spline.first, spline.first, op.select(x > spline.last, spline.last, x))
    at = x if extrapolation in ("continue", "periodic") else within
    interval = _interval(spline, within)
    functions = _functions(spline, interval, at, spline.degree)
    if extrapolation == "linear" and spline.degree:
        functions = _continue_linearly(functions, _slopes(spline, interval, at), x - at)
    result = _pick(functions, interval, index)
    if is_periodic and index < spline.degree:
        result = result + _pick(functions, interval, index + spline.n_knots - 1)
    known = op.is_number(x) & op.is_number(spline.first)
    basis = Value(FLOAT64, op.select(known, result, op.NAN), status=value.status)
    beyond = x.ne(within) if extrapolation == "error" else op.FALSE
    return raise_status(basis, beyond, BEYOND_KNOTS)


def _spline(table: Value, degree: int, is_periodic: bool) -> Spline:
    assert table.node is not None
    n_knots = table_size(table.node)
    n_starts = padded_length(n_knots)
    starts = op.table(TableKey(table.node, "spline_starts", n_starts))
    # as many knots as there may be starts, whatever an artifact contains
    layout = f"{'periodic' if is_periodic else 'spline'}_knots_{degree}"
    knots = op.table(TableKey(table.node, layout, n_starts + 2 * degree))
    return Spline(degree, n_knots, starts, n_starts, knots)


def _interval(spline: Spline, within: Op) -> Op:
    """Return the number, from 0, of the interval that contains a value between the end knots."""
    count = count_not_above(spline.starts, spline.n_starts, within)
    return op.select(count > 0, count - 1, 0)


def _knot(spline: Spline, interval: Op, place: int) -> Op:
    """Return a knot near an interval: place 0 is its start, 1 its end, 2 the next knot."""
    return op.load_f64(spline.knots, interval + (spline.degree + place))


def _functions(spline: Spline, interval: Op, x: Op, degree: int) -> list[Op]:
    """Return the values at x of the degree + 1 functions that are nonzero in the interval.

    They are in the order of their numbers, from left to right.
    """
    functions = [op.literal(1.0, "f64")]
    for d in range(1, degree + 1):
        lower, functions = functions, []
        for k in range(d):
            right, left = _knot(spline, interval, k + 1), _knot(spline, interval, k + 1 - d)
            share = lower[k] / (right - left)
            falling = share * (right - x)
            functions[k:] = [functions[k] + falling if k else falling, share * (x - left)]
    return functions


def _slopes(spline: Spline, interval: Op, x: Op) -> list[Op]:
    """Return the derivatives at x of the functions that are nonzero in the interval."""
    degree = spline.degree
    slopes: list[Op] = []
    for k, lower in enumerate(_functions(spline, interval, x, degree - 1)):
        right, left = _knot(spline, interval, k + 1), _knot(spline, interval, k + 1 - degree)
        share = (lower * float(degree)) / (right - left)
        slopes[k:] = [slopes[k] - share if k else -share, share]
    return slopes


def _continue_linearly(functions: list[Op], slopes: list[Op], beyond: Op) -> list[Op]:
    """Return the functions continued by straight lines from an end knot.

    `beyond` is the distance from the knot. A function with slope 0 stays constant, even at
    infinity.
    """
    return [
        op.select(beyond.eq(0.0) | slope.eq(0.0), function, function + beyond * slope)
        for function, slope in zip(functions, slopes, strict=True)
    ]


def _pick(functions: list[Op], interval: Op, index: int) -> Op:
    """Return the value of the basis function with number `index`; 0 if it is zero in the interval.

    `functions` has those that are nonzero there.
    """
    result = op.literal(0.0, "f64")
    for k, function in enumerate(functions):
        result = op.select(interval.eq(index - k), function, result)
    return result


def _warn_knots(values: Sequence[Any], params: Mapping[str, Any]) -> FastfeatWarning | None:
    """Return a warning if some knots are equal; None if not.

    `values` has one element: the knots. Only the first column of the spline warns.
    """
    elements = values[-1]
    if elements is None or params["index"] > 0:
        return None
    n_equal = len(elements) - len({float(knot) for knot in elements})
    if n_equal == 0:
        return None
    if n_equal == len(elements) - 1:
        return ColumnConstant(
            f"is constant in the training data (near {elements[0]!r}): the knots of its splines "
            "are set 1 apart"
        )
    return BinsMerged(
        f"has equal quantiles in the training data: {n_equal} of {len(elements)} knots of its "
        "splines repeat another knot"
    )


FUNCTIONS: dict[str, ScalarFunction] = {
    "spline_basis": ScalarFunction(
        _basis_type,
        _spline_basis,
        _warn_knots,
        parameters=(
            DEGREE,
            EXTRAPOLATION,
            Parameter("index", Whole(0, MOST_KNOTS + MOST_DEGREE - 2), user_name=None),
        ),
        n_args=2,
        written=PLAIN,
        belongs=has_table,
    )
}
