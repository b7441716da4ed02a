"""Bad data: each kind gets a clear error, or the right answer."""

from __future__ import annotations

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as dataset
import pytest

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.errors import (
    BackendUnavailable,
    FastfeatError,
    FastfeatWarning,
    InvalidData,
    InvalidPlan,
    Overflow,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.io.sinks.write import write_table

ROWS = pa.table({"price": [1.0, 2.0, None], "n": [1, 2, 3], "city": ["a", "b", None]})
PLAN = ff.Plan({"log": col("price").log1p(), "n": col("n") + 1})
BACKENDS = ["cpu", "reference"]


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(UnknownColumn, match=r"lacks the column 'prize'.* Did you mean 'price'"):
        ff.Plan({"a": col("prize")}).fit(ROWS)
    with pytest.raises(KeyError):
        ff.Plan({"a": col("prize")}).fit(ROWS)
    with pytest.raises(UnknownColumn, match=r"no column 'prize' in the data. Did you mean 'price'"):
        ff.Plan({"a": col("prize")}).schema(ROWS.schema)
    with pytest.raises(
        UnknownColumn, match=r"no column 'zzz' in the data\. There are: 'price', 'n', 'city'"
    ):
        ff.Plan({"a": col("zzz")}).schema(ROWS.schema)


@pytest.mark.parametrize("library", [pd, pl])
def test_a_series_is_told_to_be_a_column_or_a_row(library):
    with pytest.raises(
        TypeMismatch, match=r"^got a Series, .* not a table.* frame\[\['x'\]\] for a column"
    ):
        PLAN.fit(library.Series("n", [1, 2]) if library is pl else library.Series([1, 2], name="n"))


def test_a_series_of_structs_is_a_table():
    rows = pl.Series([{"price": 1.0, "n": 1}])
    assert PLAN.fit(rows).transform(rows).num_rows == 1


def test_a_column_that_is_near_no_other_is_told_what_there_is():
    with pytest.raises(UnknownColumn, match=r"The columns are: 'price', 'n', 'city'"):
        ff.Plan({"a": col("zzz")}).fit(ROWS)


def _frame(**options):
    return pd.DataFrame([[1.0, 2.0]], **options)


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (_frame(), "0", r"this label, but the label is not text. Pass frame.rename"),
        (_frame(), "x", r"labels of the frame's columns are not text: 0, 1. Pass frame.rename"),
        (
            _frame(columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
            "a",
            r"have several levels. Flatten them: frame.columns = ",
        ),
        (
            _frame(columns=["a", "b"], index=pd.Index([7], name="when")),
            "when",
            r"'when' is the index of the frame, .*pass frame.reset_index\(\)",
        ),
    ],
)
def test_what_makes_a_column_absent_is_told(data, name, told):
    with pytest.raises(UnknownColumn, match=told):
        ff.Plan([col(name)]).fit(data)


def test_a_feature_that_is_meant_as_a_column_is_told_to_be_none():
    with pytest.raises(UnknownColumn, match=r"'sized' is a feature of this plan.* to a variable"):
        ff.Plan({"sized": col("size").log1p(), "f": col("sized") + 1}).fit({"size": [1.0]})
    with pytest.raises(UnknownColumn, match=r"Did you mean 'size'"):
        ff.Plan({"sized": col("sized") + 1}).fit({"size": [1.0]})


def test_a_label_that_is_meant_as_a_column_is_told_to_be_none():
    past = col("late").mean(over=ff.window("7d", time="t"))
    with pytest.raises(UnknownColumn, match=r"'late' is the label of this plan.* to a variable"):
        ff.Plan({"f": past}, label={"late": col("delay") > 15}).fit({"delay": [1], "t": [1]})
    with pytest.raises(UnknownColumn, match=r"'late', which the plan reads\. .* are: 'delay'"):
        ff.Plan({"f": past}, label="late").fit({"delay": [1], "t": [1]})


def test_a_separator_that_is_no_comma_is_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1;2\n")
    with pytest.raises(UnknownColumn, match=r"only column is 'a;b': .*separated by semicolons"):
        ff.Plan([col("a") + 1]).fit(path)


