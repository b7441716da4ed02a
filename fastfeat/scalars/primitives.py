# llvmlite has no types, and the lambdas of a row take what its `args` say
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
"""The primitive operations: one row each, with the reference in Python and the rendering in LLVM.

Names carry the type. A row means the same bits wherever it is rendered: nothing here depends on a
compiler's promotion rules, on libm, or on the floating-point environment. `llvm` builds on scalars
and on vectors alike.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastfeat.ir.dtypes import Physical


@dataclass(frozen=True, slots=True)
class Primitive:
    """A row of the table.

    Args:
        args: types of the operands.
        result: type of the result.
        python: the reference, on float, int and bool.
        llvm: builds the operation; the first argument is an llvmlite IRBuilder.
        reads_memory: the first operand is the address of a table (a list, in the reference).
        loops: a row loop that holds it does not vectorize.
    """

    args: tuple[Physical, ...]
    result: Physical
    python: Callable[..., Any]
    llvm: Callable[..., Any]
    reads_memory: bool = False
    loops: bool = False


def wrap(value: int) -> int:
    """Return an integer modulo 2**64, as a signed 64-bit one."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def exact_fma(x: float, y: float, z: float) -> float:
    """Return x * y + z rounded once."""
    if _native_fma is not None:
        try:
            return _native_fma(x, y, z)
        except (OverflowError, ValueError):
            return _fma_by_fractions(x, y, z)
    product = x * y
    if 2.0**-900 < abs(product) < 2.0**900 and abs(x) < 2.0**900 > abs(y) and abs(z) < 2.0**900:
        # Dekker's halves of 26 bits make the rounding error of the product exact; fsum rounds once.
        x_high = x * 134217729.0 - (x * 134217729.0 - x)
        y_high = y * 134217729.0 - (y * 134217729.0 - y)
        x_low, y_low = x - x_high, y - y_high
        low = ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
        return math.fsum((product, low, z)) or product + z
    return _fma_by_fractions(x, y, z)


_native_fma = getattr(math, "fma", None)  # Python 3.13; raises where the result is inf or NaN


def _fma_by_fractions(x: float, y: float, z: float) -> float:
    if not (math.isfinite(x) and math.isfinite(y)):
        return x * y + z
    if not math.isfinite(z):
        return z  # x * y is finite, even where its rounding is not
    from fractions import Fraction  # no plan needs it to be built

    total = Fraction(x) * Fraction(y) + Fraction(z)
    if total == 0:
        return x * y + z  # an exact zero: IEEE's rules for its sign are those of the sum
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def _remainder_scaled(x: float, y: float, exponent: float) -> float:
    return (int(x * 2.0**52) << int(exponent)) % int(y * 2.0**52) * 2.0**-52


def divide(x: float, y: float) -> float:
    """Return x / y as IEEE 754 defines it."""
    if y != 0 or x != x:
        return x / y if y != 0 else math.nan
    if x == 0:
        return math.nan
    return math.copysign(math.inf, x) * math.copysign(1.0, y)


def square_root(x: float) -> float:
    """Return the square root, NaN below zero."""
    return math.sqrt(x) if x >= 0 else (x if x != x else math.nan)


def _integral(function: Callable[[float], int]) -> Callable[[float], float]:
    def rounded(x: float) -> float:
        return math.copysign(float(function(x)), x) if math.isfinite(x) else x

    return rounded


def _to_float32(x: float) -> float:
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def _bits_of(x: float) -> int:
    return struct.unpack("<q", struct.pack("<d", x))[0]


def _from_bits(x: int) -> float:
    return struct.unpack("<d", struct.pack("<q", x))[0]


def _truncated(x: float) -> int:
    return int(x) if math.isfinite(x) and abs(x) < 2**63 else -(1 << 63)


def _quotient(x: int, y: int) -> int:
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def _call(name: str) -> Callable[..., Any]:
    """Return a builder that calls an LLVM intrinsic overloaded on the type of its operands."""

    def build(b: Any, *values: Any) -> Any:
        kind = values[0].type
        lanes = getattr(kind, "count", None)
        suffix = ("" if lanes is None else f"v{lanes}") + "f64"
        symbol = f"{name}.{suffix}"
        function = b.module.globals.get(symbol)
        if function is None:
            from llvmlite import ir

            function = ir.Function(b.module, ir.FunctionType(kind, [kind] * len(values)), symbol)
        return b.call(function, values)

    return build


def _convert(method: str, to: str) -> Callable[..., Any]:
    """Return a builder for a conversion, to `double`, `i64` or `float` of as many lanes."""

    def build(b: Any, x: Any) -> Any:
        return getattr(b, method)(x, like(x.type, to))

    return build


