"""Arithmetic: `+ - * / // % **`, negation, absolute value, sign.

Integers and bools are computed in int64; a row whose result does not fit gets the status OVERFLOW,
an error. If either side is a float, both become float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import FLOAT64, INT64, DType
from fastfeat.ir.node import Literal, Node
from fastfeat.ir.writing import Infix, PrefixForm
from fastfeat.scalars import op, temporal_arithmetic
from fastfeat.scalars.integers import (
    INT64_MIN,
    add_overflows,
    floor_parts,
    mul_overflows,
    sub_overflows,
)
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import (
    NEGATIVE_POWER,
    OVERFLOW,
    ScalarFunction,
    Value,
    as_f64,
    as_i64,
    join_status,
    raise_status,
)


def number_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    """Return the result type of arithmetic: int64 for integers and bools only, else float64.

    Raises TypeMismatch for types that are not numbers.
    """
    require_numbers(types)
    return INT64 if all(dtype.physical != "f64" for dtype in types) else FLOAT64


def float_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    """Return the result type float64; raise TypeMismatch for types that are not numbers."""
    require_numbers(types)
    return FLOAT64


def require_numbers(types: Sequence[DType]) -> None:
    """Raise TypeMismatch unless every type is a number."""
    for dtype in types:
        if not dtype.is_number:
            raise TypeMismatch(f"needs a number, got {dtype}{_advice(dtype)}")


def _advice(dtype: DType) -> str:
    if dtype.holds_bytes:
        return (
            ". For text that spells numbers use .str.to_float(); for other text use "
            ".ordinal_encode(), .str.len_bytes(), .hash(), replace_strict({...}), is_in([...]) or "
            "== 'text'"
        )
    if dtype.is_temporal:
        return ". Convert it to a number first: .dt.hour(), .dt.epoch('s'), .dt.total_seconds()"
    return ""


def _integer_rule(
    combine: Callable[[Op, Op], Op], overflows: Callable[[Op, Op, Op], Op]
) -> Callable[[Value, Value], Value]:
    def lower(left: Value, right: Value) -> Value:
        x, y = as_i64(left), as_i64(right)
        result = combine(x.op, y.op)
        value = Value(INT64, result, x.ok & y.ok, join_status(x, y))
        return raise_status(value, overflows(x.op, y.op, result), OVERFLOW)

    return lower


def _binary(
    name: str,
    sign: str,
    integers: Callable[[Value, Value], Value],
    floats: Callable[[Op, Op], Op],
) -> ScalarFunction:
    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        if any(dtype.is_temporal for dtype in types):
            return temporal_arithmetic.result_type(name, types)
        return number_type(types, params)

    def lower(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
        left, right = values
        if left.dtype.is_temporal or right.dtype.is_temporal:
            return temporal_arithmetic.lower(name, left, right)
        if "f64" in (left.op.physical, right.op.physical):
            return Value(FLOAT64, floats(as_f64(left), as_f64(right)), status=join_status(*values))
        return integers(left, right)

    return ScalarFunction(result, lower, n_args=2, written=Infix(sign))


def _divide(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    if values[0].dtype.is_temporal or values[1].dtype.is_temporal:
        return temporal_arithmetic.lower("div", values[0], values[1])
    left, right = (as_f64(value) for value in values)
    quotient = left / right
    if "f64" not in (values[0].op.physical, values[1].op.physical):
        quotient = op.select(right.eq(0.0), op.NAN, quotient)  # an integer divisor 0 gives missing
    return Value(FLOAT64, quotient, status=join_status(*values))


def _divide_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if any(dtype.is_temporal for dtype in types):
        return temporal_arithmetic.result_type("div", types)
    return float_type(types, params)


def _floordiv_integers(left: Value, right: Value) -> Value:
    x, y = as_i64(left), as_i64(right)
    q, _, zero = floor_parts(x.op, y.op)
    value = Value(INT64, q, x.ok & y.ok & ~zero, join_status(x, y))
    return raise_status(value, x.op.eq(INT64_MIN) & y.op.eq(-1), OVERFLOW)


def _mod_integers(left: Value, right: Value) -> Value:
    x, y = as_i64(left), as_i64(right)
    _, r, zero = floor_parts(x.op, y.op)
    return Value(INT64, r, x.ok & y.ok & ~zero, join_status(x, y))


def python_modulo(x: Op, y: Op) -> Op:
    """Return x % y as Python defines it for floats, from the exact C remainder; NaN for y = 0."""
    r = op.elementary("fmod", x, y)
    crossed = r.ne(0.0) & ((y < 0.0) ^ (r < 0.0))
    r = op.select(crossed, r + y, r)
    signed_zero = op.select(op.bits_of(y) < 0, -0.0, 0.0)
    return op.select(r.eq(0.0), signed_zero, r)


def python_floordiv(x: Op, y: Op) -> Op:
    """Return x // y like Python for floats, except that x // 0 is ±inf and 0 // 0 is NaN."""
    r = op.elementary("fmod", x, y)
    q = (x - r) / y
    crossed = r.ne(0.0) & ((y < 0.0) ^ (r < 0.0))
    q = op.select(crossed, q - 1.0, q)
    whole = op.floor(q)
    whole = op.select(q - whole > 0.5, whole + 1.0, whole)
    zero = op.select((op.bits_of(x) ^ op.bits_of(y)) < 0, -0.0, 0.0)
    whole = op.select(q.eq(0.0), zero, whole)
    return op.select(y.eq(0.0), x / y, whole)


