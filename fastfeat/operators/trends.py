"""Ranks of a row among those of its window, and trends of the values in the window."""

from __future__ import annotations

from collections.abc import Callable

from fastfeat_kernels.words import RankMethod

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr
from fastfeat.ir.node import Call, params_of
from fastfeat.operators.durations import Duration, resolve_duration
from fastfeat.operators.lookup import refuse_own_value
from fastfeat.operators.operator import checked, parameters_of
from fastfeat.operators.windows import (
    Window,
    over_window,
    refuse_ahead,
    resolve_window,
)


def rank(
    x: Expr, *, over: Window | None = None, method: RankMethod = "average", pct: bool = False
) -> Expr:
    """Return the rank of a row's own value among the values in its window, from 1 for the least.

    Where the window does not hold the row itself, as with closed="left", its value is ranked as if
    it stood among those of the window. Missing where the value is, and of a window without values.
    With closed="right" it is pandas' `rolling(...).rank(method, pct=pct)`.

    Args:
        x: values of any type but lists; text by its bytes.
        over: the window.
        method: the rank of equal values: "average" of their places, "min" or "max" of them.
        pct: divide by the number of values, the own one counted once: the percentile, up to 1.

    Raises:
        InvalidPlan: no window, or one over a table.
        Leakage: x is known only after the prediction: the row's own value is read.

    Source:
        1 + (number of values below), and of further equal values half the number, none or all.

    Example:
        >>> last_ten = ff.window(time="t", rows=10, closed="right")
        >>> plan = ff.Plan({"rank": col("x").rank(over=last_ten)})
        >>> data = {"t": [1, 2, 3, 4], "x": [5.0, 7.0, 5.0, 6.0]}
        >>> plan.fit_transform(data)[1]["rank"].to_pylist()
        [1.0, 2.0, 1.5, 3.0]
    """
    if over is None:
        raise InvalidPlan(
            f"{x!r}.rank(): takes a window, over=ff.window('7d', time='t'). .quantile_transform() "
            "gives the rank among the training rows"
        )
    refuse_ahead("rank", over)
    instead = "Compare a column of the data: col('x') > col('y').mean(over=)"
    refuse_own_value("rank", resolve_window(f"{x!r}.rank", over).node, instead)
    given = checked("rank", parameters_of("over.rank"), method=method, pct=pct)
    return over_window("rank", x, over, **given)


def ewm_mean(
    x: Expr, *, over: Window, alpha: float | None = None, half_life: Duration | None = None
) -> Expr:
    """Return the mean of all of an entity's values so far, in which older ones weigh less.

    By rows, with `alpha`, the value of k rows before the window's last one weighs (1 - alpha)**k,
    rows whose value is missing being counted: Polars' `ewm_mean(alpha=)`, pandas'
    `ewm(alpha=).mean()`. By time, with `half_life`, it weighs 2**-(age / half_life): pandas'
    `ewm(halflife=, times=).mean()`. Polars' `ewm_mean_by` is another mean, which gives the first
    value more weight and one of the same instant none. Missing values are skipped, and a row
    without one has the mean of those before. An infinity is the result from then on; of both signs
    there is none.

    Args:
        x: numbers.
        over: all of the past: a window without `last` and `rows`. The row itself is in it with
            closed="right" or "both", and not otherwise.
        alpha: above 0, up to 1, which takes the latest row alone.
        half_life: after how long a weight is half of what it was: a duration as of `window`, or for
            whole-number times a whole number.

    Raises:
        InvalidPlan: both or none of `alpha` and `half_life`, one out of range, or a window with
            `last` or `rows`.

    Source:
        One step a value, in float64: w = w * decay + 1, mean = mean + (x - mean) / w, from w = 0,
        and x itself where w is 1; decay is 1 - alpha a row, or of (time since the value before /
        half_life) the `half_power` of `fastfeat_kernels.windows.decay`.

    Example:
        >>> past = ff.window(time="t", by="card", closed="right")
        >>> plan = ff.Plan({"level": col("x").ewm_mean(half_life=2, over=past)})
        >>> data = {"t": [0, 2, 4], "card": ["a"] * 3, "x": [3.0, 0.0, None]}
        >>> plan.fit_transform(data)[1]["level"].to_pylist()
        [3.0, 1.0, 1.0]
    """
    return _decaying("ewm_mean", "mean", x, over, alpha, half_life)


