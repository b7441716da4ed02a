"""A plan made by a function of parameters, for `Features`, which a search gives other values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastfeat.errors import InvalidPlan, did_you_mean

NAMES = "names"
"""The parameter that takes the names of the columns; a search does not change it."""


def values_of(make_plan: Any, given: Mapping[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """Return the value of each parameter of a function, from `given` or its default, by name.

    Args:
        make_plan: The function; for any other object there are no parameters.
        given: Values by name.
        own: Names that the function's parameters must not have.

    Raises:
        InvalidPlan: The function has no parameter of a name in `given`, or one of `own`.
    """
    expected = _parameters(make_plan)
    for name in own:
        if name in expected:
            raise InvalidPlan(
                f"the function that makes the plan and Features both have a parameter {name!r}. "
                f"Rename the function's, such as {name}_of_plan"
            )
    takes_any = any(one.kind is one.VAR_KEYWORD for one in expected.values())
    known = [name for name, one in expected.items() if one.kind is not one.VAR_KEYWORD]
    for name in given:
        if name not in known and not takes_any:
            there = [*own, *known]
            hint = did_you_mean(name, there) or f" Parameters: {', '.join(there)}"
            raise InvalidPlan(f"Invalid parameter {name!r} for estimator Features.{hint}")
    empty = inspect.Parameter.empty
    defaults = {name: expected[name].default for name in known}
    return {name: value for name, value in defaults.items() if value is not empty} | dict(given)


def takes_names(make_plan: Any) -> bool:
    """Return whether a function takes the names of the columns."""
    return callable(make_plan) and NAMES in _signature(make_plan)


def made_by(make_plan: Callable[..., Any], values: Mapping[str, Any], names: list[str]) -> Any:
    """Return the result of a function with its parameters; `names` are the names of the columns.

    Raises:
        InvalidPlan: A parameter has neither a value nor a default.
    """
    for name, one in _parameters(make_plan).items():
        if name not in values and one.default is one.empty and one.kind is not one.VAR_KEYWORD:
            raise InvalidPlan(
                f"the function that makes the plan needs the parameter {name!r}: "
                f"Features(make_plan, {name}=...)"
            )
    return make_plan(**({NAMES: names} if takes_names(make_plan) else {}), **values)


def _parameters(make_plan: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function, except `names`; none for other objects."""
    if not callable(make_plan):
        return {}
    return {
        name: one
        for name, one in _signature(make_plan).items()
        if name != NAMES and one.kind is not one.VAR_POSITIONAL
    }


def _signature(make_plan: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(make_plan).parameters
