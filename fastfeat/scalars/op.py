"""Primitive operations as graphs: the result of lowering scalar functions, translated by backends.

An `Op` applies an entry of `primitives.PRIMITIVES`, or is a leaf: a literal, an input slot (a
column that the kernel reads), a parameter of the kernel (a user's literal or a learnt constant), a
table, or a call of an elementary function. Python operators on Ops build Ops. Operations on
literals are computed at once, by the Python functions in the table of primitives.

A function here that "returns a value" returns the Op that computes the value in the kernel.
"""

from __future__ import annotations

import struct
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import FLOAT_FORMATS, DType, Physical
from fastfeat.ir.node import Interned
from fastfeat.scalars.primitives import PRIMITIVES

OpNumber = float | int | bool


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Op(metaclass=Interned):
    """One primitive operation.

    Args:
        name: A primitive, or "literal", "input", "input_ok", "parameter", "table", "call".
        args: The operands.
        value: For a literal, its value; for another leaf, the key of its slot or table; for a call,
            the name of the elementary function.
        physical: Type of the result: "f64", "i64" or "b1". A table is an address, i64.
    """

    name: str
    args: tuple[Op, ...]
    value: Any
    physical: Physical

    def __add__(self, other: Op | OpNumber) -> Op:
        return _binary("add", self, other)

    def __radd__(self, other: OpNumber) -> Op:
        return _binary("add", lift(other, self.physical), self)

    def __sub__(self, other: Op | OpNumber) -> Op:
        return _binary("sub", self, other)

    def __rsub__(self, other: OpNumber) -> Op:
        return _binary("sub", lift(other, self.physical), self)

    def __mul__(self, other: Op | OpNumber) -> Op:
        return _binary("mul", self, other)

    def __rmul__(self, other: OpNumber) -> Op:
        return _binary("mul", lift(other, self.physical), self)

    def __truediv__(self, other: Op | OpNumber) -> Op:
        return _binary("div", self, other)

    def __rtruediv__(self, other: OpNumber) -> Op:
        return _binary("div", lift(other, self.physical), self)

    def __neg__(self) -> Op:
        return apply(f"neg_{self.physical}", self)

    def __lt__(self, other: Op | OpNumber) -> Op:
        return _binary("lt", self, other)

    def __le__(self, other: Op | OpNumber) -> Op:
        return _binary("le", self, other)

    def __gt__(self, other: Op | OpNumber) -> Op:
        return _binary("gt", self, other)

    def __ge__(self, other: Op | OpNumber) -> Op:
        return _binary("ge", self, other)

    def eq(self, other: Op | OpNumber) -> Op:
        """Return whether the operands are equal; false if either is NaN."""
        return _binary("eq", self, other)

    def ne(self, other: Op | OpNumber) -> Op:
        """Return whether the operands differ; true if either is NaN."""
        return _binary("ne", self, other)

    def __and__(self, other: Op | OpNumber) -> Op:
        return _binary("and", self, other)

    def __or__(self, other: Op | OpNumber) -> Op:
        return _binary("or", self, other)

    def __xor__(self, other: Op | OpNumber) -> Op:
        return _binary("xor", self, other)

    def __invert__(self) -> Op:
        return apply(f"not_{self.physical}", self)

    def __lshift__(self, other: Op | int) -> Op:
        return _binary("shl", self, other)

    def __rshift__(self, other: Op | int) -> Op:
        """Return the arithmetic right shift."""
        return _binary("shr", self, other)


def literal(value: OpNumber, physical: Physical) -> Op:
    """Return a constant that is written into the kernel's code; integers wrap to 64 bits."""
    return Op("literal", (), literal_value(value, physical), physical)


def literal_value(value: OpNumber, physical: Physical) -> OpNumber:
    """Return a number as a value of type "f64", "i64" or "b1"; integers wrap to 64 bits."""
    match physical:
        case "f64":
            return float(value)
        case "i64":
            return (int(value) + (1 << 63)) % (1 << 64) - (1 << 63)
        case "b1":
            return bool(value)