def like(kind: Any, to: str) -> Any:
    """Return the LLVM type `to` with as many lanes as `kind` has."""
    from llvmlite import ir

    scalar = {
        "double": ir.DoubleType(),
        "float": ir.FloatType(),
        "i64": ir.IntType(64),
        "i128": ir.IntType(128),
    }[to]
    lanes = getattr(kind, "count", None)
    return scalar if lanes is None else ir.VectorType(scalar, lanes)


def constant(kind: Any, value: float | int) -> Any:
    """Return an LLVM constant of a scalar type, or of a vector with that value in all lanes."""
    from llvmlite import ir

    lanes = getattr(kind, "count", None)
    return ir.Constant(kind, value if lanes is None else [value] * lanes)


def _high(b: Any, x: Any, y: Any) -> Any:
    wide = like(x.type, "i128")
    product = b.mul(b.zext(x, wide), b.zext(y, wide))
    return b.trunc(b.lshr(product, constant(wide, 64)), x.type)


def _load(element: str) -> Callable[..., Any]:
    def build(b: Any, address: Any, index: Any) -> Any:
        kind = like(address.type, element)
        return b.load(b.gep(b.inttoptr(address, kind.as_pointer()), [index], source_etype=kind))

    return build


def _round_f32(b: Any, x: Any) -> Any:
    return b.fpext(b.fptrunc(x, like(x.type, "float")), x.type)


def _remainder_loop(b: Any, x: Any, y: Any, exponent: Any) -> Any:
    """Return x * 2**exponent mod y, at most 52 bits of the quotient at a time; no step rounds."""
    kind, bits = x.type, like(x.type, "i64")
    before, loop = b.block, b.append_basic_block("remainder")
    after = b.append_basic_block("after_remainder")
    b.branch(loop)
    b.position_at_end(loop)
    rest, left = b.phi(kind), b.phi(kind)
    step = b.select(b.fcmp_ordered("<", left, constant(kind, 52.0)), left, constant(kind, 52.0))
    integer = b.bitcast(b.fadd(step, constant(kind, 2.0**52 + 1023)), bits)
    scaled = b.fmul(rest, b.bitcast(b.shl(integer, constant(bits, 52)), kind))
    # The quotient is below 2**53: truncated it is right, or 1 too large where it was rounded up.
    whole = _call("llvm.trunc")(b, b.fdiv(scaled, y))
    found = _call("llvm.fma")(b, b.fneg(whole), y, scaled)
    is_short = b.fcmp_ordered("<", found, constant(kind, 0.0))
    found = b.select(is_short, b.fadd(found, y), found)
    left_then = b.fsub(left, step)
    more = b.fcmp_ordered(">", left_then, constant(kind, 0.0))
    lanes = getattr(kind, "count", None)
    if lanes is not None:
        from llvmlite import ir

        word = ir.IntType(lanes)
        more = b.icmp_unsigned("!=", b.bitcast(more, word), ir.Constant(word, 0))
    rest.add_incoming(x, before)
    rest.add_incoming(found, loop)
    left.add_incoming(exponent, before)
    left.add_incoming(left_then, loop)
    b.cbranch(more, loop, after)
    b.position_at_end(after)
    return found


_F: tuple[Physical] = ("f64",)
_I: tuple[Physical] = ("i64",)
_B: tuple[Physical] = ("b1",)


def _compare(stem: str, python: Callable[[Any, Any], bool], sign: str) -> dict[str, Primitive]:
    """Return the rows of one comparison: ordered for floats, except `ne`, which is true for NaN."""
    ordering = "fcmp_unordered" if stem == "ne" else "fcmp_ordered"
    return {
        f"{stem}_f64": Primitive(
            _F * 2, "b1", python, lambda b, x, y: getattr(b, ordering)(sign, x, y)
        ),
        f"{stem}_i64": Primitive(_I * 2, "b1", python, lambda b, x, y: b.icmp_signed(sign, x, y)),
    }


