"""The border of a run: from a table to the columns that a program's input slots read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastfeat.backends.program import Program
from fastfeat.errors import UnknownColumn, did_you_mean, warn
from fastfeat.io.conform import all_missing, conform, mismatch
from fastfeat.io.read import column_names, read_table
from fastfeat.io.strings import string_codes, string_equal, string_validity
from fastfeat.ir.node import Node
from fastfeat.plan.absent import absence_hint
from fastfeat.scalars.value import InputSlot

Columns = Mapping[InputSlot, Any]
"""The column that each input slot reads, an Arrow chunked array."""
ONLY_MISSING = "only missing values (type null)"
FIT_ON_VALUES = "Fit on rows in which the column has values, or give it a type before fit"


def read_columns(
    data: Any,
    names: Iterable[str],
    if_there: Iterable[str] = (),
    *,
    features: Mapping[str, Node] | None = None,
) -> Any:
    """Return a table with the named columns of the data.

    Args:
        data: as in `fit`.
        names: columns that must be there.
        if_there: further columns, which may be absent.
        features: the plan's features, for messages.

    Raises:
        UnknownColumn: the data lacks one of them.
    """
    wanted = list(dict.fromkeys(names))
    table = read_table(data, list(dict.fromkeys([*wanted, *if_there])))
    there = set(table.column_names)
    lacking = [name for name in wanted if name not in there]
    if lacking:
        shown = ", ".join(repr(name) for name in lacking[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        columns = "column" if len(lacking) == 1 else "columns"
        hint = absence_hint(lacking[0], data, features)
        raise UnknownColumn(
            f"the data lacks the {columns} {shown}{more}, which the plan reads.{hint}"
        )
    return table


def warn_absent(data: Any, declared: Mapping[str, Iterable[str]]) -> None:
    """Warn of each declared column that the training data lacks: it may be misspelt.

    Args:
        data: as `fit` was given it.
        declared: column names by the option that names them.
    """
    if not any(declared.values()):
        return
    there = column_names(data)
    for option, names in declared.items():
        for name in names:
            if there is not None and name not in there:
                warn(
                    f"the training data has no column {name!r}, which {option} names."
                    + did_you_mean(name, there)
                )


def slot_columns(program: Program, table: Any) -> Columns:
    """Return the column of each input slot, in the storage that kernels read."""
    given = dict(zip(table.column_names, table.columns, strict=True))
    return {slot: slot_column(slot, given) for slot in program.inputs}


def slot_column(slot: InputSlot, given: Mapping[str, Any]) -> Any:
    """Return the column of one input slot.

    Args:
        slot: what is read.
        given: the columns of the data by name.

    Raises:
        TypeMismatch, InvalidData: the column is not of the type seen in fit, nor exactly
            convertible.
    """
    columns = [given[name] for name in slot.columns]
    match slot.kind:
        case "column":
            return conform(columns[0], slot.columns[0], slot.dtype)
        case "codes":
            return string_codes(columns[0], slot.columns[0], slot.literals)
        case "valid":
            return string_validity(columns[0], slot.columns[0])
        case _:
            return string_equal(columns[0], columns[1], slot.columns[0], slot.columns[1])


def check_still_missing(table: Any, names: Iterable[str]) -> None:
    """Raise where a column has values that had none in fit: the plan would not read them.

    Args:
        table: the data, an Arrow table.
        names: the columns whose type fit saw as null.

    Raises:
        TypeMismatch: the first such column.
    """
    for name in names:
        column = table.column(name)
        if not all_missing(column):
            mismatch(column, name, ONLY_MISSING, FIT_ON_VALUES)


def shown_value(slot: InputSlot, table: Any, row: int) -> object:
    """Return what the data holds in a row, for a message."""
    scalar = table.column(slot.columns[0])[row]
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):  # a date or nanoseconds that Python's datetime cannot hold
        return f"{scalar.value} ({scalar.type})"
