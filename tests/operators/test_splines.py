"""`spline_transform` against scikit-learn, and what holds of a basis whatever the data."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import SplineTransformer

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData
from fastfeat_tests.operators.sampling import first_always

X = col("x")
EXTRAPOLATIONS = "constant", "linear", "continue", "periodic"
Column = np.ndarray[Any, np.dtype[np.float64]]


def _training() -> dict[str, Column]:
    random = np.random.default_rng(11)
    return {
        "smooth": random.normal(50, 9, 1000),
        "ties": random.integers(0, 30, 1000) / 4.0,
        "ties below": np.maximum(random.normal(0, 1, 1000), 0.0),
        "two": np.array([3.0, 4.0]),
    }


def _rows(train: Column) -> Column:
    """Return training rows, rows beyond them on both sides, and the ends.

    Below several equal knots scikit-learn looks at the wrong columns: no row lies there.
    """
    low, high = train.min(), train.max()
    if np.quantile(train, 1 / 6) == low:
        return train
    spread = np.random.default_rng(12).uniform(low - 2 * (high - low), 2 * high - low, 300)
    return np.concatenate([train, spread, [low, high]])


def _columns(expression: ff.Expr, train: Column, rows: Column) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        fitted = ff.Plan({"x": expression}).fit({"x": train})
    return fitted.transform({"x": rows}, to="numpy")


def _cases(*choices: Sequence[Any]) -> list[Any]:
    """Return every combination of a choice of each, those of the first with each extrapolation."""
    return first_always(itertools.product(*choices, EXTRAPOLATIONS), len(EXTRAPOLATIONS))


@pytest.mark.parametrize(
    ("degree", "knots", "extrapolation"), _cases([3, 1, 2, 5], ["quantile", "uniform"])
)
def test_splines_equal_those_of_scikit_learn(degree: int, knots: Any, extrapolation: Any) -> None:
    for name, train in _training().items():
        rows = _rows(train)
        for include_bias in (True, False):
            expression = X.spline_transform(
                n_knots=7,
                degree=degree,
                knots=knots,
                extrapolation=extrapolation,
                include_bias=include_bias,
            )
            result = _columns(expression, train, rows)
            transformer = SplineTransformer(
                7,
                degree=degree,
                knots=knots,
                extrapolation=extrapolation,
                include_bias=include_bias,
            )
            with np.errstate(all="ignore"):
                expected: Any = transformer.fit(train[:, None]).transform(rows[:, None])
            names = [f"x_{name.partition('_')[2]}" for name in transformer.get_feature_names_out()]
            assert [f"x{suffix}" for suffix in expression.suffixes] == names
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(result, expected, 0, 1e-12 * scale, err_msg=name)


@pytest.mark.parametrize(("degree", "extrapolation"), _cases([3, 0, 1, 10]))
def test_the_columns_add_up_to_1(degree: int, extrapolation: Any) -> None:
    tied_above = np.minimum(_training()["smooth"], 50.0)
    for train in (*_training().values(), tied_above, np.full(9, 2.5), np.full(3, 1e300)):
        for knots in ("uniform", "quantile"):
            expression = X.spline_transform(
                n_knots=12, degree=degree, knots=knots, extrapolation=extrapolation
            )
            near = np.concatenate([train, [train.min() - 0.1, train.max() + 0.1]])
            total = _columns(expression, train, near).sum(axis=1)
            np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_knots_may_be_given() -> None:
    train, edges = _training()["smooth"], [20.0, 45.0, 50.0, 90.0]
    result = _columns(X.spline_transform(knots=edges), train, train)
    transformer = SplineTransformer(knots=np.array(edges)[:, None])  # pyright: ignore[reportArgumentType]
    expected: Any = transformer.fit_transform(train[:, None])
    np.testing.assert_allclose(result, expected, atol=1e-13)
    assert not ff.Plan({"x": X.spline_transform(knots=edges)}).fit({"x": train}).learnt()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_value_beyond_the_knots_may_be_an_error(backend: str) -> None:
    fitted = ff.Plan({"y": X.spline_transform(extrapolation="error")}).fit({"x": [0.0, 4.0]})
    inside = {"x": [0.0, 4.0, None]}
    assert fitted.transform(inside, backend=backend)["y_sp_1"].null_count == 1
    with pytest.raises(InvalidData, match=r"'y_sp_0', row 2 .*: a value is beyond the knots"):
        fitted.transform({"x": [0.0, 4.0, 4.1]}, backend=backend)


def test_missing_is_missing_in_every_column() -> None:
    fitted = ff.Plan({"y": X.spline_transform()}).fit({"x": [0.0, None, 4.0]})
    features = fitted.transform({"x": [None, 1.0]})
    assert all(column.to_pylist()[0] is None for column in features.columns)
    with pytest.warns(ff.FastfeatWarning, match="too few values"):
        fitted = ff.Plan({"y": X.spline_transform()}).fit({"x": np.array([np.nan])})
    features = fitted.transform({"x": [1.0]})
    assert all(column.null_count == 1 for column in features.columns)


def test_infinities_continue_along_the_lines() -> None:
    plan = ff.Plan({"y": X.spline_transform(n_knots=2, degree=1, extrapolation="linear")})
    features = plan.fit({"x": [0.0, 1.0]}).transform({"x": [-np.inf, np.inf]})
    assert features.to_pydict() == {"y_sp_0": [np.inf, -np.inf], "y_sp_1": [-np.inf, np.inf]}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([5.0, 5.0], "is constant in the training data (near 5.0): the knots of its splines"),
        ([0.0, 0.0, 0.0, 0.0, 1.0], "3 of 5 knots of its splines repeat another"),
    ],
)
def test_equal_knots_are_told_once(values: list[float], told: str) -> None:
    with pytest.warns(ff.FastfeatWarning) as caught:
        ff.Plan({"y": X.spline_transform(knots="quantile")}).fit({"x": values})
    assert [told in str(warning.message) for warning in caught] == [True]
