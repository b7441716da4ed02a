"""Programs bound to constants: a kernel's table with everything in it that does not depend on rows.

A table is an array of 64-bit words that machine code reads: addresses and numbers. Every run of a
program starts with a copy of the words, and fills in the addresses of columns.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from fastfeat_kernels.arrays import Int64Array

from fastfeat.engine.cpu.compiled import CompiledProgram, compiled
from fastfeat.engine.cpu.table import BoundTable, ProgramTableLayout, bind_constants
from fastfeat.engine.program import Constants, Program


class BoundProgram(NamedTuple):
    """A program with the constants of a fitted plan in its table.

    Args:
        compiled: The program, laid out in loops.
        table: The table with the constants; its words are read-only.
    """

    compiled: CompiledProgram
    table: BoundTable

    @property
    def places(self) -> ProgramTableLayout:
        """The positions in the table of the words that a run fills in."""
        return self.compiled.table

    def words(self) -> Int64Array:
        """Return a new copy of the table for one run; it still lacks the addresses of columns."""
        return self.table.words.copy()


_KEPT: WeakKeyDictionary[Constants, dict[Program, BoundProgram]] = WeakKeyDictionary()


def bound_program(program: Program, constants: Constants) -> BoundProgram:
    """Return a program bound to constants; the result is cached while the constants exist."""
    programs = _KEPT.get(constants)
    if programs is None:
        programs = _KEPT.setdefault(constants, {})
    found = programs.get(program)
    if found is None:
        laid_out = compiled(program)
        table = bind_constants(laid_out.table, constants)
        table.words.flags.writeable = False
        found = programs[program] = BoundProgram(laid_out, table)
    return found
