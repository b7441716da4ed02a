"""lookup_row, lookup_value: the row of a table that has the key of each row, and what stands there.

The table is an input of each call, as the data is. Its keys are distinct; a row of it without a key
is found by none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastfeat.dtypes import INT64, UTF8, DType
from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.arrow import Array, pa
from fastfeat.io.conversions import conversion, tick_ns
from fastfeat.io.keys import comparable
from fastfeat.io.times import python_value, time_text
from fastfeat.ir.node import Call, Node, TableColumn
from fastfeat.ir.writing import Texts, pairs_text
from fastfeat.steps.step import Argument, StepFunction


@dataclass(frozen=True, eq=False)
class TableValues:
    """A column of a lookup table.

    Args:
        table: the name of the table.
        name: that of the column.
        array: the values as `io.types.storage_type` stores them, text as large_string.
        cache: what backends make of it to look rows up; kept as long as the table is.
    """

    table: str
    name: str
    array: Array
    cache: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)

    def stored(self) -> list[Any]:
        """Return the values as a list, None where missing."""
        found: list[Any] | None = self.cache.get("stored")
        if found is None:
            found = [None if value != value else value for value in self.array.to_pylist()]
            self.cache["stored"] = found
        return found


def rows_by_key(keys: Sequence[Argument]) -> Mapping[tuple[Any, ...], int]:
    """Return the row of each key of a table.

    Args:
        keys: the columns of the table that are the parts of its key.

    Raises:
        InvalidData: two rows have one key.
    """
    first, names = keys[0].values, tuple(key.values.name for key in keys)
    known: dict[tuple[Any, ...], int] | None = first.cache.get(("rows", names))
    if known is not None:
        return known
    known = {}
    columns = [compared(key.values.stored(), key.dtype) for key in keys]
    for row, key in enumerate(zip(*columns, strict=True)):
        if None in key:
            continue
        if key in known:
            shown = ", ".join(f"{k.values.name}={_shown(k, row)}" for k in keys)
            raise InvalidData(
                f"the table {first.table!r} has the key {shown} in the rows {known[key]} and "
                f"{row}: a lookup needs one row a key. Remove the other rows, or aggregate them"
            )
        known[key] = row
    first.cache["rows", names] = known
    return known


def _shown(key: Argument, row: int) -> str:
    stored = key.values.stored()[row]
    value = python_value(stored, key.dtype)
    return time_text(stored, key.dtype) if isinstance(value, pa.Scalar) else repr(value)


def compared(values: Sequence[Any], dtype: DType) -> list[Any]:
    """Return values that are equal where they mean the same: times in nanoseconds."""
    if not dtype.is_temporal:
        return list(values)
    return [None if value is None else value * tick_ns(dtype) for value in values]


def _row_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    half = len(types) // 2
    for left, right in zip(types[:half], types[half:], strict=True):
        for dtype in (left, right):
            if not (dtype == UTF8 or dtype.is_number or dtype.is_temporal):
                raise TypeMismatch(f"needs text, a number, a bool, a date or time, got {dtype}")
        if left != right and conversion(comparable(left), comparable(right)) is None:
            raise TypeMismatch(
                f"cannot compare the key of the data, {left}, with that of the table, {right}. "
                "Cast one of them first"
            )
    return INT64


def _rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    half = len(args) // 2
    known = rows_by_key(args[half:])
    columns = [compared(arg.values, arg.dtype) for arg in args[:half]]
    return [None if None in key else known.get(key) for key in zip(*columns, strict=True)]


def _value_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if types[1].is_list:
        raise TypeMismatch(
            f"the column of the table is a {types[1]}: lists are not looked up in this version. "
            "Give the table columns of numbers, bools, dates, times or text"
        )
    return comparable(types[1])


def _values(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    rows, column = args
    stored = column.values.stored()
    return [None if row is None else stored[row] for row in rows.values]


def _row_text(node: Call, texts: Texts) -> str:
    table = next((key.table for key in node.args if isinstance(key, TableColumn)), "")
    return f"ff.lookup({table!r}, by={pairs_text(node.args, texts)})"


def _value_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (row, TableColumn(_, name)):
            return f"{texts[row]}.col({name!r})"
        case _:
            return None


def _is_lookup_value(call: Call) -> bool:
    row, column = call.args
    return (
        isinstance(row, Call)
        and row.function in ("asof_row", "lookup_row")
        and isinstance(column, TableColumn)
        and all(isinstance(k, TableColumn) and k.table == column.table for k in _right_keys(row))
    )


def _right_keys(row: Call) -> tuple[Node, ...]:
    """Return the columns of the table that a lookup compares."""
    return row.args[len(row.args) // 2 :]


LOOKUP_ROW = StepFunction(
    _row_result, _rows, of_keys=True, n_args=None, least_args=2, in_halves=True, written=_row_text
)
LOOKUP_VALUE = StepFunction(
    _value_result, _values, n_args=2, belongs=_is_lookup_value, written=_value_text
)
