"""Distances on the Earth."""

from __future__ import annotations

import math

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.expr import Expr, call, when
from fastfeat.ir.literals import Scalar
from fastfeat.operators.cast import as_float
from fastfeat.operators.horizontal import as_column_expression
from fastfeat.operators.operator import Case, Operator, each

EARTH_RADIUS_KM = 6371.0088
"""Radius of the sphere in kilometres: the mean radius (2 a + b) / 3 of the WGS84 ellipsoid."""


@with_argument_errors
def haversine(
    lat1: Expr | Scalar, lon1: Expr | Scalar, lat2: Expr | Scalar, lon2: Expr | Scalar
) -> Expr:
    """Return the great-circle distance between two points in kilometres, on a sphere.

    The result is missing if any of the four arguments is missing, or if a latitude is beyond ±90,
    since no such point exists on the Earth.

    Args:
        lat1: Latitude of the first point in degrees: an expression, the name of a column, or a
            number.
        lon1: Longitude of the first point in degrees; any number of turns is allowed.
        lat2: Latitude of the second point in degrees.
        lon2: Longitude of the second point in degrees.

    Source:
        The haversine formula h = sin²(Δlat/2) + cos(lat1) cos(lat2) sin²(Δlon/2), d = 2 R
        arctan(√(h / h')), where h' is the value of h for the point opposite the second one. h + h'
        = 1, and both are sums without cancellation, so close points and opposite points are as
        precise as any others.

    Example:
        >>> plan = ff.Plan({"km": ff.haversine("lat1", "lon1", "lat2", "lon2")})
        >>> fitted = plan.fit({name: [0.0] for name in ("lat1", "lon1", "lat2", "lon2")})
        >>> row = fitted.transform_row({"lat1": 52.5, "lon1": 13.4, "lat2": 48.9, "lon2": 2.4})
        >>> round(float(row[0]))
        871
    """
    given = (lat1, lon1, lat2, lon2)
    phi1, lambda1, phi2, lambda2 = (as_float(as_column_expression(degrees)) for degrees in given)
    size1, size2 = call("abs", phi1), call("abs", phi2)
    half = math.pi / 360
    across = _square(call("sin", (phi2 - phi1) * half))
    opposite = _square(call("sin", (phi2 + phi1) * half))
    turn = (lambda2 - lambda1) * half
    # sine of 90 degrees minus the latitude: near a pole, a cosine would lose its digits
    circle = call("sin", (90 - size1) * (math.pi / 180)) * call(
        "sin", (90 - size2) * (math.pi / 180)
    )
    near = across + circle * _square(call("sin", turn))
    far = opposite + circle * _square(call("cos", turn))
    distance = call("arctan", call("sqrt", near / far)) * (2 * EARTH_RADIUS_KM)
    on_earth = (size1 <= 90) & (size2 <= 90)
    return when(on_earth).then(distance).otherwise(None)


def _square(x: Expr) -> Expr:
    return x * x


def _haversine(*degrees: float) -> float:
    lat1, lon1, lat2, lon2 = (float(given) for given in degrees)
    if abs(lat1) > 90 or abs(lat2) > 90 or math.isinf(lon1) or math.isinf(lon2):
        return math.nan
    degree = math.pi / 180
    turn = (lon2 - lon1) * (degree / 2)
    circle = math.sin((90 - abs(lat1)) * degree) * math.sin((90 - abs(lat2)) * degree)
    near = math.sin((lat2 - lat1) * (degree / 2)) ** 2 + circle * math.sin(turn) ** 2
    far = math.sin((lat2 + lat1) * (degree / 2)) ** 2 + circle * math.cos(turn) ** 2
    return 2 * EARTH_RADIUS_KM * math.atan2(math.sqrt(near), math.sqrt(far))


OPERATORS: dict[str, Operator] = {
    "haversine": Operator(
        haversine,
        each(_haversine),
        (Case(("degrees",) * 4), Case(("degrees", "number", "degrees", "degrees"))),
        ulp=32,
        method=False,
    ),
}
