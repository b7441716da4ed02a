"""The columns that a program reads, by slot, and the addresses of many columns at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastfeat_kernels.column import Columns

from fastfeat.engine.program import Program
from fastfeat.io.arrow import Table
from fastfeat.scalars.value import InputSlot


@dataclass(frozen=True, slots=True, eq=False)
class WideColumns(Mapping[InputSlot, Any]):
    """Table columns that are read in place; each column object is created on access.

    Args:
        program: The program; its inputs are the slots.
        table: The rows.
        places: Index of each input's column in the table.
        in_place: Addresses of the columns, in the order of the inputs.
    """

    program: Program
    table: Table
    places: Mapping[InputSlot, int]
    in_place: Columns

    def __getitem__(self, slot: InputSlot) -> Any:
        return self.table.column(self.places[slot])

    def __iter__(self) -> Iterator[InputSlot]:
        return iter(self.program.inputs)

    def __len__(self) -> int:
        return len(self.program.inputs)


def in_place(columns: Mapping[InputSlot, Any], program: Program) -> Columns | None:
    """Return the addresses of a program's inputs; None if they are not known together."""
    if not isinstance(columns, WideColumns) or columns.program is not program:
        return None
    return columns.in_place
