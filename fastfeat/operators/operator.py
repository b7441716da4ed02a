"""Record of an operator in the registry: its definition, its meaning, and how tests call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastfeat.ir.parameters import Parameters

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