def _power(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    base, exponent = values
    whole = exponent.node.value if isinstance(exponent.node, Literal) else None
    if "f64" not in (base.op.physical, exponent.op.physical):
        return _integer_power(base, exponent)
    x = as_f64(base)
    if whole == 2:
        return Value(FLOAT64, x * x, status=base.status)
    y = as_f64(exponent)
    # IEEE's pow(x, 0) and pow(1, y) are 1 even for NaN; here NaN is missing, and stays so
    result = op.select(op.is_nan(x) | op.is_nan(y), op.NAN, op.elementary("pow", x, y))
    return Value(FLOAT64, result, status=join_status(*values))


def _integer_power(base: Value, exponent: Value) -> Value:
    """Return an integer power of an integer, by repeated squaring over six bits of the exponent.

    For exponents above 62 only the bases -1, 0 and 1 do not overflow. A negative exponent has an
    integer result only for 1 and -1; for other bases it sets the status NEGATIVE_POWER.
    """
    x, n = as_i64(base), as_i64(exponent)
    even = (n.op & 1).eq(0)
    count = op.select((n.op < 0) | (n.op > 63), 63 - op.from_bool(even), n.op)
    result, square = op.literal(1, "i64"), x.op
    overflow, square_overflow = op.FALSE, op.FALSE
    for bit in range(6):
        take = ((count >> bit) & 1).ne(0)
        product = result * square
        overflow = overflow | (take & (square_overflow | mul_overflows(result, square, product)))
        result = op.select(take, product, result)
        doubled = square * square
        square_overflow = square_overflow | mul_overflows(square, square, doubled)
        square = doubled
    unit = x.op.eq(1) | x.op.eq(-1)
    overflow = (overflow | (n.op > 63)) & ~x.op.eq(0)
    value = Value(INT64, result, x.ok & n.ok, join_status(x, n))
    value = raise_status(value, overflow & ~unit, OVERFLOW)
    return raise_status(value, (n.op < 0) & ~unit, NEGATIVE_POWER)


def _check_power(types: Sequence[DType], args: Sequence[Node]) -> None:
    """Raise TypeMismatch for an integer with a negative literal as its exponent.

    The result would not be an integer.
    """
    whole = all(dtype.physical != "f64" for dtype in types)
    exponent = args[1].value if isinstance(args[1], Literal) else None
    if whole and exponent is not None and exponent < 0:
        raise TypeMismatch(
            f"an integer to the power {exponent} is not an integer. Write the exponent as a float: "
            f"** {float(exponent)}"
        )


def _negate(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    if value.dtype.name == "duration":
        checked = replace(value, op=-value.op)
        return raise_status(checked, value.op.eq(INT64_MIN), OVERFLOW)
    if value.op.physical == "f64":
        return Value(FLOAT64, -value.op, status=value.status)
    x = as_i64(value)
    return raise_status(replace(x, op=-x.op), x.op.eq(INT64_MIN), OVERFLOW)


def _allow_durations(rule: Callable[..., DType]) -> Callable[..., DType]:
    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        return types[0] if types[0].name == "duration" else rule(types, params)

    return result


def _abs(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    if value.op.physical == "f64":
        return Value(FLOAT64, op.magnitude(value.op), status=value.status)
    x = value if value.dtype.name == "duration" else as_i64(value)
    result = replace(x, op=op.select(x.op < 0, -x.op, x.op))
    return raise_status(result, x.op.eq(INT64_MIN), OVERFLOW)


def _sign(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    if value.op.physical == "f64":
        x = value.op
        signed = op.select(x > 0.0, 1.0, op.select(x < 0.0, -1.0, x))
        return Value(FLOAT64, signed, status=value.status)
    x = as_i64(value)
    return replace(x, op=op.from_bool(x.op > 0) - op.from_bool(x.op < 0))


FUNCTIONS: dict[str, ScalarFunction] = {
    "add": _binary(
        "add", "+", _integer_rule(lambda x, y: x + y, add_overflows), lambda x, y: x + y
    ),
    "sub": _binary(
        "sub", "-", _integer_rule(lambda x, y: x - y, sub_overflows), lambda x, y: x - y
    ),
    "mul": _binary(
        "mul", "*", _integer_rule(lambda x, y: x * y, mul_overflows), lambda x, y: x * y
    ),
    "div": ScalarFunction(_divide_type, _divide, n_args=2, written=Infix("/")),
    "floordiv": _binary("floordiv", "//", _floordiv_integers, python_floordiv),
    "mod": _binary("mod", "%", _mod_integers, python_modulo),
    "pow": ScalarFunction(
        number_type, _power, check=_check_power, n_args=2, written=Infix("**", before_minus=True)
    ),
    "neg": ScalarFunction(_allow_durations(number_type), _negate, written=PrefixForm("-")),
    "abs": ScalarFunction(_allow_durations(number_type), _abs),
    "sign": ScalarFunction(number_type, _sign),
}
