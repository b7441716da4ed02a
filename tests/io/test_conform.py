"""Columns of one type for a plan that saw another: exact or refused, judged by exact fractions."""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.conform import conform
from fastfeat.io.columns.types import arrow_type, dtype_of, storage_type
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import DType
from fastfeat_tests.io.arrow_columns import (
    DAY_MS,
    INTEGERS,
    UNSIGNED,
    array_of,
    decimals,
    same_values,
)

RANGES = INTEGERS | UNSIGNED | {"bool": (0, 1)}
EDGES = [0, 1, 127, 128, 255, 256, 2**11, 2**11 + 1, 65504, 2**24, 2**24 + 1, 2**31, 2**53]
EDGES += [2**53 + 1, 2**54 + 2, 2**63 - 1, 2**63, 2**64 - 1, 2**63 - 512, 2**63 - 1024]
FLOAT_EDGES = [-0.0, 0.5, 5e-324, 1e-45, 2.0**-149, 3 * 2.0**-149, 2.0**-126, 1e300, 65504.0]
FLOAT_EDGES += [math.inf, -math.inf, math.nan, 2.0**63, -(2.0**63), 2.0**64, 0.1, 6e-8]


def number_columns() -> st.SearchStrategy[pa.ChunkedArray]:
    """Return columns of every type of number with values near the edges of all the others."""
    whole = st.sampled_from(EDGES) | st.sampled_from(EDGES).map(lambda v: -v) | st.integers(-99, 99)
    floats = st.sampled_from(FLOAT_EDGES) | st.floats() | whole.map(float)

    def within(low, high):
        return whole.filter(lambda v: low <= v <= high)

    values = {getattr(pa, name)(): within(*ends) for name, ends in (INTEGERS | UNSIGNED).items()}
    values[pa.bool_()] = st.booleans()
    values[pa.float64()] = floats
    values[pa.float32()] = st.floats(width=32) | st.sampled_from([0.0, 1.0, 2.0**-149, 2.0**63])
    values[pa.float16()] = st.floats(width=16)
    values[pa.decimal128(38, 4)] = decimals(22, 4) | st.integers(-300, 300).map(Decimal)
    values[pa.decimal256(40, 0)] = decimals(40, 0)
    values[pa.decimal128(5, -2)] = st.integers(-999, 999).map(lambda v: Decimal(v) * 100)
    return st.sampled_from(sorted(values, key=str)).flatmap(
        lambda t: st.lists(st.none() | values[t], max_size=6).map(
            lambda v: pa.chunked_array([array_with(v[:3], t), array_with(v[3:], t)], t)
        )
    )


def array_with(values, arrow):
    """Return a sliced array of a type, one element of padding on each side."""
    padded = [None, *values, None]
    return (array_of(padded, arrow) if pa.types.is_float16(arrow) else pa.array(padded, arrow))[
        1:-1
    ]


