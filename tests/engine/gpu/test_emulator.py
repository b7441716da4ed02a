"""The emulator: what CUDA promises holds in every order, and what it does not is an error."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime, ThreadOrder
from fastfeat.engine.gpu.runtime import grid_of
from fastfeat.errors import KernelFailed
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL, run_kernel

pytestmark = pytest.mark.emulator

ORDERS: tuple[ThreadOrder, ...] = ("forward", "reverse", "random")
in_every_order = pytest.mark.parametrize("order", ORDERS)

SUM_OF_BLOCK = f"""
{KERNEL} kernel{ARGUMENTS} {{
    FF_SHARED(i64, sums, 64);
    const i64* x = (const i64*)table[0];
    i64 row = (i64)blockIdx.x * 64 + threadIdx.x;
    sums[threadIdx.x] = row < n ? x[row] : 0;
    __syncthreads();
    for (u32 half = 32; half > 0; half /= 2) {{
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }}
    if (threadIdx.x == 0) ((i64*)table[1])[blockIdx.y * gridDim.x + blockIdx.x] = sums[0];
}}"""


def _body(text: str) -> str:
    return f"{KERNEL} kernel{ARGUMENTS} {{\n{text}\n}}"


def _integers(n: int) -> NDArray[Any]:
    return np.random.default_rng(n).integers(-1000, 1000, n)


@in_every_order
@pytest.mark.parametrize("resident", [1, 3])
def test_blocks_sum_through_shared_memory_and_barriers(order: ThreadOrder, resident: int) -> None:
    x = _integers(1000)
    padded = np.concatenate([x, np.zeros(24, np.int64)])
    runtime = EmulatedRuntime(order, resident=resident)
    grid = (grid_of(len(x), 64), 3)
    sums = run_kernel(runtime, SUM_OF_BLOCK, [x, np.zeros(48, np.int64)], grid=grid, n=len(x))[1]
    assert sums.tolist() == padded.reshape(-1, 64).sum(axis=1).tolist() * 3


@in_every_order
def test_atomics_count_in_shared_and_global_memory(order: ThreadOrder) -> None:
    text = _body("""
        FF_DYNAMIC_SHARED(u32, counts);
        const i64* x = (const i64*)table[0];
        for (u32 k = threadIdx.x; k < 10; k += blockDim.x) counts[k] = 0;
        __syncthreads();
        i64 step = (i64)gridDim.x * blockDim.x;
        for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
            atomicAdd(&counts[x[i]], 1u);
        __syncthreads();
        for (u32 k = threadIdx.x; k < 10; k += blockDim.x)
            ff_atomic_add(&((i64*)table[1])[k], counts[k]);""")
    x = _integers(1000) % 10
    arrays = [x, np.zeros(10, np.int64)]
    counts = run_kernel(
        EmulatedRuntime(order, seed=7), text, arrays, grid=(4, 1), n=len(x), shared_bytes=40
    )[1]
    assert counts.tolist() == np.bincount(x).tolist()


@in_every_order
@pytest.mark.parametrize(
    ("operation", "kind", "expected"),
    [
        ("atomicAdd", "u32", lambda x: x.sum()),
        ("atomicAdd", "u64", lambda x: x.sum()),
        ("atomicMin", "i64", lambda x: min(x.min(), 50)),
        ("atomicMax", "i64", lambda x: max(x.max(), 50)),
        ("atomicMin", "i32", lambda x: min(x.min(), 50)),
        ("atomicMax", "u32", lambda x: max(x.max(), 50)),
        ("atomicOr", "u64", lambda x: np.bitwise_or.reduce(x) | 50),
        ("atomicAnd", "u32", lambda x: np.bitwise_and.reduce(x) & 50),
    ],
)
def test_an_atomic_operation_gathers_all_threads(
    order: ThreadOrder, operation: str, kind: str, expected: Any
) -> None:
    text = _body(f"{operation}(({kind}*)table[1], (({kind}*)table[0])[threadIdx.x]);")
    dtype = {"i": "int", "u": "uint"}[kind[0]] + kind[1:]
    x = np.random.default_rng(0).integers(3, 900, 64).astype(dtype)
    start = np.array([0 if operation == "atomicAdd" else 50], dtype)
    result = run_kernel(EmulatedRuntime(order), text, [x, start])[1]
    assert result.tolist() == [expected(x)]


@in_every_order
def test_an_exchange_and_a_comparison_return_what_was_there(order: ThreadOrder) -> None:
    text = _body("""
        i32* out = (i32*)table[0];
        i32 mine = (i32)threadIdx.x + 1;
        i32 before = atomicCAS(&out[0], 0, mine);
        if (before == 0) out[1] = atomicExch(&out[2], mine);""")
    out = run_kernel(EmulatedRuntime(order), text, [np.array([0, 0, -7], np.int32)])[0]
    assert out[0] == out[2] in range(1, 65)
    assert out[1] == -7


@in_every_order
def test_warp_operations_exchange_values_of_lanes(order: ThreadOrder) -> None:
    text = _body("""
        i64* out = (i64*)table[0] + 10 * threadIdx.x;
        u32 all = 0xffffffffu, lane = threadIdx.x % 32;
        double x = 0.5 * threadIdx.x;
        out[0] = (i64)(2 * __shfl_sync(all, x, 3));
        out[1] = (i64)(2 * __shfl_down_sync(all, x, 30));
        out[2] = (i64)(2 * __shfl_up_sync(all, x, 30));
        out[3] = (i64)(2 * __shfl_xor_sync(all, x, 1));
        out[4] = __ballot_sync(all, lane % 3 == 0);
        out[5] = __any_sync(all, threadIdx.x == 40);
        out[6] = __match_any_sync(all, lane / 8);
        out[7] = __syncthreads_count(threadIdx.x % 5 == 0);
        out[8] = __syncthreads_or(threadIdx.x == 63) + 2 * __syncthreads_or(false);
        if (lane < 16) out[9] = __ballot_sync(0xffffu, true);
        else out[9] = __popc(__ballot_sync(0xffff0000u, lane > 20));""")
    out = run_kernel(EmulatedRuntime(order), text, [np.zeros((64, 10), np.int64)])[0]
    for t, row in enumerate(out.tolist()):
        warp, lane = t // 32 * 32, t % 32
        assert row == [
            warp + 3,
            warp + (lane + 30 if lane < 2 else lane),
            warp + (lane - 30 if lane >= 30 else lane),
            t ^ 1,
            0x49249249,
            int(warp == 32),
            0xFF << lane // 8 * 8,
            13,
            1,
            0xFFFF if lane < 16 else 11,
        ]


def test_bit_counts_are_those_of_cuda() -> None:
    text = _body("""
        const u64 x = ((const u64*)table[0])[threadIdx.x];
        i32* out = (i32*)table[1] + 6 * threadIdx.x;
        out[0] = __popc((u32)x);
        out[1] = __popcll(x);
        out[2] = __ffs((i32)x);
        out[3] = __ffsll((i64)x);
        out[4] = __clz((i32)x);
        out[5] = __clzll((i64)x);""")
    x = np.array([0, 1, *(1 << k for k in range(1, 60)), 5 << 40, 2**64 - 1, 2**63], np.uint64)
    out = run_kernel(EmulatedRuntime(), text, [x, np.zeros((64, 6), np.int32)])[1]
    for value, row in zip(x.tolist(), out.tolist(), strict=True):
        low = value % 2**32
        first = [(v & -v).bit_length() for v in (low, value)]
        leading = [32 - low.bit_length(), 64 - value.bit_length()]
        assert row == [low.bit_count(), value.bit_count(), *first, *leading]


@in_every_order
def test_bitmaps_are_read_at_any_bit_and_written_by_words(order: ThreadOrder) -> None:
    text = _body("""
        for (i64 start = (i64)blockIdx.x * blockDim.x; start < n; start += gridDim.x * blockDim.x) {
            i64 row = start + threadIdx.x;
            bool live = row < n;
            bool bit = live && ff_present((const u32*)table[0], 5, row);
            ff_write_bits((u32*)table[1], start, bit, live);
        }""")
    bits = np.random.default_rng(1).random(1005) < 0.5
    packed = np.packbits(np.concatenate([bits, np.zeros(19, bool)]), bitorder="little")
    out = run_kernel(
        EmulatedRuntime(order), text, [packed, np.zeros(128, np.uint8)], grid=(3, 1), n=1000
    )[1]
    written = np.unpackbits(out, bitorder="little")
    assert written[:1000].tolist() == bits[5:1005].astype(int).tolist()
    assert not written[1000:].any()


def test_random_orders_differ_by_seed() -> None:
    text = _body("((i64*)table[0])[atomicAdd((u32*)table[1], 1u)] = threadIdx.x;")
    arrays = [np.zeros(64, np.int64), np.zeros(1, np.uint32)]
    ran = [run_kernel(EmulatedRuntime("random", seed), text, arrays)[0] for seed in (1, 1, 2)]
    assert ran[0].tolist() == ran[1].tolist() != ran[2].tolist()
    assert sorted(ran[2]) == list(range(64))
    in_order = {order: run_kernel(EmulatedRuntime(order), text, arrays)[0] for order in ORDERS[:2]}
    assert in_order["forward"].tolist() == in_order["reverse"][::-1].tolist() == list(range(64))


REFUSED = {
    "divergent barrier in block (0, 0): thread 0 waits at line 2, thread 8 at 4": """
        if (threadIdx.x < 8) { __syncthreads(); ((i64*)table[0])[0] = 1;
        } else {
            __syncthreads(); }""",
    "thread 8 waits at line 3, and another has left the kernel": """
        if (threadIdx.x < 8) return;
        __syncthreads();""",
    "mask of a warp operation names lane 0, which has left the kernel": """
        if (threadIdx.x < 8) return;
        ((i64*)table[0])[0] = __ballot_sync(0xffffffffu, true);""",
    "lane 9 is not in the mask of its own warp operation": """
        ((i64*)table[0])[0] = __ballot_sync(0x1ffu, true);""",
    "deadlock in block (0, 0): thread 0 waits at line 2 for the lanes of its warp operation": """
        if (threadIdx.x < 8) { __syncwarp(); } else {
            if (__any_sync(0xffffffffu, true)) ((i64*)table[0])[0] = 1; }""",
    "more than 48 KB of shared memory": """
        FF_SHARED(double, x, 7000);
        x[threadIdx.x] = 1;""",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cuda_leaves_undefined_is_an_error_that_names_the_line(message: str) -> None:
    runtime = EmulatedRuntime()
    with pytest.raises(KernelFailed) as caught:
        run_kernel(runtime, _body(REFUSED[message].removeprefix("\n")), [np.zeros(1, np.int64)])
    assert message in str(caught.value)
    assert "'kernel'" in str(caught.value)
    x = _integers(64)  # the next launch works
    assert run_kernel(runtime, SUM_OF_BLOCK, [x, np.zeros(1, np.int64)], n=64)[1] == x.sum()


def test_shared_memory_and_lanes_outside_of_a_mask_hold_poison() -> None:
    text = _body("""
        FF_SHARED(i64, x, 64);
        i64* out = (i64*)table[0];
        out[threadIdx.x] = x[threadIdx.x];
        if (threadIdx.x < 2) out[64 + threadIdx.x] = __shfl_sync(3u, 1LL, 5);""")
    out = run_kernel(EmulatedRuntime(), text, [np.zeros(66, np.int64)], grid=(2, 1))[0]
    assert set(out[:64].view(np.uint64).tolist()) == {0xA5A5A5A5A5A5A5A5}
    assert set(out[64:].view(np.uint64).tolist()) == {0xDEADBEEFDEADBEEF}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows where x86-64 keeps its flags")
def test_subnormals_are_kept_where_the_caller_flushes_them() -> None:
    half = "((double*)table[0])[threadIdx.x] = __dmul_rn(((double*)table[0])[threadIdx.x], 0.5);"
    x = np.full(64, 5e-320)
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    before, flushing = (
        np.zeros(8, np.uint32) for _ in range(2)
    )  # fenv_t, whose last word is MXCSR
    for environment in (before, flushing):
        libm.fegetenv(environment.ctypes)
    flushing[-1] |= 0x8040
    try:
        libm.fesetenv(flushing.ctypes)
        is_flushed = float(x[0]) * 0.5 == 0.0
        result = run_kernel(EmulatedRuntime(), _body(half), [x])[0]
    finally:
        libm.fesetenv(before.ctypes)
    assert is_flushed
    assert result.tolist() == (x * 0.5).tolist()
