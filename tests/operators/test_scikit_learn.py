"""Learnt operators against scikit-learn's transformers of the same name."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn import preprocessing
from sklearn.impute import SimpleImputer

import fastfeat as ff
from fastfeat import col

Column = np.ndarray[Any, np.dtype[np.float64]]


def _columns() -> dict[str, Column]:
    """Return training columns: smooth, with ties and missing values, few rows, constant."""
    random = np.random.default_rng(7)
    ties = random.integers(0, 30, 3000) / 4.0
    ties[random.random(3000) < 0.05] = np.nan
    return {
        "smooth": random.normal(50, 9, 3000),
        "skewed": random.lognormal(0, 2, 3000),
        "ties": ties,
        "few": np.array([3.0, 1.0, 2.0, 2.0, 8.0, np.nan]),
        "constant": np.full(20, 0.1),
    }


def _new_rows(train: Column) -> Column:
    """Return rows to transform: training values, values between, beyond, and a missing one."""
    low, high = np.nanmin(train), np.nanmax(train)
    between = np.random.default_rng(8).uniform(low, high, 500)
    return np.concatenate([train, between, [low - 1, high + 1, low, high, np.nan]])


def _transformed(expression: ff.Expr, train: Column, rows: Column) -> Column:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ff.FastfeatWarning)
        fitted = ff.Plan({"y": expression}).fit({"x": train})
    return fitted.transform({"x": rows}, to="numpy")[:, 0]


def _by_scikit_learn(transformer: Any, train: Column, rows: Column) -> Column:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformer.fit(train[:, None]).transform(rows[:, None])[:, 0]


X = col("x")
SCALERS: list[tuple[ff.Expr, Any]] = [
    (X.standard_scale(), preprocessing.StandardScaler()),
    (X.standard_scale(with_mean=False), preprocessing.StandardScaler(with_mean=False)),
    (X.standard_scale(with_std=False), preprocessing.StandardScaler(with_std=False)),
    (X.min_max_scale(), preprocessing.MinMaxScaler()),
    (
        X.min_max_scale(feature_range=(-2, 5), clip=True),
        preprocessing.MinMaxScaler(feature_range=(-2, 5), clip=True),
    ),
    (X.max_abs_scale(), preprocessing.MaxAbsScaler()),
    (X.robust_scale(), preprocessing.RobustScaler()),
    (
        X.robust_scale(quantile_range=(5.0, 80.0), unit_variance=True),
        preprocessing.RobustScaler(quantile_range=(5.0, 80.0), unit_variance=True),
    ),
    (X.impute("mean"), SimpleImputer(strategy="mean")),
    (X.impute("median"), SimpleImputer(strategy="median")),
    (X.impute("mode"), SimpleImputer(strategy="most_frequent")),
]


@pytest.mark.parametrize(("expression", "transformer"), SCALERS)
def test_scalers_equal_scikit_learn(expression: ff.Expr, transformer: Any) -> None:
    for name, train in _columns().items():
        rows = _new_rows(train)
        result = _transformed(expression, train, rows)
        expected = _by_scikit_learn(transformer, train, rows)
        # scikit-learn's own sums are rounded at every step, so its scales are off by a few ulp
        scale = np.nanmax(np.abs(expected)) or 1.0
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13 * scale, err_msg=name)


@pytest.mark.parametrize("level", [0, 1, -30, 1000])
@pytest.mark.parametrize("spread", [1e-13, 1e-6, 1.0, 1e6, 1e100])
def test_scalers_equal_scikit_learn_as_far_as_the_table_of_the_readme_says(
    spread: float, level: float
) -> None:
    random = np.random.default_rng(9)
    for train in (random.normal(size=3000), random.lognormal(size=50), random.normal(size=3)):
        values = (train + level) * spread
        for expression, transformer in SCALERS[:8]:
            result = _transformed(expression, values, values)
            expected = _by_scikit_learn(transformer, values, values)
            largest = np.max(np.abs(expected))
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize(("expression", "transformer"), SCALERS[:8])
def test_a_spread_below_10_eps_is_a_scale_and_no_constant_as_in_scikit_learn(
    expression: ff.Expr, transformer: Any
) -> None:
    train = np.arange(1.0, 5.0)
    tiny = train * 2.0**-54
    expected = _by_scikit_learn(transformer, train, train)
    scaled = _transformed(expression, tiny, tiny)
    by_scikit_learn = _by_scikit_learn(transformer, tiny, tiny)
    if isinstance(transformer, preprocessing.StandardScaler):
        np.testing.assert_allclose(scaled, by_scikit_learn, rtol=1e-12)
    else:
        np.testing.assert_allclose(scaled, expected, rtol=1e-12, atol=1e-12)
        assert np.abs(by_scikit_learn - expected).max() > 0.1


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("n_quantiles", [1000, 50, 2])
def test_quantile_transform_equals_scikit_learn(n_quantiles: int, distribution: Any) -> None:
    for name, train in _columns().items():
        rows = _new_rows(train)
        expression = X.quantile_transform(n_quantiles=n_quantiles, output_distribution=distribution)
        result = _transformed(expression, train, rows)
        transformer = preprocessing.QuantileTransformer(
            n_quantiles=n_quantiles,
            output_distribution=distribution,
            subsample=None,  # pyright: ignore[reportArgumentType]
        )
        expected = _by_scikit_learn(transformer, train, rows)
        # in the tails a normal deviate moves far for little; a quantile that NumPy rounds
        # otherwise may also turn a tie into a neighbour
        close = np.isclose(result, expected, rtol=1e-9, atol=1e-9, equal_nan=True)
        assert close.mean() > 0.999, name
        np.testing.assert_allclose(result[~close], expected[~close], atol=2e-3, err_msg=name)


@pytest.mark.parametrize("n_bins", [2, 5, 17, 100])
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_k_bins_are_those_of_scikit_learn(n_bins: int, strategy: Any) -> None:
    for name, column in _columns().items():
        train = column[~np.isnan(column)]  # it takes no missing values
        rows = _new_rows(train)[:-1]
        result = _transformed(X.k_bins_discretize(n_bins=n_bins, strategy=strategy), train, rows)
        transformer = preprocessing.KBinsDiscretizer(
            n_bins,
            encode="ordinal",
            strategy=strategy,
            quantile_method="linear",
            subsample=None,  # pyright: ignore[reportArgumentType]
        )
        expected = _by_scikit_learn(transformer, train, rows)
        if strategy == "uniform":
            assert np.array_equal(result, expected), name
        else:  # a training value may lie on an edge that NumPy rounds otherwise
            assert np.mean(result == expected) > 0.99, name
            assert np.abs(result - expected).max() <= 1, name


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_uniform_and_quantile_edges_equal_those_of_numpy(strategy: Any) -> None:
    for name, column in _columns().items():
        plan = ff.Plan({"y": X.k_bins_discretize(n_bins=7, strategy=strategy)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ff.FastfeatWarning)
            (edges,) = plan.fit({"x": column}).learnt().values()
        train = column[~np.isnan(column)]
        if strategy == "uniform":
            assert np.array_equal(edges, np.linspace(train.min(), train.max(), 8)), name
        else:
            expected = np.quantile(train, np.linspace(0, 1, 8))
            np.testing.assert_allclose(edges, expected, rtol=1e-14, err_msg=name)


def test_k_bins_warn_how_many_merge() -> None:
    values = {"x": [1.0, 1.0, 1.0, 1.0, 2.0, 9.0]}
    with pytest.warns(ff.FastfeatWarning, match="2 of 4 bins have no width and are merged, which"):
        fitted = ff.Plan({"bin": X.k_bins_discretize(n_bins=4)}).fit(values)
    assert fitted.transform({"x": [0.0, 1.0, 1.5, 2.0, 99.0]})["bin"].to_pylist() == [0, 0, 0, 1, 1]
    with pytest.warns(ff.FastfeatWarning, match="one bin, code 0, instead of 3"):
        fitted = ff.Plan({"bin": X.k_bins_discretize(n_bins=3, strategy="uniform")}).fit({"x": [5]})
    assert fitted.transform({"x": [0, 5, None, 9]})["bin"].to_pylist() == [0, 0, None, 0]


@pytest.mark.parametrize("degree", [1, 2, 4])
@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("include_bias", [False, True])
def test_polynomial_features_have_the_names_and_bits_of_scikit_learn(
    degree: int, interaction_only: bool, include_bias: bool
) -> None:
    random = np.random.default_rng(9)
    data = pd.DataFrame({name: random.normal(0, 9, 500) for name in ("a", "b", "a long name")})
    plan = ff.Plan(
        {
            "p": ff.polynomial_features(
                *data.columns,
                degree=degree,
                interaction_only=interaction_only,
                include_bias=include_bias,
            )
        }
    )
    transformer = preprocessing.PolynomialFeatures(
        degree, interaction_only=interaction_only, include_bias=include_bias
    )
    expected = cast("Any", transformer).fit_transform(data)
    fitted = plan.fit(data)
    assert fitted.schema.names == [f"p_{name}" for name in transformer.get_feature_names_out()]
    assert np.array_equal(fitted.transform(data, to="numpy"), expected)


def test_impute_adds_the_indicator_of_scikit_learn() -> None:
    train = np.array([1.0, np.nan, 4.0])
    rows = np.array([np.nan, 2.0])
    fitted = ff.Plan({"x": X.impute("mean", add_indicator=True)}).fit({"x": train})
    transformer = SimpleImputer(strategy="mean", add_indicator=True).fit(train[:, None])
    assert fitted.schema.names == ["x", "x_missing"]
    result = fitted.transform({"x": rows}, to="numpy")
    assert np.array_equal(result, cast("Any", transformer).transform(rows[:, None]))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_power_transform_equals_scikit_learn(method: Any, standardize: bool) -> None:
    for name, train in _columns().items():
        positive = np.nanmin(train) > 0
        if method == "box-cox" and (not positive or name == "constant"):  # which it refuses
            continue
        rows = _new_rows(train)
        rows = rows[~(rows <= 0)] if method == "box-cox" else rows
        expression = X.power_transform(method=method, standardize=standardize)
        result = _transformed(expression, train, rows)
        transformer = preprocessing.PowerTransformer(method=method, standardize=standardize)
        expected = _by_scikit_learn(transformer, train, rows)
        # both find lambda to about 1e-8; the largest rows move with its last digits
        scale = np.nanmax(np.abs(expected))
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6 * scale, err_msg=name)


def test_standardize_is_standard_scale() -> None:
    for method in ("yeo-johnson", "box-cox"):
        raised = X.power_transform(method=method, standardize=False)
        assert X.power_transform(method=method).nodes == raised.standard_scale().nodes


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_box_cox_refuses_what_is_not_above_0(backend: str) -> None:
    plan = ff.Plan({"y": X.power_transform(method="box-cox")})
    with pytest.raises(ff.errors.InvalidData, match=r"'y', box_cox_lambda.*smallest is -1\.0"):
        plan.fit({"x": [1.0, -1.0, 2.0]}, backend=backend)
    fitted = plan.fit({"x": [1.0, 2.0, 4.0, None]}, backend=backend)
    assert fitted.transform({"x": [None, 3.0]}, backend=backend)["y"].null_count == 1
    with pytest.raises(ff.errors.InvalidData, match=r"row 1 .*is not above 0"):
        fitted.transform({"x": [1.0, 0.0]}, backend=backend)


def test_power_transform_refuses_infinities() -> None:
    with pytest.raises(ff.errors.InvalidData, match="its first infinite value is inf in row 1"):
        ff.Plan({"y": X.power_transform()}).fit({"x": [1.0, np.inf]})


def test_qcut_warns_how_many_edges_merge() -> None:
    plan = ff.Plan({"bin": X.qcut(4)})
    with pytest.warns(
        ff.FastfeatWarning, match="2 of 3 edges repeat another edge, which leaves 2 bins"
    ):
        fitted = plan.fit({"x": [1.0, 1.0, 1.0, 1.0, 9.0]})
    assert fitted.transform({"x": [0.0, 1.0, 2.0]})["bin"].to_pylist() == [0, 1, 1]


def test_integers_beyond_half_the_range_are_scaled() -> None:
    ends = np.array([-(2**63), 2**63 - 1], dtype=np.int64)
    plan = ff.Plan({"a": X.min_max_scale(), "b": X.max_abs_scale(), "c": X.standard_scale()})
    features = plan.fit({"x": ends}).transform({"x": ends}).to_pydict()
    assert features == {"a": [0.0, 1.0], "b": [-1.0, 1.0], "c": [-1.0, 1.0]}
