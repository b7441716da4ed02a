"""All elementary functions compiled once, inlined and called, for the tests beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from fastfeat_kernels import llvm, processor
from fastfeat_kernels.load import LoadedKernel, load_object
from numpy.typing import ArrayLike, NDArray

from fastfeat.engine.cpu.render import INLINED_CALLS, render
from fastfeat.engine.cpu.words import ENTRY
from fastfeat.engine.layout import Shape, ShapeStep, Store
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.scalars.elementary import BODIES

FORMS = ("inlined", "called")
NAMES = list(BODIES)
N_INLINED = INLINED_CALLS // 2  # of a module, below the limit for inlining


def loop_of(name: str) -> Shape:
    """Return the loop that computes an elementary function of its inputs."""
    arity = BODIES[name].arity
    inputs = tuple(ShapeStep("input", (), j, "f64") for j in range(arity))
    call = ShapeStep("call", tuple(range(arity)), name, "f64")
    ok, status = ShapeStep("literal", (), True, "b1"), ShapeStep("literal", (), 0, "i64")
    store = Store(FLOAT64, arity, arity + 1, arity + 2)
    return Shape((*inputs, call, ok, status), (store,), (FLOAT64,) * arity, (), ())


def text_of(names: Sequence[str]) -> str:
    """Return the LLVM text of a module with a loop for each of some functions."""
    return render([loop_of(name) for name in names], processor.lanes())


def modules(form: str) -> list[list[str]]:
    """Return the functions of each module: of many together LLVM inlines none."""
    size = len(NAMES) if form == "called" else N_INLINED
    return [NAMES[start : start + size] for start in range(0, len(NAMES), size)]


@cache
def kernels(form: str) -> list[LoadedKernel]:
    """Return the kernel of each module."""
    texts = [text_of(names) for names in modules(form)]
    return [load_object(*llvm.compile_text(text, ENTRY)) for text in texts]


@cache
def llvm_text(form: str) -> str:
    """Return the optimized LLVM text of all functions."""
    return "\n".join(str(llvm.optimized(text_of(names))) for names in modules(form))


def run(form: str, name: str, x: ArrayLike, y: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return an elementary function of arrays of float64."""
    arrays = [np.ascontiguousarray(x, dtype=np.float64)]
    if BODIES[name].arity == 2:
        arrays.append(arrays[0] if y is None else np.ascontiguousarray(y, dtype=np.float64))
    out, present = np.empty_like(arrays[0]), np.ones(len(arrays[0]), np.uint8)
    words = [address for a in arrays for address in (a.ctypes.data, present.ctypes.data)]
    table = np.array([*words, out.ctypes.data, 0], np.int64)
    module, place = divmod(NAMES.index(name), len(modules(form)[0]))
    assert kernels(form)[module](place, table.ctypes.data, len(out)) == 0
    return out


def value(name: str, *arguments: float) -> float:
    """Return an elementary function of one row."""
    return float(run("inlined", name, *[[argument] for argument in arguments])[0])


def same_bits(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Return whether all values have equal bits; any NaN equals any other."""
    both_nan = np.isnan(left) & np.isnan(right)
    return bool(np.all(both_nan | (left.view(np.int64) == right.view(np.int64))))
