"""Recipes: recordings of the calls that made an expression, with the parameters in their arguments.

An operator receives only the value of a parameter (`ff.param`), and treats it like any other value.
Its result remembers the call as a `Recipe`, and so do all results computed from it.
`Plan.with_params` repeats the recorded calls with other values. No operator needs to know about
parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import wraps
from inspect import Parameter, isfunction, signature
from typing import Any, TypeVar, cast

from fastfeat_kernels.records import dataclass

from fastfeat.calls.named_values import (
    Members,
    Pairs,
    Param,
    elements_of,
    is_listed,
    plain_value,
    value_key,
)
from fastfeat.errors import InvalidPlan
from fastfeat.ir.literals import python_value
from fastfeat.ir.node import postorder

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
_AT_ONCE = frozenset({bool, int, float, str, type(None)})
"""Types of most arguments, which cannot contain a parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """The recording of a call that made an expression, a window or a plan.

    Args:
        function: Name of the function in `RECORDED`.
        given: Positional arguments. An argument that was itself made by a recorded call is
            replaced by its `Recipe`.
        options: Keyword arguments by name, likewise.
        args: The recipes among all arguments.
        has_params: Whether a parameter is among the arguments, or in one of `args`.
    """

    function: str
    given: tuple[Any, ...]
    options: Mapping[str, Any]
    args: tuple[Recipe, ...] = field(repr=False)
    has_params: bool = field(repr=False)


RECORDED: dict[str, Callable[..., Any]] = {}
"""Recorded functions by the name in their recipes; only those imported so far."""
WHOLE: list[Callable[[], None]] = []
"""Functions that import the modules with further recorded functions."""
_CARRIERS: set[type] = set()
"""The classes that have a field `recipe`."""


def record_calls(function: F, name: str, *, always: bool = False) -> F:
    """Return the function, wrapped so that it accepts parameters (`ff.param`) as arguments.

    The function receives their values, and the call is recorded in the `recipe` of its result.
    """

    @wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        args = tuple(map(_list_iterator, args))
        options = {option: _list_iterator(value) for option, value in options.items()}
        has_params = contain_params(args) or (bool(options) and contain_params(options.values()))
        if not has_params and not always:
            return function(*args, **options)
        made = function(*map(value_of, args), **{name: value_of(v) for name, v in options.items()})
        return replace(made, recipe=recipe_of(name, args, options))

    RECORDED[name] = called
    return cast(F, called)


def recorded_function(name: str) -> Callable[..., Any]:
    """Return a recorded function by its name in recipes."""
    if name not in RECORDED:
        for record in WHOLE:
            record()
    return RECORDED[name]


def record_property(of: property, name: str) -> property:
    """Return the property, wrapped so that its result records the object that it was read from."""
    assert of.fget is not None
    return property(record_calls(of.fget, name, always=True))


def records_calls(name: str, *, always: bool = False) -> Callable[[F], F]:
    """Return a decorator that applies `record_calls` to a function."""
    return lambda function: record_calls(function, name, always=always)


def records_method_calls(
    name: str, signs: Sequence[str] = (), *, always: Sequence[str] = ()
) -> Callable[[C], C]:
    """Return a class decorator that applies `record_calls` to the public methods."""

    def recorded_class(cls: C) -> C:
        _CARRIERS.add(cls)
        for method, found in list(vars(cls).items()):
            if isfunction(found) and (not method.startswith("_") or method in signs):
                setattr(
                    cls, method, record_calls(found, f"{name}.{method}", always=method in always)
                )
        return cls

    return recorded_class


def register_recipe_function(name: str) -> Callable[[F], F]:
    """Return a decorator that registers a function under a name, for `repeat_calls` to call.

    The function itself is not wrapped, and records nothing.
    """

    def known(function: F) -> F:
        RECORDED[name] = function
        return function

    return known


def register_recipe_class(cls: C) -> C:
    """Register a class with a field `recipe` but no methods to record; return it unchanged."""
    _CARRIERS.add(cls)
    return cls


def contain_params(given: Iterable[Any]) -> bool:
    """Return whether any argument is a parameter, contains one, or was made by a call with one."""
    return any(map(_holds_param, given))


def _holds_param(value: Any) -> bool:
    kind = cast("type[Any]", type(value))
    if kind in _AT_ONCE:
        return False
    if kind is Param:
        return True
    if kind in _CARRIERS:
        return value.recipe is not None and value.recipe.has_params
    if kind in (list, tuple, set, frozenset):
        return contain_params(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value)
        return contain_params(items) or contain_params(items.values())
    return False


