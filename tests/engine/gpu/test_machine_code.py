"""Every kernel compiled for every architecture: what it takes, and what its assembly may hold."""

from __future__ import annotations

from typing import Any

import pytest

from fastfeat.engine.gpu.compile.cuda import FLAGS
from fastfeat.engine.gpu.compile.nvrtc import CompiledModule, compile_text, resources_of
from fastfeat.engine.gpu.runtime import PRELUDE
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL
from fastfeat_tests.engine.gpu.device_modules import (
    ARCHITECTURES,
    GENERATED,
    HAND_WRITTEN,
    PRELUDE_TEXT,
    TEXT,
    WINDOWS,
    compiled,
    module_text,
    texts_of,
)
from fastfeat_tests.engine.gpu.ptx_lint import findings, spelled_fma

pytestmark = pytest.mark.cuda_compile

MOST_REGISTERS = {
    "hashes": 64,
    "keys": 80,
    "grouped": 64,
    "ranks": 64,
    **dict.fromkeys(TEXT, 64),
    **dict.fromkeys(WINDOWS, 80),
    "list rows": 64,
    "moments": 80,
    "selection": 40,
    "primitives": 64,
    "bench 12": 72,
}
"""Registers of a thread; 128 where it is not said, for two blocks of 256 a multiprocessor."""


def _case(name: str, architecture: int) -> Any:
    """Return parameters; each run has all modules of the first architecture, and some others."""
    is_first = architecture == ARCHITECTURES[0]
    marks = () if is_first else pytest.mark.sampled(f"{name} of {architecture}")
    return pytest.param(name, architecture, marks=marks)


of_every_module = pytest.mark.parametrize(
    ("name", "architecture"),
    [_case(name, k) for k in ARCHITECTURES for name in (*GENERATED, *HAND_WRITTEN)],
)


@of_every_module
def test_a_kernel_keeps_its_budget(name: str, architecture: int) -> None:
    for text in texts_of(name):
        taken = resources_of(compiled(text, architecture).log)
        assert len(taken) == text.count("__global__") > 0
        for kernel, has in taken.items():
            assert (has.spilled_bytes, has.stack_bytes) == (0, 0), kernel
            assert 0 < has.registers <= MOST_REGISTERS.get(name, 128), kernel
            assert has.shared_bytes <= 48 << 10, kernel


@of_every_module
def test_assembly_holds_nothing_that_changes_bits(name: str, architecture: int) -> None:
    for text in texts_of(name):
        n_fma = spelled_fma(text, PRELUDE_TEXT)
        assert findings(compiled(text, architecture).ptx, n_fma) == []


def test_many_calls_are_compiled_once_each() -> None:
    text = module_text("wide")
    assert text.count("__noinline__") == text.count("static __device__") > 4
    assert compiled(text, 90).ptx.count("call.uni") > 24


def test_a_maximum_is_two_comparisons_where_it_is_compared_only() -> None:
    compared = "max.f64 %rd3, %rd1, %rd2;\nsetp.gt.f64 %p1, %rd3, 0d43E0000000000000;\n"
    assert findings(compared, 0) == []
    for use in ("st.global.f64 [%rd4], %rd3;", "setp.gt.f64 %p1, %rd5, %rd3;"):
        (told,) = findings(compared + use, 0)
        assert "has rules of its own" in told


# ---- seeded faults: what the lint and the budgets are for


def seeded(body: str, *flags: str) -> CompiledModule:
    """Return what a kernel with a fault compiles to; later flags override."""
    source = f'#include "{PRELUDE}"\n{KERNEL} kernel{ARGUMENTS} {{\n{body}\n}}'
    options = ("-arch=sm_90", *FLAGS, *flags)
    return compile_text(source, "kernel.cu", {PRELUDE: PRELUDE_TEXT}, options)


