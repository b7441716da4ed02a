"""Programs bound to constants: a kernel's table with everything in it that does not depend on rows.

A table is an array of 64-bit words that machine code reads: addresses and numbers. Every run of a
program starts with a copy of the words, and fills in the addresses of columns.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from fastfeat.engine.cpu.compiled import CompiledProgram, compiled
from fastfeat.engine.cpu.table import BoundTable, TablePlan, Words, bind_constants
from fastfeat.engine.program import Constants, Program


class BoundProgram(NamedTuple):
    """A program with the constants of a fitted plan in its table.

    Args:
        program: The program.
        plan: The same program, laid out in loops.
        bound: The table with the constants in place; its words are read-only.
    """

    program: Program
    plan: CompiledProgram
    bound: BoundTable

    @property
    def places(self) -> TablePlan:
        """The positions in the table of the words that a run fills in."""
        return self.plan.table

    def words(self) -> Words:
        """Return a new copy of the table for one run; it still lacks the addresses of columns."""
        return self.bound.words.copy()


_KEPT: WeakKeyDictionary[Constants, dict[Program, BoundProgram]] = WeakKeyDictionary()


def bound_program(program: Program, constants: Constants) -> BoundProgram:
    """Return a program bound to constants; the result is cached while the constants exist."""
    programs = _KEPT.get(constants)
    if programs is None:
        programs = _KEPT.setdefault(constants, {})
    found = programs.get(program)
    if found is None:
        plan = compiled(program)
        bound = bind_constants(plan.table, constants)
        bound.words.flags.writeable = False
        found = programs[program] = BoundProgram(program, plan, bound)
    return found
