"""Made-up rows of a schema, with such plain values that every part of a plan can run on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.ir.dtypes import INTEGER_RANGE, DType

ExampleTypes = Mapping[str, DType | UnsupportedType]
_SOME = 3
"""The number of distinct values in a column, so that each key repeats."""
_FIRST = datetime(2000, 1, 1)
_YEARS = 30
"""Years by which the last quarter of the times is later: labels of earlier rows can look ahead."""
_FAR = 10**9  # the same for numbers that are times


def make_example_rows(
    schema: ExampleTypes,
    n_rows: int,
    *,
    missing: str = "none",
    distinct: Collection[str] = (),
) -> Table:
    """Return a table of made-up rows: 1, 2, 3 repeated, as numbers or as text, and rising times.

    Columns of types that no expression can read are missing throughout.

    Args:
        missing: The missing values: "none", "some", "coded" (like "some", with text as Arrow
            dictionaries), or "all".
        distinct: Columns without repeated or missing values, such as ids and whole-number times.
            Values repeat only if the type has too few.
    """
    return pa.table(
        {
            name: _column(dtype, n_rows, "none", n_rows)
            if name in distinct
            else _column(dtype, n_rows, missing, _SOME)
            for name, dtype in schema.items()
        }
    )


def _column(dtype: DType | UnsupportedType, n_rows: int, missing: str, n_values: int) -> Any:
    if isinstance(dtype, UnsupportedType) or dtype.name == "null":
        return pa.nulls(n_rows)
    kind = arrow_type(dtype)
    if missing == "all":
        return pa.nulls(n_rows, kind)
    values = _values(dtype, n_rows, n_values)
    if missing == "none":
        return pa.array(values, kind)
    some = pa.array([None if k % 7 == 4 else value for k, value in enumerate(values)], kind)
    is_coded = missing == "coded" and dtype.name == "utf8"
    return call("dictionary_encode", some) if is_coded else some


def _ascending(dtype: DType, n_rows: int) -> list[int]:
    """Return `n_rows` ascending integers, without repeats if the type has enough values."""
    _, most = INTEGER_RANGE[dtype.name]
    if most < 4 * n_rows:
        return [k * most // n_rows for k in range(n_rows)]
    far = min(_FAR, most // 2)
    return [1 + k + (far if k >= 3 * n_rows // 4 else 0) for k in range(n_rows)]


def _values(dtype: DType, n_rows: int, n_values: int) -> list[Any]:
    """Return `n_rows` values of a type: floats and times all differ, other values repeat."""
    rows, late = range(n_rows), 3 * n_rows // 4
    numbers = [1 + k % n_values for k in rows]
    match dtype.name:
        case "bool":
            return [number == 1 for number in numbers]
        case "utf8":
            return [str(number) for number in numbers]
        case "binary":
            return [str(number).encode() for number in numbers]
        case "date32" | "date64":
            return [date(2000 + _YEARS * (k >= late), 1, 1) + timedelta(days=k) for k in rows]
        case "time":
            return [time(k % 24, k % 60) for k in rows]
        case "duration":
            return [timedelta(hours=k + 1) for k in rows]
        case "timestamp":
            first = _FIRST.replace(tzinfo=None if dtype.tz is None else UTC)
            far = first.replace(year=_FIRST.year + _YEARS)
            return [(far if k >= late else first) + timedelta(hours=k) for k in rows]
        case "list":
            assert dtype.of is not None
            elements = _values(dtype.of, n_rows + 1, n_values)
            return [elements[k : k + 1 + k % 2] for k in rows]
        case _ if dtype.is_integer:
            return numbers if n_values == _SOME else _ascending(dtype, n_rows)
        case _:
            return [number + k / (4 * n_rows) for k, number in enumerate(numbers)]
