"""Encoders and aggregates per key, equal to those of pandas, Polars and scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import category_encoders as ce
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

import fastfeat as ff
from fastfeat import col

pytestmark = pytest.mark.filterwarnings(
    "ignore::fastfeat.errors.EncodedInFold"
)  # what they learn of rows is looked at
K, X = col("k"), col("x")
N_ROWS = 1000
OTHERS: Any = ce


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Return rows with a category, a number of which some are missing, folds and targets."""
    rng = np.random.default_rng(11)
    keys = np.minimum(rng.zipf(1.6, N_ROWS), 40)
    x = rng.normal(5, 3, N_ROWS)
    x[rng.random(N_ROWS) < 0.1] = np.nan
    return pa.table(
        {
            "k": pa.array([None if key == 3 else f"key {key}" for key in keys.tolist()]),
            "j": rng.integers(0, 4, N_ROWS),
            "x": pa.array(x, from_pandas=True),
            "i": pa.array(rng.integers(-(2**40), 2**40, N_ROWS)),
            "y": (rng.random(N_ROWS) < 0.2 + 0.5 * (keys == 1)).astype(np.int64),
            "c": rng.choice(["red", "green", "blue"], N_ROWS),
            "z": rng.normal(size=N_ROWS) + (keys == 2),
            "fold": rng.integers(0, 5, N_ROWS),
        }
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what the other libraries warn of themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


AGGREGATES: dict[str, tuple[Callable[..., ff.Expr], Callable[[pl.Expr], pl.Expr]]] = {
    "count": (lambda v, by: v.count(by=by), lambda v: v.count()),
    "null_count": (lambda v, by: v.null_count(by=by), lambda v: v.null_count()),
    "sum": (lambda v, by: v.sum(by=by), lambda v: v.sum()),
    "mean": (lambda v, by: v.mean(by=by), lambda v: v.mean()),
    "min": (lambda v, by: v.min(by=by), lambda v: v.min()),
    "max": (lambda v, by: v.max(by=by), lambda v: v.max()),
    "std": (lambda v, by: v.std(by=by), lambda v: v.std()),
    "var": (lambda v, by: v.var(ddof=0, by=by), lambda v: v.var(ddof=0)),
    "median": (lambda v, by: v.median(by=by), lambda v: v.median()),
    "lower": (
        lambda v, by: v.quantile(0.3, interpolation="lower", by=by),
        lambda v: v.quantile(0.3, interpolation="lower"),
    ),
    "linear": (lambda v, by: v.quantile(0.9, by=by), lambda v: v.quantile(0.9, "linear")),
    "n_unique": (lambda v, by: v.n_unique(by=by), lambda v: v.drop_nulls().n_unique()),
}


@pytest.mark.parametrize("value", ["x", "i", "j"])
@pytest.mark.parametrize("by", ["k", ["k", "j"], "j"])
def test_aggregates_per_key_are_those_over_a_partition_of_polars(
    table: pa.Table, value: str, by: Any
) -> None:
    keys = [by] if isinstance(by, str) else by
    plan = ff.Plan({name: ours(col(value), by) for name, (ours, _) in AGGREGATES.items()})
    found = plan.fit(table).transform(table)
    frame = cast("pl.DataFrame", pl.from_arrow(table))
    known = pl.all_horizontal(pl.col(keys).is_not_null())  # a missing key is no group here
    expected = frame.select(
        **{
            name: pl.when(known).then(theirs(pl.col(value)).over(keys))
            for name, (_, theirs) in AGGREGATES.items()
        }
    )
    for name in AGGREGATES:
        one, other = found[name].to_numpy().astype(float), expected[name].to_numpy().astype(float)
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.TooFewValues")
@pytest.mark.parametrize("value", ["x", "i", "j"])
@pytest.mark.parametrize("bias", [True, False])
def test_shapes_per_key_are_those_over_a_partition_of_polars(
    table: pa.Table, value: str, bias: bool
) -> None:
    ours = {
        "skew": col(value).skew(bias=bias, by=["k", "j"]),
        "kurtosis": col(value).kurtosis(bias=bias, by=["k", "j"]),
        "pearson": col(value).kurtosis(bias=bias, fisher=False, by=["k", "j"]),
    }
    found = ff.Plan(ours).fit(table).transform(table)
    frame, x = cast("pl.DataFrame", pl.from_arrow(table)), pl.col(value)
    wanted = {
        "skew": x.skew(bias=bias),
        "kurtosis": x.kurtosis(bias=bias),
        "pearson": x.kurtosis(bias=bias, fisher=False),
    }
    enough = x.count() >= (1 if bias else 4)  # of fewer Polars gives what is biased
    known = pl.all_horizontal(pl.col("k", "j").is_not_null())
    for name, one in wanted.items():
        few = enough if name != "skew" or bias else x.count() >= 3
        has_shape = few & (x.drop_nulls().n_unique() > 1)  # where all are equal Polars has NaN
        there = pl.when(known).then(pl.when(has_shape).then(one).over(["k", "j"]))
        expected = frame.select(there).to_series().to_numpy().astype(float)
        got = found[name].to_numpy().astype(float)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("value", ["x", "i"])
def test_shapes_per_key_are_those_of_groupby_of_pandas(table: pa.Table, value: str) -> None:
    x = col(value)
    plan = ff.Plan({"skew": x.skew(bias=False, by="k"), "kurt": x.kurtosis(bias=False, by="k")})
    found, frame = plan.fit(table).transform(table), table.to_pandas()
    grouped = frame.groupby("k")[value]
    for name, per_key in (("skew", grouped.skew()), ("kurt", grouped.apply(pd.Series.kurt))):
        expected = frame["k"].map(per_key).to_numpy(float)
        got = found[name].to_numpy().astype(float)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("value", ["x", "i"])
def test_aggregates_per_key_are_those_of_groupby_transform_of_pandas(
    table: pa.Table, value: str
) -> None:
    names = ("count", "sum", "mean", "min", "max", "std", "median", "nunique")
    ours = {name: getattr(col(value), name.replace("nu", "n_u"))(by="k") for name in names}
    found = ff.Plan(ours).fit(table).transform(table, to="numpy")
    grouped = table.to_pandas().groupby("k")[value]
    for k, name in enumerate(names):
        expected = grouped.transform(name).to_numpy(float)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-11, atol=1e-11, err_msg=name)


