"""Conversions at the border of a device, against those at the border of the host."""

from __future__ import annotations

import math
import struct
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fastfeat.io.columns.conversions import conversion
from fastfeat.io.columns.types import storage_type
from fastfeat.ir.dtypes import BOOL, DECIMAL, INTEGER_RANGE, UNITS, DType, duration, time, timestamp
from fastfeat.scalars import op
from fastfeat.scalars.exact_conversion import convert_exactly
from fastfeat.scalars.interpret import evaluate
from fastfeat.scalars.value import Value, column_slot

NUMBERS = (BOOL, *map(DType, INTEGER_RANGE), DType("float32"), DType("float64"))
DATES = (DType("date32"), DType("date64"), *map(timestamp, UNITS))
TIMES = (*map(time, UNITS), *map(duration, UNITS), timestamp("ms", "UTC"), timestamp("us", "UTC"))
POWERS = [2**k + d for k in (0, 5, 10, 11, 16, 24, 25, 31, 32, 53, 54, 62, 63) for d in (-1, 0, 1)]
TICKS = [1, 86_400, 86_400_000, 86_400_000_000_000, 10**3, 10**6, 10**9, 2**31, 2**63 // 1000 + 1]
WHOLE = [0, 65_504, 65_505, 65_520, 3 * 2**60, 2**64 - 2**11, 2**64 - 1, -(2**63), *POWERS, *TICKS]
FLOATS = [
    *(float(k) for k in WHOLE),
    *(0.5, 0.1, 5e-324, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 2.0**-14, 2.0**-149, 2.0**-150, 1e39),
    *(65519.0, 1e300, 2.0**127, 3.4028234663852886e38, math.inf, math.nan),
]
PAIRS = [
    (given, wanted)
    for given, wanted in [
        *product(NUMBERS, (*NUMBERS, DType("float16"), DECIMAL)),
        *product((*DATES, *TIMES), (*DATES, *TIMES)),
    ]
    if given != wanted and conversion(given, wanted) is not None
]


def values_of(dtype: DType) -> Any:
    """Return an Arrow array of a type in the storage of kernels: extremes, and one missing."""
    storage = storage_type(dtype)
    if dtype == BOOL:
        return pa.array([True, False, None])
    signed = [*WHOLE, *(-k for k in WHOLE)]
    if dtype.is_float:
        floats = [*FLOATS, *(-x for x in FLOATS)]
        with np.errstate(over="ignore"):
            return pa.array([*np.array(floats, dtype.name).tolist(), None], storage)
    bounds = np.iinfo(np.dtype(str(storage)))
    return pa.array([*(k for k in signed if bounds.min <= k <= bounds.max), None], storage)


def bits_of(value: float) -> bytes:
    return struct.pack("<d", value if value == value else math.nan)


@pytest.mark.parametrize(("given", "wanted"), PAIRS, ids=str)
def test_a_value_is_converted_as_at_the_border_of_the_host(given: DType, wanted: DType) -> None:
    array = values_of(given)
    convert = conversion(given, wanted)
    assert convert is not None
    host = convert(array, given, wanted)
    slot = column_slot("x", given)
    ok = op.TRUE if given.is_float else op.input_ok(slot)
    result = convert_exactly(Value(given, op.input_value(slot, given.physical), ok), wanted)
    for row, value in enumerate(array.to_pylist()):
        present = value is not None
        read = value if present else {"f64": math.nan, "i64": 0, "b1": False}[given.physical]
        if given.name == "uint64" and read >= 1 << 63:
            read -= 1 << 64
        found, is_there, status = evaluate(
            [result.op, result.ok, result.status],
            lambda node, r=read, p=present: r if node.name == "input" else p,
        )
        is_missing = not present if host.present is None else not host.present[row]
        if is_missing:
            assert (status, found != found if wanted.is_float else is_there) == (
                0, wanted.is_float
            ), value  # fmt: skip
        elif not host.exact[row]:
            assert status != 0, value
        else:
            assert (bool(is_there), status) == (True, 0), value
            expected = host.values[row].item()
            if wanted.is_float:
                assert bits_of(found) == bits_of(expected), value
            else:
                assert int(found) % (1 << 64) == int(expected) % (1 << 64), value