def ewm_sum(
    x: Expr, *, over: Window, alpha: float | None = None, half_life: Duration | None = None
) -> Expr:
    """Return the sum of all of an entity's values so far, in which older ones weigh less.

    By rows, with `alpha`, the value of k rows before the window's last one weighs (1 - alpha)**k,
    rows whose value is missing being counted, so the last row weighs 1: pandas'
    `ewm(alpha=).sum()`. By time, with `half_life`, a value weighs 2**-(age / half_life), its age
    being the time from it to the row itself: a value of the same moment weighs 1, and a sum falls
    while nothing happens. These are the weights of `ewm_mean`, not divided by their sum.

    Missing values are skipped; the sum of none is 0. An infinity is the result from then on, and so
    is that of a sum beyond float64; of both signs there is none.

    Args:
        x: numbers; of a condition it is a count that decays.
        over: all of the past: a window without `last` and `rows`. The row itself is in it with
            closed="right" or "both", and not otherwise.
        alpha: above 0, up to 1, which takes the latest row alone.
        half_life: after how long a weight is half of what it was: a duration as of `window`, or for
            whole-number times a whole number.

    Raises:
        InvalidPlan: both or none of `alpha` and `half_life`, one out of range, or a window with
            `last` or `rows`.

    Source:
        One step a value, in float64: sum = sum * decay + x, from 0, product and sum rounded each;
        decay as of `ewm_mean`, and by time once more from the latest value to the row itself.

    Example:
        >>> past = ff.window(time="t", by="card")
        >>> plan = ff.Plan({"spent": col("x").ewm_sum(half_life=2, over=past)})
        >>> data = {"t": [0, 2, 4, 8], "card": ["a"] * 4, "x": [8.0, 4.0, None, 1.0]}
        >>> plan.fit_transform(data)[1]["spent"].to_pylist()
        [0.0, 4.0, 4.0, 1.0]
    """
    return _decaying("ewm_sum", "sum", x, over, alpha, half_life)


def _decaying(
    name: str, noun: str, x: Expr, over: Window, alpha: float | None, half_life: Duration | None
) -> Expr:
    """Return a function of all of the past whose weights decay, by rows or by time.

    Args:
        name: that of the method; by time it is the function name + "_by".
        noun: what it is of the values.
        x: the values.
        over: the window.
        alpha: by rows.
        half_life: by time.
    """
    chosen = resolve_window(f"{x!r}.{name}", over)
    refuse_ahead(name, chosen)
    given = dict(chosen.node.params)
    if given["last"] is not None or given["rows"] is not None:
        raise InvalidPlan(
            f"{x!r}.{name}(over={chosen!r}): is the {noun} of all of an entity's past. Leave last "
            "and rows of the window out: what is old weighs little by itself"
        )
    if (alpha is None) == (half_life is None):
        raise InvalidPlan(f"{x!r}.{name}(): takes alpha=, by rows, or half_life=, by time")
    if alpha is not None:
        return over_window(
            name, x, chosen, **checked(name, parameters_of(f"over.{name}"), alpha=alpha)
        )
    told = f"{name}(half_life={half_life!r})"
    length, unit = resolve_duration(told, half_life)
    if not length:
        raise InvalidPlan(f"{told}: nothing would be left of any value. Take a longer one")
    return over_window(f"{name}_by", x, _in_unit(chosen, told, unit), half_life=length)


def _in_unit(over: Window, told: str, unit: str | None) -> Window:
    """Return a window whose durations are in the unit of another duration.

    Raises:
        InvalidPlan: its offset is in another one.
    """
    params = dict(over.node.params)
    if params["offset"] and params["unit"] != unit:
        raise InvalidPlan(
            f"{told}, over={over!r}: one is a duration and the other a whole number. Write both in "
            "the kind of the time"
        )
    return Window(Call("window", over.node.args, params_of(**{**params, "unit": unit})))


def slope(x: Expr, *, over: Window) -> Expr:
    """Return by how much values rise in a second, or a step, on the straight line of least squares.

    Missing values are skipped. Missing where no two times of values differ, and where a value is
    infinite.

    Args:
        x: numbers.
        over: the window.

    Source:
        (n sum(t x) - sum(t) sum(x)) / (n sum(t t) - sum(t)**2), t in seconds, or in steps of
        whole-number times; numerator and denominator are exact, rounded once each and divided.

    Example:
        >>> plan = ff.Plan({"trend": col("x").slope(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [0, 2, 3], "x": [1.0, 5.0, 0.0]})[1]["trend"].to_pylist()
        [None, None, 2.0]
    """
    return over_window("slope", x, over)


def streak(x: Expr, *, over: Window) -> Expr:
    """Return the number of latest rows in a window that are true, one after the other to its end.

    0 where the latest is not, and of no rows. A missing value is not true.

    Args:
        x: bools, such as a comparison.
        over: the window.

    Example:
        >>> late = col("delay") > 15
        >>> plan = ff.Plan({"late": late.streak(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [1, 2, 3, 4], "delay": [0, 20, 30, 0]})[1]["late"].to_pylist()
        [0, 0, 1, 2]
    """
    return over_window("streak", x, over)


def range(x: Expr, *, over: Window) -> Expr:  # what it is called everywhere
    """Return the greatest value in a window less the least; missing of no values.

    Args:
        x: numbers, dates or times.
        over: the window.

    Example:
        >>> col("x").range(over=ff.window(time="t"))
        (col('x').max(over=ff.window(time='t')) - col('x').min(over=ff.window(time='t')))
    """
    return over_window("max", x, over) - over_window("min", x, over)


METHODS: dict[str, Callable[..., Expr]] = {
    "ewm_mean": ewm_mean,
    "ewm_sum": ewm_sum,
    "range": range,
    "rank": rank,
    "slope": slope,
    "streak": streak,
}
"""What expressions have as methods."""
