"""Inputs of exported C: the type of each column in the row struct, and the text that reads it."""

from __future__ import annotations

from collections.abc import Iterator

from fastfeat_kernels.records import dataclass

from fastfeat.export.c.layout import Field
from fastfeat.export.c.operations import literal, render
from fastfeat.ir.dtypes import FLOAT_FORMATS, INTEGER_RANGE, DType
from fastfeat.scalars import op

_DAY_MS = 86_400_000
_MOST_DAYS = (2**63 - 1) // _DAY_MS
_SHORT_UNITS = {"s": "s", "ms": "ms", "us": "us", "ns": "ns"}


@dataclass(frozen=True, slots=True)
class Input:
    """A column that the export reads.

    Args:
        name: Name of the column.
        field: Its identifier in the row struct.
        dtype: Its type in the plan.
    """

    name: str
    field: str
    dtype: DType

    @property
    def type(self) -> str:
        """The type that a caller gives: `float64`, `int64`, `uint64`, `bool`, `date`, and so on."""
        name = self.dtype.name
        if self.dtype.is_float or name == "null":
            return "float64"
        if self.dtype.is_integer:
            return "uint64" if name == "uint64" else "int64"
        return {"date32": "date", "date64": "date"}.get(name, name)

    @property
    def unit(self) -> str | None:
        """The unit of times and durations."""
        return _SHORT_UNITS.get(str(getattr(self.dtype, "unit", None)))

    @property
    def c_type(self) -> str:
        """The type in C of one value."""
        if self.dtype.holds_bytes:
            return "text"
        return {"float64": "double", "uint64": "uint64_t"}.get(self.type, "int64_t")


def read(number: int, one: Input, place: Field) -> Iterator[str]:
    """Yield the statements that read input `number` from `row` into the struct `v`.

    A value that its column could not hold is an error.
    """
    x, given = f"v->{place.value}", f"row->{one.field}"
    there = f"row->valid[{number}]"
    wrong = f"return ff_fail(error, 2, -1, {number});"
    if one.dtype.name == "null":
        yield f"if ({there})"
        yield f"    {wrong}"
        yield f"{x} = FF_NAN;"
        return
    if one.dtype.holds_bytes:
        yield f"v->{place.flag} = {there} != 0;"
        yield f"if (v->{place.flag}) {{"
        yield f"    {x} = {given};"
        if one.dtype.name == "utf8":
            yield f"    if (!ff_is_utf8({x}.bytes, {x}.size))"
            yield f"        return ff_fail(error, 5, -1, {number});"
        yield "} else {"
        yield f'    {x}.bytes = "";'
        yield f"    {x}.size = 0;"
        yield "}"
        return
    if one.dtype.is_float:
        yield f"{x} = {there} ? {given} : FF_NAN;"
        if one.dtype.name in FLOAT_FORMATS and one.dtype.name != "float64":
            yield from _check_width(x, one.dtype, wrong)
        return
    yield f"v->{place.flag} = {there} != 0;"
    value = f"(int64_t){given}" if one.type == "uint64" else given
    if one.dtype.name == "bool":
        yield f"{x} = v->{place.flag} && {given} != 0;"
        return
    yield f"{x} = v->{place.flag} ? {value} : 0;"
    if one.dtype.name == "date64":
        yield f"if ({x} > {literal(_MOST_DAYS, 'i64')} || {x} < {literal(-_MOST_DAYS, 'i64')})"
        yield f"    {wrong}"
        yield f"{x} *= {literal(_DAY_MS, 'i64')};"
        return
    low, high = INTEGER_RANGE.get("int32" if one.dtype.name == "date32" else one.dtype.name, (0, 0))
    if (low, high) != (0, 0) and one.dtype.name not in ("int64", "uint64"):
        yield f"if ({x} < {literal(low, 'i64')} || {x} > {literal(high, 'i64')})"
        yield f"    {wrong}"


def _check_width(x: str, dtype: DType, wrong: str) -> Iterator[str]:
    """Yield the statements that fail if a float is not exactly a float of a narrower type."""
    given = op.input_value("x", "f64")
    rounded = op.round_to_type(given, dtype)
    too_large = op.magnitude(rounded) > FLOAT_FORMATS[dtype.name].largest
    finite = op.magnitude(given) < float("inf")
    wrongly = finite & (rounded.ne(given) | too_large)
    found = render([wrongly], lambda _: x, {})
    yield "{"
    yield from (f"    {line}" for line in found.lines)
    yield f"    if ({found.names[wrongly]})"
    yield f"        {wrong}"
    yield "}"
