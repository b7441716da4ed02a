"""Every elementary function against mpmath, to the error that its table row states."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from fastfeat.scalars.elementary import BODIES
from fastfeat_tests.scalars.elementary_arguments import ranges
from fastfeat_tests.scalars.elementary_kernels import run, same_bits, value

N = 3000
mp: Any = mpmath.mp  # its functions are made at run time


def _normal_quantile(p: mpf) -> mpf:
    """Return the quantile by Halley's method on the complementary error function."""
    share = min(p, 1 - p)
    if share == mpf(1) / 2:
        return mpf(0)
    x = -mp.sqrt(-2 * mp.log(share)) if share < 0.1 else mp.sqrt(2 * mp.pi) * (share - 0.5)
    for _ in range(40):
        density = mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)
        step = (mp.erfc(-x / mp.sqrt(2)) / 2 - share) / density
        x -= step / (1 + x * step / 2)
        if abs(step) < abs(x) * mpf(2) ** -40:  # its square is below what matters
            break
    return x if p < 0.5 else -x


DEFINITIONS = {
    "exp": mp.exp,
    "expm1": mp.expm1,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "log": mp.log,
    "log1p": mp.log1p,
    "log2": lambda x: mp.log(x) / mp.log(2),
    "log10": lambda x: mp.log(x) / mp.log(10),
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "sin_near": mp.sin,
    "cos_near": mp.cos,
    "sin_exact": mp.sin,
    "cos_exact": mp.cos,
    "tan_exact": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": mp.atan,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "normal_quantile": _normal_quantile,
    "pow": mp.power,
}
SMALLEST, LARGEST = mpf(2) ** -1074, mpf(2) ** 1024


def _error_in_ulp(result: float, true: mpf) -> float:
    if true == 0:
        return 0.0 if result == 0 else math.inf
    ulp = max(mpf(2) ** (mp.frexp(true)[1] - 53), SMALLEST)
    if abs(true) >= LARGEST - ulp / 2:
        return 0.0 if result == math.copysign(math.inf, true) else math.inf
    return float(abs(mpf(result) - true) / ulp)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_error_is_as_stated(name: str):
    limit, definition = BODIES[name].max_ulp, DEFINITIONS[name]
    with mp.workprec(140):
        for arguments in ranges(name, N):
            results = run("called", name, *arguments)
            for result, *row in zip(
                results.tolist(), *[a.tolist() for a in arguments], strict=True
            ):
                error = _error_in_ulp(result, definition(*map(mpf, row)))
                assert error <= limit, f"{name}{tuple(row)} = {result}: {error:.3f} ulp"


def test_stated_errors_are_at_most_one_ulp_except_of_the_quantile():
    assert {name for name, row in BODIES.items() if row.max_ulp >= 1} == {"normal_quantile"}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_no_finite_result_is_larger_than_stated(name: str):
    for arguments in ranges(name, N):
        size = np.abs(run("called", name, *arguments))
        assert size[np.isfinite(size)].max() <= BODIES[name].max_size


def test_fmod_is_exact():
    for x, y in ranges("fmod", 5000):
        expected = np.array([math.fmod(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
        for form in ("inlined", "called"):
            assert same_bits(run(form, "fmod", x, y), expected)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_exact_form_has_the_same_bits_up_to_its_bound(name: str):
    angles = np.concatenate([part for (part,) in ranges(name, 20_000)] + [np.array([2.0**45])])
    assert np.abs(angles).max() == 2.0**45
    assert same_bits(run("called", name, angles), run("called", f"{name}_exact", angles))


def test_exact_reduction_holds_where_a_float_is_nearest_to_a_multiple_of_half_pi():
    worst = 6381956970095103 * 2.0**797  # Kahan: 2**-62 from one
    with mp.workprec(1200):
        assert _error_in_ulp(value("cos_exact", worst), mp.cos(mpf(worst))) < 1
        assert abs(value("cos_exact", worst)) < 1e-18
        assert _error_in_ulp(value("sin_exact", -worst), mp.sin(-mpf(worst))) < 1
        assert _error_in_ulp(value("tan_exact", worst), mp.tan(mpf(worst))) < 1


def test_logarithms_are_exact_at_powers_of_their_base():
    powers_of_two = [2.0**k for k in range(-1074, 1024)]
    assert run("inlined", "log2", powers_of_two).tolist() == [float(k) for k in range(-1074, 1024)]
    powers_of_ten = [10.0**k for k in range(23)]
    assert run("inlined", "log10", powers_of_ten).tolist() == [float(k) for k in range(23)]


def test_cube_root_of_cubes_is_exact():
    integers = np.arange(-2000.0, 2000.0)
    assert same_bits(run("inlined", "cbrt", integers**3), integers)


def test_power_with_an_integral_result_is_exact():
    bases, exponents = np.meshgrid(np.arange(-10.0, 11.0), np.arange(0.0, 16.0))
    expected = [int(x) ** int(y) for x, y in zip(bases.flat, exponents.flat, strict=True)]
    assert run("inlined", "pow", bases.ravel(), exponents.ravel()).tolist() == expected
