"""Types: which DType each Arrow type is read as, which Arrow type each DType is given out as."""

from __future__ import annotations

import pyarrow as pa
import pytest

from fastfeat.errors import TypeMismatch
from fastfeat.io.columns.types import (
    UnsupportedType,
    arrow_type,
    dtype_of,
    schema_of,
    storage_type,
    supported,
)
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import DType

READ_AS = {
    pa.bool_(): dtypes.BOOL,
    **{getattr(pa, name)(): DType(name) for name in dtypes.INTEGER_RANGE},
    **{getattr(pa, name)(): DType(name) for name in ("float16", "float32", "float64")},
    pa.decimal128(10, 2): dtypes.DECIMAL,
    pa.decimal256(60, 2): dtypes.DECIMAL,
    pa.date32(): dtypes.DATE32,
    pa.date64(): dtypes.DATE64,
    pa.time32("s"): dtypes.time("s"),
    pa.time32("ms"): dtypes.time("ms"),
    pa.time64("us"): dtypes.time("us"),
    pa.time64("ns"): dtypes.time("ns"),
    **{pa.duration(unit): dtypes.duration(unit) for unit in dtypes.UNITS},
    **{pa.timestamp(unit): dtypes.timestamp(unit) for unit in dtypes.UNITS},
    pa.timestamp("us", "Europe/Berlin"): dtypes.timestamp("us", "Europe/Berlin"),
    pa.string(): dtypes.UTF8,
    pa.large_string(): dtypes.UTF8,
    pa.string_view(): dtypes.UTF8,
    pa.binary(): dtypes.BINARY,
    pa.large_binary(): dtypes.BINARY,
    pa.binary_view(): dtypes.BINARY,
    pa.dictionary(pa.int8(), pa.binary()): dtypes.BINARY,
    pa.null(): dtypes.NULL,
    pa.dictionary(pa.int8(), pa.string()): dtypes.UTF8,
    pa.dictionary(pa.uint32(), pa.int64()): dtypes.INT64,
    pa.run_end_encoded(pa.int32(), pa.date32()): dtypes.DATE32,
}
UNREADABLE = [
    pa.list_(pa.list_(pa.int64())),
    pa.struct([("a", pa.int8())]),
    pa.map_(pa.string(), pa.int8()),
    pa.binary(4),
    pa.month_day_nano_interval(),
    pa.uuid() if hasattr(pa, "uuid") else pa.binary(16),
]


@pytest.mark.parametrize("given", READ_AS, ids=str)
def test_every_readable_arrow_type_has_its_dtype(given):
    assert dtype_of(given) == READ_AS[given]


@pytest.mark.parametrize(
    "given", [pa.decimal128(38, 0), pa.decimal128(5, -2), pa.decimal256(60, 0)], ids=str
)
def test_decimals_without_digits_after_the_point_are_integers(given):
    assert dtype_of(given) == dtypes.INT64
    assert dtype_of(pa.list_(given)) == dtypes.list_of(dtypes.INT64)


@pytest.mark.parametrize("name", ["decimal32", "decimal64"])
def test_narrow_decimals_are_decimals(name):
    if not hasattr(pa, name):
        pytest.skip(f"this pyarrow has no {name}")
    assert dtype_of(getattr(pa, name)(5, 1)) == dtypes.DECIMAL
    assert dtype_of(getattr(pa, name)(5, 0)) == dtypes.INT64


@pytest.mark.parametrize("given", UNREADABLE, ids=str)
def test_other_types_are_marked_in_a_schema_and_refused_on_use(given):
    with pytest.raises(TypeMismatch, match="cannot be read by an expression"):
        dtype_of(given)
    marked = schema_of(pa.schema([("x", given), ("y", pa.int8())]))
    assert marked == {"x": UnsupportedType(str(given)), "y": dtypes.INT8}
    assert supported(marked["y"], "y") == dtypes.INT8
    with pytest.raises(TypeMismatch) as caught:
        supported(marked["x"], "x")
    assert str(caught.value).startswith(f'col("x"): columns of type {given} cannot be read')
    assert "keep=" in str(caught.value)


@pytest.mark.parametrize("given", READ_AS, ids=str)
def test_a_feature_of_a_type_is_given_out_as_the_type_it_was_read_from(given):
    dtype = READ_AS[given]
    if dtype == dtypes.UTF8:
        assert arrow_type(dtype) == pa.string()
    elif dtype == dtypes.BINARY:
        assert arrow_type(dtype) == pa.binary()
    elif dtype == dtypes.DECIMAL:
        assert arrow_type(dtype) == pa.float64()
    elif pa.types.is_dictionary(given) or pa.types.is_run_end_encoded(given):
        assert arrow_type(dtype) == given.value_type
    else:
        assert arrow_type(dtype) == given


def test_times_are_stored_as_integers_of_their_width():
    assert storage_type(dtypes.DATE32) == storage_type(dtypes.time("ms")) == pa.int32()
    for dtype in (dtypes.DATE64, dtypes.time("us"), dtypes.duration("s"), dtypes.timestamp("s")):
        assert storage_type(dtype) == pa.int64()
    for dtype in (dtypes.DType("float16"), dtypes.DECIMAL, dtypes.NULL, dtypes.FLOAT64):
        assert storage_type(dtype) == pa.float64()
    assert storage_type(dtypes.BOOL) == pa.bool_()
