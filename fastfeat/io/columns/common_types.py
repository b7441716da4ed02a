"""Columns converted to types that other systems have, such as Delta: no unsigned integers."""

from __future__ import annotations

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import DataType, Schema, Table, cast, pa

_SIGNED = {"uint8": "int16", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


def common_type(given: DataType) -> DataType:
    """Return a type that other systems have: signed integers, times in microseconds of UTC.

    Types that only some systems have are unchanged: times of day, durations, lists.

    Example:
        >>> common_type(pa.uint8()), common_type(pa.timestamp("ns", "Europe/Berlin"))
        (DataType(int16), TimestampType(timestamp[us, tz=UTC]))
    """
    types = pa.types
    if types.is_unsigned_integer(given):
        return pa.type_for_alias(_SIGNED[str(given)])
    if types.is_float16(given):
        return pa.float32()
    if types.is_date64(given):
        return pa.date32()
    if types.is_timestamp(given):
        return pa.timestamp("us", None if given.tz is None else "UTC")
    return given


def cast_to_schema(table: Table, schema: Schema, system: str) -> Table:
    """Return a table with the types of a schema, matched by position.

    `system` is the name of the other system, for messages.

    Raises:
        TypeMismatch: A type cannot hold a value.
    """
    for at, field in enumerate(schema):
        given = table.field(at).type
        if given != field.type:
            try:
                column = cast(table.column(at), field.type)
            except pa.ArrowInvalid as error:
                raise TypeMismatch(
                    f"column {field.name!r}: {system} stores {given} as {field.type}, which cannot "
                    f"hold all of its values: {error}"
                ) from error
            table = table.set_column(at, field, column)
    return table
