"""Operands of every primitive, and the words of 64 bits that hold them, for tests of renderers."""

from __future__ import annotations

import math
import struct
from typing import Any

from hypothesis import strategies as st

from fastfeat.ir.dtypes import Physical
from fastfeat.scalars.primitives import PRIMITIVES

LEAST, GREATEST = -(1 << 63), (1 << 63) - 1
SPECIAL_INTEGERS = [0, 1, -1, 2, 63, 64, 1 << 32, (1 << 53) + 1, GREATEST, LEAST, LEAST + 1]
SPECIAL_FLOATS = [
    *(0.0, 0.5, 1.0, 1.5, 2.5, 0.1, math.pi, 5e-324, 2.0**-1022, 1e-40, 2.0**-150, 1e300),
    *(2.0**52 + 0.5, 2.0**53, 2.0**63, 1.7976931348623157e308, 3.4028235677973366e38, math.inf),
]
SPECIAL_FLOATS += [-value for value in SPECIAL_FLOATS] + [math.nan]
FLOATS = st.sampled_from(SPECIAL_FLOATS) | st.floats(width=64)
INTEGERS = st.sampled_from(SPECIAL_INTEGERS) | st.integers(LEAST, GREATEST)
ANY: dict[Physical, st.SearchStrategy[Any]] = {"f64": FLOATS, "i64": INTEGERS, "b1": st.booleans()}


def arguments(name: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return operands within what a row promises."""
    match name:
        case "shl_i64" | "shr_i64" | "lshr_i64":
            return st.tuples(INTEGERS, st.integers(0, 63))
        case "quotient_i64" | "remainder_i64":
            return st.tuples(INTEGERS, INTEGERS.filter(bool)).filter(lambda t: t != (LEAST, -1))
        case "i64_from_f64":
            within = st.sampled_from(SPECIAL_FLOATS) | st.floats(-(2.0**63), 2.0**62)
            return st.tuples(within.filter(lambda x: -(2.0**63) <= x < 2.0**63))
        case "remainder_scaled":
            fraction = st.floats(1.0, 2.0, exclude_max=True)
            exponent = st.sampled_from([0, 1, 51, 52, 53, 104, 2045, 4096]) | st.integers(0, 4096)
            return st.tuples(fraction, fraction, exponent.map(float))
        case _:
            return st.tuples(*[ANY[kind] for kind in PRIMITIVES[name].args])


def word(value: Any, physical: Physical) -> int:
    """Return the word that holds a value."""
    return struct.unpack("<q", struct.pack("<d", value))[0] if physical == "f64" else int(value)


def is_same(found: int, expected: Any, physical: Physical) -> bool:
    """Return whether a word holds a value; any NaN is the same as any other."""
    if physical == "f64" and math.isnan(expected):
        return math.isnan(struct.unpack("<d", struct.pack("<q", found))[0])
    return found == word(expected, physical)