def test_what_makes_text_of_numbers_is_named(tmp_path):
    path, plan = tmp_path / "t.csv", ff.Plan([col("a").log1p()])
    path.write_text("a,b\n1,x\n2.5,y\nunknown,z\n")
    with pytest.raises(
        TypeMismatch, match=r'col\("a"\) is text because of \'unknown\' in row 2. Leave'
    ):
        plan.fit(path)
    with pytest.raises(
        TypeMismatch, match=r'col\("a"\) is text because of \'unknown\' in row 2. Leave'
    ):
        plan.fit({"a": [1.0]}).transform(path)
    with pytest.raises(TypeMismatch) as caught:
        ff.Plan([col("b").log1p()]).fit(path)
    assert "because" not in str(caught.value)


def test_a_file_that_is_not_utf8_is_told_so(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\nGröße,1\n".encode("latin-1"))
    with pytest.raises(TypeMismatch, match=r"file that is not UTF-8 .*encoding='latin-1'"):
        ff.Plan([col("a") == "x"]).fit(path)


def test_a_list_of_rows_that_are_unlike_is_refused_by_row():
    rows = [{"price": 1.0, "n": 1}, {"price": 2.0}]
    with pytest.raises(InvalidData, match=r'^col\("n"\): row 1 does not have it.* Write None'):
        ff.Plan([col("n") + 1]).fit(rows)
    assert ff.Plan([col("price") + 1]).fit(rows).n_rows == 2
    with pytest.raises(TypeMismatch, match=r"a list of dicts, one per row, but row 1 is 5"):
        PLAN.fit([rows[0], 5])
    with pytest.raises(TypeMismatch, match=r'^col\("n"\): its values have no common type'):
        ff.Plan([col("n") + 1]).fit([{"n": 1}, {"n": "a"}])
    with pytest.raises(UnknownColumn, match="lacks the column 'm'"):
        ff.Plan([col("m") + 1]).fit(rows)


def test_a_text_for_a_time_is_told_how_to_be_read():
    zoned = {"t": pa.array([0], pa.timestamp("us", "UTC")), "d": pa.array([0], pa.date32())}
    fitted = ff.Plan([col("t").dt.hour(), col("d").dt.day()]).fit(zoned)
    with pytest.raises(TypeMismatch, match=r"with its zone: datetime.datetime.fromisoformat"):
        fitted.transform_row({"t": "2024-01-01T05:00", "d": None})
    with pytest.raises(TypeMismatch, match=r"Parse the text first: datetime.datetime.fromiso"):
        fitted.transform_row({"t": None, "d": "2024-01-01"})


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_long_integer_in_a_row_is_shortened(digits):
    with pytest.raises(TypeMismatch) as caught:
        PLAN.fit(ROWS).transform_row({"price": 1.0, "n": 10**digits})
    assert len(str(caught.value)) < 200


def test_a_wrong_type_names_the_expression_and_what_to_do():
    with pytest.raises(TypeMismatch, match=r"col\('city'\).log1p\(\): needs a number, got utf8.*"):
        ff.Plan({"a": col("city").log1p()}).fit(ROWS)
    with pytest.raises(TypeError):
        ff.Plan({"a": col("city").log1p()}).fit(ROWS)
    with pytest.raises(TypeMismatch, match=r"'a' is text.* features must be numbers. Pass .*keep="):
        ff.Plan({"a": col("city")}).fit(ROWS)
    lists = pa.table({"x": [[1], [2]]})
    with pytest.raises(TypeMismatch, match=r"got list\[int64\], and lists have their own"):
        ff.Plan({"a": col("x") + 1}).fit(lists)


@pytest.mark.parametrize("to", ["arrow", "numpy"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_column_is_named_at_transform(to, backend):
    fitted = PLAN.fit(ROWS)
    with pytest.raises(UnknownColumn, match=r"lacks the column 'n', which the plan reads"):
        fitted.transform({"price": [1.0], "N": [1]}, to=to, backend=backend)
    with pytest.raises(UnknownColumn, match=r"row lacks the column 'n'"):
        fitted.transform_row({"price": 1.0})
    with pytest.raises(UnknownColumn, match=r"lacks the column 'city'"):
        ff.Plan({"a": col("n")}, keep=["city"]).fit(ROWS).transform({"n": [1]})


def test_further_columns_are_ignored():
    fitted = PLAN.fit(ROWS)
    expected = fitted.transform(ROWS.select(["price", "n"]))
    more = ROWS.append_column("odd", pa.array([[1], None, [2]]))
    assert fitted.transform(more).equals(expected)
    assert fitted.transform(ROWS.select(["city", "n", "price"])).equals(expected)
    row = {"price": 1.0, "n": 1, "odd": object()}
    assert fitted.transform_row(row)[1] == 2


def test_a_column_of_another_type_at_transform_is_refused_or_exact():
    fitted = PLAN.fit(ROWS)
    with pytest.raises(TypeMismatch, match=r"col\(\"n\"\): fit saw int64, got utf8"):
        fitted.transform({"price": [1.0], "n": ["1"]})
    with pytest.raises(InvalidData, match=r"1.5 in row 1 is not exactly a value of type int64"):
        fitted.transform({"price": [1.0, 1.0], "n": [1.0, 1.5]})
    assert fitted.transform({"price": [1, 2], "n": [1.0, np.nan]})["n"].to_pylist() == [2, None]


def test_a_name_that_occurs_twice_in_the_data_is_refused():
    twice = pa.table([pa.array([1]), pa.array([2.0])], names=["n", "n"])
    with pytest.raises(InvalidData, match=r"has 2 columns named"):
        ff.Plan({"a": col("n")}).fit(twice)


@pytest.mark.parametrize("data", [None, 5, "nowhere.parquet", [], object()])
def test_data_that_is_no_table_is_refused(data):
    with pytest.raises(FastfeatError):
        PLAN.fit(data)
    with pytest.raises(FastfeatError):
        PLAN.fit(ROWS).transform(data)


@pytest.mark.parametrize("row", [None, 5, "price", [1.0, 2]])
def test_a_row_that_is_no_dict_is_refused(row):
    with pytest.raises(TypeMismatch, match=r"a row is a dict of values by column"):
        PLAN.fit(ROWS).transform_row(row)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", "column 'n': expected int64, got '1'"),
        (1.5, "column 'n': expected int64, got 1.5"),
        (float("inf"), "column 'n': expected int64, got inf"),
        (2**63, "outside the range of int64"),
        ([1], "column 'n': expected int64"),
    ],
)
def test_a_value_that_a_row_cannot_have_is_refused(value, message):
    fitted = PLAN.fit(ROWS)
    with pytest.raises(FastfeatError, match=message):
        fitted.transform_row({"price": 1.0, "n": value})
    assert fitted.transform_row({"price": 0.0, "n": 1}).tolist() == [0.0, 2.0]


def test_a_number_that_no_float_holds_is_refused_in_a_row():
    fitted = PLAN.fit(ROWS)
    for value in (10**400, 2**53 + 1, np.array([1.0, 2.0]), "1", b"1", 1j):
        with pytest.raises(TypeMismatch, match=r"column 'price': "):
            fitted.transform_row({"price": value, "n": 1})


def test_a_row_takes_what_converts_exactly():
    fitted = PLAN.fit(ROWS)
    assert fitted.transform_row({"price": np.float32(0.0), "n": np.int8(3)}).tolist() == [0.0, 4.0]
    assert fitted.transform_row({"price": 0, "n": 3.0}).tolist() == [0.0, 4.0]
    missing = fitted.transform_row({"price": None, "n": float("nan")})
    assert np.isnan(missing).all()
    assert fitted.transform_row({"price": 0.0, "n": 1}).tolist() == [0.0, 2.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rows_give_no_rows_with_the_right_schema(backend):
    fitted = ff.Plan({**PLAN.features, "c": lit(1), "s": col("n").cyclical(7)}).fit(ROWS)
    empty = fitted.transform(ROWS.slice(0, 0), backend=backend)
    assert empty.num_rows == 0
    assert empty.schema == fitted.schema == fitted.transform(ROWS, backend=backend).schema
    assert fitted.transform(ROWS.slice(0, 0), to="numpy", backend=backend).shape == (0, 5)


def test_nothing_can_be_learnt_from_no_rows():
    with pytest.raises(InvalidData, match=r"no rows to learn col\('n'\).mean\(\) from"):
        ff.Plan({"a": col("n") - col("n").mean()}).fit(ROWS.slice(0, 0))
    assert PLAN.fit(ROWS.slice(0, 0)).transform(ROWS).num_rows == 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(4),
        pa.nulls(4, pa.int32()),
        pa.nulls(4, pa.float64()),
        np.array([np.nan] * 4),
        pa.nulls(4, pa.decimal128(5, 2)),
    ],
)
def test_a_column_without_values_gives_missing_features(column, backend):
    plan = ff.Plan(
        {
            "plain": col("x"),
            "scaled": col("x").standard_scale(),
            "ranged": col("x").min_max_scale(),
            "robust": col("x").robust_scale(),
            "bins": col("x").qcut(4),
            "rank": col("x").quantile_transform(n_quantiles=10),
            "imputed": col("x").impute("median"),
        }
    )
    counted = ff.Plan(
        {"count": col("x").count(), "sum": col("x").sum(), "null": col("x").is_null()}
    )
    rows = {"x": column}
    with pytest.warns(FastfeatWarning) as caught:
        fitted = plan.fit(rows, backend=backend)
    assert [str(w.message) for w in caught] == [
        "col('x') has too few values in the training data to learn col('x').mean() and 8 more: "
        "features computed from it are missing"
    ]
    assert caught[0].filename == __file__
    features = fitted.transform(rows, backend=backend)
    assert all(features[name].null_count == 4 for name in features.column_names)
    known = counted.fit(rows, backend=backend).transform(rows, backend=backend).to_pylist()
    assert known == [{"count": 0, "sum": 0, "null": True}] * 4


