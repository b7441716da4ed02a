"""A fast path for few JSON rows: each becomes the dict that a live plan accepts, without Arrow.

A plain row is a JSON object with simple values of the expected types (numbers, text, bools, times).
Any other row takes the general path, through an Arrow table, which gives clear errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import FittedPlan
from fastfeat.apps.serve.answers import infinite
from fastfeat.apps.serve.json_rows import RowReader
from fastfeat.ir.dtypes import BFLOAT16, DType

_MOST_OF_FLOAT = 1 << 53
_INT64 = range(-(1 << 63), 1 << 63)
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 6}
Converter = Callable[[Any], Any]


class NotPlain(Exception):
    """Raised for a row that is not plain, so that the caller takes the general path."""


@dataclass(frozen=True, slots=True)
class PlainRow:
    """Converts plain rows to dicts for a live plan, and their features to JSON.

    Args:
        converters: Name of each required column, with the function that converts its JSON values.
        late_converters: The same for late columns, which a row may lack.
        ids: Columns that are passed on unchanged; rows may lack them.
        writing: For each feature, the function that converts a float to a JSON value.
    """

    converters: tuple[tuple[str, Converter], ...]
    late_converters: tuple[tuple[str, Converter], ...]
    ids: tuple[str, ...]
    writing: tuple[Converter, ...]

    def read(self, row: Any) -> dict[str, Any]:
        """Return a JSON row as a dict for a live plan; raise NotPlain if it is not plain."""
        try:
            found = {name: convert(row[name]) for name, convert in self.converters}
            for name in self.ids:
                if name in row:
                    found[name] = row[name]
            for name, convert in self.late_converters:
                found[name] = convert(row.get(name))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise NotPlain from None
        return found

    def read_few(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Return JSON rows as dicts that a live plan accepts.

        Raises:
            NotPlain: A row is not plain, or lacks a column that another has.
        """
        found = [self.read(row) for row in rows]
        if any(len(one) != len(found[0]) for one in found):
            raise NotPlain
        return found

    def written(self, features: Any, names: Sequence[str], row: int = 0) -> list[Any]:
        """Return one row's features as JSON values; missing is None.

        `features` is a float array, shape (n_features,); `row` is the row's number, for messages.

        Raises:
            Refusal: A feature is infinite.
        """
        values: list[Any] = features.tolist()
        for k, value in enumerate(values):
            if value - value != 0.0:  # NaN, or infinite
                if math.isinf(value):
                    raise infinite(names[k], row, value)
                values[k] = None
        return [write(value) for write, value in zip(self.writing, values, strict=True)]


def plain_row_of(fitted: FittedPlan, reader: RowReader) -> PlainRow | None:
    """Return the converter of plain rows for a plan.

    Returns None if the plan has a column or a feature of a type that the fast path does not
    support.
    """
    if fitted.plan.keep or fitted.record.matrix_dtype == BFLOAT16:  # NumPy has no bfloat16
        return None
    converting: dict[str, Converter] = {}
    for name, dtype in reader.columns.items():
        convert = _converter_of(dtype)
        if convert is None:
            return None
        converting[name] = convert
    writing = [_WRITING.get(_kind(field.type)) for field in fitted.schema]
    known = [write for write in writing if write is not None]
    if len(known) < len(writing):
        return None
    late = reader.late
    return PlainRow(
        tuple((name, convert) for name, convert in converting.items() if name not in late),
        tuple((name, convert) for name, convert in converting.items() if name in late),
        reader.passed,
        tuple(known),
    )


def _kind(arrow: Any) -> str:
    return (
        str(arrow)
        .rstrip("0123456789")
        .removeprefix("u")
        .removeprefix("half")
        .replace("double", "float")
    )


def _identity(value: Any) -> Any:
    return value


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _flag(value: Any) -> bool | None:
    return None if value is None else value != 0.0


_WRITING: Mapping[str, Converter] = {"float": _identity, "int": _whole, "bool": _flag}


def _converter_of(dtype: DType) -> Converter | None:
    """Return a function that checks and converts the JSON values of a column of this type.

    It raises for values that are not plain. Returns None for types that the fast path does not
    support.
    """
    if dtype.name == "timestamp":
        return _timestamp_converter(dtype)
    if dtype.is_integer:
        return _integer
    return {"float64": _float, "utf8": _text, "bool": _bool}.get(dtype.name)


def _float(value: Any) -> Any:
    if type(value) is float or value is None:
        return value
    if type(value) is int and -_MOST_OF_FLOAT <= value <= _MOST_OF_FLOAT:
        return float(value)
    raise ValueError


def _integer(value: Any) -> Any:
    if value is None or (type(value) is int and value in _INT64):
        return value
    raise ValueError


def _text(value: Any) -> Any:
    if type(value) is str or value is None:
        return value
    raise ValueError


def _bool(value: Any) -> Any:
    if type(value) is bool or value is None:
        return value
    raise ValueError


def _timestamp_converter(dtype: DType) -> Converter:
    """Return a function that converts ISO 8601 text to a `datetime`.

    It is as strict as Arrow, and accepts no more digits of a second than Python can hold.
    """
    assert dtype.unit is not None
    most = _DIGITS[dtype.unit]
    fraction = rf"(?:\.\d{{1,{most}}})?" if most else ""
    offset = "" if dtype.tz is None else r"(?:Z|[+-]\d\d:\d\d)"
    is_written = re.compile(rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d{fraction}{offset}", re.ASCII)
    fullmatch, read = is_written.fullmatch, datetime.fromisoformat

    def convert(value: Any) -> Any:
        if value is None:
            return None
        if fullmatch(value) is None:
            raise ValueError
        return read(value)

    return convert
