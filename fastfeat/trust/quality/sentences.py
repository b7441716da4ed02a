"""Sentences for rules, in reports that people read.

Rules of common forms get a sentence, including those that `infer_contract` writes. Others are shown
as their expressions.
"""

from __future__ import annotations

import datetime
from typing import Any

from fastfeat.errors import counted
from fastfeat.ir.node import TRAINING, Aggregate, Call, Column, GroupFrame, Literal, Node
from fastfeat.ir.show import show
from fastfeat.ir.writing import value_text

_COMPARED = {
    "eq": "is",
    "ne": "is not",
    "gt": "is above",
    "ge": "is at least",
    "lt": "is below",
    "le": "is at most",
}
_ENDS = {
    "both": "is between {} and {}",
    "left": "is at least {}, and below {}",
    "right": "is above {}, and at most {}",
    "none": "is above {}, and below {}",
}
_MOST_VALUES = 6
"""Values of a set that are named; larger sets show the first ones and their number."""


def sentence_of(rule: Node) -> str:
    """Return a rule as a sentence without full stop; "" if the rule has no common form.

    Example:
        >>> from fastfeat import col
        >>> sentence_of(((col("x") >= 0) | col("x").is_null()).node)
        'x is at least 0, or missing'
    """
    match rule:
        case Call("or", (asked, Call("is_null", (x,)))) if _subject(asked) is x:
            told = sentence_of(asked)
            return told and f"{told}, or missing"
        case Call("or", (asked, Call("is_infinite", (x,)))) if _subject(asked) is x:
            told = sentence_of(asked)
            return told and f"{told}, or infinite"
        case Call("is_null", (x,)):
            return f"{_name(x)} is missing"
        case Call("is_not_null", (x,)):
            return f"{_name(x)} is never missing"
        case Call("is_between", (x, Literal(low), Literal(high)), (("closed", ends),)):
            return f"{_name(x)} {_ENDS[ends].format(_value(low), _value(high))}"
        case Call("is_in", (x,), (("values", values),)):
            return f"{_name(x)} is {_one_of(values)}"
        case Call("le", (Call("str.len_chars", (x,)), Literal(most))):
            return f"{_name(x)} is at most {counted(most, 'character')} long"
        case Call("eq", (Aggregate("count", (counted_by, key), _, GroupFrame()), Literal(1))):
            return _unique(counted_by, key)
        case Call("le", (Aggregate("sum", (Call("is_null", (x,)),), _, f), most)) if f == TRAINING:
            share = _share_beyond_chance(most)
            told = f"at most {share} of {_name(x)} is missing, with an allowance for chance"
            return share and told
        case Call("ge", (x, Literal(datetime.date() as first))):
            return f"{_name(x)} is not before {first}"
        case Call(function, (x, Literal(value))) if function in _COMPARED:
            return f"{_name(x)} {_COMPARED[function]} {_value(value)}"
        case Call(function, (x, y)) if function in _COMPARED:
            return f"{_name(x)} {_COMPARED[function]} {_name(y)}"
        case _:
            return ""


def _subject(asked: Node) -> Node | None:
    """Return the expression that a condition of a rule is about, such as a column."""
    match asked:
        case Call("or", (first, _)):
            return _subject(first)
        case Call("le" | "lt" | "ge" | "gt" | "eq" | "ne", (Call("str.len_chars", (x,)), _)):
            return x
        case Call(_, (x, *_)):
            return x
        case _:
            return None


def _share_beyond_chance(most: Node) -> str:
    """Return the share in `share * n + (noise * n).sqrt()` as text, where n counts rows.

    `infer_contract` writes such limits. "" for other expressions.
    """
    match most:
        case Call(
            "add",
            (
                Call("mul", (Literal(float(share)), Aggregate("count"))),
                Call("sqrt", (Call("mul", (Literal(), Aggregate("count"))),)),
            ),
        ):
            return f"{100 * share:.3g} %"
        case _:
            return ""


def _unique(each: Node, codes: Node) -> str:
    """Return the sentence for a unique key; "" if the aggregate counts values instead of rows."""
    match codes:
        case Call("encode", (*parts, Aggregate("vocabulary"))):
            counts_rows = isinstance(each, Literal) or parts == [each]
            names = " and ".join(map(_name, parts))
            return f"no two rows have the same {names}" if counts_rows else ""
        case _:
            return ""


def _one_of(values: tuple[Any, ...]) -> str:
    if len(values) == 1:
        return _value(values[0])
    shown = ", ".join(map(_value, values[:_MOST_VALUES]))
    n_more = len(values) - _MOST_VALUES
    return f"one of {shown}" + (f" and {n_more} more" if n_more > 0 else "")


def _name(x: Node) -> str:
    """Return the name of a column, or the text of another expression."""
    return x.name if isinstance(x, Column) else show(x)


def _value(value: Any) -> str:
    return value_text(value) if isinstance(value, (str, bool, float)) else str(value)
