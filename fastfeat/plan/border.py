"""The border of a run: from a table to the columns that a program's input slots read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from fastfeat.backends.program import Program
from fastfeat.errors import UnknownColumn
from fastfeat.io.conform import conform
from fastfeat.io.read import read_table
from fastfeat.io.strings import string_codes, string_equal
from fastfeat.io.validity import validity_of
from fastfeat.scalars.value import InputSlot

Columns = Mapping[InputSlot, Any]
"""The column that each input slot reads, an Arrow chunked array."""


def read_columns(data: Any, names: Iterable[str]) -> Any:
    """Return a table with the named columns of the data.

    Raises:
        UnknownColumn: the data lacks one of them.
    """
    wanted = list(dict.fromkeys(names))
    table = read_table(data, wanted)
    there = set(table.column_names)
    lacking = [name for name in wanted if name not in there]
    if lacking:
        shown = ", ".join(repr(name) for name in lacking[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        known: list[str] = read_table(data).column_names if _rereadable(data) else []
        close = get_close_matches(lacking[0], known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownColumn(f"the data lacks the column {shown}{more}, which the plan reads.{hint}")
    return table


def _rereadable(data: Any) -> bool:
    return hasattr(data, "keys") or hasattr(data, "columns") or hasattr(data, "column_names")


def slot_columns(program: Program, table: Any) -> Columns:
    """Return the column of each input slot, in the storage that kernels read."""
    return {slot: slot_column(slot, table) for slot in program.inputs}


def slot_column(slot: InputSlot, table: Any) -> Any:
    """Return the column of one input slot.

    Raises:
        TypeMismatch, InvalidData: the column is not of the type seen in fit, nor exactly
            convertible.
    """
    columns = [table.column(name) for name in slot.columns]
    match slot.kind:
        case "column":
            return conform(columns[0], slot.columns[0], slot.dtype)
        case "codes":
            return string_codes(columns[0], slot.columns[0], slot.literals)
        case "valid":
            return validity_of(columns[0])
        case _:
            return string_equal(columns[0], columns[1], slot.columns[0], slot.columns[1])


def shown_value(slot: InputSlot, table: Any, row: int) -> object:
    """Return what the data holds in a row, for a message."""
    scalar = table.column(slot.columns[0])[row]
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):  # a date or nanoseconds that Python's datetime cannot hold
        return f"{scalar.value} ({scalar.type})"