def test_the_mode_per_key_is_the_least_of_those_of_pandas(table: pa.Table) -> None:
    found = ff.Plan({"m": col("j").mode(by="k")}).fit(table).transform(table)["m"]
    frame = table.to_pandas()
    modes = frame.groupby("k")["j"].agg(lambda values: values.mode().min())
    np.testing.assert_array_equal(found.to_numpy(), frame["k"].map(modes).to_numpy(float))


def test_scalers_and_impute_per_key_are_those_of_pandas(table: pa.Table) -> None:
    plan = ff.Plan(
        {
            "standard": X.standard_scale(by="k"),
            "min-max": X.min_max_scale(by="k"),
            "filled": X.impute("median", by="k"),
        }
    )
    found = plan.fit(table).transform(table)
    frame = table.to_pandas()
    x, grouped = frame["x"], frame.groupby("k")["x"]
    spread = grouped.transform("max") - grouped.transform("min")
    scale = grouped.transform(lambda values: values.std(ddof=0))
    expected = {
        "standard": (x - grouped.transform("mean")) / scale.where(scale > 0, 1.0),
        "min-max": (x - grouped.transform("min")) / spread.where(spread > 0, 1.0),
        "filled": x.fillna(grouped.transform("median")),
    }
    for name, values in expected.items():
        one, other = found[name].to_numpy(), values.to_numpy(float)
        has_key = frame["k"].notna().to_numpy() | (name == "filled")
        np.testing.assert_allclose(one[has_key], other[has_key], rtol=1e-10, atol=1e-12)


def test_a_vocabulary_has_the_counts_of_value_counts(table: pa.Table) -> None:
    fitted = ff.Plan({"k": K.ordinal_encode(), "j": col("j").ordinal_encode()}).fit(table)
    for name in ("k", "j"):
        listed = fitted.vocabulary(name).slice(2)
        ours = dict(zip(listed[name].to_pylist(), listed["count"].to_pylist(), strict=True))
        assert ours == table[name].to_pandas().value_counts().to_dict()
        theirs = cast("pl.Series", pl.from_arrow(table[name])).drop_nulls().value_counts()
        assert ours == dict(theirs.iter_rows())
        assert list(ours.values()) == sorted(ours.values(), reverse=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"min_frequency": 5}, {"min_frequency": 0.02}, {"max_categories": 6},
     {"min_frequency": 3, "max_categories": 9}],
)  # fmt: skip
def test_codes_and_columns_tell_categories_apart_as_scikit_learn_does(
    table: pa.Table, options: dict[str, Any]
) -> None:
    keys = np.array([key for key in table["k"].to_pylist() if key is not None], object)[:, None]
    rows = {"k": keys[:, 0]}
    fitted = ff.Plan({"o": K.ordinal_encode(**options), "h": K.one_hot_encode(**options)}).fit(rows)
    found = fitted.transform(rows)
    theirs = OrdinalEncoder(**options).fit_transform(keys)[:, 0]
    pairs = set(zip(found["o"].to_pylist(), theirs.tolist(), strict=True))
    assert len(pairs) == len(set(found["o"].to_pylist())) == len(set(theirs))
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="infrequent_if_exist", **options)
    columns = cast("Any", encoder.fit_transform(keys))
    names = [
        name.replace("x0_", "h_").replace("_infrequent_sklearn", "__other")
        for name in encoder.get_feature_names_out()
    ]
    assert set(fitted.select("h").feature_names) == set(names)
    for name, column in zip(names, columns.T, strict=True):
        assert found[name].to_pylist() == column.tolist(), name
    unseen = fitted.transform({"k": ["unseen"]}, to="numpy")[0]
    expected = cast("Any", encoder).transform(np.array([["unseen"]], object))[0]
    assert unseen[1:].sum() == expected.sum()


