"""Calls as Python: forms that rows say, and the pieces that texts are made of.

What a row says nothing of is a method of its first argument: `x.function(y, name=value)`. A part of
operators, which no user can write, is a plain function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, Params, TableColumn
from fastfeat.ir.parameters import Pair, Parameter, Parameters, Several


class Infix(NamedTuple):
    """A sign of Python between two operands, all of it in parentheses.

    Args:
        sign: such as "+".
        before_minus: whether Python reads it before a minus that stands in front of it: "**".
    """

    sign: str
    before_minus: bool = False


class Prefix(NamedTuple):
    """A sign of Python before its operand, both in parentheses."""

    sign: str


class Function(NamedTuple):
    """A function of all its arguments, not a method of the first one.

    Args:
        prefix: "ff." of one that users call.
    """

    prefix: str = ""


class Texts(Protocol):
    """The texts of the nodes below one that is written."""

    def __getitem__(self, node: Node) -> str:
        """Return the text of a node below."""
        ...

    def bare(self, node: Node) -> str:
        """Return the text of a node without the parentheses that it has as an operand of a sign."""
        ...

    def options(self, node: Call | Aggregate, without: Sequence[str] = ()) -> list[str]:
        """Return the parameters of a call that users write, as keywords.

        Args:
            node: the call, whose row says which they are.
            without: the names of those that are left out.
        """
        ...

    def of_changed(self, node: Node) -> str:
        """Return the text of a node that is none of those below, of whose arguments all are."""
        ...


Writer = Callable[[Any, Texts], str | None]
"""From a call or an aggregate, and the texts of the nodes below it, to its own text.

None where it is not of the shape that an operator makes: then it is written as any call is.
"""
Form = Infix | Prefix | Function | Writer | None
"""The form in which calls of a function are written; None for a method of the first argument."""
SeveralWriter = Callable[[Sequence[Any], Texts], str | None]
"""As `Writer`, of an operator of several columns."""
PLAIN = Function()
PUBLIC = Function("ff.")


def method_text(function: str, args: Sequence[Node], given: Sequence[str], texts: Texts) -> str:
    """Return the text of a method of its first argument; of a function, where there is none.

    Args:
        function: its name.
        args: its arguments.
        given: the further ones, as they are written.
        texts: those of the arguments.
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
    """Return the parameters of a call as keywords, without those that are hidden.

    Args:
        parameters: those of the function; what is not among them is written as it is.
        params: those of the call.
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
        except (TypeError, ValueError):  # a plan that someone has altered
            pass
    return f"{parameter.written_as or name if parameter else name}={value_text(value)}"


def _is_mapping(parameter: Parameter) -> bool:
    """Return whether the value of a parameter is the pairs of a mapping."""
    return isinstance(parameter.type, Several) and isinstance(parameter.type.of, Pair)


def value_text(value: Any) -> str:
    """Return the value of a parameter as it would be written; a type as text."""
    return repr(str(value) if isinstance(value, DType) else value)


def number_text(value: float) -> str:
    """Return a number as a person writes it.

    >>> number_text(24.0), number_text(0.5)
    ('24', '0.5')
    """
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return repr(int(value)) if is_whole and str(value) != "-0.0" else repr(value)


def numbers_text(values: Iterable[float]) -> str:
    """Return a list of numbers, each as a person writes it."""
    return f"[{', '.join(map(number_text, values))}]"


def pairs_text(by: Sequence[Node], texts: Texts) -> str:
    """Return the text of what is compared: the keys of the data, and then those of a table."""
    half = len(by) // 2
    shown = [column_text(key, texts) for key in by]
    left, right = shown[:half], shown[half:]
    if left == right:
        return left[0] if half == 1 else f"[{', '.join(left)}]"
    return f"{{{', '.join(f'{one}: {other}' for one, other in zip(left, right, strict=True))}}}"


def column_text(node: Node, texts: Texts) -> str:
    """Return a column by its name alone, as parameters take it; the text of anything else."""
    return repr(node.name) if isinstance(node, Column | TableColumn) else texts[node]
