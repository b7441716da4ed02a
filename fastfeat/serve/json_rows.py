"""Rows of JSON as an Arrow table, of the types that fit saw: exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

import numpy as np

from fastfeat.dtypes import INTEGER_RANGE, DType
from fastfeat.errors import counted, did_you_mean, shortened
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.io.sources.frames import columns_table
from fastfeat.serve.json_text import as_list
from fastfeat.serve.refusals import Refusal

ROWS = "rows is a list of objects, each with a value by column"
_MISSING = type(None)
_MOST_OF_FLOAT = 1 << 53
_REFUSED = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, KeyError, TypeError)
Given = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RowReader:
    """A reader of the rows of a plan.

    Args:
        columns: the type of each column that the plan reads.
        late: those that a row may lack, beside others that have them.
        passed: columns of any type that are passed through.
        most: so many rows are taken at once.
    """

    columns: Mapping[str, DType]
    late: frozenset[str]
    passed: tuple[str, ...]
    most: int

    def table(self, rows: Any) -> Table:
        """Return rows as a table of the columns that they have; further entries are ignored.

        Args:
            rows: a list of objects, value by column.

        Raises:
            Refusal: they are none, or too many, or a value is not one of the type of its column.
        """
        check_rows(rows, self.most)
        if not rows:
            return self.empty
        arrays = {
            name: column_of(values, name, dtype)
            for name, dtype in self.columns.items()
            if (values := _values(rows, name, name in self.late)) is not None
        }
        if not arrays and self.columns:
            raise self.reads_none(rows[0])
        for name in self.passed:
            if (values := _values(rows, name, False)) is not None:
                arrays[name] = _passed(values, name)
        return columns_table(arrays, len(rows))

    @property
    def empty(self) -> Table:
        """A table of no rows."""
        known = {name: arrow_type(dtype) for name, dtype in self.columns.items()}
        others = dict.fromkeys(self.passed, pa.string())
        return pa.schema(list({**known, **others}.items())).empty_table()

    def of_columns(self, columns: Mapping[str, Sequence[Any]], n_rows: int) -> Table:
        """Return a table of columns that are lists of values; those that no one reads are ignored.

        Raises:
            Refusal: a value is not one of the type of its column, or there are too many rows.
        """
        check_number(n_rows, self.most)
        arrays = {
            name: column_of(columns[name], name, dtype)
            for name, dtype in self.columns.items()
            if name in columns
        }
        if not arrays and self.columns:
            raise self.reads_none(columns)
        arrays |= {name: _passed(columns[name], name) for name in self.passed if name in columns}
        return columns_table(arrays, n_rows)

    def reads_none(self, given: Iterable[str]) -> Refusal:
        """Return the refusal of rows of which no column is read."""
        hints = ((name, did_you_mean(name, self.columns)) for name in given)
        near = next((f" There is {name[:60]!r}.{hint}" for name, hint in hints if hint), "")
        return Refusal(
            400,
            "UnknownColumn",
            f"the rows have none of the columns {shortened(self.columns)}, which the plan reads."
            + near,
        )


def row_reader(
    columns: Mapping[str, DType | UnsupportedType],
    late: Iterable[str],
    passed: Iterable[str],
    most: int,
) -> RowReader:
    """Return a reader of rows.

    Args:
        columns: the type of each; one of a type that no expression reads is ignored.
        late: those that a row may lack, beside others that have them.
        passed: those that are passed through, of whatever type.
        most: so many rows are taken at once.
    """
    known = {name: dtype for name, dtype in columns.items() if isinstance(dtype, DType)}
    others = tuple(name for name in dict.fromkeys(passed) if name not in known)
    return RowReader(known, frozenset(late), others, most)


def check_number(n_rows: int, most: int) -> None:
    """Raise where there are more rows than are taken at once.

    Raises:
        Refusal: there are.
    """
    if n_rows > most:
        raise Refusal(
            413, "TooManyRows", f"{counted(n_rows, 'row')}, and {most:,} are taken at once"
        )


def check_rows(rows: Any, most: int) -> None:
    """Raise where something is not a list of objects, or too long.

    Raises:
        Refusal: it is not.
    """
    found = as_list(rows, ROWS)
    check_number(len(found), most)
    for k, row in enumerate(found):
        if type(row) is not dict:
            raise Refusal(
                400, "InvalidRequest", f"row {k} is no object of values by column", row=k, value=row
            )


def column_of(values: Sequence[Any], name: str, dtype: DType) -> Array:
    """Return values of JSON as an array of the type of a column.

    Args:
        values: one a row; None is missing.
        name: of the column, for messages.
        dtype: its type. Times and dates are written as ISO 8601, with an offset where the column
            has a zone and without one where it has none; a duration is a whole number of its
            unit. Numbers of float32 and float16 are rounded to it.

    Raises:
        Refusal: a value is not one of the type; names its row.
    """
    try:
        array = _array(values, dtype)
    except _REFUSED:
        array = None
    if array is None:
        raise _first_wrong(values, name, dtype)
    return array


def _values(rows: Given, name: str, may_lack: bool) -> list[Any] | None:
    """Return the values of a column; None where no row has it.

    Raises:
        Refusal: some rows have it and others do not.
    """
    try:
        return [row[name] for row in rows]
    except KeyError:
        has = [name in row for row in rows]
    if not any(has):
        return None
    if may_lack:
        return [row.get(name) for row in rows]
    k = has.index(False)
    raise Refusal(
        400,
        "UnknownColumn",
        f"row {k} lacks the column {name!r}, which other rows have. Write null where it is "
        "missing." + did_you_mean(name, rows[k]),
        row=k,
        column=name,
    )


def _passed(values: Sequence[Any], name: str) -> Array:
    """Return values of JSON as an array of the type that they have.

    Raises:
        Refusal: they have no type in common.
    """
    try:
        return pa.array(values)
    except _REFUSED:
        raise Refusal(
            400, "TypeMismatch", f"column {name!r}: its values have no type in common", column=name
        ) from None


def _array(values: Sequence[Any], dtype: DType) -> Array | None:
    """Return values as an array; None, or an error of Arrow, where one of them is not of the type.

    Arrow takes 1.5 for an integer and True for a float, so types are looked at before.
    """
    kinds = set(map(type, values))
    kinds.discard(_MISSING)
    name = dtype.name
    if dtype.of is not None:
        return _lists(values, dtype.of) if kinds <= {list} else None
    if not kinds:
        return pa.nulls(len(values), arrow_type(dtype))
    if name in ("float64", "decimal"):
        return pa.array(values, pa.float64()) if kinds <= {int, float, bool} else None
    if dtype.is_float:
        return _narrow(values, dtype) if kinds <= {int, float, bool} else None
    if dtype.is_integer:
        if kinds != {int}:
            values = [_whole(value) for value in values]
        return pa.array(values, arrow_type(dtype))
    if kinds == {str} and name in _TEXTS:
        return _TEXTS[name](values, arrow_type(dtype))
    if name == "bool":
        if kinds != {bool}:
            values = [None if value is None else _BOOLS[value] for value in values]
        return pa.array(values, pa.bool_())
    if name == "duration" and kinds == {int}:
        return pa.array(values, pa.int64()).cast(arrow_type(dtype))
    return None


_BOOLS = {True: True, False: False}  # 1 and 0 are equal to them, 1.0 and 0.0 too


def _whole(value: Any) -> int | None:
    """Return a value as an integer: what is whole, and written so that no digit was lost.

    Raises:
        OverflowError: it is none.
    """
    if value is None or type(value) is int:
        return value
    if type(value) is bool:
        return int(value)
    if type(value) is float and value.is_integer() and abs(value) < _MOST_OF_FLOAT:
        return int(value)
    raise OverflowError


def _narrow(values: Sequence[Any], dtype: DType) -> Array | None:
    """Return numbers rounded to float32 or float16; None where one is beyond its range."""
    wide = pa.array(values, pa.float64())
    with np.errstate(over="ignore"):
        rounded = wide.to_numpy(zero_copy_only=False).astype(dtype.name)
    if np.isinf(rounded).any():
        return None
    return pa.array(rounded, arrow_type(dtype), mask=np.asarray(wide.is_null()))


def _lists(values: Sequence[Any], of: DType) -> Array | None:
    """Return lists as an array of lists."""
    inside = _array([one for value in values if value is not None for one in value], of)
    if inside is None:
        return None
    lengths = np.array([0 if value is None else len(value) for value in values], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mask = pa.array([value is None for value in values], pa.bool_())
    kind = pa.large_list(inside.type)
    return pa.LargeListArray.from_arrays(pa.array(offsets), inside, type=kind, mask=mask)


def _cast(values: Sequence[Any], kind: Any) -> Array:
    return pa.array(values, pa.string()).cast(kind)


def _times(values: Sequence[Any], kind: Any) -> Array:
    """Return times of day; their offset of the zone, if any, is refused."""
    found = [None if value is None else _time(value) for value in values]
    return pa.array(found, pa.time64("us")).cast(kind)


def _time(text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        raise OverflowError from None
    if found.tzinfo is not None:
        raise OverflowError
    return found


_TEXTS: Mapping[str, Callable[[Sequence[Any], Any], Array]] = {
    "utf8": pa.array,
    "binary": pa.array,
    "timestamp": _cast,
    "date32": _cast,
    "date64": _cast,
    "time": _times,
}
"""What reads a text, by the name of the type of its column."""


def _first_wrong(values: Sequence[Any], name: str, dtype: DType) -> Refusal:
    """Return the refusal of the first value that is not of a type."""
    for k, value in enumerate(values):
        try:
            is_right = _array([value], dtype) is not None
        except _REFUSED:
            is_right = False
        if not is_right:
            return Refusal(
                400,
                "TypeMismatch",
                f"column {name!r}, row {k}: {_wanted(dtype)}, got {_given(value)}",
                row=k,
                column=name,
                value=value,
            )
    raise AssertionError(f"no value of {name!r} is wrong")


def _given(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def _wanted(dtype: DType) -> str:
    """Return a text that tells how a value of a type is written."""
    match dtype.name:
        case "timestamp" if dtype.tz is None:
            return (
                f"fit saw {dtype}: write ISO 8601 without an offset, at most in {dtype.unit}, such "
                "as '2026-01-31T12:00:00'"
            )
        case "timestamp":
            return (
                f"fit saw {dtype}: write ISO 8601 with an offset, at most in {dtype.unit}, such as "
                "'2026-01-31T12:00:00Z'"
            )
        case "date32" | "date64":
            return f"fit saw {dtype}: write a date such as '2026-01-31'"
        case "time":
            return f"fit saw {dtype}: write a time of day such as '12:00:00'"
        case "duration":
            return f"fit saw {dtype}: write a whole number of {dtype.unit}"
        case "list":
            return f"fit saw {dtype}: write a list of such values"
        case "null":
            return "fit saw missing values alone: write null, or fit again"
        case "utf8" | "binary":
            return f"fit saw {dtype}: write a text"
        case integer if integer in INTEGER_RANGE:
            least, most = INTEGER_RANGE[integer]
            return f"fit saw {dtype}: write a whole number, from {least} to {most}"
        case _:
            return f"fit saw {dtype}: write a value of this type"
