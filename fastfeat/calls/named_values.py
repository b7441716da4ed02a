"""Parameters of plans, `ff.param("smooth", 20)`: named values that a search can change.

Operators never see a `Param`, only its value: `fastfeat.calls.recording` unwraps it, and records
the call so that `Plan.with_params` can repeat it with another value.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeVar, cast

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.dtypes import DType
from fastfeat.ir.literals import python_value
from fastfeat.ir.node import identity_key

ParamValue = TypeVar("ParamValue")

PLAIN = bool | int | float | str | datetime.date | datetime.time | datetime.timedelta | DType
"""Allowed types of a value, besides None, lists and mappings."""
_LISTS = ("to_pylist", "to_list", "tolist")
"""Methods by which array libraries return their values as a list."""
MAX_DEPTH = 100
"""Maximum nesting of lists and mappings in a value; Python 3.11's `json` writes about 500."""


@dataclass(frozen=True, slots=True)
class Param:
    """A named value, made by `param`, which `Plan.with_params` can replace.

    Args:
        name: Name in `Plan.with_params`.
        value: Current value, with lists as tuples.
    """

    name: str
    value: Any

    def __repr__(self) -> str:
        """Return the code that makes the parameter."""
        return f"ff.param({self.name!r}, {self.value!r})"


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping, stored as a tuple of (key, value) pairs in its own order."""

    items: tuple[tuple[Any, Any], ...]

    def __repr__(self) -> str:
        """Return the repr of the mapping as a dict."""
        return repr(dict(self.items))


@dataclass(frozen=True, slots=True)
class Members:
    """A set, stored as a tuple of its elements."""

    items: tuple[Any, ...]


@with_argument_errors
def param(name: str, value: ParamValue) -> ParamValue:
    """Return a named value for a plan; `Plan.with_params` makes plans with other values.

    Use it wherever an operator, a window, a lookup or `Plan` takes a value: a number, text, a
    duration, a switch, a list of those, or a constant in arithmetic. The value is checked and used
    as if it were written there. A name that is used in several places has the same value
    everywhere.

    Example:
        >>> top = col("x").clip(0, ff.param("top", 10))
        >>> plan = ff.Plan({"x": top, "share": top / ff.param("top", 10)})
        >>> plan.params()
        {'top': 10}
        >>> plan.with_params(top=2).fit_transform({"x": [1.0, 9.0]})[1].to_pydict()
        {'x': [1.0, 2.0], 'share': [0.5, 1.0]}
    """
    if not isinstance(name, str) or not name.isidentifier() or "__" in name:  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise InvalidPlan(
            f"param({name!r}): takes a name that can be a keyword, such as 'smooth' in "
            "with_params(smooth=50). Use letters, digits and single underscores"
        )
    return cast(ParamValue, Param(name, param_value(name, value)))


def param_value(name: str, value: object, depth: int = 0) -> Any:
    """Return a parameter's value in stored form: lists as tuples, scalars as Python values.

    `depth` is the number of lists and mappings around the value.
    """
    if depth > MAX_DEPTH:
        raise TypeMismatch(
            f"param({name!r}, ...): the value has more than {MAX_DEPTH} lists or mappings inside "
            "each other, so the plan could not be saved. Use a flatter value"
        )

    def inside(part: object) -> Any:
        return param_value(name, part, depth + 1)

    given = python_value(value)
    match given:
        case None:
            return None
        case str() | bool() | int() | float():
            return given
        case _ if isinstance(given, PLAIN):
            return given
        case Mapping():
            items = cast("Mapping[Any, Any]", given).items()
            return Pairs(tuple((inside(key), inside(element)) for key, element in items))
        case _ if is_listed(given):
            return tuple(map(inside, elements_of(given)))
        case _:
            pass
    raise TypeMismatch(
        f"param({name!r}, a value of type {type(given).__name__}): takes a number, text, bool, "
        "None, date, time or timedelta, or a list or mapping of these. Write a type as text, "
        "such as 'float32'. Use an expression directly, without param"
    )


def plain_value(value: Any) -> Any:
    """Return a parameter's value in the form that users write: mappings as dicts."""
    match value:
        case Pairs(items):
            return {plain_value(key): plain_value(element) for key, element in items}
        case tuple():
            return tuple(map(plain_value, cast("tuple[Any, ...]", value)))
        case _:
            return value


def value_key(value: Any) -> Any:
    """Return a hashable key, equal only for the same value of the same type: 1 and 1.0 differ."""
    if isinstance(value, Pairs):
        return Pairs, identity_key(tuple((value_key(k), value_key(v)) for k, v in value.items))
    return identity_key(value)


def is_expression(given: object) -> bool:
    """Return whether an object has a field `recipe`: an expression, a window or a lookup."""
    return hasattr(type(given), "recipe")


def is_listed(given: Any) -> bool:
    """Return whether a value is a list, a tuple, or an array of NumPy, pandas, Polars or Arrow."""
    kind = cast("type[Any]", type(given))
    is_array = any(hasattr(kind, name) for name in _LISTS)
    return isinstance(given, list | tuple) or (is_array and getattr(given, "ndim", 1) != 0)


def elements_of(given: Any) -> Iterable[Any]:
    """Return the values of a list or an array as Python values."""
    kind = cast("type[Any]", type(given))
    for name in _LISTS:
        if hasattr(kind, name):
            return getattr(given, name)()
    return given


def _refuse(self: Param, *others: Any) -> Any:
    """Return NotImplemented for an expression, so that Python asks the expression; else raise."""
    if others and is_expression(others[0]):
        return NotImplemented
    return _refuse_value(self)


def _refuse_value(self: Param, *others: Any) -> NoReturn:
    raise TypeMismatch(
        f"Python cannot compute with {self!r}, because with_params may change its value. Pass it "
        "to an operator unchanged, or compute with it in an expression: "
        f"fastfeat.lit({self!r}) * 2"
    )


for _sign in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    setattr(Param, f"__{_sign}__", _refuse)
    setattr(Param, f"__r{_sign}__", _refuse)
for _sign in ("lt", "le", "gt", "ge"):
    setattr(Param, f"__{_sign}__", _refuse)
for _sign in ("neg", "abs", "bool", "int", "float", "index", "iter", "len", "format", "round"):
    setattr(Param, f"__{_sign}__", _refuse_value)
