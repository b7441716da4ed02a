"""Parameters of operators: what a user gives, checked by the records of rows."""

from __future__ import annotations

from typing import Any

from fastfeat.checks import choice, number, number_pair, refused, rising, switch, text, whole_number
from fastfeat.ir.parameters import (
    Flag,
    Parameter,
    Parameters,
    Real,
    Several,
    Text,
    Type,
    Whole,
    Words,
    is_of_type,
)
from fastfeat.scalars import SCALARS


def checked(operator: str, parameters: Parameters, **given: Any) -> dict[str, Any]:
    """Return parameters as they stand in a plan, each refused by what its record says.

    Args:
        operator: what has the parameters, for messages.
        parameters: those of its row.
        given: what the user gave, by the names that users write.

    Raises:
        InvalidPlan: a value that is not of its type, or out of bounds.
        TypeMismatch: something else than a text, where one is taken.

    Example:
        >>> checked("lag", (Parameter("n", Whole(1, 9), default=1),), n=3)
        {'n': 3}
    """
    found: dict[str, Any] = {}
    for written, value in given.items():
        parameter = written_parameter(parameters, written)
        value = (
            value
            if value is None and parameter.takes_none
            else _of_type(operator, written, value, parameter.type)
        )
        if not parameter.may_lack or value != parameter.default:
            found[parameter.name] = value
    return found


def parameters_of(function: str) -> Parameters:
    """Return the parameters of a function of plans: those of its row.

    Args:
        function: its name in a plan.
    """
    if function in SCALARS:
        return SCALARS[function].parameters
    from fastfeat.aggregates import AGGREGATES  # these import NumPy and PyArrow, as every plan does
    from fastfeat.steps.registry import STEPS

    row = STEPS[function] if function in STEPS else AGGREGATES[function]
    return row.parameters


def written_parameter(parameters: Parameters, written: str) -> Parameter:
    """Return the parameter that users write so."""
    return next(one for one in parameters if (one.written_as or one.name) == written)


def _of_type(operator: str, name: str, value: Any, kind: Type) -> Any:
    """Return a value that a user gave as one of a type.

    Raises:
        InvalidPlan, TypeMismatch: it is none.
    """
    match kind:
        case Whole(least, most) if least is not None:
            return whole_number(operator, name, value, least, most)
        case Real(least, most):
            found = number(operator, name, value, least, most)
            if is_of_type(kind, found):
                return found
            raise refused(operator, name, value, f"takes a number above {least:g}, up to {most:g}")
        case Words(words):
            return choice(operator, name, value, words)
        case Flag():
            return switch(operator, name, value)
        case Text():
            return text(operator, name, value)
        case Several(Real(), 2, 2):
            return number_pair(operator, name, value)
        case Several(Real(), rising=True):
            return rising(operator, name, value)
        case _:
            raise AssertionError(f"{kind} is checked where it is asked for")
