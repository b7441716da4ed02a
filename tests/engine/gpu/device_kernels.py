"""Running the text of a kernel over NumPy arrays, each of which it finds in its table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.gpu.programs.render import CUDA
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.ir.dtypes import Physical
from fastfeat.scalars.primitives import PRIMITIVES

KERNEL = 'extern "C" __global__ void'
ARGUMENTS = "(const i64* table, i64 first, i64 n)"
_TYPES: dict[Physical, str] = {"f64": "double", "i64": "i64", "b1": "bool"}
_READS: dict[Physical, str] = {"f64": "ff_from_bits({0})", "i64": "{0}", "b1": "({0} != 0)"}


def run_kernel(
    runtime: Runtime,
    text: str,
    arrays: Sequence[NDArray[Any]],
    *,
    kernel: str = "kernel",
    grid: tuple[int, int] = (1, 1),
    block: int = 64,
    n: int = 0,
    shared_bytes: int = 0,
) -> list[NDArray[Any]]:
    """Return the arrays as the kernel leaves them.

    Args:
        runtime: where to run.
        text: of the module.
        arrays: word k of the table is the address of array k.
        kernel: its name.
        grid: number of blocks along x and y.
        block: threads a block.
        n: what the kernel is told.
        shared_bytes: of the dynamic array in shared memory.
    """
    buffers = [runtime.allocate(array.nbytes) for array in arrays]
    for array, buffer in zip(arrays, buffers, strict=True):
        runtime.upload(array, buffer)
    table = runtime.allocate(8 * max(1, len(arrays)))
    runtime.upload(np.array([buffer.address for buffer in buffers], np.int64), table)
    runtime.launch(runtime.module(text), kernel, grid, block, table, 0, n, shared_bytes)
    results = [np.empty_like(array) for array in arrays]
    for result, buffer in zip(results, buffers, strict=True):
        runtime.download(buffer, result)
    runtime.synchronize()
    return results


@cache
def primitive_kernels() -> str:
    """Return a module with a kernel `of_NAME` for each primitive, over columns of 64-bit words."""
    return "\n".join(map(_primitive_kernel, CUDA))


def _primitive_kernel(name: str) -> str:
    row = PRIMITIVES[name]
    lines = [f"{KERNEL} of_{name}{ARGUMENTS} {{", "    i64 i = threadIdx.x;"]
    for k, kind in enumerate(row.args):
        word = f"FF_GLOBAL(const i64, table[{k}])[i]"
        lines.append(f"    const {_TYPES[kind]} x{k} = {_READS[kind].format(word)};")
    result = CUDA[name].format(*[f"x{k}" for k in range(len(row.args))])
    lines.append(f"    const {_TYPES[row.result]} y = {result};")
    out = "ff_bits(y)" if row.result == "f64" else "(i64)y"
    lines += [f"    if (i < n) FF_GLOBAL(i64, table[{len(row.args)}])[i] = {out};", "}"]
    return "\n".join(lines)
