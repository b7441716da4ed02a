"""`to=`: the same values in every form of the result, in types that stay as the rows change."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu.threads import using_threads
from fastfeat.errors import InvalidPlan, LibraryUnavailable, TypeMismatch
from fastfeat.io.sinks.results import matrix_frame, pandas_frame, polars_frame

N_ROWS = 300
_rng = np.random.default_rng(3)
_start = np.datetime64("2024-01-01T00:00:00", "s")


def some(values: Any, share: float = 0.2) -> pa.Array:
    """Return an Arrow array of which some values are missing."""
    return pa.array(values, mask=_rng.random(len(values)) < share)


ROWS = pa.table(
    {
        "x": some(_rng.normal(size=N_ROWS)),
        "i": some(_rng.integers(-(2**62), 2**62, N_ROWS)),
        "k": pa.array(_rng.integers(0, 5, N_ROWS)),
        "word": some(np.array(["a", "bb", "ccc", "__other"])[_rng.integers(0, 4, N_ROWS)]),
        "t": pa.array(_start + np.sort(_rng.integers(0, 10**7, N_ROWS)).astype("m8[s]")),
        "id": pa.array([f"row {k}" for k in range(N_ROWS)]),
        "y": pa.array(_rng.integers(0, 2, N_ROWS)),
    }
)
WEEK = ff.window("20d", by="k", time="t")
NUMBERS = {
    "double": col("x") * 2,
    "single": col("x").cast("float32"),
    "same": col("x") * 2,
    "whole": col("i"),
    "above": col("x") > 0,
    "filled": (col("x") > 0).fill_null(False),
    "code": col("word").ordinal_encode(),
    "short": col("k").cast("uint8", strict=False),
    "hour": col("t").dt.hour(),
    "past": col("x").mean(over=WEEK),
    "last": col("i").last(over=WEEK),
    "flag": col("word").one_hot_encode(),
}
TIMES = {
    "time": col("t"),
    "date": col("t").dt.date(),
    "span": col("t") - col("t").lag(1, over=ff.window(by="k", time="t")),
}
MIXED = ff.Plan({**NUMBERS, **TIMES}, keep=["id", "i"]).fit(ROWS)
FLOATS = ff.Plan({"a": col("x") * 2, "b": col("x").standard_scale()}, dtype="float32").fit(ROWS)
INPUTS = {
    "whole": ROWS,
    "sliced": pa.concat_tables([ROWS.slice(250), ROWS])[50:],
    "chunked": pa.concat_tables([ROWS[:1], ROWS[1:65], ROWS[65:200], ROWS[200:]]),
    "one row": ROWS[7:8],
    "no rows": ROWS[:0],
}


def values_of(frame: Any) -> dict[str, list[Any]]:
    """Return the values of a table or frame by column, None where missing; floats by their bits."""
    if isinstance(frame, pd.DataFrame):
        return {name: [plain(v) for v in frame[name].astype(object)] for name in frame.columns}
    return {
        name: [plain(v) for v in frame[name].to_pylist()]
        if isinstance(frame, pa.Table)
        else [plain(v) for v in frame[name].to_list()]
        for name in (frame.column_names if isinstance(frame, pa.Table) else frame.columns)
    }


def plain(value: Any) -> Any:
    """Return a value of any library as one of Python."""
    if type(value) in (int, str, bool):  # which most are
        return value
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, pd.Timestamp | datetime.datetime):
        return pd.Timestamp(value).isoformat()
    if isinstance(value, datetime.date):
        return pd.Timestamp(value).isoformat()
    if isinstance(value, pd.Timedelta | datetime.timedelta):
        return pd.Timedelta(value).value
    value = value.item() if isinstance(value, np.generic) else value
    return value.hex() if isinstance(value, float) else value


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("fitted", [MIXED, FLOATS], ids=["mixed", "floats"])
def test_every_frame_has_the_values_of_the_arrow_table(fitted, kind, n_threads):
    data = INPUTS[kind]
    expected = values_of(fitted.transform(data, history="batch"))
    with using_threads(n_threads):
        for to in ("pandas", "polars"):
            frame = fitted.transform(data, history="batch", to=to)
            assert frame.shape == (len(data), len(expected))
            assert values_of(frame) == expected


@pytest.mark.parametrize("to", ["pandas", "polars"])
@pytest.mark.parametrize("fitted", [MIXED, FLOATS], ids=["mixed", "floats"])
def test_other_backends_give_the_same_frame(fitted, to):
    few = ROWS[:40]
    expected = fitted.transform(few, history="batch", to=to)
    found = fitted.transform(few, history="batch", to=to, backend="reference")
    assert values_of(found) == values_of(expected)
    assert list(found.dtypes) == list(expected.dtypes)


@pytest.mark.parametrize("kind", INPUTS)
def test_the_types_of_a_pandas_frame_do_not_depend_on_the_rows(kind):
    frame = MIXED.transform(INPUTS[kind], history="batch", to="pandas")
    expected = {
        "double": "float64",
        "single": "float32",
        "same": "float64",
        "whole": "Int64",
        "above": "boolean",
        "filled": "bool",
        "code": "int32",
        "short": "UInt8",
        "hour": "Int32",
        "past": "float64",
        "last": "Int64",
        "flag___other": "uint8",
        "time": "datetime64[s]",
        "date": "datetime64[ms]",
        "span": "timedelta64[s]",
    }
    found = frame.dtypes.astype(str).to_dict()
    assert {name: found[name] for name in expected} == expected


def test_kept_columns_are_as_pandas_has_them():
    frame = MIXED.transform(ROWS, history="batch", to="pandas")
    assert frame["i"].dtype == "Int64"
    assert frame["id"].tolist() == ROWS["id"].to_pylist()
    whole = pd.DataFrame({"i": [1, 2], "x": [0.5, np.nan]})
    plan = ff.Plan({"double": col("x") * 2}, keep=["i", "x"])
    kept = plan.fit(whole).transform(whole, to="pandas")
    pd.testing.assert_frame_equal(kept[["i", "x"]], whole)
    kept.loc[0, "i"] = 99
    assert whole["i"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("to", "kept"),
    [
        ("pandas", pa.array([1, 2], pa.time64("ns"))),
        ("polars", pa.array([[1], [2]], pa.list_view(pa.int64()))),
        ("polars", pa.RunEndEncodedArray.from_arrays([1, 2], ["a", "b"])),
    ],
)
def test_kept_columns_that_a_library_has_no_type_for_are_told(to: str, kept: pa.Array):
    rows = pa.table({"x": [1.0, 2.0], "kept": kept})
    fitted = ff.Plan({"x": col("x")}, keep=["kept"]).fit(rows)
    assert fitted.transform(rows)["kept"].type == kept.type
    with pytest.raises(TypeMismatch, match=rf"keep='kept' is {re.escape(str(kept.type))}, which"):
        fitted.transform(rows, to=to)


def test_the_index_of_a_pandas_frame_is_kept():
    frame = ROWS.to_pandas().set_index("id", drop=False)
    for fitted in (MIXED, FLOATS):
        found = fitted.transform(frame, history="batch", to="pandas")
        pd.testing.assert_index_equal(found.index, frame.index)
        some_rows = fitted.transform(frame, history="batch", to="pandas", rows=[7, 3, 7])
        assert some_rows.index.tolist() == ["row 7", "row 3", "row 7"]
        numbered = fitted.transform(ROWS, history="batch", to="pandas")
        pd.testing.assert_index_equal(numbered.index, pd.RangeIndex(N_ROWS))


def test_a_frame_of_floats_is_one_block_over_the_matrix():
    frame = FLOATS.transform(ROWS, to="pandas")
    assert np.shares_memory(frame.to_numpy(), frame.to_numpy())
    np.testing.assert_array_equal(frame.to_numpy(), FLOATS.transform(ROWS, to="numpy"))
    matrix = np.zeros((3, 2), order="F")
    assert np.shares_memory(matrix_frame(matrix, ["a", "b"], None).to_numpy(), matrix)


def test_a_frame_owns_its_memory():
    given = ROWS.to_pydict()
    frame = MIXED.transform(ROWS, history="batch", to="pandas")
    expected = values_of(frame)
    for at, name in enumerate(frame.columns):
        if frame[name].dtype in ("float64", "float32"):  # "same" and "double" are one expression
            frame.iloc[:, at] = 5.0
            expected[name] = [(5.0).hex()] * N_ROWS
            assert values_of(frame) == expected
    assert ROWS.to_pydict() == given
    again = MIXED.transform(ROWS, history="batch")
    assert values_of(MIXED.transform(ROWS, history="batch", to="pandas")) == values_of(again)


def test_numbers_come_to_pandas_and_polars_in_place():
    table = pa.table({"x": [0.5, 1.5], "i": [1, 2], "n": [3, 4]})

    def address(column: Any) -> int:
        return column.chunk(0).buffers()[1].address

    may_miss = {"x": True, "i": False, "n": True}
    frame = pandas_frame(table, may_miss, None)
    assert frame["x"].to_numpy().ctypes.data == address(table["x"])
    assert frame["i"].to_numpy().ctypes.data == address(table["i"])
    assert frame["n"].array.to_numpy(np.int64).ctypes.data == address(table["n"])
    polars = polars_frame(table, {})
    for name in table.column_names:
        assert polars[name].to_arrow().buffers()[1].address == address(table[name])


def test_a_missing_float_that_is_not_marked_by_nan_is_copied():
    taken = pa.table({"x": [0.5, None, 1.5]}).take([1, 2, 0, 1])
    assert values_of(pandas_frame(taken, {"x": True}, None)) == values_of(taken)


@pytest.mark.parametrize("to", ["pandas", "polars"])
def test_a_frame_takes_no_more_memory_of_numpy_than_flags(to):
    n_rows, names = 100_000, [f"x{k}" for k in range(10)]
    data = {name: np.where(_rng.random(n_rows) < 0.1, np.nan, 1.0) for name in names}
    features = {name: col(name) + 1 for name in names} | {"above": col("x0") > 0}
    fitted = ff.Plan(features).fit(data)
    fitted.transform(data, to=to)  # compiles, and imports the library
    tracemalloc.start()
    frame = fitted.transform(data, to=to)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    n_bytes = frame.shape[0] * 10 * 8
    of_arrow = pa.default_memory_pool().backend_name == "mimalloc"  # which holds the result itself
    assert peak < n_bytes / 4 + (0 if of_arrow else 1.2 * n_bytes)


def test_times_are_no_matrix_but_a_frame():
    fitted = ff.Plan(TIMES).fit(ROWS)
    with pytest.raises(TypeMismatch, match="which a matrix cannot hold"):
        fitted.transform(ROWS, history="batch", to="numpy")
    frame = fitted.transform(ROWS, history="batch", to="pandas")
    assert frame["time"].tolist() == [pd.Timestamp(value) for value in ROWS["t"].to_pylist()]


LABELLED = {
    **{name: NUMBERS[name] for name in ("double", "above", "code", "past")},
    "rate": col("word").target_encode("late", fold_by=["k"]),
}
AHEAD = {"late": ff.count(over=ff.ahead("20d", by="k", time="t")) > 1}
PLANS = {
    "mixed": ff.Plan(LABELLED, label=AHEAD, keep=["id"]),
    "floats": ff.Plan({k: LABELLED[k] for k in ("double", "rate")}, label=AHEAD),
    "labelled": ff.Plan({**NUMBERS, "rate": col("word").target_encode("y")}, label="y"),
}


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsWithoutLabel")
@pytest.mark.parametrize("rows", [None, list(range(0, N_ROWS, 2))], ids=["all", "some"])
@pytest.mark.parametrize("name", PLANS)
def test_training_rows_have_the_same_features_in_every_form(name, rows):
    plan, data = PLANS[name], ROWS.to_pandas().set_index("id", drop=False)
    expected = plan.fit_transform(data, rows=rows)[1]
    values = values_of(expected)
    for to in ("pandas", "polars"):
        frame = plan.fit_transform(data, rows=rows, to=to)[1]
        assert values_of(frame) == values
        if to == "pandas":
            pd.testing.assert_index_equal(frame.index, data.index[rows or slice(None)])
    matrix = plan.fit_transform(data, rows=rows, to="numpy")[1]
    features = expected.drop_columns(list(plan.keep))
    for k, column in enumerate(features.columns):
        filled = column.cast(pa.float64(), safe=False).to_numpy()
        np.testing.assert_array_equal(matrix[:, k], filled)


@pytest.mark.parametrize("name", ["floats", "labelled"])
def test_folds_have_the_same_features_in_every_form(name):
    plan = PLANS[name] if name == "labelled" else ff.Plan(PLANS[name].features, label="late")
    data = ROWS.append_column("late", ROWS["y"]).to_pandas().set_index("id", drop=False)
    expected = list(plan.cross_fit(data, 3))
    for to in ("pandas", "polars"):
        folds = plan.cross_fit(data, 3, to=to, categories=to == "pandas")
        for fold, other in zip(expected, folds, strict=True):
            later = other.test
            if to == "pandas":
                pd.testing.assert_index_equal(other.train.index, data.index[fold.train_rows])
                pd.testing.assert_index_equal(later.index, data.index[fold.test_rows])
            numbers = [n for n in plan.features if n not in ("code", "flag")]
            assert values_of(other.train[numbers]) == values_of(fold.train.select(numbers))
            assert values_of(later[numbers]) == values_of(fold.test.select(numbers))
            if to == "pandas" and name == "labelled":
                assert codes_of(later, "code") == [c - 1 for c in fold.test["code"].to_pylist()]


CODES = ff.Plan(
    {
        "word": col("word").ordinal_encode(),
        "number": col("k").ordinal_encode(min_frequency=55),
        "pair": ff.cross(col("word"), col("k")).ordinal_encode(n_unseen_buckets=3),
        "given": col("word").ordinal_encode(vocabulary=["ccc", "a"]),
        "x": col("x"),
    }
)


def codes_of(frame: Any, name: str) -> list[int]:
    """Return the places of the values of a column among its categories, -1 where missing."""
    if isinstance(frame, pd.DataFrame):
        return frame[name].cat.codes.tolist()
    if isinstance(frame, pl.DataFrame):
        return frame[name].to_physical().cast(pl.Int64).fill_null(-1).to_list()
    column = frame[name].combine_chunks()
    return column.indices.fill_null(-1).to_pylist()


def texts_of(frame: Any, name: str) -> list[str]:
    """Return the categories of a column, in order."""
    if isinstance(frame, pd.DataFrame):
        return frame[name].cat.categories.tolist()
    if isinstance(frame, pl.DataFrame):
        kind: Any = frame[name].dtype
        return kind.categories.to_list()
    return frame[name].combine_chunks().dictionary.to_pylist()


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("to", ["arrow", "pandas", "polars"])
def test_categories_stand_for_codes_in_their_order(to, kind):
    fitted, train = CODES.fit_transform(ROWS, to=to, categories=True)
    data = INPUTS[kind]
    later = fitted.transform(data, to=to, categories=True)
    codes = fitted.transform(data)
    for name, n_codes in fitted.record.n_codes.items():
        assert [code + 1 for code in codes_of(later, name)] == codes[name].to_pylist()
        texts = fitted.encoding(name).categories.to_pylist()
        assert texts_of(later, name) == texts_of(train, name) == texts
        assert len(texts) == n_codes - 1
        shown = [None if code == 0 else texts[code - 1] for code in codes[name].to_pylist()]
        assert values_of(later)[name] == shown
    assert values_of(later)["x"] == values_of(codes)["x"]


def test_categories_are_the_values_of_the_vocabulary_as_text():
    fitted = CODES.fit(ROWS)
    words = fitted.vocabulary("word")["word"].to_pylist()[2:]
    assert "__other" in words  # is a value here, too
    expected = ["__other_" if word == "__other" else word for word in words]
    assert fitted.encoding("word").categories.to_pylist() == ["__other", *expected]
    numbers = [str(k) for k in fitted.vocabulary("number")["k"].to_pylist()[2:]]
    assert fitted.encoding("number").categories.to_pylist() == ["__other", *numbers]
    assert fitted.encoding("given").categories.to_pylist() == ["__other", "ccc", "a"]
    pairs = fitted.encoding("pair").categories.to_pylist()
    assert pairs[:3] == ["__other_1", "__other_2", "__other_3"]
    assert {"missing 0", "ccc 1"} < set(pairs)


@pytest.mark.parametrize("to", ["arrow", "pandas", "polars"])
def test_an_unseen_value_is_not_a_missing_one(to):
    fitted = CODES.fit(ROWS)
    new = {"word": ["new", None, "a"], "k": [99, None, 1], "x": [0.0, 1.0, 2.0]}
    frame = fitted.transform(new, to=to, categories=True)
    assert values_of(frame)["word"] == ["__other", None, "a"]
    assert values_of(frame)["given"] == ["__other", None, "a"]
    assert values_of(frame)["number"][:2] == ["__other", None]
    assert values_of(frame)["pair"][0].startswith("__other_")
    assert values_of(frame)["pair"][1] in ("missing missing", "__other_1", "__other_2", "__other_3")


def test_frames_of_training_and_serving_can_be_put_together():
    fitted, train = CODES.fit_transform(ROWS, to="pandas", categories=True)
    later = fitted.transform(ROWS[:3], to="pandas", categories=True)
    assert isinstance(pd.concat([train, later])["word"].dtype, pd.CategoricalDtype)
    fitted, train = CODES.fit_transform(ROWS, to="polars", categories=True)
    later = fitted.transform(ROWS[:3], to="polars", categories=True)
    assert pl.concat([train, later]).height == N_ROWS + 3


@pytest.mark.filterwarnings("ignore::fastfeat.errors.NoCategories")
def test_indicators_of_nothing_leave_rows_without_columns():
    nothing = {"word": pa.array([None] * 3, pa.utf8())}
    fitted = ff.Plan({"word": col("word").one_hot_encode()}).fit(nothing)
    for to in ("arrow", "pandas", "polars", "numpy"):
        assert fitted.transform(nothing, to=to).shape == (3, 0)
    assert fitted.transform(nothing, to="numpy", out=np.empty((3, 0))).shape == (3, 0)


def test_categories_of_a_plan_without_codes_change_nothing():
    expected = FLOATS.transform(ROWS, to="pandas")
    found = FLOATS.transform(ROWS, to="pandas", categories=True)
    pd.testing.assert_frame_equal(found, expected)
    assert FLOATS.record.categories == {}


def test_what_a_form_does_not_have_is_refused(monkeypatch):
    for to in ("numpy", "cupy"):
        with pytest.raises(InvalidPlan, match=r"categories=True is for|is in device memory"):
            CODES.fit(ROWS).transform(ROWS, to=to, categories=True)
    with pytest.raises(InvalidPlan, match="categories=True is for to='arrow'"):
        CODES.fit_transform(ROWS, to="numpy", categories=True)
    for to in ("pandas", "polars"):
        with pytest.raises(InvalidPlan, match=f"out= is for to='numpy' and .* got to='{to}'"):
            FLOATS.transform(ROWS, to=to, out=np.empty((N_ROWS, 2), np.float32))
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(
        LibraryUnavailable,
        match=r"not installed. Install it with pip install 'fastfeat\[polars\]', or",
    ):
        FLOATS.transform(ROWS, to="polars")
    with pytest.raises(ImportError):
        ff.Plan({"x": col("x")}).fit_transform(ROWS, to="polars")


def test_a_library_is_imported_for_its_form_alone():
    code = (
        "import sys; import numpy as np; import fastfeat as ff; data = {'x': np.ones(3)}; "
        "fitted = ff.Plan({'x': ff.col('x')}).fit(data); "
        "[fitted.transform(data, to=to) for to in ('arrow', 'numpy')]; "
        "assert not {'torch', 'pandas', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_features", [1, 7, 8, 21])
@pytest.mark.parametrize("kind", INPUTS)
def test_a_matrix_of_any_strides_has_the_same_bits(kind, n_features, dtype):
    features = {f"f{k}": col("x") * k + col("i") for k in range(n_features)}
    fitted = ff.Plan(features, dtype=dtype).fit(ROWS)
    data = INPUTS[kind]
    expected = fitted.transform(data, to="numpy")
    n_rows = len(data)
    whole = np.full((2 * n_rows, 2 * n_features + 1), 7.0, dtype)
    views = {
        "rows": np.full((n_rows, n_features), 7.0, dtype),
        "part": whole[:n_rows, :n_features],
        "steps": whole[n_rows:, 1::2],
        "backwards": np.full((n_rows, n_features), 7.0, dtype)[::-1, ::-1],
    }
    for out in views.values():
        assert fitted.transform(data, to="numpy", out=out) is out
        assert out.tobytes() == expected.tobytes()
    views["part"][:] = views["steps"][:] = 7.0
    assert (whole == 7.0).all()  # nothing else is written
