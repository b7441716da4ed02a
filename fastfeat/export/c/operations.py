"""Graphs of primitive operations as statements of C11: one table, and one walk over a graph."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import Physical
from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import body_of
from fastfeat.scalars.elementary.floats import MOST_PERIODS
from fastfeat.scalars.op import EXACT, LARGE, Op

_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}

C_OPERATIONS: dict[str, str] = {
    # float64: contraction is off, so each operation rounds once
    "add_f64": "({0} + {1})",
    "sub_f64": "({0} - {1})",
    "mul_f64": "({0} * {1})",
    "div_f64": "({0} / {1})",
    "fma": "ff_fma({0}, {1}, {2})",
    "sqrt": "ff_sqrt({0})",
    "neg_f64": "(-{0})",
    "abs_f64": "ff_abs({0})",
    "floor": "ff_floor({0})",
    "ceil": "ff_ceil({0})",
    "trunc": "ff_trunc({0})",
    "rint": "ff_rint({0})",
    "round_f32": "ff_round_f32({0})",
    "remainder_scaled": "ff_remainder_scaled({0}, {1}, {2})",
    # int64 modulo 2**64, by unsigned arithmetic: an overflow of signed integers is undefined
    "add_i64": "ff_add({0}, {1})",
    "sub_i64": "ff_sub({0}, {1})",
    "mul_i64": "ff_mul({0}, {1})",
    "neg_i64": "ff_neg({0})",
    "quotient_i64": "({0} / {1})",
    "remainder_i64": "({0} % {1})",
    "mulhi_u64": "ff_mulhi({0}, {1})",
    "and_i64": "({0} & {1})",
    "or_i64": "({0} | {1})",
    "xor_i64": "({0} ^ {1})",
    "not_i64": "(~{0})",
    "shl_i64": "ff_shl({0}, {1})",
    "shr_i64": "({0} >> {1})",
    "lshr_i64": "ff_lshr({0}, {1})",
    # comparisons: with a NaN, only != is true
    **{
        f"{stem}_{kind}": f"({{0}} {sign} {{1}})"
        for stem, sign in _SIGNS.items()
        for kind in ("f64", "i64", "b1")
        if kind != "b1" or stem in ("eq", "ne")
    },
    # booleans are an int, 0 or 1
    "and_b1": "({0} & {1})",
    "or_b1": "({0} | {1})",
    "xor_b1": "({0} ^ {1})",
    "not_b1": "(!{0})",
    **{f"select_{kind}": "({0} ? {1} : {2})" for kind in ("f64", "i64", "b1")},
    # conversions
    "f64_from_i64": "((double){0})",
    "i64_from_f64": "ff_to_i64({0})",
    "i64_from_b1": "((int64_t){0})",
    "bits_i64": "ff_bits({0})",
    "bits_f64": "ff_from_bits({0})",
    # tables are arrays
    "load_f64": "{0}[{1}]",
    "load_i64": "{0}[{1}]",
}
"""The text of each primitive; `{0}` to `{2}` are its operands."""

_LARGEST_MODERATE = {"fewer_periods": f"x1 * {MOST_PERIODS.hex()}"}
"""The largest argument of a function whose exact form is not for arguments above `LARGE`."""

TYPES: dict[Physical, str] = {"f64": "double", "i64": "int64_t", "b1": "int"}


def literal(value: float | int | bool, physical: Physical) -> str:
    """Return a constant; finite floats are hexadecimal, so that all bits are there."""
    match physical:
        case "f64":
            if value != value:
                return "FF_NAN"
            if math.isinf(value):
                return "FF_INF" if value > 0 else "(-FF_INF)"
            text = float(value).hex()
            return f"({text})" if text.startswith("-") else text
        case "i64":
            if value == -(1 << 63):
                return "INT64_MIN"
            return f"INT64_C({value})" if value >= 0 else f"(-INT64_C({-value}))"
        case "b1":
            return "1" if value else "0"


def bits_literal(value: float) -> str:
    """Return the bits of a float as an unsigned constant."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return f"UINT64_C(0x{bits:016x})"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Statements that compute operations, and the name or constant of each operation.

    Args:
        lines: The statements.
        names: The text that stands for each operation afterwards.
    """

    lines: list[str]
    names: dict[Op, str]


def render(roots: Iterable[Op], leaf: Callable[[Op], str], known: Mapping[Op, str]) -> Rendered:
    """Return the statements that compute some operations; `leaf` gives the text of a leaf."""
    lines: list[str] = []
    names: dict[Op, str] = dict(known)
    for node in postorder(list(roots)):
        if node in names:
            continue
        if node.name == "literal":
            names[node] = literal(node.value, node.physical)
        elif not node.args:
            names[node] = leaf(node)
        else:
            operands = [names[argument] for argument in node.args]
            if node.name == "call":
                text = f"ff_{node.value}({', '.join(operands)})"
            else:
                text = C_OPERATIONS[node.name].format(*operands)
            names[node] = f"a{len(lines)}"
            lines.append(f"const {TYPES[node.physical]} {names[node]} = {text};")
    return Rendered(lines, names)


def called(roots: Iterable[Op]) -> list[str]:
    """Return the elementary functions that operations call, with the exact form of each."""
    names = {node.value for node in postorder(list(roots)) if node.name == "call"}
    return sorted(names | {EXACT[name] for name in names if name in EXACT})


def elementary(name: str) -> str:
    """Return an elementary function; beyond moderate arguments it calls its exact form."""
    inputs, result = body_of(name)
    arguments = [f"x{k}" for k in range(len(inputs))]
    found = render([result], lambda node: node.name, dict(zip(inputs, arguments, strict=True)))
    lines = [f"static double ff_{name}({', '.join(f'double {a}' for a in arguments)})", "{"]
    if name in EXACT:
        lines.append(f"    if (ff_abs(x0) > {_LARGEST_MODERATE.get(name, literal(LARGE, 'f64'))})")
        lines.append(f"        return ff_{EXACT[name]}({', '.join(arguments)});")
    lines += [f"    {line}" for line in found.lines]
    return "\n".join([*lines, f"    return {found.names[result]};", "}"])