GENERIC = (
    "FF_SHARED(double, own, 32); double* x = n > 5 ? own : FF_GLOBAL(double, table[0]);\n"
    "x[first] += 1;"
)
X = (
    "const double* x = FF_GLOBAL(const double, table[0]);\n"
    "double* y = FF_GLOBAL(double, table[1]);\n"
)
Z = X.replace("double", "float")
SUM_OF_PRODUCT = X + "y[n] = x[0] * x[1] + x[2];"
ARRAY = X + "double a[64]; for (int k = 0; k < n; k++) a[k & 63] = x[k]; y[0] = a[first & 63];"
MANY = "".join(f"double a{k} = x[{k} * n];" for k in range(200))
BUSY = (
    X + MANY + "for (int j = 0; j < n; j++) {"
    + "".join(f"a{k} = a{k} * a{(k + 7) % 200};" for k in range(200))
    + "} y[0] = " + " + ".join(f"a{k}" for k in range(200)) + ";"
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "flags", "message"),
    [
        (SUM_OF_PRODUCT, ("-fmad=true",), "1 fused operations, the text spells out 0"),
        (Z + "y[n] = x[0] + x[1];", ("-ftz=true",), "flushes small numbers"),
        (Z + "y[n] = x[0] / x[1];", ("-prec-div=false",), "approx"),
        (Z + "y[n] = sinf(x[n]);", ("--use_fast_math",), "sin.approx"),
        (ARRAY, (), "memory of a thread"),
        (GENERIC, (), "leaves memory open"),
        (X + "y[n] = fmin(x[0], x[1]);", (), "rules of its own"),
        (X + "y[n] = exp(x[0]);", (), "fused operations, the text spells out 0"),
        (X + "y[n] = sin(x[0]);", (), "fused operations, the text spells out 0"),
        (X + 'printf("%f", x[0]);', (), "calls what is not ours"),
        ("__trap(); assert(n > 0);", (), "comes from elsewhere"),
    ],
)
def test_the_lint_finds_a_seeded_fault(body: str, flags: tuple[str, ...], message: str) -> None:
    found = findings(seeded(body, *flags).ptx, 0)
    assert any(message in line for line in found), found


def test_the_lint_is_silent_about_the_same_kernel_with_our_flags() -> None:
    assert findings(seeded(SUM_OF_PRODUCT).ptx, 0) == []
    assert findings(seeded(Z + "y[n] = x[0] / x[1];").ptx, 0) == []


def test_the_lint_counts_what_is_spelled_out() -> None:
    text = (
        "static __device__ __forceinline__ double ff_twice(double x) {\n"
        "    return __fma_rn(x, x, __fma_rn(x, x, x));\n}\n"
        f"{KERNEL} kernel{ARGUMENTS} {{\n    ff_twice(1.0); ff_twice(2.0); __fma_rn(1, 2, 3);\n}}"
    )
    assert spelled_fma(text, "") == 5
    assert spelled_fma("", PRELUDE_TEXT) == PRELUDE_TEXT.count("__fma_rn(")


@pytest.mark.parametrize("body", [ARRAY, BUSY])
def test_the_log_tells_of_a_stack_and_of_spills(body: str) -> None:
    (has,) = resources_of(seeded(body).log).values()
    assert has.stack_bytes > 0
    assert (has.spilled_bytes > 0) == (body is BUSY)


@pytest.mark.parametrize(
    ("line", "is_sound"),
    [
        ("max.f64 %fd1, %fd2, 0d0000000000000000;", True),
        ("max.f64 %fd1, %fd2, 0d8000000000000000;", False),
        ("min.f64 %fd1, %fd2, 0d404A000000000000;", True),
        ("min.f64 %fd1, %fd2, 0d0000000000000000;", False),
        ("max.f64 %fd1, %fd2, %fd3;", False),
        ("min.NaN.f32 %f1, %f2, 0f3F800000;", False),
    ],
)
def test_extremes_are_those_of_a_constant_that_no_zero_equals(line: str, is_sound: bool) -> None:
    assert (findings(line, 0) == []) == is_sound
