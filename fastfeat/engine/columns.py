"""The columns that a program reads: a mapping by slot, and where many of them lie at once."""

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
    """Columns of a table that are read in place, as they are; each is made when it is asked for.

    Args:
        program: what reads them: its inputs, all of them, are the slots.
        table: the rows.
        places: the column of the table that each input is.
        in_place: where they lie, in the order of the inputs.
    """

    program: Program
    table: Table
    places: Mapping[InputSlot, int]
    in_place: Columns

    def __getitem__(self, slot: InputSlot) -> Any:
        """Return the column of a slot."""
        return self.table.column(self.places[slot])

    def __iter__(self) -> Iterator[InputSlot]:
        """Return the slots."""
        return iter(self.program.inputs)

    def __len__(self) -> int:
        """Return the number of slots."""
        return len(self.program.inputs)


def in_place(columns: Mapping[InputSlot, Any], program: Program) -> Columns | None:
    """Return the addresses of the inputs of a program; None where they are not known at once."""
    if not isinstance(columns, WideColumns) or columns.program is not program:
        return None
    return columns.in_place
