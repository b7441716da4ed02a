"""Ranks of a row's value within its window, and trends of the values in the window."""

from __future__ import annotations

from collections.abc import Callable

from fastfeat_kernels.words import RankMethod

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr
from fastfeat.ir.node import Call, params_of
from fastfeat.operators.durations import Duration, resolve_duration
from fastfeat.operators.lookup import refuse_own_value
from fastfeat.operators.operator import check_parameters, parameters_of
from fastfeat.operators.windows import (
    Window,
    over_window,
    refuse_ahead,
    resolve_window,
)


def rank(
    x: Expr, *, over: Window | None = None, method: RankMethod = "average", pct: bool = False
) -> Expr:
    """Return the rank of a row's own value among the values in its window, from 1 for the smallest.

    If the window does not hold the row itself, as with closed="left", the value is ranked as if it
    were added to the window. Missing if the row's value is missing or the window has no values.
    With closed="right" this is pandas' `rolling(...).rank(method, pct=pct)`.

    Args:
        x: Values of any type except lists; text is ordered by its bytes.
        over: The window.
        method: Rank of equal values: the "average", "min" or "max" of the ranks that they take up.
        pct: Divide by the number of values, with the row's own counted once. This gives the
            percentile, up to 1.

    Raises:
        InvalidPlan: No window is given, or it is over a table.
        Leakage: x is known only after the prediction, and the rank reads the row's own value.

    Source:
        1 + (number of smaller values) + half, none or all of the number of other equal values.

    Example:
        >>> last_ten = ff.window(time="t", rows=10, closed="right")
        >>> plan = ff.Plan({"rank": col("x").rank(over=last_ten)})
        >>> data = {"t": [1, 2, 3, 4], "x": [5.0, 7.0, 5.0, 6.0]}
        >>> plan.fit_transform(data)[1]["rank"].to_pylist()
        [1.0, 2.0, 1.5, 3.0]
    """
    if over is None:
        raise InvalidPlan(
            f"{x!r}.rank(): needs a window: over=ff.window('7d', time='t'). For the rank among the "
            "training rows write .quantile_transform()"
        )
    refuse_ahead("rank", over)
    instead = "Compare with a column of the data: col('x') > col('y').mean(over=...)"
    refuse_own_value("rank", resolve_window(f"{x!r}.rank", over).node, instead)
    given = check_parameters("rank", parameters_of("over.rank"), method=method, pct=pct)
    return over_window("rank", x, over, **given)


