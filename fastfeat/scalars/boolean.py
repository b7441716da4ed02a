"""`and`, `or`, `xor` and `not`: Kleene logic on bools (missing is unknown), bitwise on integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import BOOL, INT64, DType
from fastfeat.ir.writing import Infix, PrefixForm
from fastfeat.scalars import op
from fastfeat.scalars.value import ScalarFunction, Value, as_i64, join_status, missing


def _logic_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if all(dtype.name in ("bool", "null") for dtype in types):
        return BOOL
    if all(dtype.is_integer or dtype.name == "bool" for dtype in types):
        return INT64
    raise TypeMismatch(
        f"needs bools (or integers), got {' and '.join(map(str, types))}. "
        "Compare first: col('x') > 0"
    )


def _as_bool(value: Value) -> Value:
    return missing(BOOL) if value.dtype.name == "null" else value


def _is_bitwise(values: Sequence[Value]) -> bool:
    return any(value.dtype.is_integer for value in values)


def _bitwise(values: Sequence[Value], name: str) -> Value:
    left, right = (as_i64(value) for value in values)
    result = op.apply(f"{name}_i64", left.op, right.op)
    return Value(INT64, result, left.ok & right.ok, join_status(left, right))


def _and(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    if _is_bitwise(values):
        return _bitwise(values, "and")
    x, y = (_as_bool(value) for value in values)
    decided = (x.ok & ~x.op) | (y.ok & ~y.op)
    return Value(BOOL, x.op & y.op & ~decided, (x.ok & y.ok) | decided, join_status(x, y))


def _or(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    if _is_bitwise(values):
        return _bitwise(values, "or")
    x, y = (_as_bool(value) for value in values)
    decided = (x.ok & x.op) | (y.ok & y.op)
    return Value(BOOL, x.op | y.op | decided, (x.ok & y.ok) | decided, join_status(x, y))


def _xor(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    if _is_bitwise(values):
        return _bitwise(values, "xor")
    x, y = (_as_bool(value) for value in values)
    return Value(BOOL, x.op ^ y.op, x.ok & y.ok, join_status(x, y))


def _not(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    x = as_i64(value) if value.dtype.is_integer else _as_bool(value)
    return replace(x, op=~x.op)


FUNCTIONS: dict[str, ScalarFunction] = {
    "and": ScalarFunction(_logic_type, _and, n_args=2, written=Infix("&")),
    "or": ScalarFunction(_logic_type, _or, n_args=2, written=Infix("|")),
    "xor": ScalarFunction(_logic_type, _xor, n_args=2, written=Infix("^")),
    "not": ScalarFunction(_logic_type, _not, written=PrefixForm("~")),
}
