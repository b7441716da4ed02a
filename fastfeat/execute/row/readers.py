"""Functions that convert one value of a row to its stored form, chosen by type in advance.

The choice depends on the column's type and the value's Python type. The functions return the same
as the module `row_values`, but do not check the Python type again. Other types, and error messages,
are left to `row_values`.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from fastfeat.engine.cpu.row import FORMATS
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.io.columns.row_values import content_value, convert, list_value
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import INTEGER_RANGE, DType

ValueReader = Callable[[Any], Any]
"""Function from a value to its stored form; missing becomes None, or NaN for floats."""

NAN = float("nan")
INTEGER_FORMATS = {name: FORMATS[name] for name in INTEGER_RANGE}
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_OF_ZONES = _EPOCH.replace(tzinfo=datetime.UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_SECONDS = 86_400
_LIMIT = 2**63


def type_as_stored(dtype: DType, *, is_column: bool = True) -> type | None:
    """Return the Python type of the values that a column stores unchanged, or None.

    Values of this type still need a check: the size of integers, text for lone surrogates, and
    float32 for rounding. `is_column` is False for computed values, which are in stored form
    already.
    """
    if not is_column and not dtype.holds_bytes:
        return {"f64": float, "i64": int, "b1": bool}[dtype.physical]
    match dtype.name:
        case "float64" | "float32":
            return float
        case "bool":
            return bool
        case "utf8":
            return str
        case "binary":
            return bytes
        case name:
            return int if name in INTEGER_FORMATS else None


def reader_of(dtype: DType, kind: type, name: str) -> ValueReader:
    """Return the reader for values of Python type `kind` in a column; `name` is for messages."""
    if kind is type(None):
        missing = NAN if dtype.is_float else None
        return lambda value: missing
    if kind is int and dtype.name == "float64":
        return partial(_float_of_int, name=name)
    if kind is datetime.datetime and dtype.name == "timestamp":
        return _ticks_of_datetime(dtype, name)
    if kind is datetime.date and dtype.name == "date32":
        return lambda value: value.toordinal() - _EPOCH_DAY
    if dtype.of is not None:
        return partial(list_value, dtype=dtype.of, name=name)
    if dtype.holds_bytes:
        return partial(content_value, dtype=dtype, name=name)
    converted = with_ieee_arithmetic(partial(convert, dtype=dtype, name=name))
    return partial(_nan_for_none, converted) if dtype.is_float else converted


def checks_of(columns: Sequence[tuple[int, DType]]) -> Callable[[Sequence[Any]], None] | None:
    """Return a function that checks that a row's values fit their columns; it raises if not.

    The values have the Python types that `type_as_stored` returns. `columns` holds the index of
    each value in a row, and the type of its column. The result is None if no check is needed.
    """
    texts = [place for place, dtype in columns if dtype.name == "utf8"]
    integers = [(k, INTEGER_FORMATS[t.name]) for k, t in columns if t.name in INTEGER_FORMATS]
    pick_texts, pick_integers = getter(texts), getter([place for place, _ in integers])
    fit = struct.Struct("<" + "".join(code for _, code in integers)).pack

    def check(values: Sequence[Any]) -> None:
        if texts and not all(map(str.isascii, pick_texts(values))):
            for text in pick_texts(values):
                text.encode()  # raises for half of a surrogate pair
        if integers:
            fit(*pick_integers(values))

    return check if texts or integers else None


def getter(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that takes a row and returns the tuple of its values at the given keys."""
    match keys:
        case []:
            return lambda _: ()
        case [key]:
            return lambda values: (values[key],)
        case _:
            return itemgetter(*keys)


def _float_of_int(value: int, name: str) -> float:
    number = float(value)
    if number != value:
        raise ValueError(name)
    return number


def _nan_for_none(converted: ValueReader, value: Any) -> Any:
    found = converted(value)
    return NAN if found is None else found


def _ticks_of_datetime(dtype: DType, name: str) -> ValueReader:
    """Return a function from datetimes to ticks; they need a zone exactly if the column has one."""
    epoch = _EPOCH if dtype.tz is None else _EPOCH_OF_ZONES
    tick, convert_it = tick_ns(dtype), partial(convert, dtype=dtype, name=name)

    def read(value: datetime.datetime) -> int:
        try:
            since = value - epoch
        except TypeError:  # only one of them has a zone
            return convert_it(value)
        micros = (since.days * _DAY_SECONDS + since.seconds) * 10**6 + since.microseconds
        ticks, rest = divmod(micros * 1000, tick)
        if rest or not -_LIMIT <= ticks < _LIMIT:
            return convert_it(value)
        return ticks

    return read
