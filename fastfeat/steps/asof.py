"""asof_row: the latest row of a table, of the key of each row, that was known at its moment.

Times are instants: of two columns both have a zone, whichever, or neither has.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.dtypes import INT64, DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.conversions import tick_ns
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, Column, TableColumn
from fastfeat.ir.writing import Texts, pairs_text
from fastfeat.steps.lookup import LOOKUP_ROW, compared
from fastfeat.steps.step import Argument, StepFunction


def parts_of(args: Sequence[Any]) -> tuple[Any, Sequence[Any], Any, Sequence[Any]]:
    """Return the time and the keys of the data, and those of the table, of what is given."""
    half = len(args) // 2
    return args[0], args[1:half], args[half], args[half + 1 :]


def _result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    time, keys, right, right_keys = parts_of(types)
    check_moments(time, keys, right, right_keys)
    wanted = "time" if time.is_temporal else "steps"
    if params["unit"] not in (None, wanted):
        kind = "dates or times" if time.is_temporal else "whole numbers"
        write = "a duration, such as '3h'" if time.is_temporal else "a whole number"
        raise TypeMismatch(f"the times are {kind}: write tolerance= and delay= as {write}")
    return INT64


def check_moments(
    time: DType, keys: Sequence[DType], right: DType, right_keys: Sequence[DType]
) -> None:
    """Raise where the times and keys of the data cannot be compared with those of a table.

    Args:
        time: the type of the time of the data.
        keys: the types of its keys.
        right: that of the time of the table.
        right_keys: those of its keys.

    Raises:
        TypeMismatch: the first that cannot.
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
        raise TypeMismatch(f"cannot compare the time of the data, {time}, with that of the table, "
                           f"{right}")  # fmt: skip
    if (time.tz is None) != (right.tz is None):
        raise TypeMismatch(
            f"cannot compare the time of the data, {time}, with that of the table, {right}: one "
            "has a time zone. Give the other its zone, in the data: "
            "column.dt.tz_localize('Europe/Berlin')"
        )


def _is_time(dtype: DType) -> bool:
    whole = dtype.is_integer and dtype.name != "uint64"
    return whole or dtype.name in ("timestamp", "date32", "date64")


def instants(values: Sequence[Any], dtype: DType) -> list[Any]:
    """Return times in nanoseconds, whole numbers as they are; None where missing."""
    tick = tick_ns(dtype) if dtype.is_temporal else 1
    return [None if value is None else value * tick for value in values]


def _rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    time, keys, right, right_keys = parts_of(args)
    known = _by_key(right, right_keys)
    moments = instants(time.values, time.dtype)
    columns = [compared(key.values, key.dtype) for key in keys]
    found: list[Any] = []
    for row, moment in enumerate(moments):
        key = tuple(column[row] for column in columns)
        if moment is None or key not in known:
            found.append(None)
        else:
            found.append(_latest(*known[key], moment, params))
    return found


def _by_key(
    right: Argument, keys: Sequence[Argument]
) -> Mapping[tuple[Any, ...], tuple[list[int], list[int]]]:
    """Return the times and rows of each key of a table, in order; the last of equal ones last."""
    names = tuple(key.values.name for key in keys)
    cached: Any = right.values.cache.get(("asof", names))
    if cached is not None:
        return cached
    times = instants(right.values.stored(), right.dtype)
    columns = [compared(key.values.stored(), key.dtype) for key in keys]
    rows: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
    for row, moment in enumerate(times):
        key = tuple(column[row] for column in columns)
        if moment is not None and None not in key:
            rows.setdefault(key, []).append((moment, row))
    found = {
        key: ([moment for moment, _ in sorted(pairs)], [row for _, row in sorted(pairs)])
        for key, pairs in rows.items()
    }
    right.values.cache["asof", names] = found
    return found


def _latest(
    times: Sequence[int], rows: Sequence[int], moment: int, params: Mapping[str, Any]
) -> int | None:
    """Return the latest row known at a moment; None where there is none, or it is too old."""
    find = bisect_right if params["allow_exact_matches"] else bisect_left
    at = find(times, moment - params["delay"])
    tolerance = params["tolerance"]
    if at == 0 or (tolerance is not None and times[at - 1] < moment - tolerance):
        return None
    return rows[at - 1]


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


ASOF_ROW = StepFunction(
    _result, _rows, of_keys=True, n_args=None, least_args=2, in_halves=True, written=_text
)
