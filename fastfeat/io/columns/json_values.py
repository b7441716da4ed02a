"""JSON values as columns: a table of rules by which the server and the stream read rows.

For each column type `RULES` states the accepted JSON values; all others are refused, with the
column's name. `docs/live.md` contains the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import time
from typing import Any, Literal

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.io.arrow import Array, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.dtypes import INT64, INTEGER_RANGE, DType

JsonTimeFormat = Literal["iso", "s", "ms", "us", "ns"]
"""The form of timestamps in JSON: ISO 8601 text, or counts of a unit since 1970."""
JsonValues = Sequence[Any]
_MISSING = type(None)
_MOST_OF_FLOAT = 1 << 53
_EXACT_UP_TO = {"float32": 1 << 24, "float16": 1 << 11}
_REFUSED = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, KeyError, TypeError)


class WrongValue(ValueError):
    """A JSON value that its column does not accept.

    Args:
        column: Name of the column.
        row: Number of the row, from 0.
        wanted: Text that says how to write a value of this column.
        value: The refused value.
    """

    def __init__(self, column: str, row: int, wanted: str, value: Any) -> None:
        text = repr(value)
        self.column, self.row, self.value = column, row, value
        self.told = f"{wanted}, got {text if len(text) <= 80 else text[:80] + '...'}"
        super().__init__(f"column {column!r}: {self.told}")


@dataclass(frozen=True, slots=True)
class JsonRule:
    """A rule for some column types: the JSON values that they accept, besides null.

    Args:
        types: Names of the types.
        taken: Accepted values, in words.
        refused: Similar values that are refused, in words.
        read: Makes an array from values, one per row; None is missing, and at least one value is
            not. For a refused value it returns None, or raises an Arrow error or OverflowError.
        wanted: Returns a text that says how to write a value.
    """

    types: tuple[str, ...]
    taken: str
    refused: str
    read: Callable[[JsonValues, DType, JsonTimeFormat], Array | None]
    wanted: Callable[[DType, JsonTimeFormat], str]


def column_of(values: JsonValues, name: str, dtype: DType, times: JsonTimeFormat = "iso") -> Array:
    """Return JSON values, one per row, as an array of the column's type; None is missing.

    `RULES` decides which values are accepted. `name` is the column, for messages.

    Raises:
        WrongValue: The first value that is not of the type.
    """
    try:
        array = _array(values, dtype, times)
    except _REFUSED:
        array = None
    if array is None:
        raise _first_wrong(values, name, dtype, times)
    return array


def _array(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    """Return the values as an array; None, or an Arrow error, for a value that is refused."""
    if not values or not any(value is not None for value in values):
        return pa.nulls(len(values), arrow_type(dtype))
    return _BY_TYPE[dtype.name].read(values, dtype, times)


def _first_wrong(values: JsonValues, name: str, dtype: DType, times: JsonTimeFormat) -> WrongValue:
    """Return the error for the first value that is not of the type."""
    for k, value in enumerate(values):
        try:
            is_right = _array([value], dtype, times) is not None
        except _REFUSED:
            is_right = False
        if not is_right:
            wanted = _BY_TYPE[dtype.name].wanted(dtype, times)
            return WrongValue(name, k, wanted, value)
    raise AssertionError(f"no value of {name!r} is wrong")


def _kinds(values: JsonValues) -> set[type]:
    """Return the Python types of the values, without None.

    Types are checked because Arrow itself would accept 1.5 as an integer and true as a number.
    """
    kinds: set[type] = set(map(type, values))
    kinds.discard(_MISSING)
    return kinds


def _integers(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array:
    if _kinds(values) != {int}:
        values = [_whole(value) for value in values]
    return pa.array(values, arrow_type(dtype))


def _whole(value: Any) -> int | None:
    """Return a number as an integer; a float must be whole and below 2^53.

    Raises:
        OverflowError: Any other value.
    """
    if value is None or type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) < _MOST_OF_FLOAT:
        return int(value)
    raise OverflowError


def _floats(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    kinds = _kinds(values)
    if not kinds <= {int, float}:
        return None
    if int in kinds:
        values = _exact(values, dtype)
    wide = pa.array(values, pa.float64())
    if dtype.name not in _EXACT_UP_TO:
        return wide.cast(arrow_type(dtype))
    with np.errstate(over="ignore"):
        rounded = wide.to_numpy(zero_copy_only=False).astype(dtype.name)
    if np.isinf(rounded).any():
        return None
    return pa.array(rounded, arrow_type(dtype), mask=np.asarray(wide.is_null()))


def _exact(values: JsonValues, dtype: DType) -> JsonValues:
    """Return the numbers with integers as floats; each integer must be exact as a float.

    Raises:
        OverflowError: A whole number is not exactly a float of the type.
    """
    known = _EXACT_UP_TO.get(dtype.name, _MOST_OF_FLOAT)
    whole = [value for value in values if type(value) is int]
    if max(whole) <= known and min(whole) >= -known:
        return values
    narrow = np.dtype(dtype.name if dtype.name in _EXACT_UP_TO else "float64").type
    for value in whole:
        with np.errstate(over="ignore"):
            rounded = float(narrow(float(value)))
        if rounded != value:
            raise OverflowError
    return [float(value) if type(value) is int else value for value in values]


def _bools(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    return pa.array(values, pa.bool_()) if _kinds(values) == {bool} else None


def _texts(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    return pa.array(values, arrow_type(dtype)) if _kinds(values) == {str} else None


def _dates(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    if _kinds(values) != {str}:
        return None
    return pa.array(values, pa.string()).cast(arrow_type(dtype))


def _moments(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    if times == "iso":
        return _dates(values, dtype, times)
    counted = _integers(values, INT64, times).cast(pa.timestamp(times, dtype.tz))
    return counted.cast(arrow_type(dtype))


def _durations(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array:
    return _integers(values, INT64, times).cast(arrow_type(dtype))


def _times_of_day(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    if _kinds(values) != {str}:
        return None
    found = [None if value is None else _time(value) for value in values]
    return pa.array(found, pa.time64("us")).cast(arrow_type(dtype))


def _time(text: str) -> time:
    """Return a time of day.

    Raises:
        OverflowError: The text has another form, or a zone offset.
    """
    try:
        found = time.fromisoformat(text)
    except ValueError:
        raise OverflowError from None
    if found.tzinfo is not None:
        raise OverflowError
    return found


def _lists(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> Array | None:
    of = dtype.of
    if of is None or _kinds(values) != {list}:
        return None
    inside = _array([one for value in values if value is not None for one in value], of, times)
    if inside is None:
        return None
    lengths = np.array([0 if value is None else len(value) for value in values], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mask = pa.array([value is None for value in values], pa.bool_())
    kind = pa.large_list(inside.type)
    return pa.LargeListArray.from_arrays(pa.array(offsets), inside, type=kind, mask=mask)


def _nothing(values: JsonValues, dtype: DType, times: JsonTimeFormat) -> None:
    """Refuse all values."""


def _write(what: str) -> Callable[[DType, JsonTimeFormat], str]:
    """Return a function that makes the advice how to write a value of a type."""

    def wanted(dtype: DType, times: JsonTimeFormat) -> str:
        return f"fit saw {dtype}: write {what.format(unit=dtype.unit)}"

    return wanted


def _write_integer(dtype: DType, times: JsonTimeFormat) -> str:
    least, most = INTEGER_RANGE[dtype.name]
    return f"fit saw {dtype}: write a whole number, from {least} to {most}"


def _write_moment(dtype: DType, times: JsonTimeFormat) -> str:
    if times != "iso":
        return f"fit saw {dtype}: write a whole number of {times} since 1970, as set by times="
    offset, example = ("without an offset", "") if dtype.tz is None else ("with an offset", "Z")
    return (
        f"fit saw {dtype}: write ISO 8601 {offset}, no finer than {dtype.unit}, such as "
        f"'2026-01-31T12:00:00{example}'"
    )


RULES: tuple[JsonRule, ...] = (
    JsonRule(
        tuple(INTEGER_RANGE),
        "a whole number in the range of the type; `1.0` too, below 2^53",
        '`true`, `1.5`, `"1"`, `1e300`',
        _integers,
        _write_integer,
    ),
    JsonRule(
        ("float64", "float32", "float16", "decimal"),
        "a number, rounded once to the type; a whole number only if the type holds it exactly",
        '`true`, `"1"`, `9007199254740993`; for the smaller types, numbers outside their range',
        _floats,
        _write("a number in the range of the type; a whole number must be exact in it"),
    ),
    JsonRule(("bool",), "`true`, `false`", '`1`, `0`, `"true"`', _bools, _write("true or false")),
    JsonRule(("utf8", "binary"), "text", "a number, `true`", _texts, _write("text")),
    JsonRule(
        ("timestamp",),
        "ISO 8601 text, with an offset or `Z` if the column has a time zone, otherwise without. In "
        'a stream with `times = "ms"`, whole numbers of this unit since 1970',
        '`"2026-01-31T12:00:00"` if the column has a zone, `"2026-01-31T12:00:00Z"` if not, a '
        "fraction finer than the unit, a number",
        _moments,
        _write_moment,
    ),
    JsonRule(
        ("date32", "date64"),
        'a date, `"2026-01-31"`',
        'an impossible date, `"2026-02-30"`; a number',
        _dates,
        _write("a date such as '2026-01-31'"),
    ),
    JsonRule(
        ("time",),
        'a time of day, `"12:00:00"`',
        "an offset, a fraction finer than the unit, a number",
        _times_of_day,
        _write("a time of day such as '12:00:00'"),
    ),
    JsonRule(
        ("duration",),
        "a whole number in the unit of the column",
        "`1.5`, text",
        _durations,
        _write("a whole number of {unit}"),
    ),
    JsonRule(
        ("list",),
        "a list of values accepted for the type of its elements",
        "a single value",
        _lists,
        _write("a list with elements of that type"),
    ),
    JsonRule(
        ("null",),
        "only `null`",
        "anything else",
        _nothing,
        lambda dtype, times: "fit saw only missing values: write null, or fit again",
    ),
)
"""The rules. `null` is missing in every column."""
_BY_TYPE: Mapping[str, JsonRule] = {name: rule for rule in RULES for name in rule.types}


def rules_table() -> str:
    """Return the rules as a Markdown table."""
    lines = ["| column | accepted JSON | refused |", "|---|---|---|"]
    for rule in RULES:
        names = ", ".join(
            "integers" if name == "int8" else name
            for name in rule.types
            if name not in INTEGER_RANGE or name == "int8"
        )
        lines.append(f"| {names} | {rule.taken} | {rule.refused} |")
    return "\n".join(lines)
