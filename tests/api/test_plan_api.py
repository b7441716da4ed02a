"""What a user does with a plan: fit, transform, look inside, choose features, check it."""

from __future__ import annotations

import copy
import datetime
import operator
import pickle
import re
from typing import Any

import joblib
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.errors import (
    FastfeatWarning,
    InvalidPlan,
    NotFitted,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.scalars import zone_files
from fastfeat_tests.plan.plan_tables import differing

ROWS = pa.table(
    {
        "price": [1.0, None, 4.0],
        "n": [1, 2, None],
        "city": ["a", None, "b"],
        "late": [10.0, 20.0, None],
        "later": [1.0, 2.0, None],
    }
)
PLAN = ff.Plan(
    {
        "centred": col("price") - col("price").mean(),
        "turn": col("n").cyclical(4),
        "is_a": col("city") == "a",
    },
    label={"y": col("late") > 15},
    outcomes=["later"],
    keep=["city"],
)
STAGES = ("plan", "bound", "optimized", "physical", "cpu", "cuda", "leakage")


def test_features_come_in_the_order_of_the_plan_and_kept_columns_last():
    fitted = PLAN.fit(ROWS)
    features = fitted.transform(ROWS)
    assert features.column_names == ["centred", "turn_sin", "turn_cos", "is_a", "city"]
    assert fitted.feature_names == features.column_names[:-1]
    assert features["city"].equals(ROWS["city"])
    assert features["centred"].to_pylist() == [-1.5, None, 1.5]
    assert features["is_a"].to_pylist() == [True, None, False]
    assert fitted.transform(ROWS, to="numpy").shape == (3, 4)


def test_a_list_of_features_is_named_by_alias_or_first_column():
    plan = ff.Plan([col("price") + col("n"), (col("n") * 2).alias("twice")])
    assert plan.fit(ROWS).feature_names == ["price", "twice"]


def test_fit_transform_is_fit_and_transform():
    fitted, features = PLAN.fit_transform(ROWS)
    assert features.equals(PLAN.fit(ROWS).transform(ROWS))
    assert features.equals(fitted.transform(ROWS))
    matrix = PLAN.fit_transform(ROWS, to="numpy", backend="reference")[1]
    np.testing.assert_array_equal(matrix, fitted.transform(ROWS, to="numpy"))


def test_equal_expressions_are_computed_once():
    shared = (col("price") + 1.0).log1p()
    fitted = ff.Plan({"a": shared * 2, "b": (col("price") + 1.0).log1p() - 3}).fit(ROWS)
    assert fitted.explain("cpu").count("call double @fastfeat_log1p(") == 1
    assert "col('price') + 1.0" in fitted.explain("optimized").split("once per row:")[1]


def test_what_only_fit_computes_is_not_said_to_be_computed_once_a_row():
    double = col("price") * 2
    fitted = ff.Plan({"a": double.mean(), "b": double.max() - col("n")}).fit(ROWS)
    before, rows = fitted.explain("optimized").split("computed once per row:")
    assert "(col('price') * 2).mean()" in before
    assert rows.strip() == "nothing"


def test_a_feature_that_another_is_computed_from_is_shared_work():
    double = col("price") * 2
    text = ff.Plan({"a": double, "b": double - 1}).fit(ROWS).explain("optimized")
    assert text == (
        "computed once, before all rows:\n  nothing\ncomputed once per row:\n  (col('price') * 2)"
    )


@pytest.mark.parametrize("used", ["transform", "transform_row", "verify", "save", "learnt"])
def test_a_plan_used_before_fit_says_so(used):
    with pytest.raises(NotFitted, match=rf"fitted = plan.fit\(data\), then fitted.{used}"):
        getattr(PLAN, used)
    assert not hasattr(PLAN, "no_such_thing")


@pytest.mark.parametrize(
    ("used", "told"),
    [
        ("fit", r"To fit again: fitted.plan.fit\(data\)"),
        ("fit_transform", r"To fit again: fitted.plan.fit_transform\(data\)"),
        ("predict", r"Give fitted.transform\(data, to='numpy'\) to a model"),
        ("no_such_name", "has no attribute 'no_such_name'$"),
    ],
)
def test_a_fitted_plan_that_is_used_as_something_else_says_what_to_do(used: str, told: str) -> None:
    with pytest.raises(AttributeError, match=told):
        getattr(PLAN.fit(ROWS), used)


@pytest.mark.parametrize("name", ["two", ["two"], ["two", "one"], ["two", 0], "none", [], 0])
def test_a_plan_has_no_items_and_says_what_has(name: Any) -> None:
    plan: Any = ff.Plan({"one": col("price") + 1, "two": col("price") + 2})
    asks = {"two": ["two"], "['two']": ["two"], "['two', 'one']": ["two", "one"]}
    names = asks.get(str(name), ["one"])
    told = rf"plan.features\['{names[0]}'\].*transform\(data\)\['{names[0]}'\]"
    with pytest.raises(TypeMismatch, match=told):
        plan[name]
    told = rf"transform\(data\)\['{names[0]}'\].*select\({re.escape(str(names))}\)"
    with pytest.raises(TypeMismatch, match=told):
        plan.fit(ROWS)[name]


@pytest.mark.parametrize("dtype", ["float64", "float", float, np.float64, pa.float64()])
def test_the_type_of_a_plan_is_named_as_that_of_a_cast(dtype):
    plan = ff.Plan({"third": col("price").cast("float32")}, dtype=dtype)
    assert plan.fit(ROWS).schema.types == [pa.float64()]


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), pa.float32()])
def test_float_features_are_rounded_to_the_type_of_the_plan(dtype):
    plan = ff.Plan({"third": col("price") / 3, "n": col("n") + 1}, dtype=dtype)
    fitted = plan.fit(ROWS)
    features = fitted.transform(ROWS)
    assert features.schema == pa.schema([("third", pa.float32()), ("n", pa.int64())])
    assert features["third"][0].as_py() == np.float32(1 / 3)
    assert fitted.transform(ROWS, to="numpy").dtype == np.float32
    assert fitted.transform_row({"price": 1.0, "n": 1}).dtype == np.float32


