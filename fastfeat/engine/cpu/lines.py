"""A writer of LLVM text for a function, including how a row's values are loaded and stored."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fastfeat.ir.dtypes import FLOAT_FORMATS, FloatFormat
from fastfeat.scalars.primitives import PRIMITIVES, llvm_constant, llvm_template

_ELEMENTS = {
    "bool": "i8",
    "float16": "i16",
    "bfloat16": "i16",
    "float32": "float",
    "float64": "double",
    **{f"{sign}int{bits}": f"i{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")},
}
_NAN = llvm_constant("f64", float("nan"))
_ONE_NAN = {"float32": ("float", "i32", 0x7FC00000), "float64": ("double", "i64", 0x7FF8 << 48)}


class Lines:
    """LLVM text of a function, or of a part of it, to which lines are added.

    Args:
        block: Label of the basic block that the next line is in.
    """

    def __init__(self, block: str) -> None:
        self.texts: list[str] = []
        self.block = block
        self._stem, self._n = "", 0

    def name(self, stem: str) -> None:
        """Set the stem of the names of the next results, to which a number is added."""
        self._stem, self._n = stem, 0

    def put(self, instruction: str) -> str:
        """Add an instruction that has a result; return the name given to the result."""
        value = f"%{self._stem}.{self._n}"
        self._n += 1
        self.texts.append(f"  {value} = {instruction}")
        return value

    def do(self, instruction: str) -> None:
        """Add an instruction without a result."""
        self.texts.append(f"  {instruction}")

    def start(self, block: str) -> None:
        """Start a basic block."""
        self.texts.append(f"{block}:")
        self.block = block

    def element(self, kind: str, source: str, index: str) -> str:
        """Add a load of an array's element; return the name of the loaded value."""
        return self.put(
            f"load {kind}, ptr {self.put(f'getelementptr {kind}, ptr {source}, i64 {index}')}"
        )

    def primitive(
        self, name: str, args: Sequence[str], value: str, lanes: int | None = None
    ) -> str:
        """Add a primitive operation, with a result named `value`; return that name with `%`."""
        text = llvm_template(name, lanes).format(*args, n=value, block=self.block)
        self.texts += [line if line[-1] == ":" else f"  {line}" for line in text.split("\n")]
        if PRIMITIVES[name].loops:
            self.block = f"{value}.after"
        return f"%{value}"


WORD_ROWS = 64


def read_word(lines: Lines, source: str, i: str) -> str:
    """Add the load of the bits of 64 rows, from row `i`; return the name of the vector of bools."""
    byte = lines.put(f"lshr i64 {i}, 3")
    address = lines.put(f"getelementptr i8, ptr {source}, i64 {byte}")
    word = lines.put(f"load i64, ptr {address}, align 1")
    return lines.put(f"bitcast i64 {word} to <{WORD_ROWS} x i1>")


def write_word(lines: Lines, target: str, i: str, flags: str) -> None:
    """Add the store of 64 bools as bits, from row `i`."""
    word = lines.put(f"bitcast <{WORD_ROWS} x i1> {flags} to i64")
    byte = lines.put(f"lshr i64 {i}, 3")
    address = lines.put(f"getelementptr i8, ptr {target}, i64 {byte}")
    lines.do(f"store i64 {word}, ptr {address}, align 1")


def read_elements(lines: Lines, name: str, source: str, flags: str, i: str) -> str:
    """Add the load of an input's values in 64 rows, NaN for missing floats; return their name."""
    if name == "bool":
        return read_word(lines, source, i)
    kind, n = _ELEMENTS[name], WORD_ROWS
    address = lines.put(f"getelementptr {kind}, ptr {source}, i64 {i}")
    x = lines.put(f"load <{n} x {kind}>, ptr {address}, align 1")
    match name:
        case "float32" | "float64":
            if name == "float32":
                x = lines.put(f"fpext <{n} x float> {x} to <{n} x double>")
            present = read_word(lines, flags, i)
            nan = llvm_constant("f64", float("nan"), n)
            kinds = f"<{n} x i1> {present}, <{n} x double> {x}, <{n} x double> {nan}"
            return lines.put(f"select {kinds}")
        case "int64" | "uint64":
            return x
        case _:
            extend = "zext" if name[0] == "u" else "sext"
            return lines.put(f"{extend} <{n} x {kind}> {x} to <{n} x i64>")


