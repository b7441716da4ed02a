"""What users of other libraries met, one test each: what is learnt per key, scalers, bins.

Each of these was a defect, or a trap, of a library that many use.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import Overflow
from fastfeat.keep.artifact import artifact_bytes

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
K, X = col("k"), col("x")


def fitted_on(features: dict[str, ff.Expr], data: Any, **options: Any) -> ff.FittedPlan:
    return ff.Plan(features, **options).fit(data)


def test_the_variance_of_a_key_does_not_cancel() -> None:
    rng = np.random.default_rng(1)
    x = 1e9 + rng.normal(size=20_000)
    keys = rng.integers(0, 4, 20_000)
    table = {"x": x, "k": keys}
    features = {
        "std": X.std(by="k"),
        "var": X.var(ddof=0, by="k"),
        "scaled": X.standard_scale(by="k"),
    }
    found = fitted_on(features, table).transform(table, to="numpy")
    for key in range(4):
        inside = x[keys == key] - 1e9  # exact
        assert found[keys == key, 0] == pytest.approx(inside.std(ddof=1), rel=1e-9)
        assert found[keys == key, 1] == pytest.approx(inside.var(), rel=1e-9)
        assert found[keys == key, 2].std() == pytest.approx(1, rel=1e-6)


def test_scalers_divide_by_all_rows_and_aggregates_by_one_less() -> None:
    x = [1.0, 2.0, 4.0]
    for by in (None, "k"):
        features = {"std": X.std(by=by), "scaled": X.standard_scale(by=by)}
        found = fitted_on(features, {"x": x, "k": [1, 1, 1]}).transform(
            {"x": x, "k": [1, 1, 1]}, to="numpy"
        )
        np.testing.assert_allclose(found[:, 0], np.std(x, ddof=1))
        np.testing.assert_allclose(found[:, 1], (np.array(x) - np.mean(x)) / np.std(x))


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, -1e300])
@pytest.mark.parametrize("by", [None, "k"])
def test_a_constant_is_scaled_to_the_lower_bound(value: float, by: str | None) -> None:
    table = {"x": [value] * 3, "k": ["a"] * 3}
    features = {
        "standard": X.standard_scale(by=by),
        "min-max": X.min_max_scale(by=by),
        "to 2": X.min_max_scale(feature_range=(2, 3), by=by),
        "robust": X.robust_scale(by=by),
    }
    found = fitted_on(features, table).transform(table).to_pydict()
    # the mean of three 0.1 is a last place above them, here as in scikit-learn
    assert found.pop("standard") == pytest.approx([0.0] * 3, abs=1e-16)
    assert found == {"min-max": [0.0] * 3, "to 2": [2.0] * 3, "robust": [0.0] * 3}


def test_sums_of_narrow_integers_and_bools_do_not_wrap() -> None:
    n = 300
    table = pa.table(
        {
            "k": ["a", "b"] * (n // 2),
            "x": pa.array([2**31 - 1] * n, pa.int32()),
            "u": pa.array([2**32 - 1] * n, pa.uint32()),
            "i8": pa.array([127] * n, pa.int8()),
            "flag": [True] * n,
        }
    )
    by_key = {name: col(name).sum(by="k") for name in ("x", "u", "i8", "flag")}
    over_all = {f"{name} all": col(name).sum() for name in ("x", "u", "i8", "flag")}
    below = {"less": col("flag").sum(by="k") - n}
    found = fitted_on({**by_key, **over_all, **below}, table).transform(table.slice(0, 1))
    assert found.to_pydict() == {
        "x": [150 * (2**31 - 1)],
        "u": [150 * (2**32 - 1)],
        "i8": [150 * 127],
        "flag": [150],
        "x all": [300 * (2**31 - 1)],
        "u all": [300 * (2**32 - 1)],
        "i8 all": [300 * 127],
        "flag all": [300],
        "less": [-150],
    }


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_sum_per_key_that_int64_cannot_hold_is_an_error(backend: str) -> None:
    table = pa.table({"k": ["a", "b", "a"], "x": [2**62, 1, 2**62]})
    with pytest.raises(Overflow):
        ff.Plan({"s": X.sum(by="k")}).fit(table, backend=backend)
    kept = pa.table({"k": ["a", "a", "a"], "x": [2**62, 2**62, -(2**62)]})
    fitted = ff.Plan({"s": X.sum(by="k")}).fit(kept, backend=backend)
    assert fitted.transform(kept)["s"].to_pylist() == [2**62] * 3


def test_nan_is_skipped_by_what_is_learnt_per_key() -> None:
    x = pa.array([1.0, math.nan, None, 3.0, math.nan], from_pandas=False)
    table = pa.table({"k": [*"aaabb"], "x": x})
    features = {
        "mean": X.mean(by="k"),
        "count": X.count(by="k"),
        "max": X.max(by="k"),
        "median": X.median(by="k"),
        "sum": X.sum(by="k"),
        "std": X.std(ddof=0, by="k"),
        "null": X.null_count(by="k"),
    }
    assert fitted_on(features, table).transform({"k": ["a", "b"], "x": [0.0, 0.0]}).to_pydict() == {
        "mean": [1.0, 3.0],
        "count": [1, 1],
        "max": [1.0, 3.0],
        "median": [1.0, 3.0],
        "sum": [1.0, 3.0],
        "std": [0.0, 0.0],
        "null": [2, 1],
    }


def test_an_infinite_value_spoils_its_own_key_only() -> None:
    table = pa.table({"k": [*"aabb"], "x": [1.0, math.inf, 1e15, 3.0]})
    features = {"sum": X.sum(by="k"), "min": X.min(by="k"), "n": X.count(by="k")}
    found = fitted_on(features, table).transform(table).to_pydict()
    assert found["sum"] == [math.inf, math.inf, 1e15 + 3, 1e15 + 3]
    assert found["min"] == [1.0, 1.0, 3.0, 3.0]


def test_types_are_those_of_the_plan_on_every_backend_and_of_no_rows() -> None:
    table = pa.table(
        {
            "k": ["a", "b", None],
            "i": pa.array([1, 2, 3], pa.int16()),
            "f": pa.array([1, 2, None], pa.float32()),
            "flag": [True, False, True],
            "day": pa.array([1, 2, 3], pa.date32()),
        }
    )
    functions = ("count", "sum", "mean", "std", "min", "max", "median", "mode", "n_unique")
    features: dict[str, ff.Expr] = {}
    for name in ("i", "f", "flag", "day"):
        for function in functions:
            if name != "day" or function in ("count", "min", "max", "mode", "n_unique"):
                features[f"{function} {name}"] = getattr(col(name), function)(by="k")
    features |= {
        "code": K.ordinal_encode(),
        "n": K.count_encode(),
        "share": K.count_encode(normalize=True),
    }
    features |= {"hot": K.one_hot_encode(), "hash": K.hash(), "bucket": K.hash(9)}
    fitted = fitted_on(features, table)
    for rows in (table, table.slice(0, 0), table.slice(2)):
        for backend in ("cpu", "reference"):
            assert fitted.transform(rows, backend=backend).schema.types == fitted.schema.types
    kinds = dict(zip(fitted.schema.names, fitted.schema.types, strict=True))
    assert kinds["count i"] == kinds["sum i"] == kinds["sum flag"] == kinds["n"] == pa.int64()
    assert kinds["min i"] == kinds["mode i"] == pa.int16()
    assert kinds["mean i"] == kinds["median f"] == kinds["share"] == pa.float64()
    assert kinds["max day"] == pa.date32()
    assert kinds["code"] == kinds["bucket"] == pa.int32()
    assert kinds["hot_a"] == pa.uint8()


def test_medians_do_not_depend_on_how_the_rows_are_divided() -> None:
    rng = np.random.default_rng(2)
    x, keys = rng.lognormal(0, 3, 10_001), rng.integers(0, 3, 10_001)
    table = pa.table({"x": x, "k": keys})
    features = {"all": X.impute("median"), "by": X.impute("median", by="k")}
    whole = fitted_on(features, table)
    for n in (1, 7, 1000):
        pieces = pa.concat_tables([table.slice(at, n) for at in range(0, table.num_rows, n)])
        assert artifact_bytes(fitted_on(features, pieces).record) == artifact_bytes(whole.record)
    missing = whole.transform({"x": [None] * 3, "k": [0, 1, 2]})
    assert missing["all"][0].as_py() == np.median(x)
    assert missing["by"].to_pylist() == [np.median(x[keys == key]) for key in range(3)]


def test_bins_are_closed_on_the_left_and_nothing_falls_outside() -> None:
    edges, rows = [0.0, 1.0, 2.0], [-math.inf, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, math.inf, None]
    found = fitted_on({"b": X.cut(edges)}, {"x": [1.0]}).transform({"x": rows})["b"].to_pylist()
    assert found == [*np.digitize([x for x in rows if x is not None], edges).tolist(), None]


def test_a_missing_value_is_in_no_bin() -> None:
    x = pa.array([1.0, 2.0, 3.0, math.nan, None], from_pandas=False)
    features = {"cut": X.cut([2.0]), "q": X.qcut(2), "k": X.k_bins_discretize(n_bins=2)}
    found = fitted_on(features, {"x": x}).transform({"x": x}).to_pydict()
    assert all(values[3:] == [None, None] for values in found.values())
    assert all(None not in values[:3] for values in found.values())


def test_log1p_of_little_is_not_0() -> None:
    little = [1e-9, 1e-300, -1e-17]
    for dtype in ("float32", "float64"):
        found = fitted_on({"l": X.log1p()}, {"x": little}, dtype=dtype).transform({"x": little})[
            "l"
        ]
        np.testing.assert_allclose(found.to_numpy()[::2], little[::2], rtol=1e-7)
    assert found[1].as_py() == 1e-300


def test_scales_of_huge_values_are_finite() -> None:
    x = [-1.7e308, 0.0, 1.7e308]
    features = {"s": X.standard_scale(), "by": X.standard_scale(by="k")}
    found = fitted_on(features, {"x": x, "k": [1, 1, 1]}).transform({"x": x, "k": [1, 1, 1]})
    for values in found.to_pydict().values():
        np.testing.assert_allclose(values, np.array([-1, 0, 1]) * math.sqrt(1.5), rtol=1e-15)


def test_lists_without_elements_and_missing_ones_do_not_shift_others() -> None:
    lists = [None, [], ["b"], [None], ["a", "b"], []]
    features = {
        "code": col("l").list.ordinal_encode(width=1),
        "hot": col("l").list.multi_hot_encode(),
        "len": col("l").list.len(),
    }
    table = pa.table({"l": pa.array(lists, pa.list_(pa.string()))})
    fitted = fitted_on(features, table)
    expected = fitted.transform(table).to_pydict()
    assert expected["code_0"] == [0, 0, 2, 0, 3, 0]
    assert expected["hot_b"] == [0, 0, 1, 0, 1, 0]
    for n in range(len(lists)):
        one = fitted.transform(table.slice(n, 1)).to_pydict()
        assert one == {name: values[n : n + 1] for name, values in expected.items()}