TRUE = literal(True, "b1")
FALSE = literal(False, "b1")
NAN = literal(struct.unpack("<d", b"\0\0\0\0\0\0\xf8\x7f")[0], "f64")


def lift(value: Op | OpNumber, physical: Physical) -> Op:
    """Return an Op unchanged, or a number as a literal of the given type."""
    return value if isinstance(value, Op) else literal(value, physical)


def input_value(slot: Any, physical: Physical) -> Op:
    """Return the value of an input slot in this row; a missing float is NaN, others are 0."""
    return Op("input", (), slot, physical)


def input_ok(slot: Any) -> Op:
    """Return whether an input slot of type i64 or b1 has a value in this row."""
    return Op("input_ok", (), slot, "b1")


def parameter(key: Any, physical: Physical) -> Op:
    """Return a constant that a kernel reads at run time through its table of pointers.

    So a kernel need not be compiled again when the constant changes.
    """
    return Op("parameter", (), key, physical)


def table(key: Any) -> Op:
    """Return the address of a table of 8-byte elements, from the kernel's table of pointers."""
    return Op("table", (), key, "i64")


EXACT: dict[str, str] = {name: f"{name}_exact" for name in ("sin", "cos", "tan", "fewer_periods")}
"""For each function of arguments of moderate size, the variant for arguments of any size."""
LARGE = 2.0**45
"""The size above which an argument of these functions is not moderate."""


def elementary(name: str, *args: Op | float) -> Op:
    """Return a call of the elementary function with this name in `elementary.BODIES`."""
    operands = tuple(lift(argument, "f64") for argument in args)
    return Op("call", operands, name, "f64")


def apply(name: str, *args: Op) -> Op:
    """Return the application of a primitive, simplified if that changes no bit of the result."""
    row = PRIMITIVES[name]
    if row.args != tuple(argument.physical for argument in args):
        raise AssertionError(f"{name}: takes {row.args}, got {[a.physical for a in args]}")
    if all(argument.name == "literal" for argument in args) and not row.reads_memory:
        return literal(row.python(*[argument.value for argument in args]), row.result)
    return _simplify(name, args) or Op(name, args, None, row.result)


def _simplify(name: str, args: tuple[Op, ...]) -> Op | None:
    """Return a simpler operation with the same result, or None; operations on floats are kept."""
    match name, args:
        case ("and_b1", (x, y)) if x is TRUE or y is FALSE or x is y:
            return y
        case ("and_b1", (x, y)) if y is TRUE or x is FALSE:
            return x
        case ("or_b1", (x, y)) if x is FALSE or y is TRUE or x is y:
            return y
        case ("or_b1", (x, y)) if y is FALSE or x is TRUE:
            return x
        case ("not_b1", (Op(name="not_b1", args=(x,)),)):
            return x
        case ("or_i64", (x, y)) if x is y or (y.name == "literal" and y.value == 0):
            return x
        case ("or_i64", (x, y)) if x.name == "literal" and x.value == 0:
            return y
        case ("select_f64" | "select_i64" | "select_b1", (c, x, y)) if c is TRUE or x is y:
            return x
        case ("select_f64" | "select_i64" | "select_b1", (c, _, y)) if c is FALSE:
            return y
        case ("select_b1", (c, x, y)) if c is x:  # a filled value is present if either is
            return c | y
        case _:
            return None


def _binary(stem: str, x: Op, y: Op | OpNumber) -> Op:
    return apply(f"{stem}_{x.physical}", x, lift(y, x.physical))


def select(condition: Op, yes: Op | OpNumber, no: Op | OpNumber) -> Op:
    """Return yes if the condition holds, else no; both sides are computed."""
    physical = yes.physical if isinstance(yes, Op) else no.physical if isinstance(no, Op) else "f64"
    return apply(f"select_{physical}", condition, lift(yes, physical), lift(no, physical))


