"""Tables of every kind of column for the generic tests, and the comparison of features."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from fastfeat.trust.selfcheck.tables import KINDS

LARGEST = 2**63 - 2  # one below the largest, so that adding a bool cannot overflow

TYPES: dict[str, pa.DataType] = {
    "f64": pa.float64(),
    "f32": pa.float32(),
    "i64": pa.int64(),
    "i8": pa.int8(),
    "u64": pa.uint64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "lat1": pa.float64(),
    "lat2": pa.float64(),
    "lat3": pa.float64(),
    "lat4": pa.float64(),
    "lf64": pa.list_(pa.float64()),
    "li8": pa.large_list(pa.int8()),
    "ltext": pa.list_(pa.string()),
    "pos": pa.float64(),
}
_SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 3.0, 7.0, 200.0, 1e300, -1e300, 5e-324, -1e-310]
_EXTREME = [math.nan, math.inf, -math.inf, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**60]
_MODERATE = st.floats(-1e6, 1e6) | st.sampled_from([x for x in _SPECIAL if abs(x) < 1e150])
_ANY_FLOAT = _MODERATE | st.sampled_from(_SPECIAL) | st.floats() | st.sampled_from(_EXTREME)
_FEW = st.integers(-3, 3).map(float)


def _values(extreme: bool) -> dict[str, st.SearchStrategy[Any]]:
    largest = LARGEST if extreme else 2**56
    float32 = st.floats(width=32) if extreme else st.floats(-1e6, 1e6, width=32)
    return {
        "f64": _ANY_FLOAT | _FEW if extreme else _MODERATE | _FEW,
        "f32": float32 | _FEW,
        "i64": st.integers(-largest, largest) | st.integers(-9, 30) | st.just(largest),
        "i8": st.integers(-128, 127),
        "u64": st.integers(0, largest) | st.integers(0, 30),
        "flag": st.booleans(),
        "text": st.sampled_from(["a", "b", "", "é", "zz"]) | st.text(max_size=3),
        "lf64": st.lists(st.none() | (_ANY_FLOAT if extreme else _MODERATE) | _FEW, max_size=4),
        "li8": st.lists(st.none() | st.integers(-128, 127), max_size=4),
        "ltext": st.lists(st.none() | st.sampled_from(["a", "b", "", "é"]), max_size=4),
        "pos": st.floats(5e-324, 1.7e308) if extreme else st.floats(1e-9, 1e9) | st.just(1.0),
        **dict.fromkeys(KINDS["degrees"], st.floats(-90, 90) | st.sampled_from([0.0, 90.0, -90.0])),
    }


@st.composite
def tables(draw: st.DrawFn, *, extreme: bool = True, min_rows: int = 0) -> pa.Table:
    """Return a table with a column of each of TYPES, some missing, in one or several chunks.

    Args:
        extreme: with the ends of each type, NaN and infinities; without them it can be learnt from.
    """
    n_rows = draw(st.integers(min_rows, 12))
    columns: dict[str, list[Any]] = {}
    for name, values in _values(extreme).items():
        present = st.none() | values if draw(st.booleans()) else values
        if draw(st.integers(0, 9)) == 0:
            present = st.none()
        columns[name] = draw(st.lists(present, min_size=n_rows, max_size=n_rows))
    return chunked(table_of(columns), draw(st.integers(0, n_rows)), draw(st.integers(0, 3)))


def table_of(columns: dict[str, list[Any]]) -> pa.Table:
    """Return lists of values as a table of the types of TYPES; NaN stays NaN."""
    return pa.table(
        {name: pa.array(values, TYPES[name], from_pandas=False) for name, values in columns.items()}
    )


def extreme_table() -> pa.Table:
    """Return a table with the special values and the ends of each type, in three turns."""
    floats = [*_EXTREME, *_SPECIAL]
    single = [math.nan, math.inf, -math.inf, 3.4028234663852886e38, -1e-45, 0.0, -0.0, 1.0]
    ends = {
        "f64": floats,
        "f32": single,
        "i64": [LARGEST, -LARGEST, 0, 1, -1, 2**53 + 1],
        "i8": [127, -128, 0],
        "u64": [LARGEST, 0, 2**53 + 1],
        "flag": [True, False],
        "text": ["", "a", "é"],
        "lf64": [floats, [], [math.nan], [1e300, 1.0, -1e300], None, [math.inf, -math.inf], [-0.0]],
        "li8": [[127, -128], [], None, [None, 0]],
        "ltext": [["", "a", "é"], None, [], [None]],
        "pos": [5e-324, 1.7e308, 1.0, math.inf, math.nan],
        **{name: [90.0, -90.0, 0.0, -0.0, 45.0] for name in KINDS["degrees"]},
    }
    n_rows = 3 * len(floats)
    return table_of({name: (v * n_rows)[:n_rows] for name, v in ends.items()})


def small_table() -> pa.Table:
    """Return a few ordinary rows, with ties and missing values, to learn from."""
    numbers = [3, None, 1, 4, 1, 5, 9, 2, 6]
    special = {"flag": [n is not None and n % 2 == 0 for n in numbers], "text": [*"abbacabz", None]}
    special |= {
        "lf64": [None if n is None else [float(n), None, 0.5][: n % 4] for n in numbers],
        "li8": [None if n is None else [*range(n)] for n in numbers],
        "ltext": [[], None, ["a"], ["b", "a"], ["a", None, "c"], ["c"], ["b", "b"], [], ["z"]],
    }
    return table_of({name: special.get(name, numbers) for name in TYPES})


def empty_table() -> pa.Table:
    """Return the table without rows."""
    return table_of({name: [] for name in TYPES})


def missing_table(n_rows: int) -> pa.Table:
    """Return a table in which everything is missing."""
    return table_of({name: [None] * n_rows for name in TYPES})


def chunked(table: pa.Table, at: int, offset: int) -> pa.Table:
    """Return the same rows in two chunks, as slices that begin at an offset of longer arrays."""
    first = pa.concat_tables([table.slice(0, min(offset, table.num_rows)), table]).combine_chunks()
    longer = first.slice(first.num_rows - table.num_rows)
    return pa.concat_tables([longer.slice(0, at), longer.slice(at)])


def values_of(column: Any) -> list[Any]:
    """Return a column as the references take it: Python values, None where missing, never NaN."""
    return [None if value is None or value != value else value for value in column.to_pylist()]


def bits_of(column: Any) -> tuple[list[bool], list[Any]]:
    """Return which rows are present, and the bit patterns of those."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    present = array.is_valid().to_pylist()
    known = array.drop_null()
    if pa.types.is_floating(array.type):
        width = f"u{array.type.bit_width // 8}"
        return present, known.to_numpy(zero_copy_only=False).view(width).tolist()
    return present, known.to_pylist()


