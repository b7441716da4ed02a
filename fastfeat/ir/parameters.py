"""Which parameters a function has, and of which values: what its row in a table says.

A plan may be read from a text that someone has altered, so a row tells of every parameter what an
operator gives. A parameter that a row does not name is no parameter of the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastfeat.dtypes import DType
from fastfeat.ir.node import Params

Valid = Callable[[Any], bool]
"""Whether a value is one that an operator gives."""
ValidParams = Callable[[Params], bool]
"""Whether the parameters of a call, in the order of their names, are such as an operator gives."""

FARTHEST = 1 << 62
FARTHEST_ELEMENT = 2**31 - 1
LONGEST = (1 << 63) - 1
"""How far windows and delays reach at most, in nanoseconds or steps."""
CLOSED = ("left", "right", "both", "neither")
"""Which ends belong to a window."""
MAX_MEMORY = 1 << 32
"""Bytes that the keys of one encoder, or text that grows, may take, unless the user says so."""
MOST_FOLDS = 1000
MOST_UNSEEN = 1 << 24


def takes_none(params: Params) -> bool:
    """Return whether parameters are those of a function that has none."""
    return not params


def takes(**valid: Valid) -> ValidParams:
    """Return the check of a function that has these parameters, each in every call.

    Example:
        >>> check = takes(n=whole(0, 9))
        >>> check((("n", 3),)), check((("n", 10),)), check(()), check((("m", 1), ("n", 3)))
        (True, False, False, False)
    """
    return takes_some({}, **valid)


def takes_some(optional: dict[str, Valid], **valid: Valid) -> ValidParams:
    """Return the check of a function of which some calls lack a parameter.

    Args:
        optional: the parameters that a call may lack.
        valid: those that each call has.
    """
    every = {**optional, **valid}

    def check(params: Params) -> bool:
        given = dict(params)
        return valid.keys() <= given.keys() <= every.keys() and all(
            every[name](value) for name, value in given.items()
        )

    return check


def whole(least: int, most: float = FARTHEST) -> Valid:
    """Return the check of a whole number in a range."""
    return lambda value: type(value) is int and least <= value <= most


def real(least: float, most: float) -> Valid:
    """Return the check of a float in a range."""
    return lambda value: type(value) is float and least <= value <= most


def one_of(*values: Any) -> Valid:
    """Return the check of one of some texts, flags, or None."""
    return lambda value: any(value is one or (value == one and type(one) is str) for one in values)


def or_none(valid: Valid) -> Valid:
    """Return the check of a value that may be None."""
    return lambda value: value is None or valid(value)


def each_of(valid: Valid) -> Valid:
    """Return the check of a tuple of values."""
    return lambda value: isinstance(value, tuple) and all(map(valid, value))  # pyright: ignore[reportUnknownArgumentType]


def is_text(value: Any) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """Return whether a value is a text that is not empty."""
    return isinstance(value, str) and value != ""


def is_constant(value: Any) -> bool:
    """Return whether a value is a literal, and not a table of them."""
    return not isinstance(value, (tuple, DType))


def is_present(value: Any) -> bool:
    """Return whether a value is a literal that is not missing."""
    return is_constant(value) and value is not None and value == value


def is_base(value: Any) -> bool:
    """Return whether a value is the base of a logarithm."""
    return type(value) is float and 0 < value < math.inf and value != 1


def is_dtype(value: Any) -> bool:
    """Return whether a value is a type."""
    return isinstance(value, DType)


is_flag: Valid = one_of(True, False)