def test_the_schema_is_known_before_and_after_fit():
    expected = pa.schema(
        [
            ("centred", pa.float64()),
            ("turn_sin", pa.float64()),
            ("turn_cos", pa.float64()),
            ("is_a", pa.bool_()),
        ]
    )
    assert PLAN.fit(ROWS).schema == expected
    for given in (ROWS, ROWS.schema, dict(zip(ROWS.column_names, ROWS.schema.types, strict=True))):
        assert PLAN.schema(given) == expected
    assert PLAN.fit(ROWS).transform(ROWS).select(expected.names).schema == expected
    with pytest.raises(UnknownColumn):
        PLAN.schema(ROWS.schema.remove(0))


Z = col("price").alias("z")


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (Z * 2, "z"),
        (2 * Z, "z"),
        (-Z, "z"),
        (Z.log1p().standard_scale(), "z"),
        (Z.impute("median").clip(0, 1), "z"),
        (Z.cut([1]), "z"),
        (Z > 1, "z"),
        (Z.max(), "z"),
        (Z + col("n").alias("other"), "z"),
        (Z.alias("last"), "last"),
        (col("n") * Z, "n"),
        (ff.coalesce(Z, col("n")), "z"),
        (ff.coalesce(col("n"), Z), "n"),
        (ff.when(col("n") > 1).then(Z).otherwise(0), "z"),
        (ff.when(col("n") > 1).then(0).otherwise(Z), "z"),
        (ff.when(col("n") > 1).then(0).when(col("n") > 2).then(Z).otherwise(col("n")), "z"),
        (ff.when(Z > 1).then(col("n")).otherwise(0), "price"),
        (Z.replace_strict({1: 2, None: 3}, default=0), "z"),
    ],
)
def test_a_name_survives_further_operators(feature, name):
    assert list(ff.Plan([feature]).declaration.nodes) == [name]


