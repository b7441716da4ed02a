"""Zeros, infinities, NaN and the ends of the range, as IEEE 754 and C's Annex F have them."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from fastfeat.scalars.elementary import BODIES
from fastfeat_tests.scalars.elementary_kernels import run, value

INF, NAN = math.inf, math.nan
TINY, HUGE = 5e-324, 1.7976931348623157e308
QUARTER, HALF, WHOLE = math.pi / 4, math.pi / 2, math.pi

SPECIAL: dict[str, list[tuple[float, float]]] = {
    "exp": [(0.0, 1), (-0.0, 1), (INF, INF), (-INF, 0.0), (709.782712893385, INF), (-745.2, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1), (-50.0, -1), (TINY, TINY)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0.0), (40.0, 1), (-750.0, 0.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-INF, NAN), (-TINY, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (INF, INF), (-1.5, NAN), (-TINY, -TINY)],
    "log2": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (TINY, -1074)],
    "log10": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (INF, INF), (-1.0, NAN), (1e22, 22)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (TINY, TINY), (-TINY, -TINY)],
    "cos": [(0.0, 1), (-0.0, 1), (INF, NAN), (-INF, NAN), (TINY, 1)],
    "tan": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (TINY, TINY), (-TINY, -TINY)],
    "sin_near": [(0.0, 0.0), (-0.0, -0.0), (TINY, TINY), (-TINY, -TINY)],
    "cos_near": [(0.0, 1), (-0.0, 1), (TINY, 1)],
    "sin_exact": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (-TINY, -TINY)],
    "cos_exact": [(0.0, 1), (-0.0, 1), (INF, NAN), (-INF, NAN)],
    "tan_exact": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (-TINY, -TINY)],
    "arcsin": [(0.0, 0.0), (-0.0, -0.0), (1.0, HALF), (-1.0, -HALF), (1.5, NAN), (-INF, NAN)],
    "arccos": [(1.0, 0.0), (-1.0, WHOLE), (0.0, HALF), (-0.0, HALF), (-1.5, NAN), (INF, NAN)],
    "arctan": [(0.0, 0.0), (-0.0, -0.0), (INF, HALF), (-INF, -HALF), (1.0, QUARTER), (HUGE, HALF)],
    "sinh": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -INF), (710.5, INF), (-TINY, -TINY)],
    "cosh": [(0.0, 1), (-0.0, 1), (INF, INF), (-INF, INF), (710.5, INF), (TINY, 1)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1), (-INF, -1), (25.0, 1), (-TINY, -TINY)],
    "cbrt": [
        (0.0, 0.0),
        (-0.0, -0.0),
        (INF, INF),
        (-INF, -INF),
        (-27.0, -3),
        (2.0**-1074, 2.0**-358),
    ],
    "normal_quantile": [(0.0, -INF), (1.0, INF), (0.5, 0.0), (-0.1, NAN), (1.1, NAN), (INF, NAN)],
}
POWERS = [
    *((x, y, 1) for x in (NAN, INF, -INF, 0.0, -2.0) for y in (0.0, -0.0)),
    *((1.0, y, 1) for y in (NAN, INF, -INF, 3.7)),
    *((-1.0, y, 1) for y in (INF, -INF)),
    *((0.0, y, INF) for y in (-1.0, -2.0, -0.5, -INF)),
    *((-0.0, -1.0, -INF), (-0.0, -3.0, -INF), (-0.0, -2.0, INF), (-0.0, -0.5, INF)),
    *((0.0, 3.0, 0.0), (-0.0, 3.0, -0.0), (-0.0, 2.0, 0.0), (-0.0, 0.5, 0.0), (-0.0, INF, 0.0)),
    *((0.5, INF, 0.0), (0.5, -INF, INF), (-0.5, INF, 0.0), (2.0, INF, INF), (2.0, -INF, 0.0)),
    *((-INF, -3.0, -0.0), (-INF, -2.0, 0.0), (-INF, 3.0, -INF), (-INF, 2.0, INF)),
    *((-INF, 0.5, INF), (-INF, -0.5, 0.0), (INF, -1.0, 0.0), (INF, 0.1, INF), (INF, INF, INF)),
    *((-2.0, 0.5, NAN), (-TINY, -1.5, NAN), (NAN, 1.0, NAN), (2.0, NAN, NAN), (-2.0, NAN, NAN)),
    *(
        (-2.0, 3.0, -8),
        (-2.0, 2.0, 4),
        (2.0, -1074.0, TINY),
        (2.0, -1080.0, 0.0),
        (10.0, 309.0, INF),
    ),
    *(
        (-2.0, 2.0**53, INF),
        (-3.0, 2.0**53 - 1, -INF),
        (1 + 2.0**-52, HUGE, INF),
        (TINY, 1.0, TINY),
    ),
]
REMAINDERS = [
    *((5.5, 2.0, 1.5), (-5.5, 2.0, -1.5), (5.5, -2.0, 1.5), (6.0, 2.0, 0.0), (-6.0, 2.0, -0.0)),
    *((1.0, INF, 1), (-0.0, 3.0, -0.0), (1.0, 0.0, NAN), (INF, 1.0, NAN), (NAN, 1.0, NAN)),
    *((1.0, NAN, NAN), (HUGE, TINY, 0.0), (TINY, HUGE, TINY), (HUGE, 3.0, 2), (0.0, 0.0, NAN)),
]


def _bits(x: float) -> bytes | str:
    return "nan" if x != x else struct.pack("<d", x)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_value(name: str):
    for x, expected in [*SPECIAL[name], (NAN, NAN)]:
        assert _bits(value(name, x)) == _bits(expected), x


def test_power_has_the_special_cases_of_c():
    for x, y, expected in POWERS:
        assert _bits(value("pow", x, y)) == _bits(expected), (x, y)


def test_remainder_has_the_special_cases_of_c():
    for x, y, expected in REMAINDERS:
        assert _bits(value("fmod", x, y)) == _bits(expected), (x, y)


def test_every_function_of_one_argument_has_its_special_values_listed():
    unlisted = {name for name, row in BODIES.items() if row.arity == 1} - SPECIAL.keys()
    assert unlisted == set()


ODD = ["sin", "tan", "arcsin", "arctan", "sinh", "tanh", "cbrt"]


@pytest.mark.parametrize("name", ODD)
def test_odd_function_flips_its_sign_with_its_argument(name: str):
    x = np.geomspace(1e-320, 1.0 if name == "arcsin" else 1e12, 1000)
    assert np.array_equal(run("called", name, -x), -run("called", name, x))