def ewm_mean(
    x: Expr, *, over: Window, alpha: float | None = None, half_life: Duration | None = None
) -> Expr:
    """Return the mean of all of an entity's values so far, with smaller weights for older ones.

    With `alpha` weights decay by rows: the value k rows before the window's last row has weight
    (1 - alpha)**k, and rows with missing values count. This is Polars' `ewm_mean(alpha=)` and
    pandas' `ewm(alpha=).mean()`. With `half_life` weights decay by time: the weight is
    2**-(age / half_life), as in pandas' `ewm(halflife=, times=).mean()`. Polars' `ewm_mean_by`
    differs: it gives the first value more weight, and no weight to a value at the same instant.

    Missing values are skipped, and a row with a missing value gets the mean so far. After an
    infinity the result stays infinite; after infinities of both signs it is missing.

    Args:
        x: Numbers.
        over: A window over the whole past, without `last` and `rows`. closed="right" or "both"
            includes the row itself; the other values exclude it.
        alpha: Decay per row: above 0, up to 1. With 1 only the latest row counts.
        half_life: Time after which a weight has halved: a text such as "7d" or "1h30m" (units ns,
            us, ms, s, m, h, d of 24 hours, w), a timedelta, or a whole number if times are whole
            numbers.

    Raises:
        InvalidPlan: Both or neither of `alpha` and `half_life` are given, one is out of range, or
            the window has `last` or `rows`.

    Source:
        One step per value, in float64, from w = 0: w = w * decay + 1, mean = mean + (x - mean) / w;
        if w is 1 the mean is x itself. By rows decay is 1 - alpha per row. By time it is
        `half_power` of `fastfeat_kernels.windows.decay` at (time since the previous value /
        half_life).

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
    """Return the sum of all of an entity's values so far, with smaller weights for older ones.

    With `alpha` weights decay by rows: the value k rows before the window's last row has weight
    (1 - alpha)**k, and rows with missing values count, so the last row has weight 1. This is
    pandas' `ewm(alpha=).sum()`. With `half_life` weights decay by time: the weight is
    2**-(age / half_life), where the age is the time from the value to the row itself. A value at
    the same moment has weight 1, and the sum falls while nothing happens. The weights are those of
    `ewm_mean`, not divided by their sum.

    Missing values are skipped; with no values the sum is 0. After an infinity, or a sum that
    overflows float64, the result stays infinite; after infinities of both signs it is missing.

    Args:
        x: Numbers. A condition gives a count that decays.
        over: A window over the whole past, without `last` and `rows`. closed="right" or "both"
            includes the row itself; the other values exclude it.
        alpha: Decay per row: above 0, up to 1. With 1 only the latest row counts.
        half_life: Time after which a weight has halved: a text such as "7d" or "1h30m" (units ns,
            us, ms, s, m, h, d of 24 hours, w), a timedelta, or a whole number if times are whole
            numbers.

    Raises:
        InvalidPlan: Both or neither of `alpha` and `half_life` are given, one is out of range, or
            the window has `last` or `rows`.

    Source:
        One step per value, in float64, from 0: sum = sum * decay + x, with product and sum each
        rounded. decay is computed as for `ewm_mean`; by time the sum decays once more from the
        latest value to the row itself.

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
    """Return a function of an entity's whole past, with weights that decay by rows or by time.

    `name` is the method; for decay by time the plan function is `name + "_by"`. `noun` is for error
    messages.
    """
    chosen = resolve_window(f"{x!r}.{name}", over)
    refuse_ahead(name, chosen)
    given = dict(chosen.node.params)
    if given["last"] is not None or given["rows"] is not None:
        raise InvalidPlan(
            f"{x!r}.{name}(over={chosen!r}): the {noun} is computed from an entity's whole past. "
            "Leave out last= and rows= of the window: old values have little weight anyway"
        )
    if (alpha is None) == (half_life is None):
        raise InvalidPlan(
            f"{x!r}.{name}(): takes either alpha= (decay per row) or half_life= (decay over time)"
        )
    if alpha is not None:
        return over_window(
            name, x, chosen, **check_parameters(name, parameters_of(f"over.{name}"), alpha=alpha)
        )
    told = f"{name}(half_life={half_life!r})"
    length, unit = resolve_duration(told, half_life)
    if not length:
        raise InvalidPlan(f"{told}: must be longer than zero")
    return over_window(f"{name}_by", x, _convert_unit(chosen, told, unit), half_life=length)


def _convert_unit(over: Window, told: str, unit: str | None) -> Window:
    """Return the window with `unit` ("time" or "steps") as the unit of its durations.

    Raises InvalidPlan if the offset of the window has the other unit.
    """
    params = dict(over.node.params)
    if params["offset"] and params["unit"] != unit:
        raise InvalidPlan(
            f"{told}, over={over!r}: of half_life= and the window's offset=, one is a duration and "
            "the other a whole number. Write both as durations, or both as whole numbers if the "
            "time column holds integers"
        )
    return Window(Call("window", over.node.args, params_of(**{**params, "unit": unit})))


def slope(x: Expr, *, over: Window) -> Expr:
    """Return the slope of the least-squares line through the values in a window.

    The unit is per second, or per step if times are whole numbers. Missing values are skipped. The
    result is missing if all values have the same time, or if a value is infinite.

    Args:
        x: Numbers.
        over: The window.

    Source:
        (n sum(t x) - sum(t) sum(x)) / (n sum(t t) - sum(t)**2), with t in seconds, or in steps if
        times are whole numbers. Numerator and denominator are exact, each rounded once, and
        divided.

    Example:
        >>> plan = ff.Plan({"trend": col("x").slope(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [0, 2, 3], "x": [1.0, 5.0, 0.0]})[1]["trend"].to_pylist()
        [None, None, 2.0]
    """
    return over_window("slope", x, over)


def streak(x: Expr, *, over: Window) -> Expr:
    """Return the number of consecutive rows with a true value at the end of a window.

    0 if the latest row is not true or there are no rows. A missing value is not true.

    Args:
        x: Bools, such as a comparison.
        over: The window.

    Example:
        >>> late = col("delay") > 15
        >>> plan = ff.Plan({"late": late.streak(over=ff.window(time="t"))})
        >>> plan.fit_transform({"t": [1, 2, 3, 4], "delay": [0, 20, 30, 0]})[1]["late"].to_pylist()
        [0, 0, 1, 2]
    """
    return over_window("streak", x, over)


def range(x: Expr, *, over: Window) -> Expr:  # the usual name
    """Return the largest value in a window minus the smallest; missing if there are no values.

    Args:
        x: Numbers, dates or times.
        over: The window.

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
"""Methods of expressions."""