def test_a_name_survives_an_operator_of_several_columns():
    assert list(ff.Plan([Z.cyclical(7)]).declaration.nodes) == ["z_sin", "z_cos"]


def test_times_are_learnt_as_times():
    def learnt(value, kind):
        table = pa.table({"t": pa.array([value], kind)})
        features = {"a": col("t") - col("t").max()} if pa.types.is_duration(kind) else {}
        features = features or {"a": col("t") < col("t").max()}
        return ff.Plan(features).fit(table).learnt()["col('t').max()"]

    moment = datetime.datetime(2024, 1, 2, 3, 4, 5, 6)
    assert learnt(moment, pa.timestamp("us")) == moment
    assert learnt(moment, pa.timestamp("ns")) == moment
    assert type(learnt(moment, pa.timestamp("ns"))) is datetime.datetime
    zoned = learnt(moment, pa.timestamp("us", "Europe/Berlin"))
    assert zoned == moment.replace(tzinfo=datetime.UTC)
    assert zoned.utcoffset() == datetime.timedelta(hours=1)
    assert learnt(moment.date(), pa.date32()) == moment.date()
    assert learnt(moment.time(), pa.time64("us")) == moment.time()
    assert learnt(datetime.timedelta(3), pa.duration("ms")) == datetime.timedelta(3)
    for odd, kind in ((1, pa.timestamp("ns")), (2**62, pa.timestamp("s")), (1, pa.duration("ns"))):
        assert learnt(odd, kind) == pa.scalar(odd, kind)


