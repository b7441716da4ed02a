"""Keys: the parts that tell rows apart, and the code of each row's key in the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, col, vocabulary
from fastfeat.ir.literals import in_order, python_value
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import MAX_MEMORY, Parameter, Whole, is_of_type
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators.operator import checked, parameters_of, written_parameter

Keys = str | Expr | Iterable["str | Expr"]
"""One key or several: names of columns, or expressions."""

MIN_ROWS = Parameter("min_rows", Whole(1), "how many training rows a key needs", None, or_none=True)


def keys_of(operator: str, by: Any, name: str = "by") -> list[Expr]:
    """Return the parts of a key as a user gives them in `by`.

    Args:
        operator: what has the parameter, for messages.
        by: a name, an expression, or a list of those.
        name: of the parameter.

    Raises:
        InvalidPlan: no part.
        TypeMismatch: something else.
    """
    given: Any = [by] if isinstance(by, str | Expr) else by
    if not isinstance(given, Iterable):
        raise TypeMismatch(
            f"{operator}({name}={by!r}): takes the name of a column, an expression, or a list of "
            "those"
        )
    parts = parts_of(f"{operator}({name}={by!r})", cast("Iterable[Any]", given))
    if not parts:
        raise InvalidPlan(f"{operator}({name}={by!r}): names no key. Leave it out for all rows")
    return parts


def parts_of(told: str, given: Iterable[Any]) -> list[Expr]:
    """Return names of columns and expressions as expressions.

    Args:
        told: the beginning of the message about anything else.
        given: what the user listed.
    """
    parts: list[Expr] = []
    for part in in_order(given):
        if not isinstance(part, str | Expr):
            raise TypeMismatch(
                f"{told}: {part!r} is neither the name of a column nor an expression"
            )
        parts.append(col(part) if isinstance(part, str) else part)
    return parts


def group_of(parts: list[Expr], min_rows: int | None = None) -> Expr:
    """Return the number of the group of a row: 0 of a missing key, 1 of one that fit has not seen.

    Args:
        parts: of the key; where one is missing, the key is.
        min_rows: as of `min_rows_of`.
    """
    return _encoded(
        parts, "key", 1, min_frequency=min_rows, max_categories=None, max_memory=MAX_MEMORY
    )


def min_rows_of(operator: str, given: Any) -> int | None:
    """Return the number of training rows below which a key is as an unseen one; None for none.

    Raises:
        InvalidPlan: it is no whole number from 1.
    """
    least = checked(operator, (MIN_ROWS,), min_rows=given)["min_rows"]
    return None if least == 1 else least


def code_of(
    x: Expr,
    operator: str,
    *,
    n_unseen: int,
    min_frequency: Any = None,
    max_categories: Any = None,
    max_memory: Any = MAX_MEMORY,
) -> Expr:
    """Return the code of the category of a row, in the vocabulary of the training rows.

    Args:
        x: the category; a `cross` has several parts.
        operator: the encoder, for messages.
        n_unseen: how many codes unseen categories have.
        min_frequency: as of `ordinal_encode`.
        max_categories: as of `ordinal_encode`.
        max_memory: as of `ordinal_encode`.

    Raises:
        InvalidPlan: a parameter that is no such number.
    """
    least = _frequency(operator, min_frequency)
    given = checked(
        operator, parameters_of("vocabulary"), max_categories=max_categories, max_memory=max_memory
    )
    parts = parts_of_cross(x)
    missing = "key" if len(parts) == 1 else "value"
    return _encoded(parts, missing, n_unseen, min_frequency=least, **given)


def parts_of_cross(x: Expr) -> list[Expr]:
    """Return the parts of a cross; of anything else, itself."""
    node = x.node
    if isinstance(node, Call) and node.function == "cross":
        return [Expr((part,)) for part in node.args]
    return [x]


def _encoded(parts: list[Expr], missing: str, n_unseen: int, **of_vocabulary: Any) -> Expr:
    learnt = vocabulary(parts, missing=missing, **of_vocabulary)
    return call("encode", *parts, learnt, missing=missing, n_unseen=n_unseen)


def _frequency(operator: str, given: Any) -> int | float | None:
    """Return the least frequency of a category: rows as an integer, a share as a float."""
    least = python_value(given)
    if least is None:
        return None
    frequency = written_parameter(parameters_of("vocabulary"), "min_frequency")
    if is_of_type(frequency.type, least):
        return least
    raise InvalidPlan(
        f"{operator}(min_frequency={given!r}): takes a number of rows from 1, or as a float a "
        "share between 0 and 1"
    )


def keys_text(parts: Iterable[Node], missing: object, texts: Texts) -> str:
    """Return the text of a key.

    Args:
        parts: of the key.
        missing: "value" where a part that is missing is a value, as in a cross.
        texts: those of the parts.
    """
    shown = [texts[part] for part in parts]
    if missing == "value":
        return f"ff.cross({', '.join(shown)})"
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def vocabulary_options(learnt: Aggregate, texts: Texts) -> list[str]:
    """Return the parameters of an encoder that say which categories are rare."""
    return texts.options(learnt, without=("max_memory",))[::-1]  # as encoders take them


def codes_options(codes: Call, texts: Texts) -> list[str]:
    """Return the parameters of an encoder of codes, as they are written."""
    match codes.args:
        case (*_, Aggregate("vocabulary") as learnt):
            return [*vocabulary_options(learnt, texts), *texts.options(codes)]
        case _:
            return texts.options(codes)


def group_text(codes: Node, texts: Texts) -> tuple[str, list[str]]:
    """Return the text of the key that tells groups apart, and how many rows it needs.

    Args:
        codes: the number of the group.
        texts: those of the codes and of all below.
    """
    match codes:
        case Call("encode", (*parts, Aggregate("vocabulary", _, params) as learnt)):
            rare = vocabulary_options(learnt, texts)
            least = [f"min_rows={dict(params).get('min_frequency')!r}"] if rare else []
            if codes_options(codes, texts) != rare:  # no key of an operator: the codes themselves
                return texts[codes], least
            return keys_text(parts, dict(codes.params).get("missing"), texts), least
        case _:
            return texts[codes], []


def by_options(learnt: Aggregate, texts: Texts) -> list[str]:
    """Return the parameters that say the key of an aggregate per group."""
    key, least = group_text(learnt.args[1], texts)
    return [f"by={key}", *least]


def _vocabulary_text(node: Aggregate, texts: Texts) -> str:
    key = keys_text(node.args, dict(node.params).get("missing"), texts)
    return f"vocabulary({', '.join([key, *vocabulary_options(node, texts)])})"


WRITTEN: dict[str, Writer] = {"vocabulary": _vocabulary_text}
"""How what operators make of keys is written, by the function of its last node."""