PRIMITIVES: dict[str, Primitive] = {
    # float64
    "add_f64": Primitive(_F * 2, "f64", lambda x, y: x + y, lambda b, x, y: b.fadd(x, y)),
    "sub_f64": Primitive(_F * 2, "f64", lambda x, y: x - y, lambda b, x, y: b.fsub(x, y)),
    "mul_f64": Primitive(_F * 2, "f64", lambda x, y: x * y, lambda b, x, y: b.fmul(x, y)),
    "div_f64": Primitive(_F * 2, "f64", divide, lambda b, x, y: b.fdiv(x, y)),
    "fma": Primitive(_F * 3, "f64", exact_fma, _call("llvm.fma")),
    "sqrt": Primitive(_F, "f64", square_root, _call("llvm.sqrt")),
    "neg_f64": Primitive(_F, "f64", lambda x: -x, lambda b, x: b.fneg(x)),
    "abs_f64": Primitive(_F, "f64", abs, _call("llvm.fabs")),
    "floor": Primitive(_F, "f64", _integral(math.floor), _call("llvm.floor")),
    "ceil": Primitive(_F, "f64", _integral(math.ceil), _call("llvm.ceil")),
    "trunc": Primitive(_F, "f64", _integral(math.trunc), _call("llvm.trunc")),
    "rint": Primitive(_F, "f64", _integral(round), _call("llvm.rint")),
    "round_f32": Primitive(_F, "f64", _to_float32, _round_f32),
    # x * 2**n mod y, for x and y in [1, 2) and an integral n in [0, 2**12]
    "remainder_scaled": Primitive(_F * 3, "f64", _remainder_scaled, _remainder_loop, loops=True),
    # int64, modulo 2**64; an overflow is a check beside the operation, never part of it
    "add_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x + y), lambda b, x, y: b.add(x, y)),
    "sub_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x - y), lambda b, x, y: b.sub(x, y)),
    "mul_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x * y), lambda b, x, y: b.mul(x, y)),
    "neg_i64": Primitive(_I, "i64", lambda x: wrap(-x), lambda b, x: b.neg(x)),
    "quotient_i64": Primitive(_I * 2, "i64", _quotient, lambda b, x, y: b.sdiv(x, y)),
    "remainder_i64": Primitive(
        _I * 2, "i64", lambda x, y: x - y * _quotient(x, y), lambda b, x, y: b.srem(x, y)
    ),
    "mulhi_u64": Primitive(
        _I * 2, "i64", lambda x, y: wrap((x % 2**64) * (y % 2**64) >> 64), _high
    ),
    "and_i64": Primitive(_I * 2, "i64", lambda x, y: x & y, lambda b, x, y: b.and_(x, y)),
    "or_i64": Primitive(_I * 2, "i64", lambda x, y: x | y, lambda b, x, y: b.or_(x, y)),
    "xor_i64": Primitive(_I * 2, "i64", lambda x, y: x ^ y, lambda b, x, y: b.xor(x, y)),
    "not_i64": Primitive(_I, "i64", lambda x: ~x, lambda b, x: b.not_(x)),
    "shl_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x << y), lambda b, x, y: b.shl(x, y)),
    "shr_i64": Primitive(_I * 2, "i64", lambda x, y: x >> y, lambda b, x, y: b.ashr(x, y)),
    "lshr_i64": Primitive(
        _I * 2, "i64", lambda x, y: wrap((x % 2**64) >> y), lambda b, x, y: b.lshr(x, y)
    ),
    # comparisons
    **_compare("lt", lambda x, y: x < y, "<"),
    **_compare("le", lambda x, y: x <= y, "<="),
    **_compare("gt", lambda x, y: x > y, ">"),
    **_compare("ge", lambda x, y: x >= y, ">="),
    **_compare("eq", lambda x, y: x == y, "=="),
    **_compare("ne", lambda x, y: x != y, "!="),
    # booleans
    "and_b1": Primitive(_B * 2, "b1", lambda x, y: x and y, lambda b, x, y: b.and_(x, y)),
    "or_b1": Primitive(_B * 2, "b1", lambda x, y: x or y, lambda b, x, y: b.or_(x, y)),
    "xor_b1": Primitive(_B * 2, "b1", lambda x, y: x != y, lambda b, x, y: b.xor(x, y)),
    "eq_b1": Primitive(_B * 2, "b1", lambda x, y: x == y, lambda b, x, y: b.not_(b.xor(x, y))),
    "ne_b1": Primitive(_B * 2, "b1", lambda x, y: x != y, lambda b, x, y: b.xor(x, y)),
    "not_b1": Primitive(_B, "b1", lambda x: not x, lambda b, x: b.not_(x)),
    **{
        f"select_{kind}": Primitive(
            ("b1", kind, kind),
            kind,
            lambda c, x, y: x if c else y,
            lambda b, c, x, y: b.select(c, x, y),
        )
        for kind in ("f64", "i64", "b1")
    },
    # conversions
    "f64_from_i64": Primitive(_I, "f64", float, _convert("sitofp", "double")),
    "i64_from_f64": Primitive(_F, "i64", _truncated, _convert("fptosi", "i64")),
    "i64_from_b1": Primitive(_B, "i64", int, lambda b, x: b.zext(x, like(x.type, "i64"))),
    "bits_i64": Primitive(_F, "i64", _bits_of, _convert("bitcast", "i64")),
    "bits_f64": Primitive(_I, "f64", _from_bits, _convert("bitcast", "double")),
    # tables: the reference holds a list where a kernel holds an address
    "load_f64": Primitive(_I * 2, "f64", lambda t, k: t[k], _load("double"), reads_memory=True),
    "load_i64": Primitive(_I * 2, "i64", lambda t, k: t[k], _load("i64"), reads_memory=True),
}
