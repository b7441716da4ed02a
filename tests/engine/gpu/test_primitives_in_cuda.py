"""Every primitive in CUDA gives the bits of its reference, on the emulator."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.programs.render import CUDA
from fastfeat.ir.dtypes import Physical
from fastfeat.scalars.primitives import PRIMITIVES
from fastfeat_tests.engine.gpu.device_kernels import primitive_kernels, run_kernel

pytestmark = pytest.mark.emulator

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
N_ROWS = 64


def _arguments(name: str) -> st.SearchStrategy[tuple[Any, ...]]:
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


def _word(value: Any, physical: Physical) -> int:
    return struct.unpack("<q", struct.pack("<d", value))[0] if physical == "f64" else int(value)


@cache
def _runtime() -> EmulatedRuntime:
    return EmulatedRuntime()


def _computed(name: str, rows: list[tuple[Any, ...]]) -> list[int]:
    args = PRIMITIVES[name].args
    columns = [
        np.array([_word(row[k], kind) for row in rows], np.int64) for k, kind in enumerate(args)
    ]
    out = np.empty(N_ROWS, np.int64)
    text = primitive_kernels()
    return run_kernel(_runtime(), text, [*columns, out], kernel=f"of_{name}", n=N_ROWS)[-1].tolist()


def _is_same(word: int, expected: Any, physical: Physical) -> bool:
    if physical == "f64" and math.isnan(expected):
        return math.isnan(struct.unpack("<d", struct.pack("<q", word))[0])
    return word == _word(expected, physical)


def test_every_primitive_has_an_expression() -> None:
    assert set(CUDA) == set(PRIMITIVES)


@pytest.mark.parametrize("name", [name for name in CUDA if not PRIMITIVES[name].reads_memory])
# one example is N_ROWS rows of arguments
@settings(max_examples=8 + settings().max_examples // 10)
@given(data=st.data())
def test_an_expression_gives_the_bits_of_the_reference(name: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(_arguments(name), min_size=N_ROWS, max_size=N_ROWS))
    row = PRIMITIVES[name]
    for operands, word in zip(rows, _computed(name, rows), strict=True):
        assert _is_same(word, row.python(*operands), row.result), (name, operands, word)


@pytest.mark.parametrize("name", ["load_f64", "load_i64"])
def test_a_load_reads_an_element(name: str) -> None:
    kind = PRIMITIVES[name].result
    values = SPECIAL_FLOATS if kind == "f64" else SPECIAL_INTEGERS
    content = np.array([_word(value, kind) for value in values], np.int64)
    k = np.arange(N_ROWS) % len(content)
    runtime = _runtime()
    held = runtime.allocate(content.nbytes)
    runtime.upload(content, held)
    address = np.full(N_ROWS, held.address)
    out = np.empty(N_ROWS, np.int64)
    columns = [address, k, out]
    result = run_kernel(runtime, primitive_kernels(), columns, kernel=f"of_{name}", n=N_ROWS)[-1]
    assert result.tolist() == content[k].tolist()
