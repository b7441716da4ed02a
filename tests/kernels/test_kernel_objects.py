"""Compiled entries: what they may need, that they load without Numba, the float environment."""

from __future__ import annotations

import importlib
import platform
import re
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.compile import assembly_of, compile_entry, kernel_of_process
from fastfeat_kernels.intrinsics import (
    intrinsic,
    opaque,
    pointer_float64,
    pointer_int64,
    read_bits,
    swap_float_environment,
)
from fastfeat_kernels.llvm import NotCacheable
from fastfeat_kernels.load import LoadedKernel, load_object
from fastfeat_kernels.moments.state import make_table, new_state, read_state, summarize
from fastfeat_kernels.selection.state import select
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import binding
from numba import types

from fastfeat_tests.kernels.kernel_columns import compiled, kernel_of, numpy_chunk
from fastfeat_tests.patience import PATIENCE_S

X86 = platform.machine().lower() in ("x86_64", "amd64")
ARM = platform.machine().lower() in ("aarch64", "arm64")
FLUSH_TO_ZERO = 0x9FC0 if X86 else 1 << 24  # MXCSR with FTZ and DAZ; FPCR with FZ


def _swap(table: int, first: int, n: int) -> int:
    return swap_float_environment(first)


def _halve(table: int, first: int, n: int) -> int:
    x = pointer_float64(table)
    for i in range(n):
        x[i] = x[i] * 0.5
    return 0


def _read_bits(table: int, first: int, n: int) -> int:
    return read_bits(table, first, n)


@intrinsic
def _frem(typingctx: Any, x: Any, y: Any) -> Any:
    """Return what LLVM has no instruction for: it calls fmod."""
    generate = lambda context, builder, signature, args: builder.frem(*args)  # noqa: E731
    return types.float64(types.float64, types.float64), generate


def _remainder(table: int, first: int, n: int) -> int:
    return int(_frem(float(first), float(n)))


def _raise(table: int, first: int, n: int) -> int:
    if n < 0:
        raise ValueError("n")
    return pointer_int64(opaque(table))[0]


@cache
def loaded(entry: Any) -> LoadedKernel:
    return load_object(*compile_entry(entry))


@pytest.mark.parametrize("entry", [_remainder, _raise])
def test_code_that_needs_a_foreign_symbol_is_refused(entry: Any) -> None:
    with pytest.raises(NotCacheable, match=entry.__name__):
        compile_entry(entry)


def test_code_that_needs_a_foreign_symbol_runs_in_this_process() -> None:
    kernel = kernel_of_process(_remainder)
    assert [kernel(0, 7, 4), kernel(0, -7, 4)] == [3, -3]


def test_a_hand_written_kernel_runs_without_the_private_interface() -> None:
    kernel = kernel_of_process(
        importlib.import_module("fastfeat_kernels.moments.cpu").ENTRIES["integers"]
    )
    values, state = np.arange(5000), new_state()
    table = make_table("int64", numpy_chunk(values), state, 2, 0)
    assert kernel(table.ctypes.data, 0, len(values)) == 0
    assert read_state("int64", state, 2).sum == sum(range(5000))


def test_objects_and_kernels_of_the_process_share_functions() -> None:
    entry = importlib.import_module("fastfeat_kernels.windows.cpu").ENTRIES["deal"]
    kernel_of_process(entry)  # finalizes what it calls, which then holds what that calls
    load_object(*compile_entry(entry))
    kernel_of_process(entry)


