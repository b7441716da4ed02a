"""Conversions between float widths, with the processor set to flush subnormal numbers to zero."""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.errors import InvalidData
from fastfeat.io.columns.conform import conform
from fastfeat.io.columns.conversions import is_half, narrow, widen
from fastfeat.ir import dtypes

FLUSH_AND_DENORMALS_ARE_ZERO = 0x8040
LOAD_MXCSR = b"\x0f\xae\x17\xc3"  # ldmxcsr [rdi]; ret
on_x86 = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() == "Windows",
    reason="sets MXCSR by x86-64 machine code",
)


@contextmanager
def flushing_to_zero() -> Iterator[None]:
    """Switch on flush-to-zero for this thread, as a library built with -ffast-math does."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(LOAD_MXCSR)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    load = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))(address)
    load(ctypes.c_uint32(0x1F80 | FLUSH_AND_DENORMALS_ARE_ZERO))
    try:
        yield
    finally:
        load(ctypes.c_uint32(0x1F80))


SUBNORMAL = np.array([2.0**-149, -(2.0**-149), 5 * 2.0**-140, 2.0**-126, 0.0, -0.0, 1.5])


@on_x86
def test_flushing_is_on_inside_the_context_and_off_after_it():
    tiny = np.array([5e-324])
    with flushing_to_zero():
        assert (tiny * 1.0).tobytes() == bytes(8)
    assert (tiny * 1.0).tobytes() == tiny.tobytes()


@on_x86
def test_subnormal_float32_survives_both_ways():
    small = np.array([struct.unpack("f", struct.pack("f", v))[0] for v in SUBNORMAL], np.float32)
    with flushing_to_zero():
        wide = widen(small)
        back, exact = narrow(wide)
    assert wide.tobytes() == SUBNORMAL.tobytes()
    assert back.tobytes() == small.tobytes()
    assert exact.all()


@on_x86
def test_a_subnormal_float64_is_neither_an_integer_nor_a_float32():
    column = pa.chunked_array([pa.array([5e-324])])
    for dtype in (dtypes.INT64, dtypes.BOOL, dtypes.FLOAT32, dtypes.DType("float16")):
        with flushing_to_zero(), pytest.raises(InvalidData, match="in row 0 is not exactly"):
            conform(column, "x", dtype)


@given(st.lists(st.floats()))
def test_narrow_and_is_half_agree_with_struct(values):
    wide = np.array(values, dtype=np.float64)
    narrowed, exact = narrow(wide)
    half = is_half(wide)
    for row, value in enumerate(values):
        assert exact[row] == _survives(value, "f")
        assert half[row] == _survives(value, "e")
        if exact[row] and value == value:
            assert struct.pack("f", value) == narrowed[row : row + 1].tobytes()


def _survives(value: float, code: str) -> bool:
    """Whether a float is the same after a round trip through a width."""
    try:
        back = struct.unpack(code, struct.pack(code, value))[0]
    except OverflowError:
        return False
    return back == value or value != value
