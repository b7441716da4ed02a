"""A program laid out in loops, and their machine code, which is compiled or loaded on first use.

A loop computes some outputs row by row; the driver is the kernel that runs all loops over blocks of
rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache, lru_cache, partial

from fastfeat_kernels import processor
from fastfeat_kernels.load import LoadedKernel
from fastfeat_kernels.records import dataclass

from fastfeat.engine.cpu import render as rendering
from fastfeat.engine.cpu.cache import cached_kernel, tell_foreign
from fastfeat.engine.cpu.kernels import written_kernel
from fastfeat.engine.cpu.table import ProgramTableLayout, plan_table
from fastfeat.engine.cpu.words import ENTRY
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.engine.layout import Loop, Shape, ShapeStep, lay_out
from fastfeat.engine.program import Program
from fastfeat.engine.storage import output_storage, storage
from fastfeat.ir.dtypes import DType
from fastfeat.scalars.op import EXACT

_BY_LLVM = """from fastfeat_kernels.llvm import compile_text
from fastfeat.engine.cpu.render import render

code, symbol = compile_text(render("""


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    """A program with its loops, the layout of its table of words, and the code of its loops."""

    program: Program
    loops: tuple[Loop, ...]
    table: ProgramTableLayout

    def text(self, *, exact: bool = False) -> str:
        """Return the LLVM text of the loops.

        `exact` is for very large arguments of sin, cos, tan.
        """
        return rendering.render(_as_compiled(self.loops, exact), processor.lanes())

    def loops_address(self, *, exact: bool = False) -> int:
        """Return the memory address of the compiled loops."""
        return address_of(_loops(self.program, exact))


@lru_cache(maxsize=512)
def _loops(program: Program, exact: bool) -> LoadedKernel:
    """Return the compiled loops of a program; LLVM text is only made if they are not cached.

    If kernels are being observed, the variant for large arguments is compiled too.
    """
    laid_out = compiled(program)
    if is_observed():
        _kernel(laid_out, not exact)
    return _kernel(laid_out, exact)


def _kernel(laid_out: CompiledProgram, exact: bool) -> LoadedKernel:
    text = cache(partial(laid_out.text, exact=exact))
    return cached_kernel(recipe_of(laid_out, exact), lambda: _compile(text()), text)


def recipe_of(laid_out: CompiledProgram, exact: bool) -> str:
    """Return the recipe of a program's loops: a Python text under which their code is cached.

    Rendering the loops as LLVM text instead would take four times as long, for 200 features.
    """
    shapes = _as_compiled(laid_out.loops, exact)
    return f"{_BY_LLVM}{shapes!r}, {processor.lanes()}), {ENTRY!r})\n"


def _as_compiled(loops: Sequence[Loop], exact: bool) -> tuple[Shape, ...]:
    """Return the loops with only the facts that affect their code, so that more programs share it.

    The facts are storage types and called functions.
    """
    return tuple(
        shape._replace(
            steps=tuple(map(_exact_call, shape.steps)) if exact else shape.steps,
            inputs=tuple(DType(storage(dtype)) for dtype in shape.inputs),
            stores=tuple(s._replace(dtype=DType(output_storage(s.dtype))) for s in shape.stores),
        )
        for shape, _ in loops
    )


def _exact_call(step: ShapeStep) -> ShapeStep:
    if step.name == "call" and step.detail in EXACT:
        return step._replace(detail=EXACT[step.detail])
    return step


def _compile(text: str) -> tuple[bytes, str] | LoadedKernel:
    """Return object code and its symbol name, or a loaded kernel if the code cannot be stored."""
    from fastfeat_kernels import llvm

    try:
        return llvm.compile_text(text, ENTRY)
    except llvm.NotCacheable as error:
        tell_foreign(error)
        return llvm.kernel_of_process(text, ENTRY)


@lru_cache(maxsize=256)
def compiled(program: Program) -> CompiledProgram:
    """Return a program laid out in loops; their machine code is made at the first run."""
    loops = lay_out(program)
    return CompiledProgram(program, loops, plan_table(program, loops))


@lru_cache(maxsize=1)
def driver() -> LoadedKernel:
    """Return the kernel that runs generated loops over blocks of rows."""
    return written_kernel("rows", "blocks")


@cache
def call_kernel(entry: str) -> LoadedKernel:
    """Return kernel `entry` of prepared calls, which passes inputs to the driver."""
    return written_kernel("rows", entry)


def forget_loops() -> None:
    """Forget loaded loops; their next run looks for them again, in this process and on disk."""
    _loops.cache_clear()
    driver.cache_clear()
    call_kernel.cache_clear()


def address_of(kernel: LoadedKernel) -> int:
    """Return the address of the machine code of a kernel."""
    address = ctypes.cast(kernel, ctypes.c_void_p).value  # pyright: ignore[reportArgumentType]
    assert address is not None
    return address
