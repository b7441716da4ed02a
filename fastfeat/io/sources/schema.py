"""Column types and schemas in the forms in which users write them, as DTypes."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import pa
from fastfeat.io.columns.types import UnsupportedType, dtype_of, known_type, schema_of
from fastfeat.io.sources.frames import class_names, polars_unreadable
from fastfeat.io.sources.read import is_in_parts, read_table, schema_in_parts
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import DType


def read_schema(given: Any) -> dict[str, DType | UnsupportedType]:
    """Return the type of each column of a schema or of data, in order.

    `given` is a pyarrow schema, an object that has one, data of any kind, or a mapping of name to
    type, each a DType or any type that `as_dtype` accepts.

    Raises:
        TypeMismatch: It is neither a schema nor a table, or a type cannot be read.
        InvalidData: The data is damaged or has no columns.

    Example:
        >>> {name: str(dtype) for name, dtype in read_schema({"a": [1.5], "b": ["x"]}).items()}
        {'a': 'float64', 'b': 'utf8'}
    """
    if _is_mapping(given) and all(isinstance(written, _TYPES) for written in given.values()):
        return {name: _type_of(written) for name, written in given.items()}
    if "polars.DataFrame" in class_names(given):
        return _polars_schema(given)
    if is_in_parts(given):
        return schema_of(schema_in_parts(given))
    schema: Any = given if isinstance(given, pa.Schema) else getattr(given, "schema", None)
    return schema_of(schema if isinstance(schema, pa.Schema) else read_table(given))


def _polars_schema(frame: Any) -> dict[str, DType | UnsupportedType]:
    """Return the type of each column of a Polars frame; UnsupportedType if Arrow has no type."""
    unread = polars_unreadable(frame)
    if not unread:
        return schema_of(read_table(frame[:0]))
    known = [name for name in frame.columns if name not in unread]
    read = schema_of(read_table(frame[:0], known))
    return {
        name: UnsupportedType(f"Polars' {unread[name]}") if name in unread else read[name]
        for name in frame.columns
    }


def _is_mapping(given: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(given, Mapping)


def _type_of(written: object) -> DType | UnsupportedType:
    """Return a written type as a DType; UnsupportedType if no expression can read it."""
    match written:
        case UnsupportedType():
            return written
        case pa.DataType():
            return known_type(written) or UnsupportedType(str(written))
        case _:
            return as_dtype(written)


def as_dtype(written: object) -> DType:
    """Return the DType for a user's type: text, a pyarrow or NumPy type, or a Python class.

    Raises:
        TypeMismatch: It names no type.

    Example:
        >>> str(as_dtype("timestamp[us, UTC]")), str(as_dtype(float))
        ('timestamp[us, UTC]', 'float64')
    """
    if isinstance(written, DType):
        return written
    if isinstance(written, str):
        return _from_text(written)
    if isinstance(written, type) and written in _PYTHON:
        return _PYTHON[written]
    if isinstance(written, pa.DataType):
        return dtype_of(written)
    module = written.__module__ if isinstance(written, type) else type(written).__module__
    if module.partition(".")[0] == "numpy":
        return _from_numpy(written)
    raise TypeMismatch(f"{written!r} is not a type. Write one as text, such as {_EXAMPLES}")


def _from_text(text: str) -> DType:
    element = text.strip().removeprefix("list[")
    if element != text.strip() and element.endswith("]"):
        return dtypes.list_of(_from_text(element[:-1]))
    match = _WRITTEN.fullmatch(text.strip())
    name, unit, tz = match.groups() if match else ("", None, None)
    if unit is None and name in _NAMES:
        return _NAMES[name]
    timed = name in ("timestamp", "duration", "time")
    if timed and unit in dtypes.UNITS and (tz is None or name == "timestamp"):
        return DType(name, unit, tz)
    raise TypeMismatch(f"{text!r} is not a type. Types are, for example, {_EXAMPLES}")


def _from_numpy(written: Any) -> DType:
    kind = np.dtype(written)
    unit, _ = np.datetime_data(kind) if kind.kind in "mM" else ("", 1)
    name = {"M": "timestamp", "m": "duration"}.get(kind.kind, kind.name)
    return _from_text(f"{name}[{unit}]" if unit else name)


_WRITTEN = re.compile(r"(\w+)(?:\[\s*(\w+)\s*(?:,\s*(.+?)\s*)?\])?", re.ASCII)
_EXAMPLES = (
    '"bool", "int64", "uint8", "float32", "date32", "time[us]", "timestamp[us, UTC]", '
    '"duration[ms]"'
)
_NAMES: dict[str, DType] = {
    **{name: DType(name) for name in dtypes.INTEGER_RANGE},
    **{name: DType(name) for name in ("bool", "float16", "float32", "float64", "date32", "date64")},
    **dict.fromkeys(("utf8", "string"), dtypes.UTF8),
    **dict.fromkeys(("binary", "bytes"), dtypes.BINARY),
    "boolean": dtypes.BOOL,
    "int": dtypes.INT64,
    "float": dtypes.FLOAT64,
    "double": dtypes.FLOAT64,
    "date": dtypes.DATE32,
}
_PYTHON: dict[type, DType] = {
    bool: dtypes.BOOL,
    int: dtypes.INT64,
    float: dtypes.FLOAT64,
    str: dtypes.UTF8,
    bytes: dtypes.BINARY,
    datetime.date: dtypes.DATE32,
    datetime.datetime: dtypes.timestamp("us"),
    datetime.timedelta: dtypes.duration("us"),
}
_TYPES = (DType, UnsupportedType, pa.DataType, np.dtype, str, type)
"""Classes of types; any other object in a mapping is the values of a column."""
