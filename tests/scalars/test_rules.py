"""The rules of meaning, one by one, on both backends: missing, logic, integers, types, casts."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col, lit, when
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.keep.artifact import artifact_bytes

TABLE = pa.table(
    {
        "x": pa.array([1.0, math.nan, None, math.inf, -0.0]),
        "h": pa.array([1.0, math.nan, None, math.inf, -0.0], pa.float32()),
        "i": pa.array([1, -(2**63), None, 2**63 - 1, 0]),
        "u": pa.array([1, 2**64 - 1, None, 2**63, 0], pa.uint64()),
        "p": pa.array([True, False, None, True, False]),
        "null": pa.nulls(5),
    }
)
MISSING = [None] * 5

RULES: dict[str, tuple[ff.Expr, list[Any]]] = {
    "a NaN is missing": (col("x").is_null(), [False, True, True, False, False]),
    "an infinity is a value": (col("x").is_finite(), [True, None, None, False, True]),
    "0/0 is missing": (col("x") / col("x"), [1.0, None, None, None, None]),
    "log of a negative number is missing": ((col("x") - 2).log().is_null(),
                                            [True, True, True, False, True]),
    "a comparison of missing is missing": (col("x") > 0, [True, None, None, True, False]),
    "False decides and": (col("p") & lit(None), [None, False, None, None, False]),
    "True decides or": (lit(None) | col("p"), [True, None, None, True, None]),
    "xor is missing": (col("p") ^ (col("x") > 0), [False, None, None, False, False]),
    "when(missing) takes otherwise": (when(col("p")).then(1).otherwise(2), [1, 2, 2, 1, 2]),
    "a column of nulls is missing": (col("null") + 1, MISSING),
    "nulls compare as missing": (col("null") == col("i"), MISSING),
    "nulls are filled": (col("null").fill_null(3), [3, 3, 3, 3, 3]),
    "nulls are looked up": (col("null").is_in(["a"]), MISSING),
    "nulls are mapped": (col("null").replace_strict({"a": 1}), MISSING),
    "nulls are cast": (col("null").cast("int8"), MISSING),
    "nulls are limited": (col("null").clip(0, 1), MISSING),
    "nulls are binned": (col("null").cut([0]), MISSING),
    "True + True is 2": (col("p") + col("p"), [2, 0, None, 2, 0]),
    "an integer divisor 0 gives missing": (col("i").fill_null(1) / (col("p") & False),
                                           MISSING),
    "a float divided by 0 is infinite": (1 / col("x"), [1.0, None, None, 0.0, -math.inf]),
    "float // 0 is infinite": (col("x").fill_null(1.0) // 0.0,
                               [math.inf, math.inf, math.inf, math.inf, None]),
    "float % 0 is missing": (col("x") % 0.0, MISSING),
    "integer % 0 is missing": (col("i") % 0, MISSING),
    "INT64_MIN % -1 is 0": (col("i") % -1, [0, 0, None, 0, 0]),
    "0.0 // and % as Python": (lit(1.0) // 0.1 + 0 * col("x").fill_null(0).clip(0, 0), [9.0] * 5),
    "an integer is added to a float by one rounding": (
        col("i") + 0.0, [1.0, -(2.0**63), None, 2.0**63, 0.0]),
    "an integer equals a float of its value": (col("i") == 2.0**63,
                                               [False, False, None, False, False]),
    "uint64 is compared exactly": (col("u") > col("i"), [False, True, None, True, False]),
    "uint64 divides": (col("u") / 1, [1.0, 2.0**64, None, 2.0**63, 0.0]),
    "a literal is weak": (col("h") * 2, [2.0, None, None, math.inf, -0.0]),
    "min takes -0.0": (ff.min_horizontal(lit(0.0), col("x")), [0.0, 0.0, 0.0, 0.0, -0.0]),
    "a missing bound does not limit": (col("i").clip(None, 5), [1, -(2**63), None, 5, 0]),
    "bounds may be computed, -0.0 is 0": (
        col("x").clip(0, col("i")),
        [1.0, None, None, 2.0**63, -0.0],
    ),
    "dates are limited": (
        lit(datetime.date(2020, 1, 1)).clip(datetime.date(2021, 1, 1), None).is_null(),
        [False] * 5,
    ),
    "only the chosen branch counts": (when(col("i") > -9).then(col("i").abs()).otherwise(-1),
                                      [1, -1, -1, 2**63 - 1, 0]),
    "only the first present value counts": (ff.coalesce(col("x"), col("i").clip(0, None) * 3, 0),
                                            [1.0, 0.0, 0.0, math.inf, -0.0]),
    "a sum is judged on the result": (ff.sum_horizontal("i", col("i").is_null(), lit(-1), lit(1)),
                                      [1, -(2**63), 1, 2**63 - 1, 0]),
    "powers of -1 keep their parity": ((col("i").clip(-1, 0) * 2 + 1) ** col("i").clip(-65, 65),
                                       [1, -1, None, 1, 1]),
    "an exponent may be computed from literals": (
        lit(2.0) ** -lit(2) + 3.0 ** lit(2).sign() + lit(2.0) ** ~lit(1)
        + 0 * col("x").fill_null(0).clip(0, 0),
        [3.5] * 5,
    ),
    "out of range is missing without strict": (col("x").cast("int64", strict=False),
                                               [1, None, None, None, 0]),
    "a cast to uint64 keeps the upper half": ((col("u") / 1).cast("uint64", strict=False),
                                              [1, None, None, 2**63, 0]),
    "-0.0 equals 0": (col("x").is_in([0]), [False, None, None, False, True]),
    "inf can be looked up": (col("x").is_in([math.inf]), [False, None, None, True, False]),
    "no integer equals a fraction": (col("i").is_in([0.5, math.inf, 1]),
                                     [True, False, None, False, False]),
    "the last key of a mapping": (col("i").replace_strict({0: 5, 1: 6, 2**63 - 1: 7}, default=-1),
                                  [6, -1, None, 7, 5]),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_rule_holds(backend: str) -> None:
    plan = ff.Plan({name: expression for name, (expression, _) in RULES.items()})
    features = plan.fit(TABLE).transform(TABLE, backend=backend)
    for name, (_, expected) in RULES.items():
        assert _marked(features[name].to_pylist()) == _marked(expected), name


def _marked(values: list[Any]) -> list[Any]:
    """Return values that compare with their type and the sign of zero."""
    return [(type(v), v, math.copysign(1, v) if isinstance(v, float) else 0) for v in values]


def test_overflow_is_found_exactly() -> None:
    pairs = [
        (2**31, 2**32 - 1), (2**32, 2**31), (-(2**32), 2**31), (-(2**32), 2**31 + 1),
        (3037000499, 3037000499), (3037000500, 3037000500), (2**63 - 1, 1), (2**63 - 1, -1),
        (-(2**63), -1), (-(2**63), 1), (2**62, 2), (2**62, -2), (-(2**62), 2), (2**40, 2**40),
    ]  # fmt: skip
    plan = ff.Plan({"add": col("x") + col("y")}), ff.Plan({"mul": col("x") * col("y")})
    fitted = [p.fit({"x": np.array([1]), "y": np.array([1])}) for p in plan]
    for x, y in pairs:
        row = pa.table({"x": [x], "y": [y]})
        for one, exact in zip(fitted, (x + y, x * y), strict=True):
            if -(2**63) <= exact < 2**63:
                assert one.transform(row)[0].to_pylist() == [exact]
            else:
                with pytest.raises(Overflow):
                    one.transform(row)


def test_integer_powers_overflow_exactly() -> None:
    fitted = ff.Plan({"p": col("x") ** col("n")}).fit({"x": np.array([1]), "n": np.array([1])})
    for x in (-3, -2, -1, 0, 1, 2, 3, 10, 2**31, -(2**63)):
        for n in (0, 1, 2, 18, 19, 31, 39, 40, 61, 62, 63, 64, 65, 66, 127, 2**40, 2**63 - 1):
            exact = x**n if abs(x) < 2 or n < 200 else 2**70
            row = pa.table({"x": [x], "n": [n]})
            if -(2**63) <= exact < 2**63:
                assert fitted.transform(row)["p"].to_pylist() == [exact], (x, n)
            else:
                with pytest.raises(Overflow):
                    fitted.transform(row)


def test_an_integer_to_a_negative_power_is_no_integer() -> None:
    rows = pa.table({"x": [1, -1, -1, None, 2], "n": [-1, -2, -(2**63), -1, None]})
    fitted = ff.Plan({"p": col("x") ** col("n")}).fit(rows)
    for backend in ("cpu", "reference"):
        assert fitted.transform(rows, backend=backend)["p"].to_pylist() == [1, 1, 1, None, None]
        for x in (0, 2, -2, 2**62):
            row = pa.table({"x": [1, x], "n": [1, -1]})
            with pytest.raises(
                Overflow,
                match=rf"feature 'p', row 1 \(.*x={x}.*not an integer. Make the exponent a float",
            ):
                fitted.transform(row, backend=backend)
    for base in (col("x"), col("x") > 0, col("x").cast("uint8")):
        with pytest.raises(TypeMismatch, match=r"\*\* -1\): an integer .* a float: \*\* -1.0"):
            ff.Plan({"p": base**-1}).schema(rows.schema)
    halves = ff.Plan({"p": col("x") ** -1.0, "q": col("x").cast("float64") ** -1}).fit(rows)
    for name in ("p", "q"):
        assert halves.transform(rows)[name].to_pylist() == [1.0, -1.0, -1.0, None, 0.5]


def test_a_sum_that_wraps_twice_is_right() -> None:
    fitted = ff.Plan({"s": ff.sum_horizontal("a", "b", "c", "d")}).fit(
        {name: np.array([1]) for name in "abcd"}
    )
    largest, smallest = 2**63 - 1, -(2**63)
    right = pa.table({"a": [largest], "b": [largest], "c": [smallest], "d": [smallest]})
    assert fitted.transform(right)["s"].to_pylist() == [-2]
    wrong = pa.table({"a": [largest], "b": [largest], "c": [1], "d": [1]})  # wraps to 0
    with pytest.raises(Overflow):
        fitted.transform(wrong)


def test_integers_become_float32_by_one_rounding() -> None:
    tie = 2**60 + 2**36  # between two float32
    values = [tie, tie + 1, tie - 1, -tie - 1, 2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**63)]
    fitted = ff.Plan({"y": col("x").cast("float32")}).fit({"x": np.array([1])})
    result = fitted.transform({"x": np.array(values)})["y"].to_pylist()
    # NumPy converts an integer directly, by one rounding
    assert result == np.array(values).astype(np.float32).astype(float).tolist()
    unsigned = [2**63 + 2**39, 2**63 + 2**39 + 1, 2**64 - 1, 2**64 - 2**40 + 1, 2**53 + 1]
    fitted = ff.Plan({"y": col("x").cast("float32")}).fit({"x": np.array([1], np.uint64)})
    result = fitted.transform({"x": np.array(unsigned, np.uint64)})["y"].to_pylist()
    assert result == np.array(unsigned, np.uint64).astype(np.float32).astype(float).tolist()


@pytest.mark.parametrize("name", ["int8", "uint8", "int32", "int64", "uint64"])
def test_floats_are_cast_up_to_the_ends_of_a_type(name: str) -> None:
    info = np.iinfo(name)
    below, above = float(info.min), float(int(info.max) + 1)
    values = [below, math.nextafter(above, 0), 0.9, -0.9, -0.0]
    fitted = ff.Plan({"y": col("x").cast(name)}).fit({"x": np.array([0.0])})
    expected = [math.trunc(value) for value in values]
    assert fitted.transform({"x": np.array(values)})["y"].to_pylist() == expected
    for outside in (above, math.nextafter(below - 1, -math.inf), math.inf, -math.inf):
        if math.trunc(outside if math.isfinite(outside) else 2**70) == info.min:
            continue  # below - 1 is no float of its own
        with pytest.raises(Overflow):
            fitted.transform({"x": np.array([outside])})


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_column_that_fills_a_narrower_one_keeps_its_precision(backend: str) -> None:
    table = pa.table({"narrow": pa.array([1.5, None], pa.float32()), "wide": [0.1, 0.1]})
    plan = ff.Plan(
        {
            "column": col("narrow").fill_null(col("wide")),
            "literal": col("narrow").fill_null(0.1),
            "learnt": col("narrow").impute("mean"),
        }
    )
    filled = plan.fit(table).transform(table, backend=backend)
    assert [str(t) for t in filled.schema.types] == ["double", "float", "float"]
    assert filled["column"].to_pylist() == [1.5, 0.1]
    assert filled["literal"].to_pylist() == [1.5, float(np.float32(0.1))]


def test_a_computed_float32_is_rounded_by_a_cast_and_on_the_way_out_alone() -> None:
    narrow = {"x": [None, 0.25, 0.25], "y": [None, 0.1, 0.3]}
    table = pa.table({name: pa.array(values, pa.float32()) for name, values in narrow.items()})
    filled = col("x").fill_null(0.1)
    plan = ff.Plan(
        {
            "sum": filled.sum(),
            "less": filled - 0.1,
            "cast": filled.cast("float32").cast("float64"),
            "scaled": col("y").impute("median").standard_scale(),
        }
    )
    learnt: list[bytes] = []
    for backend in ("cpu", "reference"):
        fitted = plan.fit(table, backend=backend)
        learnt.append(artifact_bytes(fitted.record))
        row = fitted.transform(table, backend=backend).to_pylist()[0]
        assert row == {"sum": 0.6, "less": 0.0, "cast": float(np.float32(0.1)), "scaled": 0.0}
    assert learnt[0] == learnt[1]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_what_float32_cannot_hold_is_an_error_or_missing(backend: str) -> None:
    largest = float(np.finfo(np.float32).max)
    rounds_down, rounds_up = largest * (1 + 2.0**-26), largest * (1 + 2.0**-24)
    table = pa.table({"x": [largest, rounds_down, math.inf]})
    strict = ff.Plan({"y": col("x").cast("float32")}).fit(table)
    assert strict.transform(table, backend=backend)["y"].to_pylist() == [largest, largest, math.inf]
    with pytest.raises(Overflow, match="row 1"):
        strict.transform({"x": [0.0, rounds_up]}, backend=backend)
    lenient = ff.Plan({"y": col("x").cast("float32", strict=False)}).fit(table)
    assert lenient.transform({"x": [-1e300]}, backend=backend)["y"].to_pylist() == [None]
    narrow = pa.table({"x": pa.array([None], pa.float32())})
    with pytest.raises(Overflow, match="feature 'y'"):
        ff.Plan({"y": col("x").fill_null(1e300)}).fit(narrow).transform(narrow, backend=backend)
