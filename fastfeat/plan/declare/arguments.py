"""Checks of a plan's arguments: features, label, column names, a float type, text.

If an argument is not the expression that it should be, the error suggests a replacement. A late
column is known only after the moment of its row. Arrow's text is UTF-8, which has no lone
surrogates.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard, cast

from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.expr import Expr, Then, When
from fastfeat.io.sources import schema
from fastfeat.ir.dtypes import FLOAT_FORMATS
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Aggregate, Column, Literal, Node, TableColumn, postorder
from fastfeat.ir.show import show
from fastfeat.operators import calendar, lookup, windows
from fastfeat.operators.durations import resolve_duration
from fastfeat.plan.declare.late_columns import DelayText, GivenDelay, check_label

UserFeatures = Mapping[str, Expr] | Sequence[Expr]


def named_features(features: UserFeatures) -> dict[str, Expr]:
    """Return the user's features as a dict of expressions by name; a list gets default names."""
    if isinstance(features, Mapping):
        items = list(features.items())
    elif not isinstance(features, str) and isinstance(features, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        items = [(_default_name(expression), expression) for expression in features]
    else:
        raise InvalidPlan(
            f"features must be a dict of expressions by name, or a list, got {features!r}"
        )
    named: dict[str, Expr] = {}
    for name, expression in items:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise InvalidPlan(f"a feature name must be non-empty text, got {name!r}")
        if not isinstance(expression, Expr):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise make_expression_error(f"feature {name!r} must be an expression, got", expression)
        if name in named:
            raise InvalidPlan(f"two features are named {name!r}. Rename one with .alias()")
        named[name] = expression
    return named


def _default_name(expression: object) -> str:
    if not isinstance(expression, Expr):
        raise make_expression_error("a list of features must contain expressions, got", expression)
    if expression.name is not None:
        return expression.name
    for node in postorder([expression.nodes[0]]):
        if isinstance(node, Column | TableColumn):
            return node.name
    raise InvalidPlan(
        f"{expression!r} has no name, because it reads no column. Name it: .alias('name')"
    )


def resolve_label_delay(given: Any, *, has_late: bool) -> GivenDelay:
    """Return the user's `label_delay` in the form that a plan stores.

    `has_late` says whether the plan declares late columns; a delay without any is an error.
    """
    told = f"Plan(label_delay={given!r})"
    delay = resolve_delay(told, given)
    if delay is not None and not has_late:
        raise InvalidPlan(
            f"{told}: says how long after its row a label is known, but the plan declares neither "
            "a label nor outcomes. Declare them, label='y' or outcomes=['y'], or leave out "
            "label_delay="
        )
    return delay


def resolve_outcomes(given: Any) -> tuple[str, ...] | dict[str, GivenDelay]:
    """Return the user's `outcomes` as a tuple of columns, or as a dict of column to delay."""
    if not _is_mapping(given):
        return resolve_names(given, "outcomes")
    names = resolve_names(list(given), "outcomes")
    return {
        name: resolve_delay(f"Plan(outcomes={{{name!r}: {given[name]!r}}})", given[name])
        for name in names
    }


def resolve_delay(told: str, given: Any) -> GivenDelay:
    """Return a user's delay in the form that a plan stores."""
    if not _is_mapping(given):
        return _delay_text(told, given)
    if not given:
        raise InvalidPlan(
            f"{told}: the mapping is empty. Name a time column and the delay, such as "
            "{'ts': '30d'}"
        )
    by_clock: dict[str, DelayText] = {}
    for clock, length in given.items():
        if not isinstance(clock, str):
            raise TypeMismatch(
                f"{told}: {clock!r} is not the name of a time column. Write its name and the "
                "delay, such as {'ts': '30d'}"
            )
        text = _delay_text(told, length)
        if text is None:
            raise InvalidPlan(
                f"{told}: the delay for the time column {clock!r} is None. Write a delay, or leave "
                "out the time column"
            )
        by_clock[clock] = text
    return by_clock


def _delay_text(told: str, given: Any) -> DelayText | None:
    length, unit = resolve_duration(told, given)
    return duration_text(length) if length is not None and unit == "time" else length


def resolve_known_tables(given: Any) -> dict[str, tuple[str, ...]]:
    """Return the user's `known_tables` as a dict of table name to column names."""
    told = f"known_tables must be {{table: [columns]}}, got {given!r}"
    if not _is_mapping(given):
        raise InvalidPlan(told)
    found: dict[str, tuple[str, ...]] = {}
    for table, names in given.items():
        listed = isinstance(names, Sequence) and not isinstance(names, str)
        if not isinstance(table, str) or not listed:
            raise InvalidPlan(told)
        columns = cast("Sequence[Any]", names)
        if not all(isinstance(name, str) for name in columns):
            raise InvalidPlan(told)
        found[table] = tuple(dict.fromkeys(cast("Sequence[str]", names)))
    return found


def resolve_label(label: Any) -> dict[str, Expr]:
    """Return the user's label expression as a dict with its name."""
    wanted = "label must be a column name or {name: expression}, "
    if not _is_mapping(label) or len(label) != 1:
        raise InvalidPlan(f"{wanted}got {describe_wrong_label(label)}")
    ((name, expression),) = label.items()
    if not isinstance(name, str):
        raise InvalidPlan(f"{wanted}got the name {name!r}")
    if not isinstance(expression, Expr):
        raise InvalidPlan(str(make_expression_error(f"{wanted}but {name!r} is", expression)))
    learnt = [node for node in postorder([expression.node]) if isinstance(node, Aggregate)]
    if learnt:
        raise InvalidPlan(
            f"the label {name!r} contains {show(learnt[0])}, which fit would learn from all rows: "
            "a label cannot contain learnt values. Compute the number first, and write it as a "
            "constant"
        )
    check_label(name, expression.node)
    return {name: expression}


def describe_wrong_label(given: Any) -> str:
    """Return a text that says what was given instead of a label, with a suggested replacement."""
    match given:
        case Expr():
            return f"{given!r}. Give it a name: label={{'y': ...}}"
        case Mapping() | list() | tuple() if len(cast("Sequence[Any]", given)) > 1:
            return (
                f"{len(cast('Sequence[Any]', given))} labels. A plan has one label: list the "
                "columns of the others in outcomes="
            )
        case _ if hasattr(given, "__array__") or hasattr(given, "__arrow_c_stream__"):
            kind = type(given).__name__
            return f"a {kind}. Put it in the data as a column, and pass the column's name"
        case _:
            return repr(given)


def resolve_names(names: Any, option: str) -> tuple[str, ...]:
    """Return unique column names in order; `option` is the argument's name, for errors."""
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    if not listed or not all(isinstance(name, str) for name in cast("Sequence[Any]", names)):
        raise InvalidPlan(f"{option} must be a list of column names, got {names!r}")
    return tuple(dict.fromkeys(cast("Sequence[str]", names)))


def check_row_id(name: Any, late: Sequence[str]) -> None:
    """Raise unless a row id is None or the name of a column that is not late."""
    if name is not None and (not isinstance(name, str) or not name):
        raise InvalidPlan(f"row_id= must be the name of a column, got {name!r}")
    if name in late:
        raise InvalidPlan(
            f"row_id={name!r} is known only after the prediction (see label= and outcomes=), but a "
            "row needs its id when it arrives. Name a column that is known then"
        )


def float_name(dtype: Any) -> str | None:
    """Return the name of the float type that the user asks for; None if none is given."""
    if dtype is None:
        return None
    if str(dtype) in ("bfloat16", "torch.bfloat16"):  # Arrow and NumPy do not have this type
        return "bfloat16"
    try:
        name = schema.as_dtype(dtype).name
    except TypeMismatch:
        name = ""
    if name not in FLOAT_FORMATS:
        raise InvalidPlan(
            f"dtype must be one of {', '.join(map(repr, FLOAT_FORMATS))}, got {dtype!r}"
        )
    return name


def _is_mapping(given: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(given, Mapping)


_CONSTANTS = (bool, int, float, datetime.date, datetime.time, datetime.timedelta)

_VALUES = "Its values cannot be part of a plan. Name their column in the data: col('name')"


def make_expression_error(subject: str, given: Any) -> TypeMismatch:
    """Return the error for an argument that is not an expression.

    `subject` is the beginning of the message; the description of `given` is appended to it.
    """
    kind = type(given).__name__
    match given:
        case str():
            got, hint = repr(given), f"Write col({given!r}) for a column"
        case None:
            got, hint = "None", "Write lit(None) for a missing value"
        case When():
            got, hint = "a when() without then", "End it with .then(...).otherwise(...)"
        case Then():
            got, hint = "a when() without otherwise", "End it with .otherwise(...)"
        case lookup.Lookup():
            got, hint = "a row of a lookup table", "Take a column of it: .col('name')"
        case windows.Window():
            got, hint = "a window", "Aggregate its rows: col('x').mean(over=...)"
        case calendar.DatetimeParts(expr):
            got, hint = f"{expr!r}.dt", f"Take a part: {expr!r}.dt.hour()"
        case _ if callable(given):
            return _of_function(subject, given)
        case _ if isinstance(given, _CONSTANTS):
            got, hint = f"{_short(given)} of type {kind}", "Write lit(...) around it for a constant"
        case _ if type(given).__module__.partition(".")[0] == "polars" and "Expr" in kind:
            got, hint = "a Polars expression", "Write it with fastfeat.col instead of polars.col"
        case _ if isinstance(given, Sequence):
            got, hint = f"a {kind}", "Give each expression its own name"
        case _ if hasattr(given, "__array__") or hasattr(given, "__arrow_c_array__"):
            got, hint = f"a {kind}", _VALUES
        case _:
            got, hint = f"a {kind}", "Write an expression, such as col('name')"
    return TypeMismatch(f"{subject} {got}. {hint}")


def _of_function(subject: str, given: Any) -> TypeMismatch:
    """Return the error for a method or a Python function in place of an expression."""
    name = getattr(given, "__name__", type(given).__name__)
    owner = getattr(given, "__self__", None)
    if isinstance(owner, (Expr, calendar.DatetimeParts)):
        shown = repr(owner) if isinstance(owner, Expr) else f"{owner.expr!r}.dt"
        return TypeMismatch(f"{subject} the method {name}. Add () to call it: {shown}.{name}()")
    return TypeMismatch(
        f"{subject} the function {name}. A plan cannot run Python functions: write an expression"
    )


def _short(given: Any) -> str:
    text = repr(given) if not isinstance(given, int) or abs(given) < 10**60 else "an integer"
    return text if len(text) <= 60 else f"{text[:60]}..."


def check_text(names: Iterable[str], nodes: Iterable[Node]) -> None:
    """Raise InvalidPlan at the first name, column or literal that is not valid Unicode text."""
    for text in (*names, *(text for node in nodes for text in _texts(node))):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidPlan(
                f"{text!r} contains a lone surrogate, which is not a character, so no table can "
                "contain it. Decode the text again, with the right encoding"
            ) from None


def _texts(node: Node) -> Iterator[str]:
    """Yield each text of a node, including those in nested tuples."""
    match node:
        case Column(name):
            pending: list[Any] = [name]
        case TableColumn(table, name):
            pending = [table, name]
        case Literal(value):
            pending = [value]
        case _:
            pending = [value for _, value in node.params]
    while pending:
        found = pending.pop()
        match found:
            case str():
                yield found
            case tuple():
                pending += cast("tuple[Any, ...]", found)
            case _:
                pass
