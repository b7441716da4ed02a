"""Rows of a schema that nobody has recorded: plain values on which every path of a plan can run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from fastfeat.dtypes import DType
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.types import UnsupportedType, arrow_type

_SOME = 3
"""So many values a column has: keys come often, and in a table of so many rows once each."""
_FIRST = datetime(2024, 1, 1)


def made_up(
    schema: Mapping[str, DType | UnsupportedType],
    n_rows: int,
    *,
    missing: str = "none",
    distinct: str | None = None,
) -> Table:
    """Return rows of a schema: numbers 1, 2, 3 and again, the same as text, times an hour apart.

    Args:
        schema: the type of each column; what no expression can read is missing.
        n_rows: how many; no value comes twice in the first three.
        missing: "none", "some" (text is in dictionaries then), or "all".
        distinct: a column of which no value comes twice, and none is missing.
    """
    return pa.table(
        {
            name: _column(dtype, n_rows, "none" if name == distinct else missing, name == distinct)
            for name, dtype in schema.items()
        }
    )


def _column(dtype: DType | UnsupportedType, n_rows: int, missing: str, is_distinct: bool) -> Any:
    if isinstance(dtype, UnsupportedType) or dtype.name == "null":
        return pa.nulls(n_rows)
    kind = arrow_type(dtype)
    if missing == "all":
        return pa.nulls(n_rows, kind)
    values = _values(dtype, n_rows, n_rows if is_distinct else _SOME)
    if missing == "none":
        return pa.array(values, kind)
    some = pa.array([None if k % 7 == 4 else value for k, value in enumerate(values)], kind)
    return call("dictionary_encode", some) if dtype.name == "utf8" else some


def _values(dtype: DType, n_rows: int, n_values: int) -> list[Any]:
    """Return values of a type; floats and times differ in all rows, others repeat."""
    rows = range(n_rows)
    numbers = [1 + k % n_values for k in rows]
    match dtype.name:
        case "bool":
            return [number == 1 for number in numbers]
        case "utf8":
            return [str(number) for number in numbers]
        case "binary":
            return [str(number).encode() for number in numbers]
        case "date32" | "date64":
            return [date(2024, 1, 1) + timedelta(days=k) for k in rows]
        case "time":
            return [time(k % 24, k % 60) for k in rows]
        case "duration":
            return [timedelta(hours=k + 1) for k in rows]
        case "timestamp":
            zone = None if dtype.tz is None else UTC
            return [_FIRST.replace(tzinfo=zone) + timedelta(hours=k) for k in rows]
        case "list":
            assert dtype.of is not None
            elements = _values(dtype.of, n_rows + 1, n_values)
            return [elements[k : k + 1 + k % 2] for k in rows]
        case _:
            if dtype.is_integer:
                return numbers
            return [number + k / (4 * n_rows) for k, number in enumerate(numbers)]
