"""Text in row kernels: never the bytes, only where a value stands among a set of literals.

The border looks every text up once per literal set and hands the kernel a position, -1 for none.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastfeat.dtypes import BOOL, INT32, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Literal
from fastfeat.scalars import op
from fastfeat.scalars.op import TRUE
from fastfeat.scalars.value import InputSlot, Value, missing

_NOT_UTF8 = (
    ". Text of a CSV is bytes where the file is not UTF-8: write it as UTF-8, or read it with "
    "pandas.read_csv(..., encoding='latin-1')"
)


def advice_on_bytes(dtype: DType) -> str:
    """Return advice where text is needed and a type is bytes; nothing for another type."""
    return _NOT_UTF8 if dtype.name == "binary" else ""


def codes(value: Value, literals: Sequence[str]) -> Value:
    """Return the position of a text's value among literals; -1 for none, missing stays."""
    if value.node is None or isinstance(value.node, Literal):
        raise TypeMismatch("text must be a column here")
    slot = InputSlot("codes", (value.node,), INT32, tuple(literals))
    return Value(INT32, op.input_value(slot, "i64"), op.input_ok(slot))


def equal(left: Value, right: Value, *, negated: bool) -> Value:
    """Return whether two texts are equal (or differ), missing where either is."""
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
