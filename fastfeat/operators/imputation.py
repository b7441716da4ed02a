"""`impute`: fill missing values with a value learnt from the training rows, or a given one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call, several_columns
from fastfeat.ir.literals import Scalar
from fastfeat.ir.node import Aggregate, Call, Literal, Node
from fastfeat.ir.parameters import BoolChoice, Parameter
from fastfeat.ir.show import frame_options
from fastfeat.ir.writing import SeveralWriter, Texts, Writer
from fastfeat.operators import aggregates as learnt
from fastfeat.operators.operator import (
    Case,
    Operator,
    ReferenceColumn,
    check_parameters,
    compute_by_definition,
    compute_quantile,
)

if TYPE_CHECKING:
    from fastfeat.operators.keys import KeyColumns

INDICATOR = Parameter(
    "add_indicator",
    BoolChoice(),
    "Whether to add a bool column that is True for missing values",
    False,
)
_LEARNT = ("mean", "median", "mode", "most_frequent")


def impute(
    x: Expr,
    value: Expr | Scalar,
    *,
    add_indicator: bool = False,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
) -> Expr:
    """Return x with missing values replaced by a learnt mean, median or mode, or a given value.

    With `add_indicator` there is a second column, with a name that ends in "_missing": whether x
    was missing. It is there even if no training row has a missing value.

    Args:
        x: Numbers. Other types allow the mode, or a value of their type.
        value: "mean", "median", "mode" (or "most_frequent", the same), a constant, or an expression
            such as `x.quantile(0.9)`. If the value is missing too, so is the result. To fill in a
            text use `fill_null`.
        add_indicator: Whether to add the second column, a bool.
        by: One or several keys, as names or expressions. Each key then has a value of its own,
            learnt from its training rows. For a key that `fit` has not seen nothing is filled in.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.

    Raises:
        InvalidPlan: `value` is another text, `by` is given with a value that is not learnt, or
            `min_rows` without `by`.

    Source:
        scikit-learn's SimpleImputer, except that its indicator is there only for columns with
        missing values in training.

    Example:
        >>> plan = ff.Plan({"x": col("x").impute("median")})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 6.0, None]})
        >>> fitted.transform({"x": [None, 7.0]}, backend="reference")["x"].to_pylist()
        [2.0, 7.0]
        >>> plan = ff.Plan({"x": col("x").impute(0, add_indicator=True)})
        >>> plan.fit({"x": [1.0]}).transform({"x": [None]}, backend="reference").to_pydict()
        {'x': [0.0], 'x_missing': [True]}
    """
    filled = _fill(x, value, by, min_rows)
    if not check_parameters("impute", (INDICATOR,), add_indicator=add_indicator)["add_indicator"]:
        return filled
    return several_columns({"": filled, "_missing": call("is_null", x)})


def _fill(x: Expr, value: Expr | Scalar, by: KeyColumns | None, min_rows: int | None) -> Expr:
    if by is not None and (isinstance(value, Expr) or value not in _LEARNT):
        raise InvalidPlan(
            f"impute({value!r}, by={by!r}): by= applies only to 'mean', 'median' and 'mode'. Leave "
            "out by=, or use it in an expression, such as x.quantile(0.9, by='key')"
        )
    if min_rows is not None and by is None:
        raise InvalidPlan(
            f"impute({value!r}, min_rows={min_rows!r}): min_rows= is the minimum number of "
            "training rows per key, and by= is missing. "
            f"Write impute('median', by='key', min_rows={min_rows!r})"
        )
    match value:
        case Expr():  # tested first: comparing an Expr with a text gives another expression
            return call("fill_null", x, value)
        case "mean":
            return call("fill_null", x, learnt.mean(x, by=by, min_rows=min_rows))
        case "median":
            return call("fill_null", x, learnt.median(x, by=by, min_rows=min_rows))
        case "mode" | "most_frequent":
            return call("fill_null", x, learnt.mode(x, by=by, min_rows=min_rows))
        case str():
            raise InvalidPlan(
                f'impute({value!r}): takes "mean", "median", "mode", a number or an expression. '
                f"To fill in a text write .fill_null({value!r})"
            )
        case _:
            return call("fill_null", x, value)


def _impute(
    train: Sequence[ReferenceColumn],
    rows: Sequence[ReferenceColumn],
    value: Any,
    add_indicator: bool = False,
) -> list[Any] | tuple[list[Any], list[Any]]:
    match value:
        case "mean":
            known = compute_by_definition("mean", train[0])
        case "median":
            known = compute_quantile(train[0], 0.5)
        case "mode" | "most_frequent":
            known = compute_by_definition("mode", train[0])
        case _:
            known = value
    filled = [known if x is None else x for x in rows[0]]
    return (filled, [x is None for x in rows[0]]) if add_indicator else filled


def _filled_text(node: Call, texts: Texts) -> str | None:
    return _text(node, [], texts)


def _with_indicator(nodes: Sequence[Node], texts: Texts) -> str | None:
    match nodes:
        case [Call() as filled, Call("is_null", (x,))] if filled.args[0] is x:
            return _text(filled, ["add_indicator=True"], texts)
        case _:
            return None


def _text(node: Call, more: Sequence[str], texts: Texts) -> str | None:
    match node.args:
        case (x, value) if not isinstance(value, Literal):
            return f"{texts[x]}.impute({', '.join([*_impute_options(x, value, texts), *more])})"
        case _:
            return None


def _impute_options(x: Node, value: Node, texts: Texts) -> list[str]:
    """Return the options of `impute` as text: the strategy or value, and the key, if any.

    A median appears in the plan as a quantile.
    """
    median = (("interpolation", "linear"), ("q", 0.5))
    match value:
        case Aggregate("mean" | "mode" as word, (y, *_)) if x is y:
            return [repr(word), *frame_options(value, texts)]
        case Aggregate("quantile", (y, *_), params) if x is y and params == median:
            return ["'median'", *frame_options(value, texts)]
        case _:
            return [texts.bare(value)]


WRITTEN: dict[str, Writer] = {"fill_null": _filled_text}
"""Writers (see `ir.writing`) of `impute`, by the function of the last node."""
WRITTEN_TOGETHER: dict[str, SeveralWriter] = {"fill_null": _with_indicator}
"""Writers (see `ir.writing`) of `impute` with indicator, by the function of the first column."""


OPERATORS: dict[str, Operator] = {
    "impute": Operator(
        impute,
        _impute,
        (
            *(Case(params={"value": value}) for value in ("mean", "median", "mode", 0, 2.5)),
            Case(params={"value": "median", "add_indicator": True}),
        ),
        parameters=(INDICATOR,),
    ),
}
