"""The interpreter of operations, and the multiply-add that it rounds once without hardware."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.scalars import op
from fastfeat.scalars.interpret import evaluate, run_steps, steps_of
from fastfeat.scalars.primitives import PRIMITIVES, exact_fma

X, N = op.input_value("x", "f64"), op.parameter("n", "i64")


def _fma(x: float, y: float, z: float) -> float:
    """Return x * y + z from the definition, of finite numbers."""
    total = Fraction(x) * Fraction(y) + Fraction(z)
    if total == 0:
        return x * y + z
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


finite = st.floats(allow_nan=False, allow_infinity=False)
near = st.sampled_from([-1.0, 1 - 2.0**-53, 1 + 2.0**-52, 2.0**-53, 2.0**-54, 0.5, 2.0**106])


@given(finite, finite, st.one_of(finite, near), st.booleans())
def test_fma_rounds_once(x: float, y: float, z: float, is_near: bool):
    if is_near and math.isfinite(x * y * z):  # where the sum cancels, or is a tie
        z = -x * y * z
    assert struct.pack("<d", exact_fma(x, y, z)) == struct.pack("<d", _fma(x, y, z))


@pytest.mark.parametrize(
    ("x", "y", "z", "expected"),
    [
        (1e200, 1e200, -math.inf, -math.inf),  # the product is finite before it is rounded
        (math.inf, 1.0, -math.inf, math.nan),
        (0.0, math.inf, 1.0, math.nan),
        (1e200, -1e200, 0.0, -math.inf),
        (-1.0, 0.0, 0.0, 0.0),
        (-1.0, 0.0, -0.0, -0.0),
        (2.0**-1074, 0.5, 0.0, 0.0),
        (2.0**-1074, 0.75, 0.0, 2.0**-1074),
    ],
)
def test_fma_of_infinities_and_zeros(x: float, y: float, z: float, expected: float):
    result = exact_fma(x, y, z)
    assert math.isnan(result) if math.isnan(expected) else result == expected
    assert math.copysign(1, result) == math.copysign(1, expected) or math.isnan(expected)


def test_evaluate_asks_once_for_each_leaf():
    asked: list[op.Op] = []

    def leaf(node: op.Op) -> float | int | list[float]:
        asked.append(node)
        return {"input": 2.0, "parameter": 3, "table": [0.5, 1.5, 2.5, 3.5]}[node.name]

    element = op.load_f64(op.table("edges"), N)
    results = evaluate([X * X + element, element, N + 1, op.elementary("exp", X - 2.0)], leaf)
    assert results == [7.5, 3.5, 4, 1.0]
    assert len(asked) == len(set(asked)) == 3


def test_steps_run_for_many_rows_in_the_order_of_the_leaves_asked_for():
    steps = steps_of([op.to_f64(N) / X], [N, X])
    assert steps.leaves == (N, X)
    assert [run_steps(steps, row) for row in [(6, 2.0), (1, 0.0)]] == [[3.0], [math.inf]]


def test_a_deep_chain_meets_no_recursion_limit():
    chain = X
    for _ in range(20_000):
        chain = chain + 1.0
    assert evaluate([chain], lambda _: 0.5) == [20_000.5]


@given(st.floats(1, 2, exclude_max=True), st.floats(1, 2, exclude_max=True), st.integers(0, 2**12))
def test_scaled_remainder_is_exact(x: float, y: float, exponent: int):
    expected = Fraction(x) * 2**exponent % Fraction(y)
    assert Fraction(PRIMITIVES["remainder_scaled"].python(x, y, float(exponent))) == expected
