# the parameters of a row's lambdas have the types in its `args`
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
"""The primitive operations of kernels: for each a reference in Python and its LLVM code.

Names carry the operand type, as in "add_f64". A primitive gives the same bits wherever it runs:
nothing here depends on a compiler's promotion rules, on libm, or on the floating-point environment.
The LLVM code works for scalars and vectors alike.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import Physical


@dataclass(frozen=True, slots=True)
class Primitive:
    """The entry of one primitive operation in `PRIMITIVES`.

    Args:
        args: Types of the operands.
        result: Type of the result.
        python: The reference function, on float, int and bool.
        llvm: LLVM code with placeholders: {0}, {1} and {2} are the operands, %{n} the result,
            {block} the preceding block; `llvm_template` has the others.
        reads_memory: The first operand is the address of a table (a list in the reference).
        loops: The code contains a loop and ends in a block of its own, {n}.after; the compiler
            cannot vectorize the loop over rows around it.
    """

    args: tuple[Physical, ...]
    result: Physical
    python: Callable[..., Any]
    llvm: str
    reads_memory: bool = False
    loops: bool = False


def wrap(value: int) -> int:
    """Return an integer wrapped to a signed 64-bit integer."""
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


_native_fma = getattr(math, "fma", None)  # Python 3.13; raises if the result is inf or NaN


def _fma_by_fractions(x: float, y: float, z: float) -> float:
    if not (math.isfinite(x) and math.isfinite(y)):
        return x * y + z
    if not math.isfinite(z):
        return z  # x * y is finite, even if its rounding is not
    from fractions import Fraction  # building a plan does not need it

    total = Fraction(x) * Fraction(y) + Fraction(z)
    if total == 0:
        return x * y + z  # an exact zero: IEEE's rules give the sum its sign
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
    """Return the square root; NaN below zero."""
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


LLVM_TYPES: dict[str, str] = {"f64": "double", "i64": "i64", "b1": "i1"}
_LLVM_WORDS = {"f": "double", "i": "i64", "b": "i1", "f32": "float", "i128": "i128"}


def llvm_constant(physical: Physical, value: float | int, lanes: int | None = None) -> str:
    """Return a constant as LLVM code; with `lanes`, a vector with this constant in each lane."""
    match physical:
        case "f64":
            text = _llvm_float(value)
        case "i64":
            text = str(int(value))
        case "b1":
            text = "true" if value else "false"
    return _in_all_lanes(LLVM_TYPES[physical], text, lanes)


def _llvm_float(value: float) -> str:
    """Return a float as LLVM code: the shortest decimal; for NaN and infinities, the bits."""
    if not math.isfinite(value):
        return f"0x{_bits_of(value) % 2**64:016X}"
    digits, _, exponent = repr(float(value)).partition("e")
    digits = digits if "." in digits else f"{digits}.0"
    return f"{digits}e{exponent}" if exponent else digits


def _in_all_lanes(kind: str, text: str, lanes: int | None) -> str:
    return text if lanes is None else f"splat ({kind} {text})"


@cache
def llvm_template(name: str, lanes: int | None = None) -> str:
    """Return the LLVM code of a primitive, with placeholders for operands, result and block.

    `lanes` is the vector width; None for scalars.
    """
    types = {
        word: kind if lanes is None else f"<{lanes} x {kind}>" for word, kind in _LLVM_WORDS.items()
    }
    constants = {
        "zero": llvm_constant("i64", 0, lanes),
        "ones": llvm_constant("i64", -1, lanes),
        "true": llvm_constant("b1", True, lanes),
        "nothing": llvm_constant("f64", 0.0, lanes),
        "at_once": llvm_constant("f64", 52.0, lanes),
        "stored": llvm_constant("i64", 52, lanes),
        "bias": llvm_constant("f64", 2.0**52 + 1023, lanes),
        "half": _in_all_lanes("i128", "64", lanes),
    }
    suffix, mask = ("f64", "i1") if lanes is None else (f"v{lanes}f64", f"i{lanes}")
    kept = {"n": "{n}", "block": "{block}", "suffix": suffix, "mask": mask}
    return PRIMITIVES[name].llvm.format("{0}", "{1}", "{2}", **types, **constants, **kept)


def _line(instruction: str) -> str:
    """Return the LLVM code of a primitive that is a single instruction."""
    return f"%{{n}} = {instruction}"


def _lines(*instructions: str) -> str:
    """Return the LLVM code of a primitive of several instructions.

    Their results are %{n}.0, %{n}.1 and so on, and finally %{n}.
    """
    names = [*(f"%{{n}}.{k}" for k in range(len(instructions) - 1)), "%{n}"]
    return "\n".join(f"{name} = {text}" for name, text in zip(names, instructions, strict=True))


def _call(name: str, n_operands: int = 1) -> str:
    """Return the LLVM code that calls an intrinsic; its name ends in the type of the operands."""
    operands = ", ".join(f"{{f}} {{{k}}}" for k in range(n_operands))
    return _line(f"call {{f}} @llvm.{name}.{{suffix}}({operands})")


def _load(element: str) -> str:
    return _lines(
        "inttoptr i64 {0} to ptr",
        f"getelementptr {element}, ptr %{{n}}.0, i64 {{1}}",
        f"load {element}, ptr %{{n}}.1",
    )


# x * 2**exponent mod y, at most 52 bits of the quotient at a time; no step rounds. The quotient is
# below 2**53. Truncated it is exact, or 1 too large if the division was rounded up.
_REMAINDER = """br label %{n}.again
{n}.again:
%{n}.rest = phi {f} [ {0}, %{block} ], [ %{n}, %{n}.again ]
%{n}.left = phi {f} [ {2}, %{block} ], [ %{n}.then, %{n}.again ]
%{n}.few = fcmp olt {f} %{n}.left, {at_once}
%{n}.step = select {b} %{n}.few, {f} %{n}.left, {f} {at_once}
%{n}.sum = fadd {f} %{n}.step, {bias}
%{n}.bits = bitcast {f} %{n}.sum to {i}
%{n}.shifted = shl {i} %{n}.bits, {stored}
%{n}.power = bitcast {i} %{n}.shifted to {f}
%{n}.scaled = fmul {f} %{n}.rest, %{n}.power
%{n}.quotient = fdiv {f} %{n}.scaled, {1}
%{n}.whole = call {f} @llvm.trunc.{suffix}({f} %{n}.quotient)
%{n}.minus = fneg {f} %{n}.whole
%{n}.found = call {f} @llvm.fma.{suffix}({f} %{n}.minus, {f} {1}, {f} %{n}.scaled)
%{n}.short = fcmp olt {f} %{n}.found, {nothing}
%{n}.more = fadd {f} %{n}.found, {1}
%{n} = select {b} %{n}.short, {f} %{n}.more, {f} %{n}.found
%{n}.then = fsub {f} %{n}.left, %{n}.step
%{n}.lanes = fcmp ogt {f} %{n}.then, {nothing}
%{n}.mask = bitcast {b} %{n}.lanes to {mask}
%{n}.any = icmp ne {mask} %{n}.mask, 0
br i1 %{n}.any, label %{n}.again, label %{n}.after
{n}.after:"""


_HIGH = _lines(
    "zext {i} {0} to {i128}",
    "zext {i} {1} to {i128}",
    "mul {i128} %{n}.0, %{n}.1",
    "lshr {i128} %{n}.2, {half}",
    "trunc {i128} %{n}.3 to {i}",
)

_F: tuple[Physical] = ("f64",)
_I: tuple[Physical] = ("i64",)
_B: tuple[Physical] = ("b1",)


def _compare(stem: str, python: Callable[[Any, Any], bool]) -> dict[str, Primitive]:
    """Return the entries of one comparison, for floats and integers, by name.

    Comparisons with NaN are false, except `ne`.
    """
    of_floats = f"fcmp {'u' if stem == 'ne' else 'o'}{stem} {{f}} {{0}}, {{1}}"
    of_integers = f"icmp {stem if stem in ('eq', 'ne') else f's{stem}'} {{i}} {{0}}, {{1}}"
    return {
        f"{stem}_f64": Primitive(_F * 2, "b1", python, _line(of_floats)),
        f"{stem}_i64": Primitive(_I * 2, "b1", python, _line(of_integers)),
    }


PRIMITIVES: dict[str, Primitive] = {
    # float64
    "add_f64": Primitive(_F * 2, "f64", lambda x, y: x + y, _line("fadd {f} {0}, {1}")),
    "sub_f64": Primitive(_F * 2, "f64", lambda x, y: x - y, _line("fsub {f} {0}, {1}")),
    "mul_f64": Primitive(_F * 2, "f64", lambda x, y: x * y, _line("fmul {f} {0}, {1}")),
    "div_f64": Primitive(_F * 2, "f64", divide, _line("fdiv {f} {0}, {1}")),
    "fma": Primitive(_F * 3, "f64", exact_fma, _call("fma", 3)),
    "sqrt": Primitive(_F, "f64", square_root, _call("sqrt")),
    "neg_f64": Primitive(_F, "f64", lambda x: -x, _line("fneg {f} {0}")),
    "abs_f64": Primitive(_F, "f64", abs, _call("fabs")),
    "floor": Primitive(_F, "f64", _integral(math.floor), _call("floor")),
    "ceil": Primitive(_F, "f64", _integral(math.ceil), _call("ceil")),
    "trunc": Primitive(_F, "f64", _integral(math.trunc), _call("trunc")),
    "rint": Primitive(_F, "f64", _integral(round), _call("rint")),
    "round_f32": Primitive(
        _F, "f64", _to_float32, _lines("fptrunc {f} {0} to {f32}", "fpext {f32} %{n}.0 to {f}")
    ),
    # x * 2**n mod y, for x and y in [1, 2) and an integral n in [0, 2**12]
    "remainder_scaled": Primitive(_F * 3, "f64", _remainder_scaled, _REMAINDER, loops=True),
    # int64, modulo 2**64; an overflow is a check beside the operation, never part of it
    "add_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x + y), _line("add {i} {0}, {1}")),
    "sub_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x - y), _line("sub {i} {0}, {1}")),
    "mul_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x * y), _line("mul {i} {0}, {1}")),
    "neg_i64": Primitive(_I, "i64", lambda x: wrap(-x), _line("sub {i} {zero}, {0}")),
    "quotient_i64": Primitive(_I * 2, "i64", _quotient, _line("sdiv {i} {0}, {1}")),
    "remainder_i64": Primitive(
        _I * 2, "i64", lambda x, y: x - y * _quotient(x, y), _line("srem {i} {0}, {1}")
    ),
    "mulhi_u64": Primitive(
        _I * 2, "i64", lambda x, y: wrap((x % 2**64) * (y % 2**64) >> 64), _HIGH
    ),
    "and_i64": Primitive(_I * 2, "i64", lambda x, y: x & y, _line("and {i} {0}, {1}")),
    "or_i64": Primitive(_I * 2, "i64", lambda x, y: x | y, _line("or {i} {0}, {1}")),
    "xor_i64": Primitive(_I * 2, "i64", lambda x, y: x ^ y, _line("xor {i} {0}, {1}")),
    "not_i64": Primitive(_I, "i64", lambda x: ~x, _line("xor {i} {0}, {ones}")),
    "shl_i64": Primitive(_I * 2, "i64", lambda x, y: wrap(x << y), _line("shl {i} {0}, {1}")),
    "shr_i64": Primitive(_I * 2, "i64", lambda x, y: x >> y, _line("ashr {i} {0}, {1}")),
    "lshr_i64": Primitive(
        _I * 2, "i64", lambda x, y: wrap((x % 2**64) >> y), _line("lshr {i} {0}, {1}")
    ),
    # comparisons
    **_compare("lt", lambda x, y: x < y),
    **_compare("le", lambda x, y: x <= y),
    **_compare("gt", lambda x, y: x > y),
    **_compare("ge", lambda x, y: x >= y),
    **_compare("eq", lambda x, y: x == y),
    **_compare("ne", lambda x, y: x != y),
    # booleans
    "and_b1": Primitive(_B * 2, "b1", lambda x, y: x and y, _line("and {b} {0}, {1}")),
    "or_b1": Primitive(_B * 2, "b1", lambda x, y: x or y, _line("or {b} {0}, {1}")),
    "xor_b1": Primitive(_B * 2, "b1", lambda x, y: x != y, _line("xor {b} {0}, {1}")),
    "eq_b1": Primitive(_B * 2, "b1", lambda x, y: x == y, _line("icmp eq {b} {0}, {1}")),
    "ne_b1": Primitive(_B * 2, "b1", lambda x, y: x != y, _line("xor {b} {0}, {1}")),
    "not_b1": Primitive(_B, "b1", lambda x: not x, _line("xor {b} {0}, {true}")),
    **{
        f"select_{kind}": Primitive(
            ("b1", kind, kind),
            kind,
            lambda c, x, y: x if c else y,
            _line(f"select {{b}} {{0}}, {{{kind[0]}}} {{1}}, {{{kind[0]}}} {{2}}"),
        )
        for kind in ("f64", "i64", "b1")
    },
    # conversions
    "f64_from_i64": Primitive(_I, "f64", float, _line("sitofp {i} {0} to {f}")),
    "i64_from_f64": Primitive(_F, "i64", _truncated, _line("fptosi {f} {0} to {i}")),
    "i64_from_b1": Primitive(_B, "i64", int, _line("zext {b} {0} to {i}")),
    "bits_i64": Primitive(_F, "i64", _bits_of, _line("bitcast {f} {0} to {i}")),
    "bits_f64": Primitive(_I, "f64", _from_bits, _line("bitcast {i} {0} to {f}")),
    # tables: the reference holds a list where a kernel holds an address
    "load_f64": Primitive(_I * 2, "f64", lambda t, k: t[k], _load("double"), reads_memory=True),
    "load_i64": Primitive(_I * 2, "i64", lambda t, k: t[k], _load("i64"), reads_memory=True),
}