@pytest.mark.filterwarnings("ignore:.*too few values in the training data")
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_not_learnt_neither_fills_nor_limits(backend):
    x = col("x")
    plan = ff.Plan({"a": x.impute("median"), "b": x.clip(x.quantile(0.1), x.quantile(0.9))})
    fitted = plan.fit({"x": np.array([np.nan, np.nan])}, backend=backend)
    features = fitted.transform({"x": [1.0, None]}, backend=backend)
    assert features.to_pydict() == {"a": [1.0, None], "b": [1.0, None]}


def test_a_constant_column_scales_by_one_and_warns_once_at_the_line_of_the_user():
    x = col("x")
    plan = ff.Plan({"a": x.standard_scale(), "b": x.standard_scale() * 2})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = plan.fit({"x": [3.0, 3.0]}).transform({"x": [3.0, 4.0]})
    assert features["a"].to_pylist() == [0.0, 1.0]
    assert [str(w.message) for w in caught] == [
        "col('x') is constant in the training data (near 3.0): its scale is set to 1"
    ]
    assert caught[0].filename == __file__


def test_every_scaler_of_a_constant_column_scales_by_one():
    x = col("x")
    plan = ff.Plan({"a": x.standard_scale(), "b": x.robust_scale(), "c": x.min_max_scale()})
    with pytest.warns(FastfeatWarning, match="constant") as caught:
        fitted = plan.fit({"x": [0.1, 0.1, 0.1]})
    assert len(caught) == 3
    features = fitted.transform({"x": [0.1, 1.1]}).to_pydict()
    assert features["a"] == pytest.approx([0.0, 1.0], abs=1e-16)  # 0.1 three times sums to more
    assert features["b"] == features["c"] == [0.0, 1.0]


