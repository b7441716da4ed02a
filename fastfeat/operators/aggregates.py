"""Training aggregates: statistics that `fit` learns from all training rows, or per key (`by=`).

A key identifies the group of a row, such as the customer: the values of one or several columns.

Training aggregates can be used anywhere in an expression: `col("x") - col("x").mean()`. Missing
values are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from fastfeat_kernels.words import Interpolation

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, aggregate, group_aggregate
from fastfeat.operators import keys, windows
from fastfeat.operators.operator import (
    Case,
    Operator,
    OperatorReference,
    ReferenceColumn,
    check_parameters,
    compute_by_definition,
    parameters_of,
)

if TYPE_CHECKING:
    from fastfeat.operators.keys import KeyColumns
    from fastfeat.operators.windows import Window


def count(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the number of training rows in which x is present.

    Args:
        x: Values of any type.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").count()
        col('x').count()
    """
    return _aggregate_expression("count", x, by, min_rows, over)


def null_count(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the number of training rows in which x is missing.

    Args:
        x: Values of any type.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").null_count()
        col('x').null_count()
    """
    return _aggregate_expression("null_count", x, by, min_rows, over)


def sum(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the exact sum, rounded once; 0 if there are no values.

    Args:
        x: Numbers or durations. Integers and bools give int64.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.
        Overflow: At fit, if a sum of integers does not fit into int64.

    Example:
        >>> col("x").sum()
        col('x').sum()
    """
    return _aggregate_expression("sum", x, by, min_rows, over)


def mean(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the mean: the exact sum, rounded once, divided by the number of values.

    Missing if there are no values.

    Args:
        x: Numbers or durations.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> (col("x") - col("x").mean())
        (col('x') - col('x').mean())
    """
    return _aggregate_expression("mean", x, by, min_rows, over)


def var(
    x: Expr,
    *,
    ddof: int = 1,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the variance, from exact sums; missing if there are `ddof` values or fewer.

    Args:
        x: Numbers.
        ddof: The divisor is the number of values minus `ddof`: 1 for a sample, 0 for a
            population.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, `min_rows` is below 1 or without `by`, or
            `ddof` is not a whole number from 0.

    Source:
        (n * sum(x**2) - sum(x)**2) / (n * (n - ddof)), the numerator exact and rounded once.

    Example:
        >>> col("x").var()
        col('x').var(ddof=1)
    """
    return _aggregate_expression(
        "var", x, by, min_rows, over, **check_parameters("var", parameters_of("var"), ddof=ddof)
    )


def std(
    x: Expr,
    *,
    ddof: int = 1,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the standard deviation, the square root of `var`; missing if `var` is missing.

    Args:
        x: Numbers.
        ddof: The divisor is the number of values minus `ddof`: 1 for a sample, 0 for a
            population.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, `min_rows` is below 1 or without `by`, or
            `ddof` is not a whole number from 0.

    Example:
        >>> col("x").std(ddof=0)
        col('x').std(ddof=0)
    """
    return _aggregate_expression(
        "std", x, by, min_rows, over, **check_parameters("std", parameters_of("std"), ddof=ddof)
    )


def skew(
    x: Expr,
    *,
    bias: bool = True,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the skewness: how much further the values spread above the mean than below it.

    0 for symmetric values. Missing if all values are equal, if a value in a window or of a key is
    infinite (over all training rows `fit` raises an error), or if there are too few values: none,
    or fewer than 3 with bias=False.

    Args:
        x: Numbers.
        bias: True gives the skewness of the values themselves, like Polars and SciPy. False
            estimates the skewness of the population that they are a sample of, like pandas.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, `min_rows` is below 1 or without `by`, or
            `bias` is not a bool.

    Source:
        g1 = m3 / m2**1.5 and G1 = g1 sqrt(n (n - 1)) / (n - 2), from exact central moments, each
        rounded once: Joanes and Gill (1998).

    Example:
        >>> col("x").skew()
        col('x').skew(bias=True)
    """
    return _aggregate_expression(
        "skew", x, by, min_rows, over, **check_parameters("skew", parameters_of("skew"), bias=bias)
    )


def kurtosis(
    x: Expr,
    *,
    fisher: bool = True,
    bias: bool = True,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the kurtosis: how much of the spread comes from a few extreme values.

    Missing if all values are equal, if a value in a window or of a key is infinite (over all
    training rows `fit` raises an error), or if there are too few values: none, or fewer than 4 with
    bias=False.

    Args:
        x: Numbers.
        fisher: True makes the kurtosis of a normal distribution 0, like Polars and SciPy. False
            makes it 3.
        bias: True gives the kurtosis of the values themselves, like Polars and SciPy. False
            estimates the kurtosis of the population that they are a sample of, like pandas.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, `min_rows` is below 1 or without `by`, or
            `fisher` or `bias` is not a bool.

    Source:
        g2 = m4 / m2**2 - 3 and G2 = (n - 1) ((n + 1) g2 + 6) / ((n - 2) (n - 3)), from exact
        central moments: Joanes and Gill (1998).

    Example:
        >>> col("x").kurtosis()
        col('x').kurtosis(bias=True, fisher=True)
    """
    given = check_parameters("kurtosis", parameters_of("kurtosis"), fisher=fisher, bias=bias)
    return _aggregate_expression("kurtosis", x, by, min_rows, over, **given)


def min(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the smallest value, with -0.0 below 0.0; missing if there are no values.

    Args:
        x: Numbers, dates or times; the type is kept.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").min()
        col('x').min()
    """
    return _aggregate_expression("min", x, by, min_rows, over)


def max(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the largest value, with 0.0 above -0.0; missing if there are no values.

    Args:
        x: Numbers, dates or times; the type is kept.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").max()
        col('x').max()
    """
    return _aggregate_expression("max", x, by, min_rows, over)


def quantile(
    x: Expr,
    q: float,
    *,
    interpolation: Interpolation = "linear",
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the exact quantile; missing if there are no values.

    Args:
        x: Numbers.
        q: The quantile, between 0 (the minimum) and 1 (the maximum).
        interpolation: Result if the quantile lies between two values: "linear", "lower", "higher",
            "nearest" or "midpoint".
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, `min_rows` is below 1 or without `by`, `q` is
            outside [0, 1], or `interpolation` is unknown.

    Source:
        Hyndman and Fan (1996), definition 7: the value at index (n - 1) * q of the sorted values.

    Example:
        >>> col("x").clip(col("x").quantile(0.01), col("x").quantile(0.99))
        col('x').clip(col('x').quantile(interpolation='linear', q=0.01), \
col('x').quantile(interpolation='linear', q=0.99))
    """
    given = check_parameters(
        "quantile", parameters_of("quantile"), interpolation=interpolation, q=q
    )
    return _aggregate_expression("quantile", x, by, min_rows, over, **given)


def median(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the exact median: the quantile at 0.5; missing if there are no values.

    Args:
        x: Numbers.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").fill_null(col("x").median())
        ff.coalesce(col('x'), col('x').quantile(interpolation='linear', q=0.5))
    """
    return quantile(x, 0.5, by=by, min_rows=min_rows, over=over)


def mode(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the most frequent value; the smallest if several are equally frequent.

    Missing if there are no values.

    Args:
        x: Numbers, dates or times, and text if there is no `by`; the type is kept.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").mode()
        col('x').mode()
    """
    return _aggregate_expression("mode", x, by, min_rows, over)


def n_unique(
    x: Expr,
    *,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
    over: Window | None = None,
) -> Expr:
    """Return the number of distinct values; missing ones do not count.

    Args:
        x: Values of any type; with `by` numbers, dates or times.
        by: One or several keys, as names or expressions. Each row then gets the aggregate of the
            training rows with its key; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.
        over: A window. Each row then gets the aggregate of the rows in its window instead.

    Raises:
        InvalidPlan: Both `by` and `over` are given, or `min_rows` is below 1 or without `by`.

    Example:
        >>> col("x").n_unique()
        col('x').n_unique()
    """
    return _aggregate_expression("n_unique", x, by, min_rows, over)


def _aggregate_expression(
    function: str,
    x: Expr,
    by: KeyColumns | None,
    min_rows: int | None,
    over: Window | None,
    **params: Any,
) -> Expr:
    told = f"{x!r}.{function}"
    if over is not None:
        if by is not None:
            raise InvalidPlan(
                f"{told}(by=..., over=...): use by= or over=, not both. by= learns from the "
                "training rows of each key; over= reads the rows in a window, and "
                "ff.window(..., by='key') groups them"
            )
        if min_rows is not None:
            raise InvalidPlan(
                f"{told}(min_rows={min_rows!r}, over=...): min_rows= applies only with by=. For "
                "the minimum number of values in a window write ff.window(..., min_samples=5)"
            )
        return windows.over_window(function, x, over, **params)
    if by is None:
        if min_rows is not None:
            raise InvalidPlan(
                f"{told}(min_rows={min_rows!r}): min_rows= is the minimum number of training rows "
                f"per key, and by= is missing. Write {function}(by='key', min_rows={min_rows!r})"
            )
        return aggregate(function, x, **params)
    group = keys.group_by_keys(
        keys.resolve_keys(function, by), keys.min_rows_of(function, min_rows)
    )
    return group_aggregate(function, x, group, **params)


def _constant(function: str, **given: Any) -> OperatorReference:
    """Return an aggregate's reference function: each row gets the value of the training rows."""

    def reference(
        train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], **params: Any
    ) -> list[Any]:
        return [compute_by_definition(function, train[0], **{**given, **params})] * len(rows[0])

    return reference


_QUANTILES = tuple(
    Case(params={"q": q, "interpolation": name})
    for q, name in zip((0.0, 0.1, 0.5, 0.77, 1.0), get_args(Interpolation), strict=True)
)

_KURTOSES = tuple(
    Case(params={"bias": bias, "fisher": fisher})
    for bias in (True, False)
    for fisher in (True, False)
)

OPERATORS: dict[str, Operator] = {
    "count": Operator(count, _constant("count"), (Case(), Case(("text",)))),
    "null_count": Operator(null_count, _constant("null_count"), (Case(), Case(("text",)))),
    "sum": Operator(sum, _constant("sum")),
    "mean": Operator(mean, _constant("mean")),
    "var": Operator(var, _constant("var", ddof=1), (Case(), Case(params={"ddof": 0}))),
    "std": Operator(std, _constant("std", ddof=1), (Case(), Case(params={"ddof": 2}))),
    "skew": Operator(skew, _constant("skew", bias=True), (Case(), Case(params={"bias": False}))),
    "kurtosis": Operator(kurtosis, _constant("kurtosis", bias=True, fisher=True), _KURTOSES),
    "min": Operator(min, _constant("min")),
    "max": Operator(max, _constant("max")),
    "quantile": Operator(quantile, _constant("quantile"), _QUANTILES),
    "mode": Operator(mode, _constant("mode")),
    "n_unique": Operator(n_unique, _constant("n_unique"), (Case(), Case(("text",)))),
    "median": Operator(median, _constant("quantile", q=0.5, interpolation="linear")),
}