def fma(x: Op, y: Op | float, z: Op | float) -> Op:
    """Return x * y + z, rounded once."""
    return apply("fma", x, lift(y, "f64"), lift(z, "f64"))


def sqrt(x: Op) -> Op:
    """Return the correctly rounded square root; NaN below zero."""
    return apply("sqrt", x)


def magnitude(x: Op) -> Op:
    """Return the absolute value of a float."""
    return apply("abs_f64", x)


def floor(x: Op) -> Op:
    """Return the largest integral float not above x."""
    return apply("floor", x)


def ceil(x: Op) -> Op:
    """Return the smallest integral float not below x."""
    return apply("ceil", x)


def truncate(x: Op) -> Op:
    """Return x without its fraction."""
    return apply("trunc", x)


def round_even(x: Op) -> Op:
    """Return the nearest integral float, ties to even."""
    return apply("rint", x)


def round_float32(x: Op) -> Op:
    """Return x rounded to float32 and widened back to float64."""
    return apply("round_f32", x)


def round_to_type(x: Op, dtype: DType) -> Op:
    """Return x rounded to a float type, ties to even, and widened back to float64.

    Instead of an infinity the result can be a power of two beyond the type's range.
    """
    if dtype.name in ("float32", "float64"):
        return round_float32(x) if dtype.name == "float32" else x
    kind = FLOAT_FORMATS[dtype.name]
    n_lost = 53 - kind.n_bits
    bits, size = bits_of(x), magnitude(x)
    half_less_1 = (1 << (n_lost - 1)) - 1
    up = bits + half_less_1 + (shift_logical(bits, n_lost) & 1)
    normal = select(is_nan(x), x, from_bits(up & -(1 << n_lost)))
    carry = kind.least * 1.5 * 2.0**52  # its last bit is the spacing of small numbers
    small = from_bits(bits_of((size + carry) - carry) | (bits & -(1 << 63)))
    return select(size < kind.least_normal, small, normal)


def is_nan(x: Op) -> Op:
    """Return whether a float is NaN."""
    return x.ne(x)


def is_number(x: Op) -> Op:
    """Return whether a float is not NaN."""
    return x.eq(x)


def to_f64(x: Op) -> Op:
    """Return an integer as float64, rounded once to nearest even."""
    return apply("f64_from_i64", x)


def to_i64(x: Op) -> Op:
    """Return a float truncated to an integer; unspecified outside int64 and for NaN."""
    return apply("i64_from_f64", x)


def from_bool(x: Op) -> Op:
    """Return 1 for true and 0 for false."""
    return apply("i64_from_b1", x)


def bits_of(x: Op) -> Op:
    """Return the bit pattern of a float as an integer."""
    return apply("bits_i64", x)


def from_bits(x: Op) -> Op:
    """Return the float with this bit pattern."""
    return apply("bits_f64", x)


def shift_logical(x: Op, count: Op | int) -> Op:
    """Return the right shift that brings in zeros; the count is in [0, 63]."""
    return apply("lshr_i64", x, lift(count, "i64"))


def quotient(x: Op, y: Op | int) -> Op:
    """Return x / y rounded towards zero; y must not be 0, nor -1 with x = -2**63."""
    return apply("quotient_i64", x, lift(y, "i64"))


def remainder(x: Op, y: Op | int) -> Op:
    """Return the remainder of `quotient`, with the sign of x; y has the same restrictions."""
    return apply("remainder_i64", x, lift(y, "i64"))


def high_product(x: Op, y: Op | int) -> Op:
    """Return the upper 64 bits of the unsigned 128-bit product of two bit patterns."""
    return apply("mulhi_u64", x, lift(y, "i64"))


def load_f64(address: Op, index: Op | int) -> Op:
    """Return an element of a table of floats; the index must be in range."""
    return apply("load_f64", address, lift(index, "i64"))


def load_i64(address: Op, index: Op | int) -> Op:
    """Return an element of a table of integers; the index must be in range."""
    return apply("load_i64", address, lift(index, "i64"))
