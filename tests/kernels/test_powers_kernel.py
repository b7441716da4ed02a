"""The powers kernel against its reference, against fractions, and against SciPy and pandas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels import powers as layout
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.grouped.order import SortedGroups, order
from fastfeat_kernels.powers import options_of
from fastfeat_kernels.powers import state as exact
from fastfeat_kernels.powers.reference import ENTRIES, kurtosis_of, skew_of
from fastfeat_kernels.powers.state import (
    PowerSums,
    merge,
    shapes_of,
    summarize,
)
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import (
    Value,
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    reference,
)

SHAPES = st.sampled_from([*layout.SHAPES])


def shape_of(powers: PowerSums, shape: str, bias: bool, fisher: bool) -> float | None:
    if shape == "skew":
        return exact.skew_of(powers, bias)
    return exact.kurtosis_of(powers, bias, fisher)


def defined(values: list[Any], shape: str, bias: bool, fisher: bool) -> float | None:
    known = [value for value in values if value is not None]
    return skew_of(known, bias) if shape == "skew" else kurtosis_of(known, bias, fisher)


def grouped(
    element: str, values: Sequence[Value], groups: np.ndarray[Any, Any], n: int
) -> SortedGroups:
    return order(element, [make_chunk(element, values)], groups, n, compiled("grouped"))


def bits(values: Any) -> list[str]:
    return [math.nan.hex() if x is None or x != x else float(x).hex() for x in values]


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_sums_equal_reference_and_definition(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element))
    chunks, n_parts = data.draw(chunked(element, values)), data.draw(st.integers(1, 5))
    found = summarize(element, chunks, compiled("powers"), n_parts)
    assert found == summarize(element, chunks, reference(ENTRIES))
    known = [Fraction(x) for x in values if x is not None and math.isfinite(x)]
    unit = Fraction(1, 1 << 1074) if element.startswith("float") else Fraction(1)
    for power, total in enumerate(found.sums, start=1):
        assert total * unit**power == sum(x**power for x in known)


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_shapes_equal_definition(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 30))
    shape, bias, fisher = data.draw(SHAPES), data.draw(st.booleans()), data.draw(st.booleans())
    chunks = data.draw(chunked(element, values))
    found = shape_of(summarize(element, chunks, compiled("powers")), shape, bias, fisher)
    assert bits([found]) == bits([defined(values, shape, bias, fisher)])


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data())
def test_shapes_of_groups_equal_definition(element: str, data: st.DataObject) -> None:
    values = data.draw(columns(element, 40))
    n_groups = data.draw(st.integers(1, 6))
    drawn = st.integers(-1, n_groups - 1)
    n = len(values)
    groups = np.array(data.draw(st.lists(drawn, min_size=n, max_size=n)), np.int32)
    shape, bias, fisher = data.draw(SHAPES), data.draw(st.booleans()), data.draw(st.booleans())
    ordered, options = grouped(element, values, groups, n_groups), options_of(bias, fisher)
    found = shapes_of(ordered, shape, options, compiled("powers"), data.draw(st.integers(1, 3)))
    members = [[values[i] for i in np.flatnonzero(groups == k)] for k in range(n_groups)]
    assert bits(found) == bits(defined(some, shape, bias, fisher) for some in members)
    assert bits(found) == bits(shapes_of(ordered, shape, options, reference(ENTRIES)))


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([0, 1, 3, 12, 40, 250]))
def test_shapes_are_exact_whatever_the_exponents(seed: int, n: int, spread: int) -> None:
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        x = random.normal(size=n) * np.exp(spread * random.normal(size=n))
    x = np.clip(x, -1.7e308, 1.7e308)
    ordered = grouped("float64", x.tolist(), np.zeros(n, np.int32), 1)
    for shape, bias, fisher in [("skew", True, True), ("skew", False, True)] + [
        ("kurtosis", bias, fisher) for bias in (True, False) for fisher in (True, False)
    ]:
        wanted = defined(x.tolist(), shape, bias, fisher)
        found = shapes_of(ordered, shape, options_of(bias, fisher), compiled("powers"))
        assert bits(found) == bits([wanted])
        powers = summarize("float64", [numpy_chunk(x)], compiled("powers"))
        assert bits([shape_of(powers, shape, bias, fisher)]) == bits([wanted])


def test_merging_is_adding() -> None:
    x = np.random.default_rng(1).normal(size=999)
    parts = [
        summarize("float64", [numpy_chunk(x[i::3].copy())], compiled("powers")) for i in (2, 0, 1)
    ]
    found = PowerSums()
    for part in parts:
        found = merge(part, found)
    assert found == summarize("float64", [numpy_chunk(x)], compiled("powers"))


def test_a_shape_does_not_lose_digits_to_a_large_mean() -> None:
    x = np.array([0.0, 1.0, 1.0, 5.0])
    far = [1e9 + value for value in x]
    assert defined(far, "skew", True, True) == defined(x.tolist(), "skew", True, True)
    powers = summarize("float64", [numpy_chunk(np.array(far))], compiled("powers"))
    assert exact.skew_of(powers, True) == pytest.approx(0.99296627, rel=1e-7)  # as SciPy has it


def test_a_shape_that_is_no_normal_float_is_rounded_once() -> None:
    x = [-1.0, 0.0, 1.0 + 2.0**-52, *[2.0**-1074, -(2.0**-1074)] * 3]
    ordered = grouped("float64", x, np.zeros(len(x), np.int32), 1)
    found = shapes_of(ordered, "skew", options_of(True), compiled("powers"))
    assert bits(found) == bits([defined(x, "skew", True, True)])


@pytest.mark.parametrize("values", [[], [3.0], [7.5] * 9, [math.inf, 1.0, 2.0, 4.0]])
def test_a_shape_is_missing_of_equal_values_and_of_infinities(values: list[float]) -> None:
    powers = summarize("float64", [numpy_chunk(np.array(values))], compiled("powers"))
    none = [math.nan if math.inf in values else None]
    assert bits([exact.skew_of(powers, True)]) == bits(none)
    assert bits([exact.kurtosis_of(powers, True, True)]) == bits(none)
