"""Parameters of plans, `ff.param("smooth", 20)`: values with a name, which a search changes.

Where one stands, its value is what operators see (`fastfeat.calls.recording`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

from fastfeat.calls.arguments import explaining
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.ir.dtypes import DType
from fastfeat.ir.literals import python_value
from fastfeat.ir.node import identity_key

Value = TypeVar("Value")

PLAIN = bool | int | float | str | datetime.date | datetime.time | datetime.timedelta | DType
"""What a value may be, besides None, lists and mappings."""
_LISTS = ("to_pylist", "to_list", "tolist")
"""Methods of arrays of libraries that give their values as a list."""
MAX_DEPTH = 100
"""Lists and mappings within one another in a value: `json` of Python 3.11 writes about 500."""


@dataclass(frozen=True, slots=True)
class Param:
    """A value with a name, by which another plan has another one; made by `param`.

    Args:
        name: as `Plan.with_params` takes it.
        value: what stands in the plan; a list is a tuple.
    """

    name: str
    value: Any

    def __repr__(self) -> str:
        """Return the parameter as it is written."""
        return f"ff.param({self.name!r}, {self.value!r})"


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping among the arguments of a call, in its order."""

    items: tuple[tuple[Any, Any], ...]

    def __repr__(self) -> str:
        """Return the mapping as it is written."""
        return repr(dict(self.items))


@dataclass(frozen=True, slots=True)
class Members:
    """A set among the arguments of a call."""

    items: tuple[Any, ...]


@explaining
def param(name: str, value: Value) -> Value:
    """Return a value with a name, for a plan of which `with_params` makes others.

    It stands wherever an operator, a window, a lookup or `Plan` takes a value: a number, a text, a
    duration, a switch, a list of those, a constant in arithmetic. Where it stands the value is
    checked, and computes, as if it were written there. A name that stands in several places has
    one value.

    Args:
        name: a name of Python without "__", as `plan.with_params(smooth=50)` and a grid search,
            `features__smooth`, write it.
        value: a number, a text, a bool, None, a date, a time or a timedelta; a list or a mapping of
            those, up to 100 within one another. A list is kept as a tuple.

    Raises:
        InvalidPlan: another name; in `Plan`: two values of one name.
        TypeMismatch: another value, such as an expression; or the parameter is computed with.

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
            f"param({name!r}): takes a name such as 'smooth', of letters, digits and single "
            "underscores, as with_params(smooth=50) writes it"
        )
    return cast(Value, Param(name, param_value(name, value)))


def param_value(name: str, value: object, depth: int = 0) -> Any:
    """Return the value of a parameter as it is kept: a list as a tuple, a scalar as Python's.

    Args:
        name: the parameter, for messages.
        value: what a user gave.
        depth: lists and mappings around the value.

    Raises:
        TypeMismatch: it is none, or nests too deep.
    """
    if depth > MAX_DEPTH:
        raise TypeMismatch(
            f"param({name!r}, a value with more than {MAX_DEPTH} lists or mappings within one "
            "another): a plan with it could not be written. Give a flatter value"
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
        f"param({name!r}, a value of type {type(given).__name__}): takes a number, a text, a "
        "bool, None, a date, a time, a timedelta, or a list or mapping of those. A type is "
        "written as a text, 'float32'; an expression is written where it stands"
    )


def plain_value(value: Any) -> Any:
    """Return the value of a parameter as it may be given again: a mapping as a dict."""
    match value:
        case Pairs(items):
            return {plain_value(key): plain_value(element) for key, element in items}
        case tuple():
            return tuple(map(plain_value, cast("tuple[Any, ...]", value)))
        case _:
            return value


def value_key(value: Any) -> Any:
    """Return a key that tells values of parameters apart: 1 from 1.0, too."""
    if isinstance(value, Pairs):
        return Pairs, identity_key(tuple((value_key(k), value_key(v)) for k, v in value.items))
    return identity_key(value)


def is_expression(given: object) -> bool:
    """Return whether something remembers how it was written: an expression, a window, a lookup."""
    return hasattr(type(given), "recipe")


def is_listed(given: Any) -> bool:
    """Return whether a value holds values in some order: a list, or an array of a library."""
    kind = cast("type[Any]", type(given))
    is_array = any(hasattr(kind, name) for name in _LISTS)
    return isinstance(given, list | tuple) or (is_array and getattr(given, "ndim", 1) != 0)


def elements_of(given: Any) -> Iterable[Any]:
    """Return the values of a list or an array, as Python's."""
    kind = cast("type[Any]", type(given))
    for name in _LISTS:
        if hasattr(kind, name):
            return getattr(given, name)()
    return given


def _refuse(self: Param, *others: Any) -> Any:
    """Leave a computation to the expression that it is with; raise where there is none."""
    if others and is_expression(others[0]):
        return NotImplemented
    return _refuse_value(self)


def _refuse_value(self: Param, *others: Any) -> NoReturn:
    raise TypeMismatch(
        f"{self!r} has no value of its own: with_params gives it others. Let it stand whole where "
        "an operator takes a value, and compute with it in an expression: "
        f"fastfeat.lit({self!r}) * 2"
    )


for _sign in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    setattr(Param, f"__{_sign}__", _refuse)
    setattr(Param, f"__r{_sign}__", _refuse)
for _sign in ("lt", "le", "gt", "ge"):
    setattr(Param, f"__{_sign}__", _refuse)
for _sign in ("neg", "abs", "bool", "int", "float", "index", "iter", "len", "format", "round"):
    setattr(Param, f"__{_sign}__", _refuse_value)