def test_what_was_learnt_is_told_by_its_expression():
    filled = "col('price').impute('median')"
    plan = ff.Plan({"a": col("price").impute("median").standard_scale(), "n": col("n").max()})
    assert plan.fit(ROWS).learnt() == {
        "col('price').quantile(interpolation='linear', q=0.5)": 2.5,
        f"{filled}.mean()": 2.5,
        f"{filled}.std(ddof=0)": 1.5**0.5,
        "col('n').max()": 2,
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_explains_itself(stage):
    text = PLAN.fit(ROWS).explain(stage)
    assert text == PLAN.explain(stage, schema=ROWS.schema)
    words = {
        "plan": ["centred = (col('price') - col('price').mean())", "fit: 1 scan", "scan 1:"],
        "bound": ["price  float64", "city   utf8", "is_a: bool = (col('city') == 'a')"],
        "optimized": ["computed once, before all rows:\n  col('price').mean()"],
        "physical": ["loop 0", "centred", "<- price"],
        "cpu": ["; loop 0: y0 centred, ", "<- x0 price", "@entry(i64 %loop,", " = fsub double "],
        "cuda": ["// loop_0, blockIdx.y 0: ", "<- price", "loop_0(const i64* table", "__dsub_rn("],
        "leakage": ["late, later", "learnt from the training rows: col('price').mean()"],
    }[stage]
    for word in words:
        assert word in text


READ = ROWS.select(["price", "n", "city"])
SCHEMAS = {
    "schema": READ.schema,
    "table": READ,
    "batch": READ.to_batches()[0],
    "pandas": READ.to_pandas(),
    "polars": pl.from_arrow(READ),
    "dict of arrays": {name: READ[name].to_numpy() for name in READ.column_names},
    "dict of lists": READ.to_pydict(),
    "Arrow types": {field.name: field.type for field in READ.schema},
    "types as text": {"price": "float64", "n": "int64", "city": "utf8"},
    "NumPy types": {"price": np.dtype("f8"), "n": np.int64, "city": str},
}


@pytest.mark.parametrize("given", SCHEMAS.values(), ids=SCHEMAS)
def test_plans_and_columns_take_the_same_for_a_schema(given):
    assert PLAN.schema(given) == PLAN.schema(READ)
    assert PLAN.explain("bound", schema=given)
    assert ff.columns(given, "numeric") == ff.columns(READ, "numeric")


@pytest.mark.parametrize("given", [3, "nowhere.parquet", {"price": 3}, {"price": "float7"}])
def test_what_is_no_schema_is_refused_alike(given):
    with pytest.raises(ff.FastfeatError) as by_plan:
        PLAN.schema(given)
    with pytest.raises(ff.FastfeatError) as by_columns:
        ff.columns(given)
    assert str(by_plan.value) == str(by_columns.value)


def test_an_unknown_stage_or_a_missing_schema_is_refused():
    with pytest.raises(InvalidPlan, match=r"no stage 'asm'. The stages are: 'plan'"):
        PLAN.explain("asm")
    with pytest.raises(InvalidPlan, match=r"needs the types of the columns"):
        PLAN.explain("cpu")


def test_leakage_lists_what_a_feature_sees():
    text = PLAN.explain("leakage")
    assert "centred\n  own row: price\n" in text
    assert "is_a\n  own row: city" in text
    assert text.endswith("at the moment of prediction:\n  price, n, city")


def test_a_selected_plan_computes_rows_of_its_own():
    fitted = ff.Plan({"a": col("x") + 1, "b": col("y").mean() * 2, "k": col("k") == "p"}).fit(
        {"x": [1.0], "y": [3.0], "k": ["p"]}
    )
    row = {"x": 1.0, "y": 3.0, "k": "p"}
    assert fitted.transform_row(row).tolist() == [2.0, 6.0, 1.0]
    assert fitted.select("b").transform_row(row).tolist() == [6.0]
    assert fitted.select(["k", "a"]).transform_row(row).tolist() == [1.0, 2.0]
    assert fitted.select("a").transform_row({"x": 1.0}).tolist() == [2.0]
    assert fitted.transform_row(row).tolist() == [2.0, 6.0, 1.0]


def test_selected_features_are_those_of_the_whole_plan():
    fitted = PLAN.fit(ROWS)
    some = fitted.select(["is_a", "turn"])
    assert some.feature_names == ["is_a", "turn_sin", "turn_cos"]
    assert some.learnt() == {}
    without_price = ROWS.drop_columns(["price"])
    expected = fitted.transform(ROWS).select(some.feature_names)
    assert differing(some.transform(without_price), expected) == {}
    assert fitted.select("centred").learnt() == {"col('price').mean()": 2.5}
    one = fitted.select(["is_a", "turn_cos"])
    assert one.feature_names == ["is_a", "turn_cos"]
    assert one.transform(ROWS).equals(fitted.transform(ROWS).select(["is_a", "turn_cos"]))
    assert fitted.select(fitted.feature_names).feature_names == fitted.feature_names
    with pytest.raises(InvalidPlan, match=r"no feature 'turn_tan'. Did you mean 'turn_sin'"):
        fitted.select(["turn_tan"])
    many = ff.Plan({f"f{k}": col("n") for k in range(11)}).fit(ROWS)
    with pytest.raises(InvalidPlan, match=r"The features are: 'f0', .*'f9', \.\.\.$"):
        many.select(["zzzz"])


def test_plans_are_pickled_copied_and_sent_to_other_processes():
    fitted = PLAN.fit(ROWS)
    for again in (
        pickle.loads(pickle.dumps(fitted)),
        copy.deepcopy(fitted),
        copy.copy(fitted),
    ):
        assert artifact_bytes(again.record) == artifact_bytes(fitted.record)
        assert again.transform(ROWS).equals(fitted.transform(ROWS))
        assert again.transform_row({"price": 1.0, "n": 1, "city": "a"}).shape == (4,)
    elsewhere = joblib.delayed(operator.methodcaller("transform", ROWS))
    computed: list[Any] = list(joblib.Parallel(n_jobs=2)(elsewhere(fitted) for _ in range(2)))
    for features in computed:
        assert features.equals(fitted.transform(ROWS))
    for again in (pickle.loads(pickle.dumps(PLAN)), copy.deepcopy(PLAN)):
        assert again.to_json() == PLAN.to_json()
        assert list(again.declaration.nodes.values()) == list(
            PLAN.declaration.nodes.values()
        )  # one object each


def test_a_copied_expression_has_the_same_nodes():
    feature = (col("n").cast("float32") + col("price").mean()).clip(0, 1)
    for again in (pickle.loads(pickle.dumps(feature)), copy.deepcopy(feature)):
        assert again.node is feature.node


LABELLED = ff.Plan({"a": col("price")}, label={"y": col("at").dt.hour(tz="Asia/Tokyo") > col("n")})
AT = pa.array([0, 10**6 * 3600, None], pa.timestamp("us", "UTC"))


def test_the_label_keeps_the_types_and_zones_of_fit(tmp_path, monkeypatch):
    rows = ROWS.append_column("at", AT)
    expected = LABELLED.fit(rows).label(rows)
    fitted, _ = LABELLED.fit_transform(rows.to_reader())
    fitted.save(tmp_path / "labelled", golden=False)
    loaded = ff.load(tmp_path / "labelled")
    assert artifact_bytes(loaded.record) == artifact_bytes(fitted.record)
    assert "Asia/Tokyo" in loaded.record.zones
    other = zone_files.ZoneTable((), (12 * 3600,))
    monkeypatch.setattr(zone_files, "machine_table", lambda name: other)
    for one in (loaded, loaded.select(["a"]), pickle.loads(pickle.dumps(loaded))):
        assert one.label(rows).equals(expected)
    with pytest.raises(TypeMismatch, match=r'col\("n"\): fit saw int64'):
        loaded.label({"at": AT, "n": ["1", "2", "3"]})


def test_a_label_that_cannot_be_computed_is_an_error_of_fit():
    plan = ff.Plan({"a": col("price")}, label={"y": col("city").log() > 1})
    with pytest.raises(TypeMismatch, match=r"needs a number"):
        plan.fit(ROWS)
    text = ff.Plan({"a": col("price")}, label={"y": col("city")})
    with pytest.raises(TypeMismatch, match="the label 'y' is utf8"):
        text.fit(ROWS)
    with pytest.warns(FastfeatWarning, match=r"no column 'at'"):
        fitted = LABELLED.fit(ROWS)
    assert fitted.label(ROWS.append_column("at", AT)).to_pylist() == [True, True, None]


def test_the_label_is_computed_from_late_columns_that_transform_does_not_need():
    fitted = PLAN.fit(ROWS)
    assert fitted.transform(ROWS.drop_columns(["late"])).num_rows == 3
    assert fitted.label(ROWS).to_pylist() == [False, True, None]
    assert fitted.label(ROWS, backend="reference").to_pylist() == [False, True, None]
    named = ff.Plan({"a": col("price")}, label="city").fit(ROWS)
    assert named.label(ROWS).to_pylist() == ["a", None, "b"]
    with pytest.raises(UnknownColumn, match=r"'late'"):
        fitted.label(ROWS.drop_columns(["late"]))
    with pytest.raises(InvalidPlan, match=r"has no label. Give it one"):
        ff.Plan({"a": col("price")}).fit(ROWS).label(ROWS)


def test_constants_make_features_too():
    fitted = ff.Plan({"one": lit(1), "none": lit(None), "mean": col("price").mean()}).fit(ROWS)
    expected = {"one": [1] * 3, "none": [None] * 3, "mean": [2.5] * 3}
    for backend in ("cpu", "reference"):
        assert fitted.transform(ROWS, backend=backend).to_pydict() == expected
    assert fitted.transform_row({"price": 1.0}).tolist()[::2] == [1.0, 2.5]


def test_a_label_is_computed_from_a_reader_that_can_be_read_once() -> None:
    table = pa.table({"x": [1.0, 2.0], "delay": [3.0, None]})
    fitted = ff.Plan({"x": col("x")}, label={"late": col("delay") > 2}).fit(table)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    assert fitted.label(reader).to_pylist() == [True, None]
