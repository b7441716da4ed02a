"""Parameters that users give: numbers, words and switches, refused by name and value.

What is welcome in an expression is welcome here: the scalars of NumPy, pandas and `decimal`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, TypeGuard, TypeVar

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.literals import python_value

Word = TypeVar("Word", bound=str)


def whole_number(operator: str, name: str, value: object, low: int, high: int | None = None) -> int:
    """Return a parameter that is a whole number.

    Args:
        operator: what has the parameter, for the message.
        name: of the parameter.
        value: what the user gave.
        low: the smallest number that is allowed.
        high: the largest; None for any.

    Raises:
        InvalidPlan: it is something else, a bool or a float included.

    Example:
        >>> whole_number("round", "decimals", 2, 0, 300)
        2
    """
    whole = python_value(value)
    if type(whole) is int and low <= whole and (high is None or whole <= high):
        return whole
    allowed = f"from {low:,}" if high is None else f"from {low:,} to {high:,}"
    raise refused(operator, name, value, f"takes a whole number {allowed}")


def number(
    operator: str, name: str, value: object, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a parameter that is a number, as a float.

    Args:
        operator: what has the parameter, for the message.
        name: of the parameter.
        value: what the user gave.
        low: the smallest number that is allowed.
        high: the largest.

    Raises:
        InvalidPlan: it is something else, NaN or a bool included.

    Example:
        >>> number("quantile", "q", 0.5, 0, 1)
        0.5
    """
    given = python_value(value)
    if type(given) in (int, float) and low <= given <= high:
        return _as_float(operator, name, given)
    limits = "" if math.isinf(low) and math.isinf(high) else f" from {low:g} to {high:g}"
    raise refused(operator, name, value, f"takes a number{limits}")


def numbers(operator: str, name: str, value: Any, *, exact: bool = False) -> tuple[float, ...]:
    """Return a parameter that is a collection of one or more numbers in some order, as floats.

    Args:
        operator: what has the parameter, for the message.
        name: of the parameter.
        value: what the user gave.
        exact: whether integers of 64 bits that no float equals stay what they are.

    Raises:
        InvalidPlan: it is something else: a text, a set, a mapping, empty.

    Example:
        >>> numbers("cut", "edges", [18, 65])
        (18.0, 65.0)
    """
    if _is_list(value):
        elements = [_element(element) for element in value]
        if elements and all(type(element) in (int, float) for element in elements):
            floats = tuple(_as_float(operator, name, element) for element in elements)
            pairs = zip(elements, floats, strict=True)
            return tuple(e if exact and _needs_integer(e) else f for e, f in pairs)
    raise refused(operator, name, value, "takes a list of one or more numbers")


def number_pair(operator: str, name: str, value: object) -> tuple[float, float]:
    """Return a parameter that is two finite numbers, the first below the second.

    Raises:
        InvalidPlan: it is something else.

    Example:
        >>> number_pair("min_max_scale", "feature_range", (0, 1))
        (0.0, 1.0)
    """
    pair = numbers(operator, name, value)
    if len(pair) != 2 or not all(map(math.isfinite, pair)):
        raise refused(operator, name, value, "takes two finite numbers")
    if pair[0] >= pair[1]:
        raise refused(operator, name, value, "the first number must be below the second")
    return pair


def rising(operator: str, name: str, value: object, *, exact: bool = False) -> tuple[float, ...]:
    """Return a parameter that is one or more numbers in rising order, as `numbers` gives them.

    Raises:
        InvalidPlan: it is something else, or holds NaN or a number twice.

    Example:
        >>> rising("qcut", "q", [0.25, 0.5])
        (0.25, 0.5)
    """
    given = numbers(operator, name, value, exact=exact)
    before = -math.inf
    for k, element in enumerate(given):
        if not (element > before or (k == 0 and element == before)):
            raise refused(operator, name, value, "takes numbers in rising order, each once")
        before = element
    return given


def switch(operator: str, name: str, value: object) -> bool:
    """Return a parameter that is True or False.

    Raises:
        InvalidPlan: it is something else: a text such as "no" would count as True.

    Example:
        >>> switch("max_abs_scale", "clip", True)
        True
    """
    chosen = python_value(value)
    if type(chosen) is bool:
        return chosen
    raise refused(operator, name, value, "takes True or False")


def choice(operator: str, name: str, value: object, allowed: Sequence[Word]) -> Word:
    """Return a parameter that is one of some texts.

    Raises:
        InvalidPlan: it is another text, or none.

    Example:
        >>> choice("power_transform", "method", "box-cox", ("yeo-johnson", "box-cox"))
        'box-cox'
    """
    for word in allowed:
        if isinstance(value, str) and value == word:
            return word
    raise refused(operator, name, value, f"takes {_either(allowed)}")


def text(operator: str, name: str, value: object) -> str:
    """Return a parameter that is a text.

    Raises:
        TypeMismatch: it is something else.

    Example:
        >>> text("starts_with", "prefix", "N")
        'N'
    """
    if isinstance(value, str):
        return value
    raise TypeMismatch(f"{operator}({name}={value!r}): takes a text")


def _either(allowed: Sequence[str]) -> str:
    *first, last = map(repr, allowed)
    return f"{', '.join(first)} or {last}" if first else last


def _is_list(value: object) -> TypeGuard[Iterable[Any]]:
    """Return whether a value is a collection in some order."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Set | Mapping)


def _element(value: Any) -> Any:
    """Return an element of a collection of NumPy, pandas or Arrow as Python's."""
    as_py = getattr(value, "as_py", None)
    return python_value(value) if as_py is None else as_py()


def _as_float(operator: str, name: str, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise refused(operator, name, value, "takes no number beyond 1.8e308") from None


def _needs_integer(value: float) -> bool:
    """Return whether a number is an integer of 64 bits, with a sign or without, and no float."""
    return -(1 << 63) <= value < 1 << 64 and float(value) != value


def refused(operator: str, name: str, value: object, told: str) -> InvalidPlan:
    return InvalidPlan(f"{operator}({name}={value!r}): {told}")
