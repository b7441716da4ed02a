"""Comparisons: `== != < <= > >=`, missing if either side is. Text has `==` and `!=` only.

Numbers of different types compare exactly: 2**53 + 1 is not 2.0**53. A row kernel never sees the
bytes of a text. Before it runs, every text is looked up once in the set of literals that the
expression compares it with; the kernel gets the position in the set, -1 for none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import BOOL, INT32, INTEGER_RANGE, DType
from fastfeat.ir.node import Literal
from fastfeat.ir.writing import Infix
from fastfeat.scalars import op, temporal
from fastfeat.scalars.cast import truncate_to
from fastfeat.scalars.op import TRUE, Op
from fastfeat.scalars.value import (
    InputSlot,
    ScalarFunction,
    Value,
    advice_on_bytes,
    as_f64,
    as_i64,
    join_status,
    missing,
)


def codes(value: Value, literals: Sequence[str]) -> Value:
    """Return the position of a text among literals: -1 for none; missing stays missing."""
    if value.node is None or isinstance(value.node, Literal):
        found = "a computed text" if value.node is None else "a constant"
        raise TypeMismatch(f"needs a column of text, got {found}")
    slot = InputSlot("codes", (value.node,), INT32, tuple(literals))
    return Value(INT32, op.input_value(slot, "i64"), op.input_ok(slot))


def equal(left: Value, right: Value, *, negated: bool) -> Value:
    """Return whether two texts are equal (or differ, if `negated`); missing if either text is."""
    if "null" in (left.dtype.name, right.dtype.name):
        return missing(BOOL)
    match left.node, right.node:
        case Literal(first), Literal(second):
            same, ok = op.literal(first == second, "b1"), TRUE
        case _, Literal(text):
            found = codes(left, (text,))
            same, ok = found.op.eq(0), found.ok
        case Literal(text), _:
            found = codes(right, (text,))
            same, ok = found.op.eq(0), found.ok
        case first, second:
            assert first is not None
            assert second is not None
            kind = "same" if left.dtype.name == "utf8" else "same_bytes"
            slot = InputSlot(kind, (first, second), BOOL)
            same, ok = op.input_value(slot, "b1"), op.input_ok(slot)
    return Value(BOOL, ~same if negated else same, ok)


_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_SIGN_BIT = -(1 << 63)
_EXACT = 2**53
"""Integers up to this size are exact in float64."""


def comparison_type(name: str, types: Sequence[DType]) -> DType:
    """Return the type bool if both sides can be compared; raise TypeMismatch otherwise."""
    left, right = types
    if left.is_number and right.is_number:
        return BOOL
    if left.is_temporal or right.is_temporal:
        temporal.require_comparable(left, right)
        return BOOL
    content = {left.name, right.name} - {"null"}
    if content in ({"utf8"}, {"binary"}, set()) and name in ("eq", "ne"):
        return BOOL
    raise TypeMismatch(f"cannot compare {left} {_SIGNS[name]} {right}{_advice(left, right)}")


def _advice(left: DType, right: DType) -> str:
    match left.name, right.name:
        case ("binary", "utf8" | "binary" | "null") | ("utf8" | "null", "binary"):
            return advice_on_bytes(DType("binary"))
        case (("utf8" | "null"), ("utf8" | "null")):
            return ". Text has no order here: compare it only with == and !="
        case ("utf8", _) | (_, "utf8"):
            return ". A text is a constant: write col('name') for a column, a number without quotes"
        case _:
            return ""


def _apply(name: str, x: Op, y: Op) -> Op:
    return op.apply(f"{name}_{x.physical}", x, y)


def _compare_unsigned(name: str, left: Value, right: Value) -> Op:
    """Return a comparison with a uint64, which is stored as a signed integer of the same bits.

    An integer below 0 then stands for a value of 2**63 or more.
    """
    both = left.dtype.name == right.dtype.name == "uint64"
    if both:
        return _apply(name, left.op ^ _SIGN_BIT, right.op ^ _SIGN_BIT)
    x = left.op if left.op.physical == "i64" else op.from_bool(left.op)
    y = right.op if right.op.physical == "i64" else op.from_bool(right.op)
    if left.dtype.name == "uint64":
        return op.select(x < 0, name in ("ne", "gt", "ge"), _apply(name, x, y))
    return op.select(y < 0, name in ("ne", "lt", "le"), _apply(name, x, y))


def _compare_floats(name: str, left: Value, right: Value) -> Op:
    """Return a comparison of two numbers, at least one of them a float.

    A 64-bit integer rounded to float64 is on the same side of a float as the integer itself, or
    equal to the float. If equal, the float is an integer too, and the two integers are compared.
    """
    a, b = as_f64(left), as_f64(right)
    rounded = _apply(name, a, b)
    if not (_is_rounded(left, right) or _is_rounded(right, left)):
        return rounded
    is_left = left.op.physical == "i64"
    whole, number = (left, b) if is_left else (right, a)
    kind = "uint64" if whole.dtype.name == "uint64" else "int64"
    found, is_inside = truncate_to(number, kind, *INTEGER_RANGE[kind])
    other = Value(DType(kind), found)
    sides = (replace(whole, dtype=other.dtype), other)
    first, second = sides if is_left else (other, sides[0])
    exact = (
        _compare_unsigned(name, first, second)
        if kind == "uint64"
        else _apply(name, first.op, second.op)
    )
    below = name in (("lt", "le", "ne") if is_left else ("gt", "ge", "ne"))  # 2**63, or 2**64
    return op.select(a.eq(b), op.select(is_inside, exact, op.literal(below, "b1")), rounded)


def _is_rounded(value: Value, other: Value) -> bool:
    """Return whether an integer may not be exact in float64, so that the comparison needs care."""
    if value.op.physical != "i64" or value.dtype.name not in ("int64", "uint64"):
        return False
    match value.node, other.node:
        case Literal(int(whole)), _:
            return abs(whole) > _EXACT
        case _, Literal(int() | float() as number):
            return not abs(number) < _EXACT
        case _, Literal(None):
            return False
        case _:
            return True


def _lower(name: str) -> Callable[[Sequence[Value], Mapping[str, Any]], Value]:
    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        left, right = values
        status = join_status(left, right)
        if left.dtype.holds_bytes or right.dtype.holds_bytes:
            return equal(left, right, negated=name == "ne")
        if left.dtype.is_temporal or right.dtype.is_temporal:
            x, y = temporal.align(left, right)
            return Value(BOOL, _apply(name, x.op, y.op), x.ok & y.ok, join_status(x, y))
        if "f64" in (left.op.physical, right.op.physical):
            a, b = as_f64(left), as_f64(right)
            found = _compare_floats(name, left, right)
            return Value(BOOL, found, op.is_number(a) & op.is_number(b), status)
        ok = left.ok & right.ok
        if "uint64" in (left.dtype.name, right.dtype.name):
            return Value(BOOL, _compare_unsigned(name, left, right), ok, status)
        return Value(BOOL, _apply(name, as_i64(left).op, as_i64(right).op), ok, status)

    return lower


def _row(name: str) -> ScalarFunction:
    return ScalarFunction(
        lambda types, params: comparison_type(name, types),
        _lower(name),
        n_args=2,
        written=Infix(_SIGNS[name]),
        tells_apart=name in ("eq", "ne"),
    )


FUNCTIONS: dict[str, ScalarFunction] = {name: _row(name) for name in _SIGNS}
