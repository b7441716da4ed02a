"""`python tests/docs/parameters.py`: write `docs/parameters.md` from the rows of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import assert_never

from fastfeat.aggregates import AGGREGATES
from fastfeat.ir.parameters import (
    REQUIRED,
    BoolChoice,
    ConstantValue,
    Either,
    FreeText,
    Parameter,
    Parameters,
    ParameterType,
    Real,
    Several,
    TextChoice,
    TypeName,
    ValuePair,
    Whole,
)
from fastfeat.operators import OPERATORS
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"
HEAD = """# Parameters

What the parameters of functions may be: an operator refuses anything else where it is called, and
so does a plan that is read from JSON (`ff.plan_schema()` says the same as a JSON schema). What a
parameter means there says the help of an operator: `help(ff.Expr.qcut)`. Durations are nanoseconds,
or steps if times are whole numbers.

Written by `python tests/docs/parameters.py`.
"""
OF_PLANS = """
## Functions of a plan

As they stand in `plan.to_json()`, with the names that users write; those over windows begin with
"over.". Parameters that users do not write are left out.
"""
OF_OPERATORS = """
## Operators that are made of others

What they take beside the parameters of the functions that they are made of.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")


def page() -> str:
    """Return the page: a row a parameter."""
    functions = {name: row.parameters for name, row in {**AGGREGATES, **STEPS, **SCALARS}.items()}
    operators = {name: operator.parameters for name, operator in OPERATORS.items()}
    return HEAD + OF_PLANS + _table(functions) + OF_OPERATORS + _table(operators)


def _table(functions: Mapping[str, Parameters]) -> str:
    lines = ["", "| function | parameter | takes | default | is |", "|---|---|---|---|---|"]
    for names, parameters in _alike(functions):
        listed = ", ".join(f"`{name}`" for name in names)
        for parameter in parameters:
            cells = (listed, f"`{parameter.user_name or parameter.name}`", *_told(parameter))
            lines.append(f"| {' | '.join(cells)} |")
            listed = ""
    return "\n".join(lines) + "\n"


def _alike(functions: Mapping[str, Parameters]) -> Iterator[tuple[list[str], Parameters]]:
    """Yield the functions that have the same parameters, and these."""
    alike: dict[Parameters, list[str]] = {}
    for name, parameters in sorted(functions.items()):
        written = tuple(one for one in parameters if one.user_name is not None)
        if written:
            alike.setdefault(written, []).append(name)
    for parameters, names in alike.items():
        yield names, parameters


def _told(parameter: Parameter) -> tuple[str, str, str]:
    """Return what a parameter takes, its default, and what it is."""
    takes = text_of(parameter.type)
    if parameter.takes_none and not takes.endswith(", or None"):
        takes += ", or None"
    default = "" if parameter.default is REQUIRED else f"`{parameter.default!r}`"
    return takes, default, parameter.about


def text_of(kind: ParameterType) -> str:
    """Return the values of a type in words.

    Example:
        >>> text_of(Whole(0, 10_000)), text_of(Real(0.0, 1.0, above=True))
        ('a whole number from 0 to 10,000', 'a number above 0, up to 1')
    """
    match kind:
        case Whole(least, most):
            low = "" if least is None else f" from {_whole(least)}"
            return f"a whole number{low}{'' if most is None else f' to {_whole(most)}'}"
        case Real():
            return f"a number{_limits(kind)}"
        case TextChoice(words):
            return ", ".join(f"`{word!r}`" for word in words)
        case BoolChoice():
            return "True or False"
        case FreeText(may_be_empty):
            return "a text" if may_be_empty else "a text that is not empty"
        case TypeName():
            return "a type, such as `'int64'`"
        case ConstantValue(may_miss):
            return "a constant, or None" if may_miss else "a constant"
        case Several(ValuePair(first, second)):
            return f"a mapping from {text_of(first)} to {text_of(second)}"
        case Several(of, least, most):
            order = " in rising order" if kind.rising else ""
            noun, _, limits = text_of(of).removeprefix("a ").partition(" ")
            count = "two" if least == most == 2 else "a list of"
            return f"{count} {noun}s{f' {limits}' if limits else ''}{order}"
        case ValuePair(first, second):
            return f"{text_of(first)} and {text_of(second)}"
        case Either(types):
            return " or ".join(map(text_of, types))
        case _:
            assert_never(kind)


def _limits(kind: Real) -> str:
    if kind.least == -kind.most:
        return ""
    low = f" above {kind.least:g}," if kind.above else f" from {kind.least:g}"
    high = f"{' below' if kind.below else ' up to' if kind.above else ' to'} {kind.most:g}"
    but = "" if kind.other_than is None else f", but not {kind.other_than:g}"
    return low + high + but


def _whole(number: int) -> str:
    """Return a whole number; a large one as a power of two where it is one."""
    for name, end in (("", number), (" - 1", number + 1), (" + 1", number - 1)):
        size = abs(end)
        if size >= 1 << 24 and size & (size - 1) == 0:
            return f"{'-' if end < 0 else ''}2^{size.bit_length() - 1}{name}"
    return f"{number:,}"


if __name__ == "__main__":
    main()