def reader() -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches(max_chunksize=1))


def test_a_reader_serves_a_plan_of_two_scans_and_one_reading_of_fit_transform():
    plan = ff.Plan({"a": col("price").impute("median").standard_scale()}, keep=["n"])
    fitted = plan.fit(reader())
    assert "2 scans" in fitted.explain("plan")
    expected = fitted.transform(ROWS)
    assert fitted.transform(reader()).equals(expected)
    assert plan.fit_transform(reader())[1].equals(expected)


def test_a_reader_that_was_read_before_is_refused():
    once = reader()
    PLAN.fit(once)
    with pytest.raises(InvalidData, match=r"already read, and a reader can be read once"):
        PLAN.fit(once)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_infinite_value_in_a_learnt_column_is_named_with_its_row(backend):
    for values in ([1.0, np.nan, np.inf, -np.inf], [1.0, 2.0, -np.inf, np.inf]):
        shown = f"first infinite value is {values[2]} in row 2"
        for feature in (
            col("x").standard_scale(),
            col("x").min_max_scale(),
            col("x") - col("x").sum(),
        ):
            with pytest.raises(InvalidData, match=rf"col\('x'\).*is not finite.*{shown}"):
                ff.Plan({"a": feature}).fit({"x": np.array(values)}, backend=backend)
    with pytest.raises(InvalidData, match=r"log.*first infinite value is -inf in row 1"):
        ff.Plan({"a": col("x").log().max() + 1, "b": col("x").log().mean()}).fit(
            {"x": np.array([1.0, 0.0])}, backend=backend
        )