def exactly(value, dtype: DType):
    """Return a number as a value of a type, None if missing; ValueError if it is not one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if dtype.name in RANGES:
        low, high = RANGES[dtype.name]
        if isinstance(value, float) and math.isinf(value):
            raise ValueError
        if Fraction(value).denominator != 1 or not low <= value <= high:
            raise ValueError
        return bool(value) if dtype.name == "bool" else int(value)
    return _exact_float(value, dtype)


def _exact_float(value, dtype: DType):
    if isinstance(value, float) and not math.isfinite(value):
        return value
    if isinstance(value, float):
        near = value
    else:
        near = Fraction(value).numerator / Fraction(value).denominator
    if dtype.name == "decimal":
        return near
    code = {"float16": "e", "float32": "f", "float64": "d"}[dtype.name]
    try:
        near = struct.unpack(code, struct.pack(code, near))[0]
    except OverflowError:
        raise ValueError from None
    if math.isinf(near) or Fraction(near) != Fraction(value):
        raise ValueError
    return near


NUMBERS = [DType(name) for name in [*RANGES, "float16", "float32", "float64", "decimal"]]


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_numbers_convert_exactly_or_name_the_first_bad_value(dtype):
    @given(number_columns())
    def check(column):
        expected, bad = [], None
        for row, value in enumerate(column.to_pylist()):
            value = float(value) if isinstance(value, np.floating) else value
            try:
                expected.append(exactly(value, dtype))
            except ValueError:
                bad = row
                break
        if bad is not None:
            text = f"in row {bad} is not exactly a value of type {dtype}"
            with pytest.raises(InvalidData, match=text):
                conform(column, "n", dtype)
            return
        result = conform(column, "n", dtype)
        assert result.type == storage_type(dtype)
        found = [None if v != v else v for v in result.to_pylist()]
        assert same_values(found, expected)

    check()


@pytest.mark.parametrize("dtype", [dtypes.INT8, dtypes.UINT64, dtypes.BOOL], ids=str)
def test_missing_integers_are_zero_in_memory(dtype):
    column = pa.chunked_array([pa.array([1.0, math.nan, None, 0.0])])
    result = conform(column, "n", dtype).chunk(0)
    bare = pa.Array.from_buffers(result.type, 4, [None, result.buffers()[1]])
    assert bare.to_pylist() == [1, 0, 0, 0]


def test_what_lies_under_a_null_is_zero_after_a_conversion():
    garbage, bitmap = pa.py_buffer(np.array([5, 7], np.int32)), pa.py_buffer(bytes([0b01]))
    whole = pa.Array.from_buffers(pa.int32(), 2, [bitmap, garbage])
    result = conform(pa.chunked_array([whole]), "n", dtypes.INT64).chunk(0)
    assert np.frombuffer(result.buffers()[1], np.int64).tolist() == [5, 0]
    digits = pa.py_buffer(np.array([5, 0, 7, 0], np.int64))
    decimal = pa.Array.from_buffers(pa.decimal128(9, 0), 2, [bitmap, digits])
    result = conform(pa.chunked_array([decimal]), "n", dtypes.DECIMAL).chunk(0)
    assert np.frombuffer(result.buffers()[1], np.float64).tolist() == [5.0, 0.0]


def test_an_inexact_value_in_a_later_piece_is_named_by_its_row_in_the_column():
    column = pa.chunked_array([np.zeros(5000), np.array([0.0] * 4999 + [0.5])])
    with pytest.raises(InvalidData, match=r"0\.5 in row 9999 "):
        conform(column, "n", dtypes.INT64)
    text = pa.chunked_array([pa.nulls(5000, pa.string()), pa.array([None, "a"] * 2500)])
    with pytest.raises(TypeMismatch, match=r"\(a in row 5001\)"):
        conform(text, "n", dtypes.INT64)


TIMES = [dtypes.DATE32, dtypes.DATE64]
TIMES += [dtypes.timestamp(u, tz) for u in dtypes.UNITS for tz in (None, "UTC", "Europe/Berlin")]
TIMES += [dtypes.duration(u) for u in dtypes.UNITS] + [dtypes.time(u) for u in dtypes.UNITS]


def tick_ns(dtype: DType) -> int:
    """Return the nanoseconds of one tick."""
    if dtype.name == "date32":
        return DAY_MS * 10**6
    if dtype.name == "date64":
        return 10**6
    assert dtype.unit is not None
    return 10**9 // dtypes.PER_SECOND[dtype.unit]


def kind(dtype: DType) -> str:
    """Return which times may stand for each other: instants have a zone, whichever it is."""
    if dtype.name.startswith("date"):
        return "timestamp"
    return dtype.name if dtype.tz is None else "instant"


@given(st.data())
def test_times_convert_exactly_or_are_refused(data):
    given_type, wanted = data.draw(st.sampled_from(TIMES)), data.draw(st.sampled_from(TIMES))
    step = data.draw(st.sampled_from([1, 1000, 86_400, DAY_MS]))
    bits = 31 if arrow_type(given_type).bit_width == 32 else 63
    ticks = st.integers(-(2**bits) // step, (2**bits - 1) // step).map(lambda v: v * step)
    ticks = ticks | st.integers(-3, 3).map(lambda v: v * step)
    values = data.draw(
        st.lists(st.none() | ticks.filter(lambda v: -(2**bits) <= v < 2**bits), max_size=4)
    )
    column = pa.chunked_array([array_of([None, *values], arrow_type(given_type))[1:]])
    if given_type == wanted:
        assert conform(column, "t", wanted).to_pylist() == values
        return
    if kind(given_type) != kind(wanted):
        if any(v is not None for v in values):
            with pytest.raises(TypeMismatch):
                conform(column, "t", wanted)
        return
    expected = [
        None if v is None else Fraction(v * tick_ns(given_type), tick_ns(wanted)) for v in values
    ]
    limit = 2 ** (storage_type(wanted).bit_width - 1)
    whole_day = DAY_MS if wanted.name == "date64" else 1
    fits = all(
        v is None or (v % whole_day == 0 and -limit <= v < limit and v.denominator == 1)
        for v in expected
    )
    if not fits:
        with pytest.raises(InvalidData):
            conform(column, "t", wanted)
    else:
        assert conform(column, "t", wanted).to_pylist() == expected


@pytest.mark.parametrize(
    ("ticks", "given_type", "wanted", "expected"),
    [
        (9_223_372_036, pa.timestamp("s"), dtypes.timestamp("ns"), 9_223_372_036 * 10**9),
        (9_223_372_037, pa.timestamp("s"), dtypes.timestamp("ns"), None),
        (-9_223_372_037, pa.duration("s"), dtypes.duration("ns"), None),
        (-(2**63), pa.timestamp("ms"), dtypes.DATE64, None),
        (-(2**63), pa.date64(), dtypes.timestamp("ms"), -(2**63)),
        (2**62, pa.timestamp("ms"), dtypes.timestamp("us"), None),
        (3 * DAY_MS, pa.timestamp("ms"), dtypes.DATE64, 3 * DAY_MS),
        (3 * DAY_MS + 1, pa.timestamp("ms"), dtypes.DATE64, None),
        (2**31 * 86_400, pa.timestamp("s"), dtypes.DATE32, None),
        (-(2**31) * 86_400, pa.timestamp("s"), dtypes.DATE32, -(2**31)),
        (2**31 * 10**6, pa.time64("us"), dtypes.time("s"), None),
        (-1, pa.timestamp("ns"), dtypes.timestamp("us"), None),
        (-1000, pa.timestamp("ns"), dtypes.timestamp("us"), -1),
    ],
)
def test_times_at_the_edge_of_a_type(ticks, given_type, wanted, expected):
    column = pa.chunked_array([array_of([ticks], given_type)])
    if expected is None:
        with pytest.raises(InvalidData, match="in row 0 is not exactly"):
            conform(column, "t", wanted)
    else:
        assert conform(column, "t", wanted).to_pylist() == [expected]


@pytest.mark.parametrize("value", [2**16, 65_505, -(2**16), 2**53 + 1, -(2**53) - 1, 2**63 - 1])
def test_integers_that_no_float_of_the_width_holds_are_refused(value):
    column = pa.chunked_array([pa.array([value])])
    with pytest.raises(InvalidData, match=f"{value} in row 0"):
        conform(column, "n", dtypes.DType("float16") if abs(value) < 2**20 else dtypes.FLOAT64)


@pytest.mark.parametrize("units", [2**53 + 1, -(2**53) - 1, 2**53 + 3, -(2**53) - 3])
@pytest.mark.parametrize("scale", [0, 1, 3])
def test_decimals_just_beyond_the_exact_integers_round_once(units, scale):
    value = Decimal(f"{units}E-{scale}")
    column = pa.chunked_array([pa.array([value], pa.decimal128(20, scale))])
    assert conform(column, "d", dtypes.DECIMAL).to_pylist() == [units / 10**scale]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_a_time_of_another_zone_is_the_same_instant(unit: Any) -> None:
    berlin = pa.chunked_array([pa.array([0, None, 7], pa.timestamp("s", "Europe/Berlin"))])
    found = conform(berlin, "t", dtypes.timestamp(unit, "UTC"))
    expected = berlin.cast(pa.timestamp(unit, "UTC")).cast(pa.int64())
    assert found.to_pylist() == expected.to_pylist()


def test_a_zone_must_be_there_where_fit_saw_one_and_the_message_says_what_to_write() -> None:
    berlin = pa.chunked_array([pa.array([0], pa.timestamp("us", "Europe/Berlin"))])
    naive = pa.chunked_array([pa.array([0], pa.timestamp("us"))])
    with pytest.raises(TypeMismatch, match=r"'UTC', or 'Europe/Berlin' for local.*tz_localize"):
        conform(naive, "t", dtypes.timestamp("us", "Europe/Berlin"))
    with pytest.raises(TypeMismatch, match="without a zone"):
        conform(berlin, "t", dtypes.timestamp("ms"))


def test_a_mismatch_names_the_column_both_types_and_the_first_value():
    column = pa.chunked_array([[None, "abc"], ["x"]])
    with pytest.raises(
        TypeMismatch, match=r'col\("größe"\): fit saw int64, got utf8 \(abc in row 1\)\. Cast'
    ):
        conform(column, "größe", dtypes.INT64)
    lists = pa.chunked_array([[[1, 2]]])
    with pytest.raises(TypeMismatch, match=r"got list\[int64\] \(\[1, 2\] in row 0\)"):
        conform(lists, "x", dtypes.FLOAT64)


def test_an_inexact_value_is_named_with_its_row():
    column = pa.chunked_array([[1, 2**31], [2**40]])
    with pytest.raises(InvalidData, match=r'col\("n"\): 2147483648 in row 1 is not .* int32'):
        conform(column, "n", dtypes.INT32)


@pytest.mark.parametrize("dtype", [*NUMBERS, *TIMES, dtypes.UTF8, dtypes.NULL], ids=str)
@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([pa.nulls(3)]),
        pa.chunked_array([pa.array([math.nan, None, math.nan])]),
        pa.chunked_array([pa.array([None] * 3, pa.string())]),
        pa.chunked_array([pa.array([None] * 3, pa.list_(pa.int8()))]),
        pa.chunked_array([pa.array([None] * 3, pa.string()).dictionary_encode()]),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_a_column_without_any_value_stands_for_every_type(column, dtype):
    result = conform(column, "x", dtype)
    assert len(result) == 3
    assert all(value is None or value != value for value in result.to_pylist())
    if dtype.name != "utf8":
        assert result.type == storage_type(dtype)


def test_a_value_where_fit_saw_none_is_refused():
    with pytest.raises(TypeMismatch, match=r"fit saw null, got int64 \(5 in row 1\)"):
        conform(pa.chunked_array([[None, 5]]), "x", dtypes.NULL)


@pytest.mark.parametrize(
    "values", [[1, None, 3], [1.5, None], [True, None], [date(2020, 1, 1), None]]
)
@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int32(), pa.uint64(), pa.int64()])
def test_dictionaries_are_decoded_whatever_their_index(values, index):
    plain = pa.array(values)
    entries = pa.array([*values, values[0]])  # with a null and a duplicate among them
    codes = pa.array([len(values), 1, None, 0], index)
    column = pa.chunked_array([pa.DictionaryArray.from_arrays(codes, entries)] * 2)
    result = conform(column, "d", dtype_of(plain.type))
    expected = pa.array([values[0], values[1], None, values[0]] * 2, plain.type)
    assert result.to_pylist() == expected.view(result.type).to_pylist()


def test_run_end_encoding_and_differing_dictionaries_are_decoded():
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5]), pa.array([1, None, 3]))
    assert conform(pa.chunked_array([runs[1:]]), "r", dtypes.INT64).to_pylist() == [1, None, 3, 3]
    first = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array([10, 20]))
    second = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array([20, None]))
    column = pa.chunked_array([first, second])
    assert conform(column, "d", dtypes.INT64).to_pylist() == [10, 20, 20, None]


@pytest.mark.parametrize(
    "dtype", [d for d in [*NUMBERS, *TIMES] if d.name not in ("float16", "decimal")], ids=str
)
def test_a_column_of_the_type_seen_stays_in_place(dtype):
    array = array_of([0, 1, None, 1] * 2000, arrow_type(dtype)) if dtype.name != "bool" else None
    array = pa.array([True, None] * 4000) if array is None else array
    column = pa.chunked_array([array[5:], array[3:]])
    before = [piece.buffers()[1].address for piece in column.chunks]
    after = [piece.buffers()[1].address for piece in conform(column, "x", dtype).chunks]
    assert after == before


def test_decimals_of_every_width_are_read_correctly_rounded():
    values = [Decimal("0.1"), None, Decimal("-12345.67"), Decimal("9999999.99")]
    for arrow in (pa.decimal128(9, 2), pa.decimal256(9, 2), *_small_decimals()):
        column = pa.chunked_array([pa.array([None, *values], arrow)[1:]])
        result = conform(column, "d", dtypes.DECIMAL)
        assert result.to_pylist() == [None if v is None else float(v) for v in values]


def _small_decimals():
    """Return the narrow decimal types, where pyarrow has them."""
    return [getattr(pa, name)(9, 2) for name in ("decimal32", "decimal64") if hasattr(pa, name)]


@given(st.lists(st.none() | decimals(38, 10) | decimals(17, 10), min_size=1), st.integers(0, 3))
def test_long_decimals_round_once(values, start):
    column = pa.chunked_array([pa.array(values, pa.decimal128(38, 10))[start:]])
    expected = [None if v is None else float(v) for v in values[start:]]
    assert conform(column, "d", dtypes.DECIMAL).to_pylist() == expected


def test_a_decimal_beyond_float64_is_infinite():
    huge = pa.Array.from_buffers(
        pa.decimal128(2, -308), 1, [None, pa.py_buffer((99).to_bytes(16, "little"))]
    )
    assert conform(pa.chunked_array([huge]), "d", dtypes.DECIMAL).to_pylist() == [math.inf]


def test_text_is_passed_through_in_every_form():
    for arrow in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.chunked_array([pa.array(["a", None], arrow)])
        assert conform(column, "s", dtypes.UTF8) is column
    coded = pa.chunked_array([pa.array(["a", None]).dictionary_encode()])
    assert conform(coded, "s", dtypes.UTF8) is coded
    with pytest.raises(TypeMismatch, match="fit saw utf8, got int64"):
        conform(pa.chunked_array([[1]]), "s", dtypes.UTF8)


def test_an_empty_column_conforms():
    for dtype in [*NUMBERS, *TIMES, dtypes.NULL]:
        for given_type in (pa.float64(), pa.int8(), pa.decimal128(5, 2), pa.date32(), pa.null()):
            column = pa.chunked_array([], given_type)
            assert physical_chunks(conform(column, "x", dtype)) == []
            assert len(conform(pa.chunked_array([pa.array([], given_type)]), "x", dtype)) == 0


def test_the_time_types_of_python_are_read_as_their_ticks():
    column = pa.chunked_array([pa.array([datetime(1970, 1, 2), None])])
    assert conform(column, "t", dtypes.DATE32).to_pylist() == [1, None]
    spans = pa.chunked_array([pa.array([timedelta(seconds=3)])])
    assert conform(spans, "d", dtypes.duration("ns")).to_pylist() == [3 * 10**9]
