"""The columns that a program reads, by input slot, and the memory addresses of many columns.

An input slot is the name and type of a column that a program reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastfeat_kernels.column import EqualChunks
from fastfeat_kernels.records import dataclass

from fastfeat.engine.program import Program
from fastfeat.io.arrow import Table
from fastfeat.scalars.value import InputSlot


@dataclass(frozen=True, slots=True, eq=False)
class WideColumns(Mapping[InputSlot, Any]):
    """The columns of an Arrow table by slot; each column object is created only on access.

    Args:
        program: The program; its inputs are the slots.
        table: The rows.
        places: Index of each input's column in the table.
        in_place: Addresses of the columns, in the order of the inputs.
    """

    program: Program
    table: Table
    places: Mapping[InputSlot, int]
    in_place: EqualChunks

    def __getitem__(self, slot: InputSlot) -> Any:
        return self.table.column(self.places[slot])

    def __iter__(self) -> Iterator[InputSlot]:
        return iter(self.program.inputs)

    def __len__(self) -> int:
        return len(self.program.inputs)


def input_addresses(columns: Mapping[InputSlot, Any], program: Program) -> EqualChunks | None:
    """Return the memory addresses of a program's input columns; None if they are not known.

    They are known only if `columns` is a `WideColumns` that was made for this program.
    """
    if not isinstance(columns, WideColumns) or columns.program is not program:
        return None
    return columns.in_place
