"""The steps lookup_row, lookup_value, asof_row, with their definitions: joins with another table.

lookup_row and asof_row give the number of the table row that belongs to each row of the data: by
key, or by key and moment. lookup_value then gives the value of a table column there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from fastfeat_kernels.asof.reference import KnownRows, MatchRule, in_order, latest
from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns import conversions
from fastfeat.io.columns.keys import comparable
from fastfeat.io.columns.times import python_value, time_text
from fastfeat.io.columns.types import tick_ns, tick_of
from fastfeat.ir.dtypes import INT64, UTF8, DType
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, Column, Node, TableColumn
from fastfeat.ir.parameters import (
    LONGEST,
    UNIT,
    BoolChoice,
    Parameter,
    Whole,
)
from fastfeat.ir.writing import Texts, pairs_text
from fastfeat.steps.step import Argument, StepFunction


@dataclass(frozen=True, eq=False)
class TableValues:
    """A column of a lookup table.

    Args:
        table: Name of the table.
        name: Name of the column.
        array: Values in the type `io.columns.types.storage_type`, text as large_string.
        cache: Data that backends derive from the table for lookups; it lives as long as the table.
    """

    table: str
    name: str
    array: Array
    cache: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)

    def stored(self) -> list[Any]:
        """Return the values as a Python list, None if missing; cached."""
        found: list[Any] | None = self.cache.get("stored")
        if found is None:
            found = [None if value != value else value for value in self.array.to_pylist()]
            self.cache["stored"] = found
        return found


def rows_by_key(keys: Sequence[Argument]) -> Mapping[tuple[Any, ...], int]:
    """Return a mapping from each key of a table to its row number, cached.

    `keys` are the columns of the key's parts. Raises InvalidData if two rows have the same key.
    """
    first, names = keys[0].values, tuple(key.values.name for key in keys)
    known: dict[tuple[Any, ...], int] | None = first.cache.get(("rows", names))
    if known is not None:
        return known
    known = {}
    columns = [comparable_values(key.values.stored(), key.dtype) for key in keys]
    for row, key in enumerate(zip(*columns, strict=True)):
        if None in key:
            continue
        if key in known:
            shown = ", ".join(f"{k.values.name}={_shown(k, row)}" for k in keys)
            raise InvalidData(
                f"the table {first.table!r} has the key {shown} in the rows {known[key]} and "
                f"{row}, but a lookup needs one row per key. Remove the other rows, or aggregate "
                "them"
            )
        known[key] = row
    first.cache["rows", names] = known
    return known


def _shown(key: Argument, row: int) -> str:
    stored = key.values.stored()[row]
    value = python_value(stored, key.dtype)
    return time_text(stored, key.dtype) if isinstance(value, pa.Scalar) else repr(value)


def comparable_values(values: Sequence[Any], dtype: DType) -> list[Any]:
    """Return values in a form that is comparable across types: times become nanoseconds."""
    if not dtype.is_temporal:
        return list(values)
    return [None if value is None else value * tick_ns(dtype) for value in values]


def _row_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    half = len(types) // 2
    for left, right in zip(types[:half], types[half:], strict=True):
        for dtype in (left, right):
            if not (dtype == UTF8 or dtype.is_number or dtype.is_temporal):
                raise TypeMismatch(f"needs text, a number, a bool, a date or time, got {dtype}")
        if left != right and conversions.conversion(comparable(left), comparable(right)) is None:
            raise TypeMismatch(
                f"cannot compare the key of the data, {left}, with the key of the table, {right}. "
                "Cast one of them first"
            )
    return INT64


def _lookup_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    half = len(args) // 2
    known = rows_by_key(args[half:])
    columns = [comparable_values(arg.values, arg.dtype) for arg in args[:half]]
    return [None if None in key else known.get(key) for key in zip(*columns, strict=True)]


def _lookup_of_row(args: Sequence[Argument], params: Mapping[str, Any]) -> Callable[..., Any]:
    half = len(args) // 2
    find, scale = rows_by_key(args[half:]).get, _scaling(args[:half])

    def row_of(*key: Any) -> int | None:
        return None if None in key else find(scale(key))

    return row_of


def _scaling(keys: Sequence[Argument]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a function that converts a key without missing parts as `comparable_values` does."""
    ticks = [tick_ns(key.dtype) if key.dtype.is_temporal else None for key in keys]
    if not any(ticks):
        return lambda key: key

    def scaled(key: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(key, ticks, strict=True)
        return tuple([part if tick is None else part * tick for part, tick in pairs])

    return scaled


def _value_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if types[1].is_list:
        raise TypeMismatch(
            f"the column of the table is a {types[1]}, but this version cannot look up lists. Use "
            "table columns of numbers, bools, dates, times or text"
        )
    return comparable(types[1])


def _values(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    rows, column = args
    stored = column.values.stored()
    return [None if row is None else stored[row] for row in rows.values]


def _value_of_row(args: Sequence[Argument], params: Mapping[str, Any]) -> Callable[..., Any]:
    stored = args[1].values.stored()

    def value_of(row: int | None) -> Any:
        return None if row is None else stored[row]

    return value_of


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
    """Return the columns of the table that a lookup compares with the keys of the data."""
    return row.args[len(row.args) // 2 :]


LOOKUP_ROW = StepFunction(
    _row_result,
    _lookup_rows,
    of_keys=True,
    n_args=None,
    least_args=2,
    in_halves=True,
    tells_apart=True,
    of_row=_lookup_of_row,
    written=_row_text,
)

LOOKUP_VALUE = StepFunction(
    _value_result,
    _values,
    without_nan=True,
    n_args=2,
    of_row=_value_of_row,
    belongs=_is_lookup_value,
    written=_value_text,
)


def parts_of(args: Sequence[Any]) -> tuple[Any, Sequence[Any], Any, Sequence[Any]]:
    """Return the arguments of an as-of join: time and keys of the data, then those of the table."""
    half = len(args) // 2
    return args[0], args[1:half], args[half], args[half + 1 :]


def _result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    time, keys, right, right_keys = parts_of(types)
    check_moments(time, keys, right, right_keys)
    wanted = "time" if time.is_temporal else "steps"
    if params["unit"] not in (None, wanted):
        kind = "dates or timestamps" if time.is_temporal else "whole numbers"
        write = "a duration, such as '3h'" if time.is_temporal else "a whole number"
        raise TypeMismatch(f"time= has {kind}, so write tolerance= and delay= as {write}")
    return INT64


def check_moments(
    time: DType, keys: Sequence[DType], right: DType, right_keys: Sequence[DType]
) -> None:
    """Raise TypeMismatch if times or keys of the data cannot be compared with the table's.

    `time` and `keys` are the types in the data, `right` and `right_keys` those in the table.
    """
    if keys:
        LOOKUP_ROW.result([*keys, *right_keys], {})
    for dtype in (time, right):
        if not _is_time(dtype):
            raise TypeMismatch(
                f"time= needs timestamps, dates or whole numbers, got {dtype}. Parse text first: "
                ".str.to_datetime(format)"
            )
    if time.is_temporal != right.is_temporal:
        raise TypeMismatch(f"cannot compare the time of the data, {time}, with the time of the "
                           f"table, {right}")  # fmt: skip
    if (time.tz is None) != (right.tz is None):
        raise TypeMismatch(
            f"cannot compare the time of the data, {time}, with the time of the table, {right}: "
            "only one of them has a time zone. Give the other a zone, in the data: "
            "column.dt.tz_localize('Europe/Berlin')"
        )


def _is_time(dtype: DType) -> bool:
    whole = dtype.is_integer and dtype.name != "uint64"
    return whole or dtype.name in ("timestamp", "date32", "date64")


def rule_of(time: DType, right: DType, params: Mapping[str, Any]) -> MatchRule:
    """Return the kernel's rule about the times of table rows that a row of the data may find.

    `right` is the type of the table's times.
    """
    return MatchRule(
        tick_of(time),
        tick_of(right),
        params["delay"],
        params["allow_exact_matches"],
        params["tolerance"],
    )


def instants(values: Sequence[Any], dtype: DType) -> list[Any]:
    """Return times in nanoseconds, whole numbers unchanged, None if missing."""
    tick = tick_of(dtype)
    return [None if value is None else value * tick for value in values]


def _asof_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    time, keys, right, right_keys = parts_of(args)
    known, rule = _by_key(right, right_keys), rule_of(time.dtype, right.dtype, params)
    moments = instants(time.values, time.dtype)
    columns = [comparable_values(key.values, key.dtype) for key in keys]
    found: list[Any] = []
    for row, moment in enumerate(moments):
        key = tuple(column[row] for column in columns)
        found.append(None if moment is None else latest(known.get(key), moment, rule))
    return found


def _asof_of_row(args: Sequence[Argument], params: Mapping[str, Any]) -> Callable[..., Any]:
    time, keys, right, right_keys = parts_of(args)
    find, rule = _by_key(right, right_keys).get, rule_of(time.dtype, right.dtype, params)
    scale, tick = _scaling(keys), rule.tick

    def row_of(moment: Any, *key: Any) -> int | None:
        if moment is None or None in key:
            return None
        return latest(find(scale(key)), moment * tick, rule)

    return row_of


def _by_key(right: Argument, keys: Sequence[Argument]) -> Mapping[tuple[Any, ...], KnownRows]:
    """Return, for each key of a table, its rows in order of time, with their times; cached."""
    names = tuple(key.values.name for key in keys)
    cached: Any = right.values.cache.get(("asof", names))
    if cached is not None:
        return cached
    times = instants(right.values.stored(), right.dtype)
    columns = [comparable_values(key.values.stored(), key.dtype) for key in keys]
    rows: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for row, moment in enumerate(times):
        key = tuple(column[row] for column in columns)
        if moment is not None and None not in key:
            rows.setdefault(key, []).append((moment, row))
    found = {key: in_order(pairs) for key, pairs in rows.items()}
    right.values.cache["asof", names] = found
    return found


def _text(node: Call, texts: Texts) -> str:
    time, keys, right, right_keys = parts_of(node.args)
    given = dict(node.params)
    name = repr(time.name) if isinstance(time, Column) else texts[time]
    shown = [f"time={name}"]
    if isinstance(right, TableColumn) and repr(right.name) != name:
        shown.append(f"right_time={right.name!r}")
    if keys:
        shown.append(f"by={pairs_text([*keys, *right_keys], texts)}")
    for option in ("tolerance", "delay"):
        if given[option]:
            shown.append(f"{option}={length_text(given[option], given['unit'])}")
    if not given["allow_exact_matches"]:
        shown.append("allow_exact_matches=False")
    table = right.table if isinstance(right, TableColumn) else ""
    return f"ff.asof({table!r}, {', '.join(shown)})"


_REACH = Whole(0, LONGEST)

ASOF_ROW = StepFunction(
    _result,
    _asof_rows,
    of_keys=True,
    tells_apart=True,
    n_args=None,
    least_args=2,
    in_halves=True,
    of_row=_asof_of_row,
    parameters=(
        Parameter(
            "tolerance",
            _REACH,
            "Maximum age of a row, in nanoseconds or steps; None for any age",
            None,
            or_none=True,
            hidden=True,
        ),
        Parameter(
            "delay",
            _REACH,
            "Time until a row of the table is known, in nanoseconds or steps",
            0,
            hidden=True,
        ),
        Parameter(
            "allow_exact_matches",
            BoolChoice(),
            "Whether a row that becomes known at exactly this moment matches",
            True,
            hidden=True,
        ),
        Parameter("unit", UNIT, or_none=True, user_name=None),
    ),
    written=_text,
)
STEPS: dict[str, StepFunction] = {
    "asof_row": ASOF_ROW,
    "lookup_row": LOOKUP_ROW,
    "lookup_value": LOOKUP_VALUE,
}