def test_infinite_values_do_not_hinder_what_they_do_not_reach():
    values = {"x": np.array([1.0, 2.0, 3.0, np.inf])}
    fitted = ff.Plan({"a": col("x").count(), "b": col("x").quantile(0.25)}).fit(values)
    assert fitted.learnt() == {
        "col('x').count()": 4,
        "col('x').quantile(interpolation='linear', q=0.25)": 1.75,
    }


def test_an_unknown_backend_or_form_is_refused():
    fitted = PLAN.fit(ROWS)
    with pytest.raises(BackendUnavailable, match=r"no backend 'tpu' in this version"):
        fitted.transform(ROWS, backend="tpu")
    with pytest.raises(BackendUnavailable, match=r"no backend 'tpu' in this version"):
        PLAN.fit(ROWS, backend="tpu")
    with pytest.raises(InvalidPlan, match=r"'arrow', .*, got 'panda'. Did you mean 'pandas'\?"):
        fitted.transform(ROWS, to="panda")
    with pytest.raises(InvalidPlan, match=r"'arrow', .*, got None"):
        fitted.transform(ROWS, to=None)  # pyright: ignore[reportArgumentType]


def test_a_matrix_of_times_is_refused():
    times = {"t": [datetime.datetime(2024, 1, 1)]}
    fitted = ff.Plan({"t": col("t")}).fit(times)
    with pytest.raises(TypeMismatch, match=r"'t' is timestamp.* which a matrix cannot hold"):
        fitted.transform(times, to="numpy")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_matrix_that_cannot_hold_a_value_is_refused(backend):
    rows = {"n": [1, 2**53 + 1], "x": [1e300, 1.0]}
    wide = ff.Plan({"n": col("n")}).fit(rows)
    with pytest.raises(Overflow, match=r"feature 'n', row 1 \(n=9007199254740993\)"):
        wide.transform(rows, to="numpy", backend=backend)
    narrow = ff.Plan({"one": lit(1.0), "x": col("x")}, dtype="float32").fit(rows)
    for to in ("arrow", "numpy"):
        with pytest.raises(Overflow, match=r"feature 'x', row 0 \(x=1e\+300\)"):
            narrow.transform(rows, to=to, backend=backend)
    with pytest.raises(Overflow, match=r"feature 'n', row 0"):
        wide.transform_row({"n": 2**53 + 1})
    whole = ff.Plan({"n": col("n") * 1}, dtype="float32").fit(rows)
    for plan, rule in (
        (wide, r"integer beyond 2\*\*53. To round the value, cast the feature to .*'float64'"),
        (whole, r"integer beyond 2\*\*24. To round the value, use Plan\(dtype='float64'\)"),
        (narrow, r"1e\+300 is beyond the largest float32. Use Plan\(dtype='float64'\)"),
    ):
        with pytest.raises(Overflow, match=rule):
            plan.transform(rows, to="numpy", backend=backend)
    rounded = ff.Plan({"n": col("n").cast("float64")}, dtype="float32").fit(rows)
    assert rounded.transform(rows, to="numpy", backend=backend)[:, 0].tolist() == [1.0, 2.0**53]


