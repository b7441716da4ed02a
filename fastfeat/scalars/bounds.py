"""Bounds of the size of an operation's result, as far as they follow from its operands."""

from __future__ import annotations

import math

from fastfeat.ir.dtypes import FLOAT_FORMATS
from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import BODIES
from fastfeat.scalars.op import Op


def magnitude_bound(x: Op) -> float:
    """Return a bound of the absolute value of the finite results of a float operation.

    inf if unknown. The bound itself is rounded: leave room when comparing.
    """
    bounds: dict[Op, float] = {}
    for node in postorder([x]):
        bounds[node] = _bound(node, [bounds[argument] for argument in node.args])
    return bounds[x]


def _bound(node: Op, sizes: list[float]) -> float:
    """Return the bound of one operation from the bounds of its operands; inf for integers."""
    match node.name, sizes:
        case "literal", _ if node.physical == "f64":
            return abs(node.value) if math.isfinite(node.value) else 0.0
        case "input", _ if node.value.dtype.name in ("float16", "float32"):
            return FLOAT_FORMATS[node.value.dtype.name].largest
        case "call", _:
            return BODIES[node.value].max_size
        case "f64_from_i64", _:
            return 2.0**63
        case "select_f64", (_, one, other):
            return max(one, other)
        case (("neg_f64" | "abs_f64"), (size,)):
            return size
        case (("floor" | "ceil" | "trunc" | "rint"), (size,)):
            return size + 1.0
        case "sqrt", (size,):
            return max(size, 1.0)
        case (("add_f64" | "sub_f64"), (one, other)):
            return one + other
        case "mul_f64", (one, other):
            return _product(one, other)
        case "fma", (one, other, added):
            return _product(one, other) + added
        case _:
            return math.inf


def _product(one: float, other: float) -> float:
    return one * other if one and other else 0.0
