"""Calls written as Python source: the printed forms that functions declare, and helpers.

Without a declared form, a call is written as a method of its first argument:
`x.function(y, name=value)`. A function that users cannot call, because it is only a component of an
operator, is written as a plain function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, Params, TableColumn
from fastfeat.ir.parameters import Parameter, Parameters, Several, ValuePair


class Infix(NamedTuple):
    """The form of a Python operator between two operands: `(x + y)`.

    Args:
        sign: The operator, such as "+".
        before_minus: Whether it binds more tightly than a minus before its left operand, as "**"
            does.
    """

    sign: str
    before_minus: bool = False


class PrefixForm(NamedTuple):
    """The form of a Python operator before its operand: `(-x)`."""

    sign: str


class FunctionForm(NamedTuple):
    """The form of a function of all arguments, instead of a method of the first one.

    Args:
        prefix: "ff." for a function that users call.
    """

    prefix: str = ""


class Texts(Protocol):
    """The texts of all nodes below the node that is being written."""

    def __getitem__(self, node: Node) -> str:
        """Return the text of a node below the node to be written."""
        ...

    def bare(self, node: Node) -> str:
        """Return the text of a node without the parentheses around a Python operator."""
        ...

    def options(self, node: Call | Aggregate, without: Sequence[str] = ()) -> list[str]:
        """Return the parameters of a call that users write, as "name=value" texts.

        Names in `without` are left out.
        """
        ...

    def of_changed(self, node: Node) -> str:
        """Return the text of a node that is not in the plan, from the texts of its arguments."""
        ...


Writer = Callable[[Any, Texts], str | None]
"""Function from a call or an aggregate, and the texts of the nodes below it, to its text.

None if the node does not have the shape that an operator builds; then it is written like any call.
"""
PrintedForm = Infix | PrefixForm | FunctionForm | Writer | None
"""The form in which calls of a function are written; None for a method of the first argument."""
SeveralWriter = Callable[[Sequence[Any], Texts], str | None]
"""Like `Writer`, for an operator with several output columns."""
PLAIN = FunctionForm()
PUBLIC = FunctionForm("ff.")


def method_text(function: str, args: Sequence[Node], given: Sequence[str], texts: Texts) -> str:
    """Return the text of a call: a method of the first argument, or a function without arguments.

    `given` holds further arguments that are already text.
    """
    inside = ", ".join([*map(texts.bare, args[1:]), *given])
    match args:
        case [Literal() as on, *_]:
            return f"lit({texts[on]}).{function}({inside})"
        case [on, *_]:
            return f"{texts[on]}.{function}({inside})"
        case _:
            return f"{function}({inside})"


def options(parameters: Parameters, params: Params) -> list[str]:
    """Return the parameters of a call as "name=value" texts.

    A parameter that is hidden at its default is left out. A parameter that the function does not
    declare is written unchanged.
    """
    known = {parameter.name: parameter for parameter in parameters}
    return [
        _option(known.get(name), name, value)
        for name, value in params
        if name not in known or not (known[name].hidden and known[name].default == value)
    ]


def _option(parameter: Parameter | None, name: str, value: Any) -> str:
    if parameter is not None and _is_mapping(parameter):
        try:
            return f"{name}={dict(value)!r}"
        except (TypeError, ValueError):  # the plan was altered by hand
            pass
    return f"{parameter.user_name or name if parameter else name}={value_text(value)}"


def _is_mapping(parameter: Parameter) -> bool:
    """Return whether the value of a parameter is a mapping, stored as a tuple of pairs."""
    return isinstance(parameter.type, Several) and isinstance(parameter.type.of, ValuePair)


def value_text(value: Any) -> str:
    """Return the value of a parameter as Python source; a data type as quoted text."""
    return repr(str(value) if isinstance(value, DType) else value)


def number_text(value: float) -> str:
    """Return a number as text, without ".0" if it is whole.

    >>> number_text(24.0), number_text(0.5)
    ('24', '0.5')
    """
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return repr(int(value)) if is_whole and str(value) != "-0.0" else repr(value)


def numbers_text(values: Iterable[float]) -> str:
    """Return a list of numbers as Python source, each as by `number_text`."""
    return f"[{', '.join(map(number_text, values))}]"


def pairs_text(by: Sequence[Node], texts: Texts) -> str:
    """Return the value of `by=` as text; a key with two names is written as a mapping.

    `by` has the keys of the data, then those of the table.
    """
    half = len(by) // 2
    shown = [column_text(key, texts) for key in by]
    left, right = shown[:half], shown[half:]
    if left == right:
        return left[0] if half == 1 else f"[{', '.join(left)}]"
    return f"{{{', '.join(f'{one}: {other}' for one, other in zip(left, right, strict=True))}}}"


def column_text(node: Node, texts: Texts) -> str:
    """Return the quoted name of a column, as parameters take it, or the text of another node."""
    return repr(node.name) if isinstance(node, Column | TableColumn) else texts[node]
