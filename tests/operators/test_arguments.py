"""Arguments that operators lack, or do not take: errors of fastfeat that say what to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import fastfeat as ff
from fastfeat.errors import TypeMismatch

API: Any = ff
X: Any = ff.col("x")
W = ff.window(time="t")
SHOWN = "ff.window(time='t')"
OVER = "over=ff.window(time='t', by='card')"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: X.lag(1), f"col('x').lag(1): lacks over=. Write col('x').lag(1, {OVER})"),
        (lambda: X.lag(n=2), f"col('x').lag(n=2): lacks over=. Write col('x').lag(n=2, {OVER})"),
        *(
            (lambda f=f: getattr(X, f)(), f".{f}(): lacks over=. Write col('x').{f}({OVER})")
            for f in ("first", "last", "diff", "pct_change", "any", "all", "range", "slope")
        ),
        (lambda: X.streak(), f"Write col('x').streak({OVER})"),
        (lambda: X.ewm_mean(alpha=0.5), f"Write col('x').ewm_mean(alpha=0.5, {OVER})"),
        (lambda: API.count(), f"ff.count(): lacks over=. Write ff.count({OVER})"),
        (lambda: API.time_since_last(), f"Write ff.time_since_last({OVER})"),
        (lambda: API.time_since(X > 1), f"Write ff.time_since((col('x') > 1), {OVER})"),
        (lambda: API.session_id("1h"), f"Write ff.session_id('1h', {OVER})"),
        (lambda: API.session_id(), f"lacks gap=, over=. Write ff.session_id(gap='30m', {OVER})"),
        (lambda: API.window("7d"), "ff.window('7d'): lacks time=. Write ff.window('7d', time='t')"),
        (lambda: API.asof("rates"), "lacks time=. Write ff.asof('rates', time='t')"),
        (lambda: API.lookup("rates"), "lacks by=. Write ff.lookup('rates', by='key')"),
        (lambda: X.target_encode(), "Write col('x').target_encode(target='y')"),
        (lambda: X.lag(1, ovr=W), f"ovr={SHOWN}): has no parameter 'ovr'. Did you mean 'over'?"),
        (lambda: X.sum(window=W), f"={SHOWN}): has no parameter 'window'. It takes by, over"),
        (lambda: API.count(by="k"), "ff.count(by='k'): has no parameter 'by'. It takes over"),
        (lambda: API.window("7d", tme="t"), "has no parameter 'tme'. Did you mean 'time'?"),
        (lambda: X.sqrt(base=2), "col('x').sqrt(base=2): has no parameter 'base'. It takes none"),
        (lambda: X.lag(1, x=X, over=W), "has no parameter 'x'. It takes n, over"),
        (lambda: X.lag(1, W), f"{SHOWN}): too many positional arguments. Name the parameters: n="),
        (lambda: X.lag(1, n=1, over=W), "multiple values for argument 'n'"),
    ],
)  # fmt: skip
def test_what_a_call_lacks_or_does_not_take_is_told(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(TypeMismatch, match=re.escape(told)) as failure:
        call()
    assert isinstance(failure.value, TypeError)
    assert failure.value.__cause__ is failure.value.__context__ is None


def test_what_a_function_itself_raises_stays() -> None:
    with pytest.raises(TypeMismatch, match="takes a window, such as"):
        X.lag(1, over=3)
    with pytest.raises(TypeError, match=r"lag\(\) missing 1 required positional argument: 'x'"):
        API.Expr.lag(over=W)
