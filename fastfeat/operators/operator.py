"""The registry entry of an operator: its definition, its reference function, and its test cases.

Users' parameters are checked here by their records (`ir.parameters`). A plan function is a function
that a plan node calls; one operator may build several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.calls import checks
from fastfeat.ir.dtypes import FLOAT64, INT64, INTEGER_RANGE, UINT64, UTF8, DType
from fastfeat.ir.node import params_of
from fastfeat.ir.parameters import (
    BoolChoice,
    FreeText,
    Parameter,
    Parameters,
    ParameterType,
    Real,
    Several,
    TextChoice,
    Whole,
    is_of_type,
)
from fastfeat.scalars import SCALARS

ReferenceColumn = Sequence[Any]
"""A column in a reference: Python values, None if missing, never NaN."""

OperatorReference = Callable[..., Any]
"""reference(train, rows, **params) -> the values for the rows, or a tuple for several features.

`train` and `rows` are tuples of columns, one for each expression that the operator takes. A NaN in
a result counts as missing.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One call of an operator in the generic test of all operators.

    Args:
        on: The kind of each column that the operator takes: "number", "float", "integer", "bool",
            "text", "degrees", "positive" or "any".
        params: Arguments by name, for the operator and its reference alike.
        ulp: Tolerance of this case, if it needs another one than the operator's.
    """

    on: tuple[str, ...] = ("number",)
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ulp: int | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """The entry of one operator in the registry.

    Args:
        define: The public function, which takes and returns expressions.
        reference: The definition of the operator, on Python lists of training rows and later rows.
        cases: Calls for the generic test.
        ulp: Largest distance of a float from the reference, in units in the last place. Other
            results are exact.
        size: Floats with an absolute value below this are compared as if they were this large.
        method: Whether it is also a method of Expr, not only a function.
        namespace: Name of the `Expr` namespace that has the method; empty if none.
        gives_text: Whether it returns text. Tests then compare its hash.
        parameters: Parameters that the operator handles itself and passes to no plan function.
        foreign: Parameter name in other libraries to advice on what to write here.
    """

    define: Callable[..., Any]
    reference: OperatorReference
    cases: tuple[Case, ...] = (Case(),)
    ulp: int = 0
    size: float = 0.0
    method: bool = True
    namespace: str = ""
    gives_text: bool = False
    parameters: Parameters = ()
    foreign: Mapping[str, str] = field(default_factory=dict[str, str])

    def of(self, *expressions: Any, **params: Any) -> Any:
        """Return the result of the operator on expressions, with parameters by name."""
        first, *others = expressions
        on = getattr(first, self.namespace) if self.namespace else first
        return self.define(on, *others, **params)


def each(function: Callable[..., Any]) -> OperatorReference:
    """Return a reference function that calls `function` per row; missing arguments give missing."""

    def reference(
        train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], **params: Any
    ) -> list[Any]:
        return [
            None if any(value is None for value in row) else function(*row, **params)
            for row in zip(*rows, strict=True)
        ]

    return reference


def each_with_missing(function: Callable[..., Any]) -> OperatorReference:
    """Return a reference function that applies `function` per row, with None for missing."""

    def reference(
        train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], **params: Any
    ) -> list[Any]:
        return [function(*row, **params) for row in zip(*rows, strict=True)]

    return reference


def drop_missing(values: ReferenceColumn) -> list[Any]:
    """Return the values that are not missing."""
    return [value for value in values if value is not None]


def check_parameters(operator: str, parameters: Parameters, **given: Any) -> dict[str, Any]:
    """Return the parameters by their names in the plan, each checked against its record.

    `given` maps the names that users write to values; `operator` is for messages. Raises
    InvalidPlan for a value of the wrong type or out of bounds, and TypeMismatch if a text is
    needed.

    Example:
        >>> check_parameters("lag", (Parameter("n", Whole(1, 9), default=1),), n=3)
        {'n': 3}
    """
    found: dict[str, Any] = {}
    for written, value in given.items():
        parameter = written_parameter(parameters, written)
        value = (
            value
            if value is None and parameter.takes_none
            else _convert_parameter(operator, written, value, parameter.type)
        )
        if not parameter.is_optional or value != parameter.default:
            found[parameter.name] = value
    return found


def parameters_of(function: str) -> Parameters:
    """Return the parameters of a plan function, from its registry entry."""
    if function in SCALARS:
        return SCALARS[function].parameters
    from fastfeat.aggregates import AGGREGATES  # imports NumPy and PyArrow
    from fastfeat.steps.registry import STEPS

    row = STEPS[function] if function in STEPS else AGGREGATES[function]
    return row.parameters


def written_parameter(parameters: Parameters, written: str) -> Parameter:
    """Return the record of the parameter that users write by this name."""
    return next(one for one in parameters if (one.user_name or one.name) == written)


def _convert_parameter(operator: str, name: str, value: Any, kind: ParameterType) -> Any:
    """Return a user's value in the type of its parameter; InvalidPlan or TypeMismatch if wrong."""
    match kind:
        case Whole(least, most) if least is not None:
            return checks.whole_number(operator, name, value, least, most)
        case Real(least, most):
            found = checks.number(operator, name, value, least, most)
            if is_of_type(kind, found):
                return found
            raise checks.make_refusal(
                operator, name, value, f"takes a number above {least:g}, up to {most:g}"
            )
        case TextChoice(words):
            return checks.choice(operator, name, value, words)
        case BoolChoice():
            return checks.switch(operator, name, value)
        case FreeText():
            return checks.text(operator, name, value)
        case Several(Real(), 2, 2):
            return checks.number_pair(operator, name, value)
        case Several(Real(or_whole=exact), rising=True):
            return checks.rising_numbers(operator, name, value, exact=exact)
        case _:
            raise AssertionError(f"{kind} is checked where it is asked for")


def compute_by_definition(function: str, values: ReferenceColumn, **params: Any) -> Any:
    """Return an aggregate of Python values, computed by its definition, for reference functions."""
    from fastfeat.aggregates import AGGREGATES  # imports NumPy, which building a plan does not need

    return AGGREGATES[function].reference(values, params_of(**params), _type_of(values))


def compute_quantile(values: ReferenceColumn, q: float) -> float | None:
    """Return a linearly interpolated quantile of Python values, computed by its definition."""
    return compute_by_definition("quantile", values, q=q, interpolation="linear")


def _type_of(values: ReferenceColumn) -> DType:
    """Return the type in which Python values are aggregated: float64, utf8, uint64 or int64."""
    known = drop_missing(values)
    if any(isinstance(value, float) for value in known):
        return FLOAT64
    if any(isinstance(value, str) for value in known):
        return UTF8
    return UINT64 if any(value > INTEGER_RANGE["int64"][1] for value in known) else INT64
