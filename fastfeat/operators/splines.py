"""`spline_transform`: the B-splines of a number, between learnt knots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastfeat.calls import checks
from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call, literal_table, several_columns
from fastfeat.ir import node as ir
from fastfeat.ir.parameters import BoolChoice, Parameter, Parameters, Whole
from fastfeat.ir.writing import SeveralWriter, Texts, numbers_text
from fastfeat.operators.binning import (
    STRATEGY,
    Strategy,
    learnt_points,
    points_by_definition,
    read_points,
)
from fastfeat.operators.operator import Case, Operator, ReferenceColumn, check_parameters
from fastfeat.scalars.spline_knots import MOST_KNOTS
from fastfeat.scalars.splines import DEGREE, EXTRAPOLATION, Extrapolation

KNOTS = Parameter(
    "knots",
    STRATEGY.type,
    "Placement of the knots: evenly spaced, or at quantiles of the training rows",
    "uniform",
)
SPLINE_TRANSFORM: Parameters = (
    Parameter("n_knots", Whole(2, MOST_KNOTS), "Number of knots", 5),
    DEGREE,
    EXTRAPOLATION,
    Parameter("include_bias", BoolChoice(), "Whether to include the last column", True),
)


def spline_transform(
    x: Expr,
    *,
    n_knots: int = 5,
    degree: int = 3,
    knots: Strategy | Sequence[float] = "uniform",
    extrapolation: Extrapolation = "constant",
    include_bias: bool = True,
) -> Expr:
    """Return one column for each B-spline between knots: smooth bumps that add up to 1.

    There are n_knots + degree - 1 columns, or n_knots - 1 if periodic. Their names end in "_sp_0",
    "_sp_1" and so on. Knots beyond the ends are as far apart as the two nearest ones.

    Equal quantiles stay equal knots, and `fit` warns about them. For a column that is constant in
    training the knots are placed 1 apart, also with a warning.

    Args:
        x: Numbers. Missing is missing in every column and is not learnt from.
        n_knots: Number of knots from the smallest to the largest training value, from 2 to 1,000.
            Ignored if `knots` is a list.
        degree: Degree of the pieces, from 0 to 10; 3 is cubic.
        knots: "uniform" for evenly spaced knots, "quantile" for about equally many training rows
            between knots, or a list of knots in rising order.
        extrapolation: Values beyond the knots: "constant" keeps the values at the nearest end,
            "linear" continues them as straight lines, "continue" extends the outermost pieces,
            "periodic" repeats the values with the period from the first to the last knot, "error"
            is an error at transform.
        include_bias: Whether to include the last column. Without it the columns do not add up to 1.

    Raises:
        InvalidPlan: A parameter is invalid, a periodic spline has no more knots than its degree, or
            no column is left.
        InvalidData: At transform, with extrapolation="error", if a value is beyond the knots.

    Source:
        C. de Boor: On calculating with B-splines (1972). scikit-learn's SplineTransformer gives the
        same to 1e-12 of the largest value, except at and beyond an end with equal quantiles: there
        its columns do not add up to 1.

    Example:
        >>> plan = ff.Plan({"x": col("x").spline_transform(n_knots=3, degree=1)})
        >>> fitted = plan.fit({"x": [0.0, 4.0]})
        >>> fitted.transform({"x": [1.0, 9.0]}, backend="reference").to_pydict()
        {'x_sp_0': [0.5, 0.0], 'x_sp_1': [0.5, 0.0], 'x_sp_2': [0.0, 1.0]}
    """
    operator = "spline_transform"
    chosen = check_parameters(
        operator,
        SPLINE_TRANSFORM,
        n_knots=n_knots,
        degree=degree,
        extrapolation=extrapolation,
        include_bias=include_bias,
    )
    n_knots, degree, beyond = chosen["n_knots"], chosen["degree"], chosen["extrapolation"]
    if isinstance(knots, str):
        table = learnt_points(operator, KNOTS, x, knots, n_knots)
    else:
        given = checks.rising_numbers(operator, "knots", knots)
        if not 2 <= len(given) <= MOST_KNOTS or not all(map(math.isfinite, given)):
            raise InvalidPlan(
                f"{operator}(knots={knots!r}): takes 'uniform', 'quantile', or from 2 to 1,000 "
                "finite numbers in rising order"
            )
        n_knots, table = len(given), literal_table(given)
    if beyond == "periodic" and n_knots <= degree:
        raise InvalidPlan(
            f"{operator}(degree={degree}): periodic splines with {n_knots} knots need a degree "
            f"below {n_knots}"
        )
    n_columns = (n_knots - 1 if beyond == "periodic" else n_knots + degree - 1) - (
        not chosen["include_bias"]
    )
    if n_columns == 0:
        raise InvalidPlan(
            f"{operator}(include_bias=False): leaves out the only column. Write include_bias=True "
            "or use more knots"
        )
    return several_columns(
        {
            f"_sp_{index}": call(
                "spline_basis", x, table, degree=degree, extrapolation=beyond, index=index
            )
            for index in range(n_columns)
        }
    )


def _spline_transform(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    n_knots: int = 5,
    degree: int = 3,
    knots: str | Sequence[float] = "uniform",
    extrapolation: str = "constant",
    include_bias: bool = True,
) -> tuple[list[Any], ...]:
    points = points_by_definition(train[0], knots, n_knots) if isinstance(knots, str) else knots
    n_knots = n_knots if points is None else len(points)
    is_periodic = extrapolation == "periodic"
    n_columns = (n_knots - 1 if is_periodic else n_knots + degree - 1) - (not include_bias)
    if points is None:
        return ([None] * len(rows[0]),) * n_columns
    inner = _separate_equal_points(points)
    columns: list[list[Any]] = [[] for _ in range(n_columns)]
    for x in rows[0]:
        basis = None if x is None else _basis(float(x), inner, degree, extrapolation)
        for column, index in zip(columns, range(n_columns), strict=True):
            column.append(None if basis is None else basis[index])
    return tuple(columns)


def _separate_equal_points(points: Sequence[float]) -> list[float]:
    """Return the knots, or if all are equal, knots placed 1 apart."""
    if points[0] < points[-1]:
        return [float(point) for point in points]
    distance = max(1.0, abs(points[0]) / 2**44)
    return [points[0] + k * distance for k in range(len(points))]


def _basis(x: float, inner: list[float], degree: int, extrapolation: str) -> list[float]:
    """Return the values of all basis functions at x."""
    first, last, n = inner[0], inner[-1], len(inner)
    if extrapolation == "periodic":
        period = last - first
        below = [knot - period for knot in inner[n - 1 - degree : n - 1]]
        knots = below + inner + [knot + period for knot in inner[1 : degree + 1]]
        x = first + (x - first) % period if math.isfinite(x) else math.nan
    else:
        below = [first - k * (inner[1] - first) for k in range(degree, 0, -1)]
        knots = below + inner + [last + k * (last - inner[-2]) for k in range(1, degree + 1)]
    nearest = min(max(x, first), last) if x == x else x
    interval = max((k for k in range(n - 1) if inner[k] < last and inner[k] <= nearest), default=0)
    at = x if extrapolation in ("continue", "periodic") else nearest
    piece = _Piece(knots, interval + degree)
    values = [piece.value(index, degree, at) for index in range(n + degree - 1)]
    if extrapolation == "linear" and degree and x != nearest:
        slopes = [piece.slope(index, degree, at) for index in range(len(values))]
        values = [v + (x - at) * s if s else v for v, s in zip(values, slopes, strict=True)]
    if extrapolation == "periodic":
        wrapped = values[n - 1 :]
        values = [v + w for v, w in zip(values, wrapped + [0.0] * n, strict=False)][: n - 1]
    return [v if x == x else math.nan for v in values]


class _Piece:
    """The basis functions between knot number `place` and the next, where they are polynomials."""

    def __init__(self, knots: list[float], place: int) -> None:
        self.knots, self.place = knots, place

    def value(self, index: int, degree: int, x: float) -> float:
        """Return the value of basis function `index` at x, by Cox and de Boor's recursion."""
        if not self.place - degree <= index <= self.place:
            return 0.0
        if degree == 0:
            return 1.0
        t = self.knots
        rising, falling = (self._share(k, degree, x) for k in (index, index + 1))
        left, right = x - t[index], t[index + degree + 1] - x
        # a missing function of the next lower degree is 0 at infinity too
        return (rising * left if rising else 0.0) + (falling * right if falling else 0.0)

    def slope(self, index: int, degree: int, x: float) -> float:
        """Return the derivative of basis function `index` at x."""
        return self._share(index, degree, x, degree) - self._share(index + 1, degree, x, degree)

    def _share(self, index: int, degree: int, x: float, times: int = 1) -> float:
        """Return times * f(x) / (width of f), where f is basis function `index` of degree - 1."""
        if not self.place - degree < index <= self.place:
            return 0.0
        width = self.knots[index + degree] - self.knots[index]
        return self.value(index, degree - 1, x) * times / width


