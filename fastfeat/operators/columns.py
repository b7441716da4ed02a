"""`columns`: the names of a table's columns of one kind, for plans over many columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, UnknownColumn
from fastfeat.ir.dtypes import DType

ColumnKind = Literal["all", "numeric", "temporal", "text", "boolean"]

_KINDS: dict[str, Callable[[DType], bool]] = {
    "all": lambda dtype: True,
    "numeric": lambda dtype: dtype.is_float or dtype.is_integer,
    "temporal": lambda dtype: dtype.is_temporal,
    "text": lambda dtype: dtype.name == "utf8",
    "boolean": lambda dtype: dtype.name == "bool",
}


@with_argument_errors
def columns(
    schema: object, kind: ColumnKind = "all", *, exclude: str | Collection[str] = ()
) -> list[str]:
    """Return the names of the columns of a kind, in their order.

    Args:
        schema: A pyarrow schema, a table or data frame, or a mapping from names to types.
        kind: "numeric" (integers, floats, decimals), "temporal", "text", "boolean", or "all".
        exclude: Names to leave out. Each must be in the schema.

    Raises:
        InvalidPlan: `kind` is unknown.
        UnknownColumn: An excluded name is not in the schema.
        TypeMismatch: `schema` is neither a schema nor a table.

    Example:
        >>> import pyarrow as pa
        >>> schema = pa.schema({"id": pa.int64(), "x": pa.float64(), "city": pa.string()})
        >>> columns(schema, "numeric", exclude="id")
        ['x']
    """
    from fastfeat.io.sources.schema import read_schema  # imports PyArrow

    if kind not in _KINDS:
        raise InvalidPlan(f"columns(kind={kind!r}): takes one of {', '.join(map(repr, _KINDS))}")
    types = read_schema(schema)
    left_out = {exclude} if isinstance(exclude, str) else set(exclude)
    for name in left_out - set(types):
        raise UnknownColumn(f"columns(exclude=...): the data has no column {name!r}")
    chosen = _KINDS[kind]
    return [
        name
        for name, dtype in types.items()
        if name not in left_out and (kind == "all" or (isinstance(dtype, DType) and chosen(dtype)))
    ]