def test_object_loads_and_runs_without_numba(tmp_path: Path) -> None:
    code, symbol = compile_entry(
        importlib.import_module("fastfeat_kernels.moments.cpu").ENTRIES["floats"]
    )
    (tmp_path / "code").write_bytes(code)
    script = f"""
import sys
from pathlib import Path
import numpy as np
from fastfeat_kernels.load import load_object
from fastfeat_kernels.moments.state import make_table, new_state, read_state
from dataclasses import dataclass
@dataclass
class Chunk:
    values: int; length: int; value_bit_offset: int = 0; validity: int = 0; bit_offset: int = 0
kernel = load_object(Path({str(tmp_path / "code")!r}).read_bytes(), {symbol!r})
x, state = np.arange(3000.0), new_state()
table = make_table("float64", Chunk(x.ctypes.data, len(x)), state, 2, 0)
assert kernel(table.ctypes.data, 0, len(x)) == 0
moments = read_state("float64", state, 2)
assert moments.sum >> moments.scale == sum(range(3000)), moments
assert moments.sum_of_squares >> 2 * moments.scale == sum(i * i for i in range(3000)), moments
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE_S)


def test_unknown_symbol_is_an_error() -> None:
    code, _ = compile_entry(_halve)
    with pytest.raises(ValueError, match="nothing_of_the_kind"):
        load_object(code, "nothing_of_the_kind")


@given(st.binary(min_size=1, max_size=30), st.data())
def test_read_bits_at_any_offset(content: bytes, data: st.DataObject) -> None:
    n = data.draw(st.integers(0, min(64, 8 * len(content))))
    first = data.draw(st.integers(0, 8 * len(content) - n))
    memory = np.frombuffer(content, np.uint8).copy()
    word = loaded(_read_bits)(memory.ctypes.data, first, n) % 2**64
    assert word == int.from_bytes(content, "little") >> first & (1 << n) - 1


@pytest.mark.skipif(not (X86 or ARM), reason="no float environment is known for this machine")
def test_flush_to_zero_changes_nothing() -> None:
    swap = loaded(_swap)
    tiny = np.random.default_rng(2).uniform(-1, 1, 5000) * 1e-310
    mixed = np.where(np.arange(5000) % 7 == 0, 1e-150, tiny)
    floats, singles = numpy_chunk(mixed), numpy_chunk(np.full(100, 1e-42, np.float32))
    clean = np.full(8, 2.0**-1022)
    ranks = [0, 1, 2500, 4998, 4999]
    kernel_of("moments", "floats")  # compiled before, so that what runs below is the kernel
    arguments = ("float64", [floats], lambda _: ranks, compiled("selection"))
    expected = select(*arguments)
    before = swap(0, FLUSH_TO_ZERO, 0)
    try:
        loaded(_halve)(clean.ctypes.data, 0, len(clean))
        found = summarize("float64", [floats], 2, compiled("moments"))
        of_singles = summarize("float32", [singles], 2, compiled("moments"))
        selected = select(*arguments)
    finally:
        after = swap(0, before, 0)
    assert clean.tolist() == [0.0] * 8  # it was on: a kernel that does not guard itself loses bits
    assert after & FLUSH_TO_ZERO == FLUSH_TO_ZERO  # and the kernels left it on
    exact = [Fraction(x) for x in mixed]
    assert Fraction(found.sum, 1 << found.scale) == sum(exact)
    assert Fraction(found.sum_of_squares, 1 << 2 * found.scale) == sum(x * x for x in exact)
    single = Fraction(float(np.float32(1e-42)))
    assert Fraction(of_singles.sum, 1 << of_singles.scale) == 100 * single
    assert Fraction(of_singles.sum_of_squares, 1 << 2 * of_singles.scale) == 100 * single * single
    assert selected == expected


@pytest.mark.skipif(not X86, reason="counts x86 instructions")
def test_moments_are_computed_in_vectors() -> None:
    features = binding.get_host_cpu_features()
    if not (features.get("avx2") and features.get("fma")):
        pytest.skip("this CPU has no AVX2 with fma")
    text = assembly_of(importlib.import_module("fastfeat_kernels.moments.cpu").ENTRIES["floats"])
    packed = re.findall(r"\bvfn?m(?:add|sub)\d+pd\b", text)
    assert len(packed) >= 6
    assert len(re.findall(r"\bvpminuq\b|\bvpminsq\b|\bvpcmpgtq\b", text)) >= 2
