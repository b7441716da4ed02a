"""Checks of values that users pass for parameters: numbers, texts from a choice, True or False.

Each check returns the value in its Python form, or raises an error that names the parameter and
shows the value. Scalars of NumPy, pandas and `decimal` are accepted, like in expressions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, TypeGuard, TypeVar

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.literals import python_value

AllowedText = TypeVar("AllowedText", bound=str)


def whole_number(operator: str, name: str, value: object, low: int, high: int | None = None) -> int:
    """Return a parameter that must be a whole number from `low` to `high` (None: no upper limit).

    `operator` is the function that the user called; it begins the error message, here and below.

    Example:
        >>> whole_number("round", "decimals", 2, 0, 300)
        2
    """
    whole = python_value(value)
    if type(whole) is int and low <= whole and (high is None or whole <= high):
        return whole
    allowed = f"from {low:,}" if high is None else f"from {low:,} to {high:,}"
    raise make_refusal(operator, name, value, f"takes a whole number {allowed}")


def number(
    operator: str, name: str, value: object, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a parameter that must be a number from `low` to `high`, as a float.

    Example:
        >>> number("quantile", "q", 0.5, 0, 1)
        0.5
    """
    given = python_value(value)
    if type(given) in (int, float) and low <= given <= high:
        return _as_float(operator, name, given)
    limits = "" if math.isinf(low) and math.isinf(high) else f" from {low:g} to {high:g}"
    raise make_refusal(operator, name, value, f"takes a number{limits}")


def numbers(operator: str, name: str, value: Any, *, exact: bool = False) -> tuple[float, ...]:
    """Return a parameter that must be a non-empty ordered collection of numbers, as floats.

    With `exact`, 64-bit integers that are not exact as floats stay integers.

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
    raise make_refusal(operator, name, value, "takes a list of one or more numbers")


def number_pair(operator: str, name: str, value: object) -> tuple[float, float]:
    """Return a parameter that must be two finite numbers, the first below the second.

    Example:
        >>> number_pair("min_max_scale", "feature_range", (0, 1))
        (0.0, 1.0)
    """
    pair = numbers(operator, name, value)
    if len(pair) != 2 or not all(map(math.isfinite, pair)):
        raise make_refusal(operator, name, value, "takes two finite numbers")
    if pair[0] >= pair[1]:
        raise make_refusal(operator, name, value, "the first number must be below the second")
    return pair


def rising_numbers(
    operator: str, name: str, value: object, *, exact: bool = False
) -> tuple[float, ...]:
    """Return a parameter that must be one or more numbers in rising order, as floats.

    With `exact`, 64-bit integers that are not exact as floats stay integers.

    Example:
        >>> rising_numbers("qcut", "q", [0.25, 0.5])
        (0.25, 0.5)
    """
    given = numbers(operator, name, value, exact=exact)
    before = -math.inf
    for k, element in enumerate(given):
        if not (element > before or (k == 0 and element == before)):
            raise make_refusal(
                operator, name, value, "takes numbers in rising order without repeats"
            )
        before = element
    return given


def switch(operator: str, name: str, value: object) -> bool:
    """Return a parameter that must be True or False.

    Example:
        >>> switch("max_abs_scale", "clip", True)
        True
    """
    chosen = python_value(value)
    if type(chosen) is bool:
        return chosen
    raise make_refusal(operator, name, value, "takes True or False")


def choice(operator: str, name: str, value: object, allowed: Sequence[AllowedText]) -> AllowedText:
    """Return a parameter that must be one of the allowed texts.

    Example:
        >>> choice("power_transform", "method", "box-cox", ("yeo-johnson", "box-cox"))
        'box-cox'
    """
    for word in allowed:
        if isinstance(value, str) and value == word:
            return word
    raise make_refusal(operator, name, value, f"takes {_either(allowed)}")


def text(operator: str, name: str, value: object) -> str:
    """Return a parameter that must be text.

    Example:
        >>> text("starts_with", "prefix", "N")
        'N'
    """
    if isinstance(value, str):
        return value
    raise TypeMismatch(f"{operator}({name}={value!r}): takes text")


def _either(allowed: Sequence[str]) -> str:
    *first, last = map(repr, allowed)
    return f"{', '.join(first)} or {last}" if first else last


def _is_list(value: object) -> TypeGuard[Iterable[Any]]:
    """Return whether a value is an ordered collection."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Set | Mapping)


def _element(value: Any) -> Any:
    """Return an element of a NumPy, pandas or Arrow collection as a Python value."""
    as_py = getattr(value, "as_py", None)
    return python_value(value) if as_py is None else as_py()


def _as_float(operator: str, name: str, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise make_refusal(operator, name, value, "takes no number larger than 1.8e308") from None


def _needs_integer(value: float) -> bool:
    """Return whether a number is a signed or unsigned 64-bit integer, but not exact as a float."""
    return -(1 << 63) <= value < 1 << 64 and float(value) != value


def make_refusal(operator: str, name: str, value: object, told: str) -> InvalidPlan:
    return InvalidPlan(f"{operator}({name}={value!r}): {told}")