def read_element(lines: Lines, name: str, source: str, flags: str, i: str) -> str:
    """Add the load of an input's value in row `i`, NaN if a float is missing; return its name."""
    kind = _ELEMENTS[name]
    x = lines.element(kind, source, i)
    match name:
        case "bool":
            return lines.put(f"trunc i8 {x} to i1")
        case "float32" | "float64":
            wide = lines.put(f"fpext float {x} to double") if name == "float32" else x
            present = lines.put(f"icmp ne i8 {lines.element('i8', flags, i)}, 0")
            return lines.put(f"select i1 {present}, double {wide}, double {_NAN}")
        case "int64" | "uint64":
            return x
        case _:
            return lines.put(f"{'zext' if name[0] == 'u' else 'sext'} {kind} {x} to i64")


def write_element(lines: Lines, name: str, target: str, i: str, x: str) -> None:
    """Add the store of an output's value in row `i`; every NaN gets the same bits."""
    kind = _ELEMENTS[name]
    match name:
        case "bool":
            x = lines.put(f"zext i1 {x} to i8")
        case "float16" | "bfloat16":
            x = _narrowed(lines, x, FLOAT_FORMATS[name])
        case "float32" | "float64":
            # select between integers: LLVM may drop a select between two NaNs
            of_float, kind, nan = _ONE_NAN[name]
            x = lines.put(f"fptrunc double {x} to float") if name == "float32" else x
            is_nan = lines.put(f"fcmp uno {of_float} {x}, {x}")
            bits = lines.put(f"bitcast {of_float} {x} to {kind}")
            x = lines.put(f"select i1 {is_nan}, {kind} {nan}, {kind} {bits}")
        case "int64" | "uint64":
            pass
        case _:
            x = lines.put(f"trunc i64 {x} to {kind}")
    place = lines.put(f"getelementptr {kind}, ptr {target}, i64 {i}")
    lines.do(f"store {kind} {x}, ptr {place}")


def _narrowed(lines: Lines, value: str, kind: FloatFormat) -> str:
    """Add the conversion of a float to a 16-bit format; return the name of its bits.

    The value is rounded once, ties to even; NaN has one pattern. Below the smallest normal number,
    adding a power of two moves the multiple of the smallest subnormal number into the last bits.
    """
    n_lost, n_stored = 53 - kind.n_bits, kind.n_bits - 1
    bias = (1023 - kind.largest_exponent) << n_stored
    infinity = (2 * kind.largest_exponent + 1) << n_stored
    carry = kind.least * 2.0**52
    (carry_bits,) = struct.unpack("<q", struct.pack("<d", carry))
    least = llvm_constant("f64", kind.least_normal)
    put = lines.put
    size = put(f"call double @llvm.fabs.f64(double {value})")
    bits = put(f"bitcast double {size} to i64")
    sign = put(f"lshr i64 {put(f'bitcast double {value} to i64')}, 48")
    odd = put(f"and i64 {put(f'lshr i64 {bits}, {n_lost}')}, 1")
    up = put(f"add i64 {put(f'add i64 {bits}, {(1 << (n_lost - 1)) - 1}')}, {odd}")
    normal = put(f"sub i64 {put(f'lshr i64 {up}, {n_lost}')}, {bias}")
    is_finite = put(f"icmp slt i64 {normal}, {infinity}")
    normal = put(f"select i1 {is_finite}, i64 {normal}, i64 {infinity}")
    total = put(f"fadd double {size}, {llvm_constant('f64', carry)}")
    small = put(f"sub i64 {put(f'bitcast double {total} to i64')}, {carry_bits}")
    is_small = put(f"fcmp olt double {size}, {least}")
    found = put(f"select i1 {is_small}, i64 {small}, i64 {normal}")
    found = put(f"or i64 {found}, {put(f'and i64 {sign}, 32768')}")
    is_nan = put(f"fcmp uno double {value}, {value}")
    nan = infinity + (1 << (n_stored - 1))
    return put(f"trunc i64 {put(f'select i1 {is_nan}, i64 {nan}, i64 {found}')} to i16")