WIDEST = {"int64": range(-(2**63), 2**63), "uint64": range(2**64)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", WIDEST)
def test_a_matrix_holds_exactly_the_integers_that_are_floats(kind, dtype, backend):
    n_bits = {"float32": 24, "float64": 53}[dtype]
    near = [2**k + d for k in (n_bits - 1, n_bits, n_bits + 1, 62, 63, 64) for d in (-1, 0, 1)]
    values = [v for v in (0, *near, *[-v for v in near], 2**64 - 2**12) if v in WIDEST[kind]]
    plan = ff.Plan({"n": col("n")}, dtype=dtype)
    for value in values:
        rows = pa.table({"n": pa.array([None, value], kind)})
        fitted = plan.fit(rows)
        if int(np.dtype(dtype).type(value)) == value:
            matrix = fitted.transform(rows, to="numpy", backend=backend)
            assert int(matrix[1, 0]) == value
            assert np.isnan(matrix[0, 0])
            assert int(fitted.transform_row({"n": value})[0]) == value
        else:
            with pytest.raises(Overflow, match=rf"feature 'n', row 1 \(n={value}\)"):
                fitted.transform(rows, to="numpy", backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "feature",
    [col("x"), col("x").fill_null(0), col("x").is_null(), col("x") == "a", col("x").is_in([1])],
)
def test_values_in_a_column_that_had_none_in_fit_are_refused(feature, backend):
    """The plan was bound to the type null, whose every value is missing."""
    for nothing in ([None, None], pa.nulls(2), np.array([None, None])):
        fitted = ff.Plan({"a": feature}).fit({"x": nothing}, backend=backend)
        for values, kind in (([1.0], "float64"), ([None, 7], "int64"), (["a"], "utf8")):
            shown = rf"fit saw only missing values \(type null\), got {kind} \({values[-1]} in row"
            with pytest.raises(TypeMismatch, match=rf"col\(\"x\"\): {shown}"):
                fitted.transform({"x": values}, backend=backend)
            with pytest.raises(TypeMismatch, match=rf"'x': fit saw only missing.*{values[-1]!r}"):
                fitted.transform_row({"x": values[-1]})
        for missing in ([np.nan], pa.nulls(1, pa.int8()), pa.nulls(1, pa.string()), [None]):
            assert fitted.transform({"x": missing}, backend=backend).num_rows == 1
        expected = fitted.transform({"x": [None]}, to="numpy", backend=backend)[0]
        assert fitted.transform_row({"x": None}).tobytes() == expected.tobytes()
        with pytest.raises(UnknownColumn, match=r"lacks the column 'x', .* Did you mean 'X'"):
            fitted.transform_row({"X": None})


def test_a_name_that_is_not_near_is_not_proposed() -> None:
    with pytest.raises(UnknownColumn, match=r"lacks the column 'carrier'.*columns are: 'arr_time'"):
        ff.Plan({"c": col("carrier").ordinal_encode()}).fit({"arr_time": [1]})


def test_a_declared_column_that_the_training_data_lacks_is_warned_of_at_the_line_of_the_user():
    """A misspelt label or outcome guards nothing: its namesake would be read as any other."""
    plan = ff.Plan({"a": col("n")}, label={"y": col("prize") > 1}, outcomes=["City"], keep=["id"])
    expected = [
        "the training data has no column 'prize', which label= names. Did you mean 'price'?",
        "the training data has no column 'City', which outcomes= names. Did you mean 'city'?",
        "the training data has no column 'id', which keep= names.",
    ]
    for fit, data in ((plan.fit, ROWS), (plan.fit, ROWS.to_pandas()), (plan.fit, reader())):
        with pytest.warns(FastfeatWarning) as caught:
            fit(data)
        assert [str(w.message) for w in caught] == expected
        assert {w.filename for w in caught} == {__file__}
    with pytest.warns(FastfeatWarning) as caught:
        ff.Plan({"a": col("n")}, outcomes=["City"]).fit_transform(ROWS)
    assert {w.filename for w in caught} == {__file__}
    several = "no columns 'paid', 'City', which outcomes= names. Did you mean 'city'"
    with pytest.warns(FastfeatWarning, match=several) as caught:
        ff.Plan({"a": col("n")}, outcomes=["paid", "City"]).fit(ROWS)
    assert len(caught) == 1
    known = ff.Plan({"a": col("n")}, label="price", outcomes=["city"], keep=["id"])
    assert known.keep == ("id",)
    known = ff.Plan({"a": col("n")}, label="price", outcomes=["city"])
    assert known.fit(ROWS).n_rows == known.fit_transform(ROWS)[0].n_rows == 3


def test_a_misspelt_column_is_found_in_any_kind_of_data(tmp_path):
    plan = ff.Plan({"a": col("PLAN") + col("n"), "b": col("m")})
    table = pa.table({"plan": [1.0], "n": [1]})
    places = {suffix: tmp_path / f"t.{suffix}" for suffix in ("parquet", "arrow", "csv", "tsv")}
    for path in places.values():
        write_table(table, path)
    with pa.ipc.new_stream(tmp_path / "t.arrows", table.schema) as stream:
        stream.write_table(table)
    for data in (
        *map(str, places.values()),
        tmp_path / "t.arrows",
        table,
        table.to_batches(),
        table.to_reader(),
        table.to_pandas(),
        pl.from_arrow(table),
        dataset.dataset(places["parquet"]),
    ):
        with pytest.raises(UnknownColumn, match=r"lacks the columns 'PLAN', 'm', .* mean 'plan'\?"):
            plan.fit(data)