def test_dropped_columns_are_those_of_scikit_learn() -> None:
    rows = {"k": ["a", "a", "b", "c"], "b": ["u", "u", "v", "u"]}
    features = {
        "first": K.one_hot_encode(drop="first"),
        "binary": col("b").one_hot_encode(drop="if_binary"),
        "all": K.one_hot_encode(drop="if_binary"),
    }
    found = ff.Plan(features).fit(rows).transform(rows, to="numpy")
    parts = [
        OneHotEncoder(drop=drop, sparse_output=False).fit_transform(np.array(rows[name])[:, None])
        for name, drop in (("k", "first"), ("b", "if_binary"), ("k", "if_binary"))
    ]
    assert np.array_equal(found, np.hstack(cast("Any", parts)))


@pytest.mark.parametrize(
    ("options", "n_columns"),
    [({"max_categories": 1}, 1), ({"max_categories": 2}, 1), ({"max_categories": 3}, 3),
     ({"min_frequency": 2}, 3), ({"min_frequency": 3}, 1), ({"min_frequency": 0.3}, 1),
     ({"min_frequency": 20}, 1)],
)  # fmt: skip
def test_a_column_of_rare_categories_is_counted_before_one_is_dropped(
    options: dict[str, Any], n_columns: int
) -> None:
    rows = {"x": [0, 1, 3, 3, 3, 3, 2, 0, 3]}
    plan = ff.Plan({"x": col("x").one_hot_encode(drop="if_binary", **options)})
    fitted, found = plan.fit_transform(rows)
    encoder = OneHotEncoder(
        drop="if_binary", sparse_output=False, handle_unknown="infrequent_if_exist", **options
    )
    theirs = cast("Any", encoder.fit_transform(np.array(rows["x"])[:, None]))
    assert {tuple(found[name].to_pylist()) for name in found.column_names} == {
        tuple(column) for column in theirs.T
    }
    assert found.num_columns == n_columns
    assert fitted.transform(rows).equals(found)


@pytest.mark.parametrize("normalize", [False, True])
def test_counts_are_those_of_category_encoders(table: pa.Table, normalize: bool) -> None:
    frame = table.select(["k"]).to_pandas()
    fitted = ff.Plan({"n": K.count_encode(normalize=normalize)}).fit(table)
    later = pd.DataFrame({"k": ["key 1", "unseen", None, "key 2"]}, dtype=frame["k"].dtype)
    with quiet():
        encoder = OTHERS.CountEncoder(
            cols=["k"], normalize=normalize, handle_missing="count", handle_unknown=0
        ).fit(frame)
        for rows in (frame, later):
            expected = encoder.transform(rows)["k"].to_numpy(float)
            np.testing.assert_allclose(fitted.transform(rows)["n"].to_numpy(), expected, 1e-14)


@pytest.mark.parametrize("regularization", [1.0, 0.25, 30.0])
def test_weights_of_evidence_are_those_of_category_encoders(
    table: pa.Table, regularization: float
) -> None:
    frame, y = table.select(["k"]).to_pandas(), table["y"].to_pandas()
    encoded = K.woe_encode("y", regularization=regularization)
    found = ff.Plan({"w": encoded}, label="y").fit(table).transform(frame)["w"].to_numpy()
    with quiet():
        encoder = OTHERS.WOEEncoder(cols=["k"], regularization=regularization)
        expected = encoder.fit(frame, y).transform(frame)["k"].to_numpy(float)
    counts = frame.groupby("k", dropna=False)["k"].transform("size").to_numpy()
    several = counts > 1  # it gives 0 to what one row has, where regularization only shrinks
    np.testing.assert_allclose(found[several], expected[several], rtol=1e-12, atol=1e-14)
    assert (np.abs(found[~several]) > 0).all()


