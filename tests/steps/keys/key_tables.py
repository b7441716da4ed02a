"""Tables with keys of every type for the tests of what is learnt per key."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

_DAYS = st.dates(datetime.date(1990, 1, 1), datetime.date(1990, 1, 5))
KEYS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), st.sampled_from(["a", "b", "", "é", "a\0b", "ab" * 20, "z"])),
    "large": (pa.large_string(), st.sampled_from(["a", "b", "cc"])),
    "view": (pa.string_view(), st.sampled_from(["a", "a longer text than twelve bytes"])),
    "dict": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["x", "y", "z"])),
    "i64": (pa.int64(), st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])),
    "i8": (pa.int8(), st.integers(-2, 2)),
    "u64": (pa.uint64(), st.sampled_from([0, 1, 2**63, 2**64 - 1])),
    "f64": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 1e300])),
    "f32": (pa.float32(), st.sampled_from([0.0, -0.0, 0.5, math.nan])),
    "flag": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), _DAYS),
}
TARGETS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "y": (pa.int8(), st.integers(0, 1)),
    "z": (pa.float64(), st.floats(-1e6, 1e6) | st.sampled_from([1e300, -1e-300])),
    "w": (pa.int64(), st.integers(-5, 5)),
}


@st.composite
def key_tables(draw: st.DrawFn, *, min_rows: int = 1, max_rows: int = 30) -> pa.Table:
    """Return rows with a column of each of KEYS and TARGETS, some missing, in several chunks."""
    n_rows = draw(st.integers(min_rows, max_rows))
    columns: dict[str, pa.Array] = {}
    for name, (kind, values) in {**KEYS, **TARGETS}.items():
        present = st.none() | values if draw(st.booleans()) else values
        listed = draw(st.lists(present, min_size=n_rows, max_size=n_rows))
        columns[name] = pa.array(listed, kind, from_pandas=False)
    table = pa.table(columns)
    at = draw(st.integers(0, n_rows))
    return pa.concat_tables([table.slice(0, at), table.slice(at)])


def one_chunk(table: pa.Table) -> pa.Table:
    """Return the same rows in one chunk."""
    return table.combine_chunks()
