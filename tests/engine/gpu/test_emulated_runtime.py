"""The emulated runtime: launches, memory that is poisoned, and what a missing wait shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import KernelFailed, OutOfDeviceMemory
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL, run_kernel

pytestmark = pytest.mark.emulator


def _body(text: str) -> str:
    return f"{KERNEL} kernel{ARGUMENTS} {{\n{text}\n}}"


DOUBLED = _body("((i64*)table[1])[threadIdx.x] = 2 * ((const i64*)table[0])[threadIdx.x];")
X = np.random.default_rng(0).integers(-1000, 1000, 64)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"grid": (0, 1)}, "grid of 0 x 1"),
        ({"grid": (1 << 31, 1)}, "grid of 2147483648 x 1"),
        ({"grid": (1, 1 << 16)}, "grid of 1 x 65536"),
        ({"block": 48}, "48 threads"),
        ({"block": 2048}, "2048 threads"),
        ({"shared_bytes": 50_000}, "50000 bytes of shared memory"),
        ({"n": -1}, "-1 rows"),
        ({"kernel": "other"}, "no kernel 'other'"),
    ],
)
def test_a_launch_that_a_card_would_refuse_names_the_kernel(shape: Any, message: str) -> None:
    with pytest.raises(KernelFailed, match=message) as caught:
        run_kernel(EmulatedRuntime(), DOUBLED, [np.zeros(1, np.int64)] * 2, **shape)
    assert shape.get("kernel", "kernel") in str(caught.value)


@pytest.mark.parametrize(
    "text", ["int x = ;", "__device__ void f(double* x) { atomicAdd(x, 1.0); }"]
)
def test_text_that_does_not_compile_says_why(text: str) -> None:
    with pytest.raises(KernelFailed, match=r"kernel.cu:1:"):
        EmulatedRuntime().module(text)


def test_memory_is_aligned_counted_and_refused() -> None:
    runtime = EmulatedRuntime(n_bytes=10_000)
    held = [runtime.allocate(n) for n in (0, 1, 999, 4000)]
    assert all(buffer.address % 256 == 0 for buffer in held)
    with pytest.raises(OutOfDeviceMemory, match=r"6,000 bytes .* 4,999 are free"):
        runtime.allocate(6000)
    held.clear()
    assert runtime.allocate(6000).n_bytes == 6000


def test_memory_is_poisoned_before_and_after_its_use() -> None:
    runtime, seen = EmulatedRuntime(), np.zeros(16, np.uint8)
    buffer = runtime.allocate(16)
    runtime.download(buffer, seen)
    assert set(seen.tolist()) == {0xA5}
    runtime.zero(buffer)
    runtime.download(buffer, seen)
    assert set(seen.tolist()) == {0}
    stale = type(buffer)(buffer.address, 16, None)
    del buffer
    runtime.synchronize()
    runtime.download(stale, seen)
    assert set(seen.tolist()) == {0xA5}


def test_copies_are_contiguous_and_within_their_buffer() -> None:
    runtime = EmulatedRuntime()
    buffer = runtime.allocate(16)
    with pytest.raises(ValueError, match="exceed a buffer of 16"):
        runtime.upload(np.zeros(2), buffer, 1)
    with pytest.raises(ValueError, match="contiguous"):
        runtime.download(buffer, np.zeros(4)[::2])


def test_a_deferred_runtime_shows_a_wait_that_is_missing() -> None:
    runtime, x = EmulatedRuntime(deferred=True), X
    assert run_kernel(runtime, DOUBLED, [x, np.zeros(64, np.int64)])[1].tolist() == (2 * x).tolist()
    source, target = runtime.allocate(512), runtime.allocate(512)
    table = runtime.allocate(16)
    runtime.upload(x, source)
    runtime.upload(np.array([source.address, target.address]), table)
    runtime.launch(runtime.module(DOUBLED), "kernel", (1, 1), 64, table, 0, 0)
    del table  # memory may be dropped before its last use
    seen = np.zeros(64, np.int64)
    runtime.download(target, seen)
    assert set(seen.view(np.uint8).tolist()) == {0xA5}
    runtime.synchronize()
    assert seen.tolist() == (2 * x).tolist()


def test_a_deferred_runtime_runs_no_more_than_a_mark_asks_for() -> None:
    runtime = EmulatedRuntime(deferred=True, n_bytes=10_000)
    buffer, seen = runtime.allocate(8), [np.zeros(8, np.uint8) for _ in range(3)]
    before = runtime.mark()
    runtime.zero(buffer)
    after = runtime.mark()
    runtime.download(buffer, seen[0], after=before)
    runtime.download(buffer, seen[1], after=after)
    runtime.finish(before)
    assert [set(part.tolist()) for part in seen] == [{0xA5}, {0xA5}, {0}]
    runtime.download(buffer, seen[2])
    runtime.finish(after)
    assert [set(part.tolist()) for part in seen] == [{0xA5}, {0}, {0}]


def test_a_deferred_runtime_keeps_memory_that_outstanding_work_may_use() -> None:
    runtime = EmulatedRuntime(deferred=True, n_bytes=10_000)
    first, second = runtime.allocate(4000), runtime.allocate(4000)
    runtime.zero(first)
    mark = runtime.mark()
    del first
    runtime.zero(second)
    assert runtime.memory()[0] == 2000
    runtime.finish(mark)
    del second
    assert runtime.memory()[0] == 6000
    assert runtime.allocate(9000).n_bytes == 9000  # waits for what is outstanding


def test_a_deferred_runtime_shows_an_upload_that_comes_too_early() -> None:
    runtime, seen = EmulatedRuntime(deferred=True), [np.zeros(64, np.int64) for _ in range(2)]
    source, target = runtime.allocate(512), runtime.allocate(512)
    table = runtime.allocate(16)
    runtime.upload(np.array([source.address, target.address]), table)
    for value, result in enumerate(seen):  # a second upload to a buffer that is still in use
        runtime.upload(np.full(64, value), source)
        runtime.launch(runtime.module(DOUBLED), "kernel", (1, 1), 64, table, 0, 0)
        runtime.download(target, result)
    runtime.synchronize()
    assert [set(result.tolist()) for result in seen] == [{2}, {2}]


def test_a_deferred_runtime_names_the_kernel_that_failed_and_goes_on() -> None:
    runtime = EmulatedRuntime(deferred=True)
    text = _body("if (threadIdx.x < 8) return;\n__syncthreads();")
    with pytest.raises(KernelFailed, match="'kernel'"):
        run_kernel(runtime, text, [])
    x = X
    assert run_kernel(runtime, DOUBLED, [x, np.zeros(64, np.int64)])[1].tolist() == (2 * x).tolist()
