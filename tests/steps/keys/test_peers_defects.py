"""What users of other libraries met, one test each: keys, hashes, encoders, plans.

Each of these was a defect, or a trap, of a library that many use.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import FastfeatError, InvalidPlan
from fastfeat.keep.artifact import artifact_bytes

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
K, X = col("k"), col("x")


def fitted_on(features: dict[str, ff.Expr], data: Any, **options: Any) -> ff.FittedPlan:
    return ff.Plan(features, **options).fit(data)


def labelled(n: int = 400, seed: int = 5) -> pa.Table:
    """Return rows with a category, of which some are rare, and two targets."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "k": np.minimum(rng.zipf(1.5, n), 60).astype(str),
            "y": rng.integers(0, 2, n),
            "z": rng.normal(size=n),
        }
    )


def test_nan_and_null_are_one_missing_key() -> None:
    keys = pa.array([1.5, math.nan, None, 1.5], from_pandas=False)
    features = {
        "code": K.ordinal_encode(),
        "count": K.count_encode(),
        "hot": K.one_hot_encode(missing="column"),
        "mean": X.mean(by="k"),
        "target": K.target_encode("y", smooth=0),
    }
    table = pa.table({"k": keys, "x": [1, 2, 3, 4], "y": [0.0, 1.0, 0.0, 1.0]})
    found = fitted_on(features, table, label="y").transform(table).to_pydict()
    for name, values in found.items():
        assert values[1] == values[2], name
    assert found["code"] == [2, 0, 0, 2]
    assert found["count"] == [2, 2, 2, 2]
    assert found["mean"] == [2.5, None, None, 2.5]
    assert found["target"] == [0.5] * 4


