"""float16 and bfloat16: rounded once, to the nearest, the same on every backend and path."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.stream.json_features import json_rows
from fastfeat.apps.stream.packed import packed_rows, read_packed
from fastfeat.errors import InvalidData, InvalidPlan, Overflow
from fastfeat.io.sinks.delta import in_delta_types
from fastfeat.ir.dtypes import FLOAT_FORMATS, FloatFormat

ml_dtypes = pytest.importorskip("ml_dtypes")
TYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
NARROW = pytest.mark.parametrize("name", TYPES)
SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324, 2.0**-1022, 1.0 + 2.0**-52]


def numbers_of(name: str) -> np.ndarray:
    """Return all finite numbers of a format as float64, ascending."""
    with np.errstate(invalid="ignore"):
        every = np.arange(1 << 16, dtype=np.uint16).view(TYPES[name]).astype(np.float64)
    return np.unique(every[np.isfinite(every)])


def ties_of(name: str) -> np.ndarray:
    """Return what lies just between two numbers of a format, and its neighbours."""
    numbers = numbers_of(name)
    between = (numbers[1:] + numbers[:-1]) / 2
    return np.concatenate([between, np.nextafter(between, 1e9), np.nextafter(between, -1e9)])


def nearest(x: float, kind: FloatFormat) -> float:
    """Return the nearest number of a format, ties to even: by the definition."""
    if x == 0 or not math.isfinite(x):
        return x
    exponent = max(math.floor(math.log2(abs(x))), 1 - kind.largest_exponent)
    if Fraction(abs(x)) < Fraction(2) ** exponent and exponent > 1 - kind.largest_exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent + 1 - kind.n_bits)
    return math.copysign(float(round(Fraction(x) / unit) * unit), x)


def fitted_of(name: str, features: dict[str, ff.Expr] | None = None) -> ff.FittedPlan:
    return ff.Plan(features or {"x": col("x")}, dtype=name).fit({"x": [1.0, 2.0]})


def bits(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix).view(np.uint16)


@NARROW
def test_every_number_of_a_format_is_kept(name):
    numbers = numbers_of(name)
    found = fitted_of(name).transform({"x": numbers}, to="numpy")
    assert found.dtype == TYPES[name]
    np.testing.assert_array_equal(found[:, 0].astype(np.float64), numbers)


@NARROW
def test_what_lies_between_is_rounded_once_to_the_nearest(name):
    kind = FLOAT_FORMATS[name]
    x = np.random.default_rng(0).choice(ties_of(name), 2000, replace=False)
    wanted = np.array([nearest(value, kind) for value in x])
    x, wanted = x[np.abs(wanted) <= kind.largest], wanted[np.abs(wanted) <= kind.largest]
    for to in ("numpy", "arrow"):
        found = fitted_of(name).transform({"x": x}, to=to)
        values = found[:, 0] if to == "numpy" else found["x"].to_numpy()
        np.testing.assert_array_equal(values.astype(np.float64), wanted)


def test_float16_is_rounded_as_numpy_rounds():
    x = np.concatenate([ties_of("float16"), SPECIAL])
    found = fitted_of("float16").transform({"x": x}, to="numpy")[:, 0]
    assert np.array_equal(bits(found), bits(x.astype(np.float16)))


@NARROW
@pytest.mark.parametrize(
    "backend", ["reference", pytest.param("emulated", marks=[pytest.mark.emulator])]
)
def test_backends_give_the_same_bits(name, backend):
    random = np.random.default_rng(1)
    x = np.concatenate([random.choice(ties_of(name), 300), SPECIAL])
    fitted = fitted_of(name, {"x": col("x"), "y": -col("x"), "z": (col("x") > 0).cast("float64")})
    for to in ("numpy", "arrow"):
        found, other = (fitted.transform({"x": x}, to=to, backend=one) for one in ("cpu", backend))
        same = np.array_equal(bits(found), bits(other)) if to == "numpy" else found.equals(other)
        assert same, to


@NARROW
def test_forms_have_the_same_values(name):
    x = [0.1, None, -3.3, math.inf]
    fitted = fitted_of(name, {"x": col("x"), "y": col("x") * 2})
    table, matrix = (fitted.transform({"x": x}, to=to) for to in ("arrow", "numpy"))
    by_rows = np.empty(matrix.shape, TYPES[name], order="C")
    assert fitted.transform({"x": x}, to="numpy", out=by_rows) is by_rows
    assert np.array_equal(bits(by_rows), bits(np.ascontiguousarray(matrix)))
    rows = [fitted.transform_row({"x": value}) for value in x]
    assert all(row.dtype == TYPES[name] for row in rows)
    assert np.array_equal(bits(np.stack(rows)), bits(np.ascontiguousarray(matrix)))
    stored = pa.float16() if name == "float16" else pa.float32()
    assert table.schema.types == [stored, stored]
    assert table["x"].null_count == 1
    for k, column in enumerate(table.columns):
        np.testing.assert_array_equal(
            column.to_numpy().astype(np.float64), matrix[:, k].astype(np.float64)
        )
    frame = fitted.transform({"x": x}, to="pandas")
    np.testing.assert_array_equal(frame["y"].to_numpy(np.float64), matrix[:, 1].astype(np.float64))
    live = fitted.online()
    assert np.array_equal(bits(live.features({"x": x}, to="numpy")), bits(matrix))


@NARROW
@pytest.mark.parametrize("n_columns", [1, 7, 8, 19])
def test_rows_of_a_matrix_are_contiguous_where_they_are_asked_for(name, n_columns):
    n_rows = 203
    data = {f"x{k}": np.random.default_rng(k).normal(size=n_rows) for k in range(n_columns)}
    fitted = ff.Plan([col(column) for column in data], dtype=name).fit(data)
    by_columns = fitted.transform(data, to="numpy")
    for order in ("C", "F"):
        out = np.empty((n_rows, n_columns), TYPES[name], order=order)
        fitted.transform(data, to="numpy", out=out)
        assert np.array_equal(bits(np.asfortranarray(out)), bits(by_columns))


@NARROW
def test_a_number_beyond_the_format_is_an_error_that_names_feature_and_row(name):
    fitted, largest = fitted_of(name), FLOAT_FORMATS[name].largest
    beyond = FLOAT_FORMATS[name].rounds_to_infinity
    below = np.nextafter(beyond, 0)
    for to in ("arrow", "numpy"):
        found = fitted.transform({"x": [below, -below]}, to=to)
        values = found[:, 0] if to == "numpy" else found["x"].to_numpy()
        assert values.astype(np.float64).tolist() == [largest, -largest]
        with pytest.raises(Overflow, match=r"feature 'x', row 1 .*beyond the largest"):
            fitted.transform({"x": [1.0, -beyond]}, to=to)
    with pytest.raises(Overflow, match=f"beyond the largest {name}"):
        fitted.transform_row({"x": beyond})


@NARROW
def test_an_integer_that_the_matrix_cannot_hold_is_an_error(name):
    fitted = ff.Plan({"n": col("n")}, dtype=name).fit({"n": [1]})
    most = 1 << FLOAT_FORMATS[name].n_bits
    assert fitted.transform({"n": [most]}, to="numpy")[0, 0] == most
    for wrong, told in ((most + 1, f"integer beyond 2\\*\\*{FLOAT_FORMATS[name].n_bits}\\."),):
        with pytest.raises(Overflow, match=told):
            fitted.transform({"n": [wrong]}, to="numpy")
    if name == "float16":
        with pytest.raises(Overflow, match="131072\\.0 is beyond the largest float16"):
            fitted.transform({"n": [131072]}, to="numpy")
    assert fitted.transform({"n": [most + 1]})["n"].to_pylist() == [most + 1]


@NARROW
def test_what_writes_features_keeps_their_values(name, tmp_path):
    fitted, x = fitted_of(name), [0.1, None, math.inf]
    table = fitted.transform({"x": x})
    wanted = table["x"].cast(pa.float64()).to_pylist()
    pq.write_table(pa.table({"x": x}), tmp_path / "rows.parquet")
    fitted.transform_to(tmp_path / "rows.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").equals(table)
    assert in_delta_types(table).schema.types == [pa.float32()]
    packed = packed_rows(table, range(3), np.arange(3), np.arange(3), "t", 0, "ab" * 32)
    assert [read_packed(row, table.schema).features["x"] for row in packed] == wanted
    assert [json.loads(row)["x"] for row in json_rows(table)] == [*wanted[:2], "Infinity"]


def test_out_has_the_type_of_the_plan():
    fitted = fitted_of("bfloat16")
    for wrong in (np.uint16, np.float32):
        with pytest.raises(InvalidData, match="the plan's type, bfloat16"):
            fitted.transform({"x": [1.0]}, to="numpy", out=np.empty((1, 1), wrong))


def test_a_plan_is_kept_with_its_type(tmp_path):
    for name in TYPES:
        fitted = fitted_of(name)
        fitted.save(tmp_path / name)
        found = ff.load(tmp_path / name)
        assert found.plan.dtype == name
        assert ff.Plan.from_json(fitted.plan.to_json()).dtype == name
        assert found.transform({"x": [0.1]}).equals(fitted.transform({"x": [0.1]}))
    assert ff.Plan({"x": col("x")}, dtype=TYPES["bfloat16"]).dtype == "bfloat16"


def test_cupy_has_no_bfloat16():
    with pytest.raises(InvalidPlan, match="CuPy has no bfloat16"):
        fitted_of("bfloat16").transform({"x": [1.0]}, to="cupy", backend="emulated")
