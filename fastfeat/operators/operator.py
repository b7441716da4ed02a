"""Record of an operator in the registry: its definition, its meaning, and how tests call it.

What a user gives for its parameters is checked by the records of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastfeat.calls.checks import (
    choice,
    number,
    number_pair,
    refused,
    rising,
    switch,
    text,
    whole_number,
)
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

Values = Sequence[Any]
"""A column in a reference: Python values, None where missing, never NaN."""

Reference = Callable[..., Any]
"""reference(train, rows, **params) -> the values for the rows, or a tuple for several features.

`train` and `rows` are tuples of columns, one for each expression that the operator is given. A NaN
in a result counts as missing.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to call an operator in the generic test.

    Args:
        on: the kind of each column that the operator is given: "number", "float", "integer",
            "bool", "text", "degrees", "positive" or "any".
        params: arguments by name, for the operator and its reference alike.
        ulp: in place of the operator's, where this case is harder.
    """

    on: tuple[str, ...] = ("number",)
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ulp: int | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A row of the registry: one operator.

    Args:
        define: the function from expressions to an expression.
        reference: what it means, from the definition, on lists.
        cases: how the generic test calls it.
        ulp: how far a float may be from the reference, in units in the last place; the rest is
            exact.
        size: floats below this size are compared as if they were this large.
        method: whether it is a method of Expr too, or a function only.
        namespace: where it is a method of `Expr.<namespace>`, its name.
        gives_text: whether it gives text, of which tests compare the hash.
        parameters: those that are its own, and of no function of a plan that it is made of.
        foreign: for the name of a parameter in another library, what to write here.
    """

    define: Callable[..., Any]
    reference: Reference
    cases: tuple[Case, ...] = (Case(),)
    ulp: int = 0
    size: float = 0.0
    method: bool = True
    namespace: str = ""
    gives_text: bool = False
    parameters: Parameters = ()
    foreign: Mapping[str, str] = field(default_factory=dict[str, str])

    def of(self, *expressions: Any, **params: Any) -> Any:
        """Return the operator applied to expressions."""
        first, *others = expressions
        on = getattr(first, self.namespace) if self.namespace else first
        return self.define(on, *others, **params)


def each(function: Callable[..., Any]) -> Reference:
    """Return the reference of a function of the row that is missing where an argument is."""

    def reference(train: Sequence[Values], rows: Sequence[Values], **params: Any) -> list[Any]:
        return [
            None if any(value is None for value in row) else function(*row, **params)
            for row in zip(*rows, strict=True)
        ]

    return reference


def each_seen(function: Callable[..., Any]) -> Reference:
    """Return the reference of a function of the row that sees missing arguments as None."""

    def reference(train: Sequence[Values], rows: Sequence[Values], **params: Any) -> list[Any]:
        return [function(*row, **params) for row in zip(*rows, strict=True)]

    return reference


def present(values: Values) -> list[Any]:
    """Return the values that are not missing."""
    return [value for value in values if value is not None]


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
        case Several(Real(or_whole=exact), rising=True):
            return rising(operator, name, value, exact=exact)
        case _:
            raise AssertionError(f"{kind} is checked where it is asked for")