def recipe_of(function: str, given: tuple[Any, ...], options: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a call from its positional and keyword arguments."""
    given = tuple(map(_stored_argument, given))
    options = {name: _stored_argument(value) for name, value in options.items()}
    parts = list(parts_of((*given, *options.values())))
    args = tuple(dict.fromkeys(part for part in parts if isinstance(part, Recipe)))
    has_params = any(isinstance(part, Param) for part in parts)
    return Recipe(function, given, options, args, has_params or any(a.has_params for a in args))


def value_of(given: Any) -> Any:
    """Return an argument with parameters replaced by their values."""
    match given:
        case Param(_, value):
            return plain_value(value)
        case list() | tuple() | set() | frozenset() | Mapping() if contain_params((given,)):  # pyright: ignore[reportUnknownArgumentType]
            return _values_in(given)
        case _:
            return given


def _values_in(given: Any) -> Any:
    if isinstance(given, Mapping):
        items = cast("Mapping[Any, Any]", given).items()
        return {value_of(key): value_of(value) for key, value in items}
    parts = map(value_of, given)
    return set(parts) if isinstance(given, set | frozenset) else list(parts)


def params_of(recipe: Recipe | None) -> dict[str, Any]:
    """Return the value of each parameter in a recipe by its name, in order of appearance."""
    values: dict[str, Any] = {}
    for step in postorder([recipe] if recipe else []):
        for part in parts_of((*step.given, *step.options.values())):
            if isinstance(part, Param):
                known = values.setdefault(part.name, part.value)
                if value_key(known) != value_key(part.value):
                    raise InvalidPlan(
                        f"ff.param({part.name!r}, ...) has two values, {known!r} and "
                        f"{part.value!r}. Give both the same value, or rename one of them"
                    )
    return values


def repeat_calls(recipe: Recipe, values: Mapping[str, Any]) -> Any:
    """Return the result of repeating the calls of a recipe with new parameter values.

    `values` has the value of every parameter by name. Arguments are made before the calls that use
    them.
    """
    made: dict[Recipe, Any] = {}

    def argument(given: Any) -> Any:
        match given:
            case Recipe():
                return made[given]
            case Param(name):
                return Param(name, values[name])
            case Pairs(items):
                return {argument(key): argument(value) for key, value in items}
            case Members(items):
                return set(map(argument, items))
            case tuple():
                return tuple(map(argument, cast("tuple[Any, ...]", given)))
            case _:
                return given

    for step in postorder([recipe]):
        options = {name: argument(value) for name, value in step.options.items()}
        made[step] = recorded_function(step.function)(*map(argument, step.given), **options)
    return made[recipe]


def named_arguments(recipe: Recipe) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a recorded call in one form, however the user wrote them."""
    expected = signature(recorded_function(recipe.function))
    given = expected.bind(*recipe.given, **recipe.options).arguments
    unnamed: tuple[Any, ...] = ()
    named: dict[str, Any] = {}
    is_method = not recipe.function.startswith("ff.")
    for k, (name, parameter) in enumerate(expected.parameters.items()):
        if name not in given:
            continue
        value = given[name]
        if parameter.kind is Parameter.VAR_POSITIONAL:
            unnamed += value
        elif k == 0 and is_method:
            unnamed += (value,)
        elif not _is_default(value, parameter.default):
            named[name] = value
    return unnamed, named


def _is_default(value: Any, default: Any) -> bool:
    if default is Parameter.empty or isinstance(value, Recipe | Param):
        return False
    return type(value) is type(default) and bool(value_key(value) == value_key(default))


def _list_iterator(given: Any) -> Any:
    """Return an argument unchanged, except an iterator: a list of its remaining elements.

    An iterator could be read only once, but is read by the function and by the recording.
    """
    if type(given) in _AT_ONCE or type(given) in _CARRIERS or not isinstance(given, Iterator):
        return given
    return list(cast("Iterator[Any]", given))


def _stored_argument(given: Any) -> Any:
    """Return an argument in the form that a recipe stores.

    A result of a recorded call becomes its recipe; collections become tuples, `Pairs` or `Members`.
    """
    kind = cast("type[Any]", type(given))
    if kind in _AT_ONCE or kind in (Members, Pairs, Param, Recipe):
        return given
    if kind in _CARRIERS:
        return given if given.recipe is None else given.recipe
    if isinstance(given, Mapping):
        items = cast("Mapping[Any, Any]", given).items()
        return Pairs(
            tuple((_stored_argument(key), _stored_argument(value)) for key, value in items)
        )
    if isinstance(given, set | frozenset):
        return Members(tuple(map(_stored_argument, sorted(cast("set[Any]", given), key=repr))))
    if is_listed(given):
        return tuple(map(_stored_argument, elements_of(given)))
    value = python_value(given)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):  # a range
        return tuple(map(_stored_argument, cast("Iterable[Any]", value)))
    return value


def parts_of(given: Iterable[Any]) -> Iterator[Any]:
    """Yield each argument; of collections, each element, key and value instead."""
    pending = [*given][::-1]
    while pending:
        part = pending.pop()
        match part:
            case Pairs(items):
                pending += [side for pair in items for side in pair][::-1]
            case Members(items):
                pending += items[::-1]
            case tuple():
                pending += cast("tuple[Any, ...]", part)[::-1]
            case _:
                yield part