def test_each_kind_of_key_has_the_cell_of_the_table_that_says_what_it_gets() -> None:
    train = pa.table(
        {
            "k": pa.array(["a", "a", "a", "b", "b", "rare", None, None]),
            "x": [1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 10.0, 12.0],
            "y": [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        }
    )
    features = {
        "code": K.ordinal_encode(min_frequency=2),
        "hot": K.one_hot_encode(min_frequency=2, missing="column"),
        "zeros": K.one_hot_encode(),
        "count": K.count_encode(),
        "target": K.target_encode("y", smooth=1),
        "woe": K.woe_encode("y"),
        "mean": X.mean(by="k"),
        "hash": K.hash(),
        "looked": ff.lookup("t", by={"k": "id"}).col("v"),
        "cross": ff.cross("k", "k").ordinal_encode(),
    }
    tables = {"t": pa.table({"id": ["a", "b", "rare"], "v": [1, 2, 3]})}
    fitted = ff.Plan(features, label="y").fit(train, tables=tables)
    rows = fitted.transform({"k": ["a", "rare", "unseen", None]}, tables=tables).to_pydict()
    a, rare, unseen, missing = (
        dict(zip(rows, r, strict=True)) for r in zip(*rows.values(), strict=True)
    )
    prior = 5 / 8
    assert [r["code"] for r in (a, rare, unseen, missing)] == [2, 1, 1, 0]
    assert [r["hot_a"] for r in (a, rare, unseen, missing)] == [1, 0, 0, 0]
    assert [r["hot__other"] for r in (a, rare, unseen, missing)] == [0, 1, 1, 0]
    assert [r["hot__missing"] for r in (a, rare, unseen, missing)] == [0, 0, 0, 1]
    assert [r["zeros_rare"] for r in (a, rare, unseen, missing)] == [0, 1, 0, 0]
    assert sum(unseen[name] for name in rows if name.startswith("zeros")) == 0
    assert sum(missing[name] for name in rows if name.startswith("zeros")) == 0
    assert [r["count"] for r in (a, rare, unseen, missing)] == [3, 1, 0, 2]
    assert unseen["target"] == prior
    assert rare["target"] == pytest.approx((1 + prior) / 2)
    assert missing["target"] == pytest.approx((2 + prior) / 3)
    assert unseen["woe"] == 0
    assert missing["woe"] == pytest.approx(math.log((3 / 7) / (1 / 5)))
    assert [r["mean"] for r in (a, rare, unseen, missing)] == [2.0, 9.0, None, None]
    assert [r["looked"] for r in (a, rare, unseen, missing)] == [1, 3, None, None]
    assert missing["hash"] is None
    assert unseen["hash"] is not None
    assert [r["cross"] for r in (a, rare, unseen, missing)] == [2, 5, 1, 3]


def test_equally_frequent_categories_are_in_the_order_of_their_bytes() -> None:
    names = ["z", "é", "Z", "a", "aa", "", "𝄞", "\uffff"]
    for turn in range(len(names)):
        rows = names[turn:] + names[:turn]
        fitted = fitted_on({"k": K.ordinal_encode()}, {"k": rows})
        listed = fitted.vocabulary("k")["k"].to_pylist()[2:]
        assert listed == sorted(names, key=str.encode)


def test_empty_text_and_text_with_lines_are_categories() -> None:
    names = ["", " ", "\n", "a\nb", "a\r\n", "\t", "[UNK]", "nan", "None", "a\0b"]
    fitted = fitted_on({"k": K.ordinal_encode(), "n": K.count_encode()}, {"k": names * 2})
    assert sorted(fitted.vocabulary("k")["k"].to_pylist()[2:]) == sorted(names)
    loaded = fitted_of(artifact_bytes(fitted.record)).transform({"k": names})
    assert sorted(loaded["k"].to_pylist()) == list(range(2, 12))
    assert loaded["n"].to_pylist() == [2] * 10


@pytest.mark.parametrize("n_unseen", [1, 3])
def test_vocabularies_tell_codes_and_counts_and_codes_have_an_inverse(n_unseen: int) -> None:
    keys = [None, "b", "a", "c", "b", None, "rare", None]
    encoded = K.ordinal_encode(n_unseen_buckets=n_unseen, min_frequency=2)
    fitted = fitted_on({"k": encoded}, {"k": [*keys, "a", "c"]})
    table = fitted.vocabulary("k")
    assert table["code"].to_pylist() == list(range(table.num_rows))
    rare = [1] if n_unseen == 1 else [None] * n_unseen  # which rows share a bucket is not kept
    assert table["count"].to_pylist() == [3, *rare, 2, 2, 2]
    codes = fitted.transform({"k": ["a", "b", "c"]})["k"]
    assert codes.to_pylist() == [1 + n_unseen + k for k in range(3)]
    assert fitted.encoding("k").inverse(codes).to_pylist() == ["a", "b", "c"]
    assert fitted.encoding("k").inverse(list(range(1 + n_unseen))).to_pylist() == [None] * (
        1 + n_unseen
    )
    assert fitted.encoding("k").n_codes == table.num_rows


def test_integers_that_pandas_has_made_floats_keep_their_codes() -> None:
    fitted = fitted_on({"k": K.ordinal_encode(), "n": K.count_encode()}, {"k": [7, 7, 2**40]})
    later = pd.DataFrame({"k": [7.0, np.nan, 2.0**40]})
    assert fitted.transform(later).to_pydict() == {"k": [2, 0, 3], "n": [2, 0, 1]}
    assert fitted.transform(pl.DataFrame({"k": [7, None]}))["k"].to_pylist() == [2, 0]


def test_a_category_of_pandas_that_no_row_has_is_none() -> None:
    frame = pd.DataFrame({"k": pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"])})
    features = {"k": K.ordinal_encode(), "hot": K.one_hot_encode(), "x": K.count(by="k")}
    fitted = fitted_on(features, frame)
    assert fitted.vocabulary("k")["k"].to_pylist()[2:] == ["b", "a"]
    assert fitted.schema.names == ["k", "hot_b", "hot_a", "x"]
    enum = pl.DataFrame({"k": pl.Series(["b", "a", "b"], dtype=pl.Enum(["z", "a", "b"]))})
    assert artifact_bytes(fitted.record) == artifact_bytes(ff.Plan(features).fit(enum).record)


def test_a_misspelt_option_is_refused() -> None:
    k: Any = K
    x: Any = X
    for build in (
        lambda: k.one_hot_encode(missing="columns"),
        lambda: k.one_hot_encode(drop="fist"),
        lambda: k.target_encode("y", smooth="autos"),
        lambda: k.target_encode("y", stat="avg"),
        lambda: x.k_bins_discretize(strategy="quantiles"),
        lambda: x.impute("medain"),
        lambda: x.quantile(0.5, interpolation="liner"),
        lambda: k.list.multi_hot_encode(missing="ignore"),
    ):
        with pytest.raises(InvalidPlan):
            build()


def test_many_encoders_learn_in_one_scan() -> None:
    features = {f"c{n}": col(f"k{n}").ordinal_encode() for n in range(20)}
    features |= {f"m{n}": X.mean(by=f"k{n}").fill_null(X.mean()) for n in range(20)}
    assert "fit: 2 scans" in ff.Plan(features).explain()  # vocabularies, then what is per key


def test_hashes_are_the_published_ones_in_every_version() -> None:
    table = pa.table({"s": ["", "a", "fastfeat"], "n": [0, 1, -1], "f": [0.0, -0.0, 1.5]})
    features = {name: col(name).hash() for name in table.column_names}
    features["cross"] = ff.cross(ff.lit("a"), col("n") * 0 + 1).hash()
    for backend in ("cpu", "reference"):
        assert fitted_on(features, table).transform(table, backend=backend).to_pydict() == {
            "s": [0xEF46DB3751D8E999, 0xD24EC4F1A98C6E5B, 0x6FB62CD2F580C63D],
            "n": [0x34C96ACDCADB1BBB, 0x9F29CB17A2A49995, 0x85D136ADB773C6C9],
            "f": [0x34C96ACDCADB1BBB, 0x34C96ACDCADB1BBB, 0x49F7B96B6B5CCAF9],
            "cross": [0x53329C8A5EAF5857] * 3,
        }


def test_buckets_are_below_their_number() -> None:
    rows = {"k": [f"key {n}" for n in range(5000)]}
    for n_buckets in (1, 2, 7, 1000):
        features = {
            "h": K.hash(n_buckets),
            "o": K.ordinal_encode(vocabulary=["a"], n_unseen_buckets=n_buckets),
        }
        found = fitted_on(features, rows).transform(rows)
        assert set(found["h"].to_pylist()) <= set(range(n_buckets))
        assert set(found["o"].to_pylist()) <= set(range(1, 1 + n_buckets))
        assert len(set(found["h"].to_pylist())) > 0.98 * n_buckets


def test_a_cross_is_neither_symmetric_nor_the_same_for_equal_values() -> None:
    rows = {"a": ["x", "y", "x", "y", "xy", "x"], "b": ["y", "x", "x", "y", "", "y"]}
    features = {
        "hash": ff.cross("a", "b").hash(),
        "bucket": ff.cross("a", "b").hash(2**31 - 1),
        "code": ff.cross("a", "b").ordinal_encode(),
    }
    for values in fitted_on(features, rows).transform(rows).to_pydict().values():
        assert values[0] == values[5]
        assert len(set(values[:5])) == 5


def test_the_label_of_the_only_row_of_a_category_does_not_move_its_encoding() -> None:
    table = labelled()
    keys = table["k"].to_pylist()
    row = next(n for n, key in enumerate(keys) if keys.count(key) == 1)
    flipped = table["y"].to_numpy().copy()
    flipped[row] = 1 - flipped[row]
    other = table.set_column(1, "y", pa.array(flipped))
    features = {
        "auto": K.target_encode("y"),
        "smooth": K.target_encode("y", smooth=20),
        "woe": K.woe_encode("y"),
        "quantile": K.target_encode("y", stat="quantile", smooth=2),
    }
    plan = ff.Plan(features, label="y")
    before, after = (plan.fit_transform(t)[1].slice(row, 1).to_pydict() for t in (table, other))
    assert before == after


def test_new_rows_get_the_statistics_of_all_training_rows_wherever_they_stand() -> None:
    table = labelled()
    fitted, out_of_fold = ff.Plan({"k": K.target_encode("y", smooth=3)}, label="y").fit_transform(
        table
    )
    once = {
        key: fitted.transform({"k": [key]})["k"][0].as_py() for key in set(table["k"].to_pylist())
    }
    again = fitted.transform(table)["k"].to_pylist()  # the training rows are not recognised
    assert again == [once[key] for key in table["k"].to_pylist()]
    assert again != out_of_fold["k"].to_pylist()
    backwards = fitted.transform(table.take(list(range(table.num_rows))[::-1]))["k"].to_pylist()
    assert backwards == again[::-1]


def test_several_targets_keep_their_names_in_any_order_of_columns() -> None:
    table = labelled()
    features = {
        "of y": K.target_encode("y", smooth=1),
        "of z": K.target_encode("z", smooth=1),
        "woe": K.woe_encode("y"),
    }
    turned = dict(reversed(features.items()))
    one = ff.Plan(features, outcomes=["y", "z"]).fit(table)
    other = ff.Plan(turned, outcomes=["z", "y"]).fit(table.select(["z", "k", "y"]))
    rows = {"k": table["k"].to_pylist()[:50]}
    assert one.transform(rows).to_pydict() == other.transform(rows).to_pydict()
    assert one.transform(rows)["of y"].to_pylist() != one.transform(rows)["of z"].to_pylist()


def test_encodings_need_no_target_later() -> None:
    fitted = fitted_on({"k": K.target_encode("y"), "w": K.woe_encode("y")}, labelled(), label="y")
    assert fitted.transform({"k": ["1"]}).num_rows == 1
    assert fitted.transform_row({"k": "1"}).shape == (2,)
    assert fitted_of(artifact_bytes(fitted.record)).transform({"k": ["1"]}).num_rows == 1


def test_groups_are_in_one_fold() -> None:
    table = labelled().append_column("card", pa.array(np.arange(400) // 4))
    plan = ff.Plan({"k": K.target_encode("y", smooth=2, fold_by="card")}, label="y")
    y = table["y"].to_numpy().copy()
    y[40:44] = 1 - y[40:44]
    other = table.set_column(1, "y", pa.array(y))
    before, after = (plan.fit_transform(t)[1]["k"].to_pylist() for t in (table, other))
    assert before[40:44] == after[40:44]
    assert before != after


def test_a_category_of_one_class_has_a_finite_weight_of_evidence() -> None:
    table = pa.table({"k": ["a", "a", "b", "b"], "y": [1, 1, 0, 0]})
    fitted = fitted_on({"k": K.woe_encode("y", folds=2)}, table, label="y")
    found = fitted.transform({"k": ["a", "b"]})["k"].to_pylist()
    assert found == pytest.approx([math.log(3), -math.log(3)])


def test_one_row_starts_no_thread_and_reads_no_file(tmp_path: Path) -> None:
    fitted = fitted_on({"k": K.ordinal_encode(), "t": K.target_encode("y")}, labelled(), label="y")
    path = tmp_path / "plan.fastfeat"
    fitted.save(path)
    served = ff.load(path)
    served.transform_row({"k": "1"})
    path.unlink()
    before = set(threading.enumerate())
    assert (
        served.transform_row({"k": "2"}).tolist()
        == fitted.transform({"k": ["2"]}, to="numpy")[0].tolist()
    )
    assert set(threading.enumerate()) == before


def test_all_that_fit_learnt_can_be_read() -> None:
    table = labelled()
    features = {
        "code": K.ordinal_encode(),
        "mean": col("x").mean(by="k"),
        "target": K.target_encode("y", smooth=1),
        "scaled": col("x").standard_scale(),
    }
    table = table.append_column("x", pa.array(np.arange(400.0)))
    fitted = fitted_on(features, table, outcomes=["y", "z"])
    learnt = fitted.learnt()
    tables = [value for value in learnt.values() if isinstance(value, pa.Table)]
    assert len(tables) >= 3
    of_mean = next(value for text, value in learnt.items() if text.startswith("col('x').mean(by="))
    means = table.group_by("k").aggregate([("x", "mean")])
    expected = dict(zip(means["k"].to_pylist(), means["x_mean"].to_pylist(), strict=True))
    named = zip(of_mean["k"].to_pylist(), of_mean["value"].to_pylist(), strict=True)
    assert {key: value for key, value in named if key is not None} == pytest.approx(expected)


def test_names_of_columns_and_categories_are_never_code(tmp_path: Path) -> None:
    name = '"]; import os; os.abort(); ["\'\\n{}'
    features = {
        "code": col(name).ordinal_encode(vocabulary=[name, "b"]),
        "hot": col(name).one_hot_encode(),
        "mean": X.mean(by=name),
        "same": (col(name) == name),
    }
    table = {name: [name, "b", name], "x": [1.0, 2.0, 3.0]}
    fitted = fitted_on(features, table)
    fitted.save(tmp_path / "plan.fastfeat")
    found = ff.load(tmp_path / "plan.fastfeat").transform(table).to_pydict()
    assert found[f"hot_{name}"] == [1, 0, 1]
    assert found["same"] == [True, False, True]
    assert found["mean"] == [2.0, 2.0, 2.0]


def test_a_feature_of_the_name_of_an_input_column_is_computed() -> None:
    fitted = fitted_on({"k": K.ordinal_encode(), "x": X * 2}, {"k": ["a"], "x": [1.0]})
    assert fitted.transform({"k": ["a"], "x": [4.0]}).to_pydict() == {"k": [2], "x": [8.0]}


def test_an_error_of_fastfeat_is_one_of_python_too() -> None:
    for kind, builtin in ((ff.errors.InvalidPlan, ValueError), (ff.errors.TypeMismatch, TypeError)):
        assert issubclass(kind, builtin)
        assert issubclass(kind, FastfeatError)
