# pyright: basic
"""All elementary functions compiled once, inlined and called, for the tests beside this file."""

from __future__ import annotations

from functools import cache

import numpy as np
from fastfeat_kernels.intrinsics import KERNEL_OPTIONS, pointer_float64
from numba import njit, types

from fastfeat.engine.cpu.emit import elementary_intrinsic
from fastfeat.scalars.elementary import BODIES

FORMS = ("inlined", "called")


@cache
def kernel(form: str):
    """Return a function (k, x, y, out) that runs the k-th elementary function over arrays."""
    lines, names = ["def kernel(k, x, y, out):"], {}
    for k, (name, function) in enumerate(BODIES.items()):
        names[f"f{k}"] = elementary_intrinsic(name, inline=form == "inlined")
        arguments = "x[i], y[i]" if function.arity == 2 else "x[i]"
        lines += [f"    if k == {k}:", "        for i in range(len(x)):"]
        lines += [f"            out[i] = f{k}({arguments})"]
    exec("\n".join(lines), names)
    compiled = njit(**KERNEL_OPTIONS)(names["kernel"])
    array = types.Array(types.float64, 1, "C")
    compiled.compile((types.int64, array, array, array))
    return compiled


def entry_of_all():
    """Return the entry function of a kernel that applies every function to an array at `table`."""
    lines, names = ["def entry(table, first, n):"], {"pointer": pointer_float64}
    lines += ["    values = pointer(table)", "    for i in range(first, first + n):"]
    for k, (name, function) in enumerate(BODIES.items()):
        names[f"f{k}"] = elementary_intrinsic(name, inline=False)
        lines.append(f"        values[i] = f{k}({', '.join(['values[i]'] * function.arity)})")
    exec("\n".join([*lines, "    return 0"]), names)
    return names["entry"]


def llvm_text(form: str) -> str:
    """Return the optimized LLVM text of all functions."""
    compiled = kernel(form)
    return compiled.inspect_llvm(compiled.signatures[0])


def run(form: str, name: str, x, y=None) -> np.ndarray:
    """Return an elementary function of arrays of float64."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    y = x if y is None else np.ascontiguousarray(y, dtype=np.float64)
    out = np.empty_like(x)
    kernel(form)(list(BODIES).index(name), x, y, out)
    return out


def value(name: str, *arguments: float) -> float:
    """Return an elementary function of one row."""
    return float(run("inlined", name, *[[argument] for argument in arguments])[0])


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Return whether all values have equal bits; any NaN equals any other."""
    both_nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(both_nan | (left.view(np.int64) == right.view(np.int64))))