def ulps_apart(result: float, expected: float, *, single: bool, size: float) -> float:
    """Return how far apart two floats are, in units in the last place; 0 and -0 are equal.

    Args:
        single: whether they are float32.
        size: floats below this are measured in units of the last place of this size.
    """
    if result == expected:
        return 0
    if single:
        return abs(_ordinal(np.float32(result)) - _ordinal(np.float32(expected)))
    if abs(expected) < size and math.isfinite(result):
        return abs(result - expected) / math.ulp(size)
    return abs(_ordinal(np.float64(result)) - _ordinal(np.float64(expected)))


def _ordinal(number: Any) -> int:
    """Return the position of a float among all floats of its width, in order; of NaN far away."""
    code, width = ("<i", "<f") if number.dtype == np.float32 else ("<q", "<d")
    if math.isnan(number):
        return 1 << 100
    bits = struct.unpack(code, struct.pack(width, float(number)))[0]
    return bits if bits >= 0 else -(bits & ((1 << (8 * number.dtype.itemsize - 1)) - 1))


def as_stored(expected: Sequence[Any], kind: Any) -> list[Any]:
    """Return what a reference gives as a feature of a type stores it; NaN is missing."""
    known = [None if value is None or value != value else value for value in expected]
    if pa.types.is_float32(kind):
        with np.errstate(over="ignore"):
            return [None if value is None else float(np.float32(float(value))) for value in known]
    if pa.types.is_floating(kind):
        return [None if value is None else float(value) for value in known]
    if pa.types.is_boolean(kind):
        return [None if value is None else bool(value) for value in known]
    return [None if value is None else int(value) for value in known]
