"""A program laid out in loops, and the addresses of its machine code: made once, on first use."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache, lru_cache

from fastfeat_kernels.load import Kernel

from fastfeat.engine.cpu.kernels import generated_kernel, written_kernel
from fastfeat.engine.cpu.render import render
from fastfeat.engine.cpu.table import TablePlan, plan_table
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.engine.layout import Loop, lay_out
from fastfeat.engine.program import Program


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    """A program with its loops, the places in its table, and the texts of its kernels."""

    program: Program
    loops: tuple[Loop, ...]
    table: TablePlan

    def text(self, *, exact: bool = False) -> str:
        """Return the generated module; `exact`: for very large arguments of sin, cos and tan."""
        return render(self.loops, exact=exact)

    def loops_address(self, *, exact: bool = False) -> int:
        """Return the address of the compiled loops."""
        return address_of(_loops(self.program, exact))


@lru_cache(maxsize=512)
def _loops(program: Program, exact: bool) -> Kernel:
    """Return the compiled loops, without rendering their text again for every run.

    Where somebody looks, what values may ask for later is made ready too.
    """
    laid_out = compiled(program)
    if is_observed():
        generated_kernel(laid_out.text(exact=not exact))
    return generated_kernel(laid_out.text(exact=exact))


@lru_cache(maxsize=256)
def compiled(program: Program) -> CompiledProgram:
    """Return a program laid out in loops; machine code is made when it is first run."""
    loops = lay_out(program)
    return CompiledProgram(program, loops, plan_table(program, loops))


@lru_cache(maxsize=1)
def driver() -> Kernel:
    """Return the kernel that runs generated loops over blocks of rows."""
    return written_kernel("rows", "blocks")


@cache
def call_kernel(entry: str) -> Kernel:
    """Return a kernel of prepared calls, which give the driver what it reads."""
    return written_kernel("rows", entry)


def forget_loops() -> None:
    """Look kernels up anew, in this process and on disk, when they are run next."""
    _loops.cache_clear()
    driver.cache_clear()
    call_kernel.cache_clear()


def address_of(kernel: Kernel) -> int:
    """Return the address of the machine code of a kernel."""
    address = ctypes.cast(kernel, ctypes.c_void_p).value  # pyright: ignore[reportArgumentType]
    assert address is not None
    return address
