"""Kernels with a fault each, and the same without it; run as a program, under a sanitizer.

`python seeded_faults.py thread NAME...` launches each kernel in turn, after a line `== NAME`.
AddressSanitizer ends a process at the first fault: there each kernel has a child of its own, whose
exit status comes in a line `exit STATUS`.
"""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL, run_kernel

N_ROWS = 500
N_SLOTS = 256


def kernel(text: str) -> str:
    """Return a module with one kernel, whose text begins at line 2."""
    return f"{KERNEL} kernel{ARGUMENTS} {{\n{text}\n}}"


_SUM = """FF_SHARED(i64, sums, 64);
sums[threadIdx.x] = ((const i64*)table[0])[threadIdx.x];
__syncthreads();
for (u32 half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    BETWEEN
}
if (threadIdx.x == 0) ((i64*)table[1])[blockIdx.x] = sums[0];"""
_ROW = "i64 row = (i64)blockIdx.x * blockDim.x + threadIdx.x;\nif (row >= n) return;\n"
_HISTOGRAM = f"{_ROW}i64* count = (i64*)table[1] + ((const i64*)table[0])[row] % 3;\nCOUNT"
_INSERT = f"""{_ROW}u64 key = ((const u64*)table[0])[row] + 1;
u64* slots = (u64*)table[1];
for (u32 k = (u32)key % 256; ; k = (k + 1) % 256) {{
    CLAIM
    if (old == 0 || old == key) break;
}}"""
_REVERSED = """FF_SHARED(u32, lanes, 64);
lanes[threadIdx.x] = threadIdx.x;
BETWEEN
if (blockIdx.x == 0) ((i64*)table[1])[threadIdx.x] = lanes[threadIdx.x ^ 31];"""
_BETWEEN_BARRIERS = """FF_SHARED(u32, counts, 4);
if (threadIdx.x < 4) counts[threadIdx.x] = 0;
__syncthreads();
COUNT
__syncthreads();
if (threadIdx.x < 4) ff_atomic_add((i64*)table[1] + threadIdx.x, counts[threadIdx.x]);"""
_BETWEEN_WARPS = """FF_SHARED(u32, lanes, 64);
lanes[threadIdx.x] = threadIdx.x;
__syncwarp();
const u32 mine = lanes[threadIdx.x ^ 31];
BETWEEN
lanes[threadIdx.x] = mine;
__syncwarp();
if (blockIdx.x == 0) ((i64*)table[1])[threadIdx.x] = lanes[threadIdx.x];"""
_CAS = "u64 old = atomicCAS(&slots[k], (u64)0, key);"
_CHECK_THEN_WRITE = "u64 old = slots[k]; if (old == 0) slots[k] = key;"

RACES = {
    "missing_barrier": _SUM.replace("BETWEEN", ""),
    "histogram_without_atomics": _HISTOGRAM.replace("COUNT", "*count += 1;"),
    "check_then_write": _INSERT.replace("CLAIM", _CHECK_THEN_WRITE),
    "lanes_without_barrier": _REVERSED.replace("BETWEEN", ""),
    "counts_between_barriers": _BETWEEN_BARRIERS.replace("COUNT", "counts[threadIdx.x % 3] += 1;"),
    "lanes_between_barriers": _BETWEEN_WARPS.replace("BETWEEN", ""),
}
SOUND = {
    "sum": _SUM.replace("BETWEEN", "__syncthreads();"),
    "histogram": _HISTOGRAM.replace("COUNT", "ff_atomic_add(count, 1);"),
    "insert": _INSERT.replace("CLAIM", _CAS),
    "lanes": _REVERSED.replace("BETWEEN", "__syncwarp();"),
    "counts": _BETWEEN_BARRIERS.replace("COUNT", "atomicAdd(&counts[threadIdx.x % 3], 1u);"),
    "exchange": _BETWEEN_WARPS.replace("BETWEEN", "__syncwarp();"),
}
BAD_ACCESSES = {
    "store_beyond_a_buffer": "((i64*)table[1])[256 + (i64)blockIdx.x] = 1;",
    "load_before_a_buffer": "((i64*)table[1])[0] = ((const i64*)table[0])[-1];",
    "store_beyond_shared_memory": "FF_SHARED(i64, x, 64);\nx[threadIdx.x + 1] = 1;",
    "load_beyond_dynamic_memory": (
        "FF_DYNAMIC_SHARED(i32, x);\n((i64*)table[1])[0] = x[threadIdx.x + 1];"
    ),
    "signed_overflow": "((i64*)table[1])[0] = ((const i64*)table[0])[0] + 9223372036854775807LL;",
    "shift_beyond_63": "((i64*)table[1])[0] = ff_shl_i64(1, n);",
    "least_by_minus_one": "((i64*)table[1])[0] = ff_quotient_i64(-n - 9223372036854775308LL, -1);",
    "float_out_of_range": "((i64*)table[1])[0] = (i64)(1e30 * n);",
}
FAULTS = {**RACES, **SOUND, **BAD_ACCESSES}


def run_fault(runtime: EmulatedRuntime, name: str) -> list[int]:
    """Return what a kernel left in its second array: sums, counts or slots."""
    keys = np.random.default_rng(0).integers(1, 100, N_ROWS)
    arrays = [keys, np.zeros(N_SLOTS, np.int64)]
    text = kernel(FAULTS[name])
    return run_kernel(runtime, text, arrays, grid=(8, 1), n=N_ROWS, shared_bytes=256)[1].tolist()


def main(sanitizer: str, names: list[str]) -> None:
    """Run kernels under a sanitizer, which reports to the standard error."""
    assert sanitizer == "address" or sanitizer == "thread"
    runtime = EmulatedRuntime(sanitizer=sanitizer)
    for name in names:  # ThreadSanitizer knows the lines of what is loaded before its first report
        runtime.module(kernel(FAULTS[name]))
    for name in names:
        print(f"== {name}", file=sys.stderr, flush=True)
        if sanitizer == "thread":
            run_fault(runtime, name)
        else:
            print("exit", _status_of_child(runtime, name), file=sys.stderr, flush=True)
    print("== end", file=sys.stderr)


def _status_of_child(runtime: EmulatedRuntime, name: str) -> int:
    """Return the exit status of a child that launches a kernel: to start Python again takes 2 s."""
    with warnings.catch_warnings(action="ignore"):  # threads of libraries, which a child lacks
        child = os.fork()
    if child == 0:
        run_fault(runtime, name)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
