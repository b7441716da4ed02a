"""What was given where a plan takes an expression, and what to write instead."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.expr import Expr, Then, When
from fastfeat.operators.calendar import DatetimeParts
from fastfeat.operators.lookup import Lookup
from fastfeat.operators.windows import Window

_CONSTANTS = (bool, int, float, datetime.date, datetime.time, datetime.timedelta)
_VALUES = "It holds values. Name the column of the data that has them: col('name')"


def no_expression(subject: str, given: Any) -> TypeMismatch:
    """Return the error of something that is no expression.

    Args:
        subject: the beginning of the message, up to what was given.
        given: what is no expression.
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
        case Lookup():
            got, hint = "a row of a lookup table", "Take a column of it: .col('name')"
        case Window():
            got, hint = "a window", "Write what of its rows: col('x').mean(over=...)"
        case DatetimeParts(expr):
            got, hint = f"{expr!r}.dt", f"Take a part: {expr!r}.dt.hour()"
        case _ if callable(given):
            return _of_function(subject, given)
        case _ if isinstance(given, _CONSTANTS):
            got, hint = f"{_short(given)} of type {kind}", "Write lit(...) around it for a constant"
        case _ if type(given).__module__.partition(".")[0] == "polars" and "Expr" in kind:
            got, hint = "a Polars expression", "Write it with fastfeat.col in place of polars.col"
        case _ if isinstance(given, Sequence):
            got, hint = f"a {kind}", "Give each expression a name of its own"
        case _ if hasattr(given, "__array__") or hasattr(given, "__arrow_c_array__"):
            got, hint = f"a {kind}", _VALUES
        case _:
            got, hint = f"a {kind}", "Write an expression, such as col('name')"
    return TypeMismatch(f"{subject} {got}. {hint}")


def _of_function(subject: str, given: Any) -> TypeMismatch:
    """Return the error of a method that was not called, or of a Python function."""
    name = getattr(given, "__name__", type(given).__name__)
    owner = getattr(given, "__self__", None)
    if isinstance(owner, (Expr, DatetimeParts)):
        shown = repr(owner) if isinstance(owner, Expr) else f"{owner.expr!r}.dt"
        return TypeMismatch(f"{subject} the method {name}. Add () to call it: {shown}.{name}()")
    return TypeMismatch(
        f"{subject} the function {name}. A plan runs no Python function: write an expression"
    )


def _short(given: Any) -> str:
    text = repr(given) if not isinstance(given, int) or abs(given) < 10**60 else "an integer"
    return text if len(text) <= 60 else f"{text[:60]}..."