def _text(nodes: Sequence[ir.Node], texts: Texts) -> str | None:
    match nodes:
        case [ir.Call("spline_basis", (x, table), params), *_] if all(
            node.args == (x, table) for node in nodes
        ):
            given = _spline_options(x, table, dict(params), len(nodes))
            return f"{texts[x]}.spline_transform({given})"
        case _:
            return None


def _spline_options(x: ir.Node, table: ir.Node, params: Mapping[str, Any], n_columns: int) -> str:
    """Return the options of `spline_transform` as text, without those at their default."""
    points = read_points(x, table)
    degree, beyond = params.get("degree"), params.get("extrapolation")
    given: dict[str, str] = {}
    if points is not None:
        given = {"n_knots": str(points[0]), "knots": repr(points[1])}
    elif isinstance(table, ir.Literal):
        given = {"knots": numbers_text(table.value)}
    given |= {"degree": repr(degree), "extrapolation": repr(beyond)}
    n_points = points[0] if points is not None else len(getattr(table, "value", ()))
    full = n_points - 1 if beyond == "periodic" else n_points + cast(int, degree) - 1
    if n_columns < full:
        given["include_bias"] = "False"
    plain = {
        "n_knots": "5", "knots": "'uniform'", "degree": "3", "extrapolation": "'constant'"
    }  # fmt: skip
    return ", ".join(f"{name}={text}" for name, text in given.items() if text != plain.get(name))


WRITTEN_TOGETHER: dict[str, SeveralWriter] = {"spline_basis": _text}
"""Writers (see `ir.writing`) of columns of splines, by the function of the first column."""


_PARAMS: tuple[dict[str, Any], ...] = (
    {},
    {"n_knots": 4, "degree": 2, "knots": "quantile", "extrapolation": "linear"},
    {"n_knots": 4, "extrapolation": "periodic"},
    {"n_knots": 3, "degree": 1, "extrapolation": "linear", "include_bias": False},
    {"knots": (-1.0, 0.0, 10.0, 1e6), "extrapolation": "continue"},
    {"n_knots": 20, "degree": 0, "knots": "quantile"},
)

OPERATORS: dict[str, Operator] = {
    "spline_transform": Operator(
        spline_transform,
        _spline_transform,
        tuple(Case(("number" if not params else "float",), params) for params in _PARAMS),
        parameters=SPLINE_TRANSFORM,
    ),
}
