"""Elementary functions of many floats at once, by NumPy: for what `fit` searches for by iteration.

The body of a function is walked with one operation of NumPy for each primitive. Each rounds as
IEEE 754 says, so that the bits depend on no mathematical library and on no machine. NumPy has no
fused multiply-add: it is rounded twice, and results may differ from a kernel's in the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastfeat.ir.node import postorder
from fastfeat.scalars.elementary import body_of
from fastfeat.scalars.op import Op
from fastfeat.scalars.primitives import PRIMITIVES

Functions = Mapping[str, Callable[..., Any]]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK: Final = 4096  # floats: what a body makes of them stays in the second-level cache


def twice_rounded(x: Any, y: Any, z: Any) -> Any:
    """Return x * y + z, the product rounded and then the sum."""
    return x * y + z


def _shifted(x: Integers, count: int) -> Integers:
    return (x.view(np.uint64) >> np.uint64(count)).view(np.int64)


def _bits(x: Floats) -> Integers:
    return x.view(np.int64)


def _floats(x: Integers) -> Floats:
    return x.view(np.float64)


ON_ARRAYS: Functions = {
    "add_f64": np.add,
    "sub_f64": np.subtract,
    "mul_f64": np.multiply,
    "div_f64": np.divide,
    "fma": twice_rounded,
    "neg_f64": np.negative,
    "abs_f64": np.abs,
    "add_i64": np.add,
    "sub_i64": np.subtract,
    "neg_i64": np.negative,
    "and_i64": np.bitwise_and,
    "or_i64": np.bitwise_or,
    "shl_i64": np.left_shift,
    "lshr_i64": _shifted,
    "lt_f64": np.less,
    "gt_f64": np.greater,
    "eq_f64": np.equal,
    "select_f64": np.where,
    "bits_i64": _bits,
    "bits_f64": _floats,
}
"""Functions of arrays for the primitives in the bodies of log, log1p and expm1."""

ON_FLOATS: Functions = {
    **{name: primitive.python for name, primitive in PRIMITIVES.items()},
    "fma": twice_rounded,
}
"""The reference of each primitive, with the same two roundings."""


def of_float(name: str, x: float) -> float:
    """Return an elementary function of a float, with the bits that `of_array` gives.

    >>> of_float("log1p", 1.0), of_float("expm1", 0.0)
    (0.6931471805599453, 0.0)
    """
    return _evaluate(name, x, ON_FLOATS)


def of_array(name: str, x: Floats) -> Floats:
    """Return an elementary function of each float of an array."""
    result = np.empty_like(x)
    with np.errstate(all="ignore"):  # infinities and NaN are values
        for start in range(0, len(x), BLOCK):
            block = slice(start, start + BLOCK)
            result[block] = _evaluate(name, x[block], ON_ARRAYS)
    return result


def _evaluate(name: str, x: Any, functions: Functions) -> Any:
    values: dict[Op, Any] = {}
    for node in _nodes(name):
        if node.args:
            values[node] = functions[node.name](*[values[argument] for argument in node.args])
        else:
            values[node] = x if node.name == "input" else node.value
    return values[body_of(name)[1]]


@cache
def _nodes(name: str) -> list[Op]:
    """Return the operations of a body, arguments before users."""
    return postorder([body_of(name)[1]])
