"""Keys, given as `by=` or to an encoder, and the code of each row's key.

A key is the value, or the combination of values (its parts), that identifies an entity or category.
`fit` learns a vocabulary of the training rows' keys; `encode` turns keys into their codes. With
`by=` the code is called group number. Functions named `_text` or `_options` print plan nodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, call, col, vocabulary
from fastfeat.ir.literals import in_order, python_value
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import MAX_MEMORY, Parameter, Whole, is_of_type
from fastfeat.ir.writing import Texts, Writer
from fastfeat.operators.operator import check_parameters, parameters_of, written_parameter

KeyColumns = str | Expr | Iterable["str | Expr"]
"""One or several keys: names of columns, or expressions."""

MIN_ROWS = Parameter(
    "min_rows",
    Whole(1),
    "Minimum number of training rows per key; None keeps all keys",
    None,
    or_none=True,
)


def resolve_keys(operator: str, by: Any, name: str = "by") -> list[Expr]:
    """Return the parts of a key given as `by=`: a name, an expression, or a list of those.

    Raises InvalidPlan for an empty list and TypeMismatch for anything else. `operator` and `name`
    (of the parameter) are for these messages.
    """
    given: Any = [by] if isinstance(by, str | Expr) else by
    if not isinstance(given, Iterable):
        raise TypeMismatch(
            f"{operator}({name}={by!r}): takes the name of a column, an expression, or a list of "
            "names and expressions"
        )
    parts = as_key_parts(f"{operator}({name}={by!r})", cast("Iterable[Any]", given))
    if not parts:
        raise InvalidPlan(
            f"{operator}({name}={by!r}): names no key. If there is no key, leave out {name}="
        )
    return parts


def as_key_parts(told: str, given: Iterable[Any]) -> list[Expr]:
    """Return names and expressions, all as expressions; TypeMismatch for anything else.

    `told` begins the error message.
    """
    parts: list[Expr] = []
    for part in in_order(given):
        if not isinstance(part, str | Expr):
            raise TypeMismatch(
                f"{told}: {part!r} is neither the name of a column nor an expression"
            )
        parts.append(col(part) if isinstance(part, str) else part)
    return parts


def group_by_keys(parts: list[Expr], min_rows: int | None = None) -> Expr:
    """Return the group number of each row: 0 for a missing key, 1 if unseen, from 2 if known.

    A key is missing if any part is. Keys with fewer than `min_rows` training rows count as unseen.
    """
    return _encode_parts(
        parts, "key", 1, min_frequency=min_rows, max_categories=None, max_memory=MAX_MEMORY
    )


def min_rows_of(operator: str, given: Any) -> int | None:
    """Return the checked `min_rows`; None if every key is kept, which 1 also means."""
    least = check_parameters(operator, (MIN_ROWS,), min_rows=given)["min_rows"]
    return None if least == 1 else least


def encode_keys(
    x: Expr,
    operator: str,
    *,
    n_unseen: int,
    min_frequency: Any = None,
    max_categories: Any = None,
    max_memory: Any = MAX_MEMORY,
) -> Expr:
    """Return the code of each row's category, in the vocabulary that `fit` learns.

    Args:
        x: The category. A `cross` has several parts.
        operator: The encoder, for messages.
        n_unseen: Number of codes for unseen categories.
        min_frequency: Categories with fewer rows are rare: a number of rows, or a float below 1 for
            a share.
        max_categories: Greatest number of categories, counting the rare ones as one.
        max_memory: Bytes that `fit` may use for the categories.
    """
    least = _frequency(operator, min_frequency)
    given = check_parameters(
        operator, parameters_of("vocabulary"), max_categories=max_categories, max_memory=max_memory
    )
    parts = parts_of_cross(x)
    missing = "key" if len(parts) == 1 else "value"
    return _encode_parts(parts, missing, n_unseen, min_frequency=least, **given)


def parts_of_cross(x: Expr) -> list[Expr]:
    """Return the parts of a `ff.cross`; for any other expression, a list of itself."""
    node = x.node
    if isinstance(node, Call) and node.function == "cross":
        return [Expr((part,)) for part in node.args]
    return [x]


def _encode_parts(parts: list[Expr], missing: str, n_unseen: int, **of_vocabulary: Any) -> Expr:
    learnt = vocabulary(parts, missing=missing, **of_vocabulary)
    return call("encode", *parts, learnt, missing=missing, n_unseen=n_unseen)


def _frequency(operator: str, given: Any) -> int | float | None:
    """Return the checked `min_frequency`: a number of rows (int), a share (float), or None."""
    least = python_value(given)
    if least is None:
        return None
    frequency = written_parameter(parameters_of("vocabulary"), "min_frequency")
    if is_of_type(frequency.type, least):
        return least
    raise InvalidPlan(
        f"{operator}(min_frequency={given!r}): takes a number of rows, at least 1, or a share of "
        "the rows as a float between 0 and 1"
    )


def keys_text(parts: Iterable[Node], missing: object, texts: Texts) -> str:
    """Return the text of a key, from its parts.

    `missing` is "value" for a `ff.cross`, where a missing part is a value.
    """
    shown = [texts[part] for part in parts]
    if missing == "value":
        return f"ff.cross({', '.join(shown)})"
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def vocabulary_options(learnt: Aggregate, texts: Texts) -> list[str]:
    """Return the options of an encoder, as text, that say which categories are rare."""
    return texts.options(learnt, without=("max_memory",))[::-1]  # in the order of the encoders


def codes_options(codes: Call, texts: Texts) -> list[str]:
    """Return all options of an encoder that concern its codes, as text."""
    match codes.args:
        case (*_, Aggregate("vocabulary") as learnt):
            return [*vocabulary_options(learnt, texts), *texts.options(codes)]
        case _:
            return texts.options(codes)


def group_text(codes: Node, texts: Texts) -> tuple[str, list[str]]:
    """Return (text of the key, `min_rows` option as a list) from the node of a group number."""
    match codes:
        case Call("encode", (*parts, Aggregate("vocabulary", _, params) as learnt)):
            rare = vocabulary_options(learnt, texts)
            least = [f"min_rows={dict(params).get('min_frequency')!r}"] if rare else []
            if codes_options(codes, texts) != rare:  # not an operator's key: the codes themselves
                return texts[codes], least
            return keys_text(parts, dict(codes.params).get("missing"), texts), least
        case _:
            return texts[codes], []


def by_options(learnt: Aggregate, texts: Texts) -> list[str]:
    """Return the options `by` and `min_rows`, as text, of an aggregate per group."""
    key, least = group_text(learnt.args[1], texts)
    return [f"by={key}", *least]


def _vocabulary_text(node: Aggregate, texts: Texts) -> str:
    key = keys_text(node.args, dict(node.params).get("missing"), texts)
    return f"vocabulary({', '.join([key, *vocabulary_options(node, texts)])})"


WRITTEN: dict[str, Writer] = {"vocabulary": _vocabulary_text}
"""Writers (see `ir.writing`) of a key's vocabulary, by the function of the last node."""