@pytest.mark.parametrize("m", [0.5, 20.0])
@pytest.mark.parametrize("target", ["y", "z"])
def test_smoothed_means_are_the_m_estimates_of_category_encoders(
    table: pa.Table, target: str, m: float
) -> None:
    frame, y = table.select(["k"]).to_pandas(), table[target].to_pandas()
    plan = ff.Plan({"t": K.target_encode(target, smooth=m)}, label=target)
    found = plan.fit(table).transform(frame)["t"].to_numpy()
    with quiet():
        encoder = OTHERS.MEstimateEncoder(cols=["k"], m=m)
        expected = encoder.fit(frame, y).transform(frame)["k"].to_numpy(float)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_smoothed_quantiles_are_those_of_category_encoders(table: pa.Table) -> None:
    frame, z = table.select(["k"]).to_pandas(), table["z"].to_pandas()
    encoded = K.target_encode("z", stat="quantile", q=0.8, smooth=3)
    found = ff.Plan({"q": encoded}, label="z").fit(table).transform(frame)["q"].to_numpy()
    with quiet():
        encoder = OTHERS.QuantileEncoder(cols=["k"], quantile=0.8, m=3.0)
        expected = encoder.fit(frame, z).transform(frame)["k"].to_numpy(float)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_a_fold_a_row_leaves_one_out_as_category_encoders_does(table: pa.Table) -> None:
    some = table.slice(0, 200).append_column("row", pa.array(np.arange(200)))
    frame, z = some.select(["k"]).to_pandas(), some["z"].to_pandas()
    plan = ff.Plan({"t": K.target_encode("z", smooth=0, fold="row")}, label="z")
    found = plan.fit_transform(some)[1]["t"].to_numpy()
    with quiet():
        encoder = OTHERS.LeaveOneOutEncoder(cols=["k"])
        expected = encoder.fit_transform(frame, z)["k"].to_numpy(float)
    counts = frame.groupby("k", dropna=False)["k"].transform("size").to_numpy()
    several = counts > 1  # it gives a lone row the mean of all, its own label included
    np.testing.assert_allclose(found[several], expected[several], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("smooth", ["auto", 7.5])
@pytest.mark.parametrize("kind", ["binary", "continuous", "multiclass"])
def test_folds_that_are_given_give_what_scikit_learn_gives(
    table: pa.Table, kind: Any, smooth: Any
) -> None:
    target = {"binary": "y", "continuous": "z", "multiclass": "c"}[kind]
    keys = np.array([key or "missing" for key in table["k"].to_pylist()], object)[:, None]
    fold, y = table["fold"].to_numpy(), np.array(table[target].to_pylist())
    classes = sorted(set(y.tolist())) if kind == "multiclass" else None
    encoded = K.target_encode(target, smooth=smooth, fold="fold", classes=classes)
    rows = table.set_column(0, "k", pa.array(keys[:, 0]))
    fitted, out_of_fold = ff.Plan({"t": encoded}, label=target).fit_transform(rows, to="numpy")
    encoder = TargetEncoder(
        target_type=kind,
        smooth=smooth,
        cv=PredefinedSplit(fold),  # pyright: ignore[reportArgumentType]
    )
    with quiet():
        expected = encoder.fit_transform(keys, y)
        whole = encoder.transform(keys)
    np.testing.assert_allclose(out_of_fold, expected, rtol=1e-12, atol=1e-14)
    found = fitted.transform({"k": keys[:, 0]}, to="numpy")
    np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_columns", [6, 10])
def test_binary_encode_tells_apart_what_category_encoders_tells_apart(
    table: pa.Table, n_columns: int
) -> None:
    frame = table.select(["k"]).to_pandas()
    with quiet():
        theirs = OTHERS.BinaryEncoder(cols=["k"]).fit_transform(frame).to_numpy()
    made = ff.Plan({"k": K.binary_encode(n_columns=n_columns)}).fit_transform(table)[1]
    ours = np.column_stack([made[name].to_numpy() for name in made.column_names])
    assert ours.shape == (N_ROWS, n_columns)
    of_theirs = np.unique(theirs, axis=0, return_inverse=True)[1]
    of_ours = np.unique(ours, axis=0, return_inverse=True)[1]
    pairs = {*zip(of_theirs.tolist(), of_ours.tolist(), strict=True)}
    assert len(pairs) == of_theirs.max() + 1 == of_ours.max() + 1


def test_binary_encode_has_the_bits_of_the_codes(table: pa.Table) -> None:
    features = {
        "code": K.ordinal_encode(max_categories=6),
        "bit": K.binary_encode(n_columns=3),
        "wide": K.binary_encode(n_columns=12),
        "all": K.ordinal_encode(),
    }
    made = ff.Plan(features).fit_transform(table)[1].to_pydict()
    assert max(made["code"]) == 6  # five categories and, as 1, those that are too many
    for code, n in (("code", "bit"), ("all", "wide")):
        bits = [made[name] for name in made if name.startswith(f"{n}_")]
        found = [sum(one << k for k, one in enumerate(row)) for row in zip(*bits, strict=True)]
        assert found == made[code]
