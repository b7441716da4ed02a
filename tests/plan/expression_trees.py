"""Random expressions over the columns of `plan_tables`, with learnt constants inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col, lit
from fastfeat_tests.plan.plan_tables import TEXTS, hours_apart

Draw = Callable[[st.SearchStrategy[Any]], Any]
KINDS = ("float", "integer", "bool", "instant")
COLUMNS = {
    "float": ("x", "y", "whole", "f", "full"),
    "integer": ("i", "small", "u"),
    "bool": ("flag", "other"),
    "instant": ("t",),
}
UNARY = (
    "sqrt", "cbrt", "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "tanh", "sigmoid", "floor", "ceil", "abs", "sign",
)  # fmt: skip
PARTS = ("year", "quarter", "month", "week", "weekday", "day", "ordinal_day")
QUESTIONS = ("is_leap_year", "is_weekend", "is_month_start", "is_month_end", "is_quarter_end")
NUMBER = st.sampled_from([0.0, -0.0, 1.0, 0.5, -2.5, 3.0, 1e-3, 1e17])
FEW = st.integers(-9, 9)


@st.composite
def expressions(draw: Draw, kind: str, depth: int) -> ff.Expr:
    """Return a strategy for expressions of a kind, of bounded depth."""
    if depth == 0 or draw(st.integers(0, 9)) == 0:
        return col(draw(st.sampled_from(COLUMNS[kind])))
    return {"float": _float, "integer": _integer, "bool": _bool, "instant": _instant}[kind](
        draw, lambda kind: draw(expressions(kind, depth - 1))
    )


Below = Callable[[str], ff.Expr]


def _number(draw: Draw, below: Below) -> ff.Expr:
    return below(draw(st.sampled_from(["float", "float", "integer", "bool"])))


def _float(draw: Draw, below: Below) -> ff.Expr:
    match draw(st.integers(0, 13)):
        case 0 | 1 | 2:
            return getattr(_number(draw, below), draw(st.sampled_from(UNARY)))()
        case 3 | 4:
            return _arithmetic(draw, below("float"), _number(draw, below)) * 1.0
        case 5:
            return _arithmetic(draw, below("float"), lit(draw(NUMBER)))
        case 6:
            return below("integer") / below("integer")
        case 7:
            return below("float") ** draw(st.sampled_from([2, 3, 0.5, -1, 0, 2.5]))
        case 8:
            chosen = ff.when(below("bool")).then(below("float")).otherwise(_number(draw, below))
            return chosen.cast("float64")
        case 9:
            several = draw(st.sampled_from(["min", "max", "sum", "mean"]))
            combine = getattr(ff, f"{several}_horizontal")
            return combine(below("float"), _number(draw, below), below("float")) * 1.0
        case 10:
            return below("float").fill_null(draw(NUMBER)).fill_infinite(draw(NUMBER))
        case 11:
            low, high = sorted([draw(NUMBER), draw(NUMBER)])
            return below("float").clip(low, high).round(draw(st.integers(0, 3)))
        case 12:
            return _learnt(draw, below)
        case _:
            return (below("instant") - below("instant")).dt.total_seconds() / 3.0


def _arithmetic(draw: Draw, left: ff.Expr, right: ff.Expr) -> ff.Expr:
    match draw(st.sampled_from(["+", "-", "*", "/", "//", "%", "**"])):
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "//":
            return left // right
        case "%":
            return left % right
        case _:
            return left**right


def _learnt(draw: Draw, below: Below) -> ff.Expr:
    """Return an expression with something that fit learns from another one, bounded."""
    bounded = below("float").clip(-1e3, 1e3)
    match draw(st.integers(0, 7)):
        case 7:
            return bounded.power_transform()
        case 6:  # computed of type float32, a value is not rounded to it before the way out
            return col("f").fill_null(0.1).mean() + col("f").impute("median").standard_scale()
        case 0:
            return bounded.standard_scale()
        case 1:
            return below("float") - bounded.median()
        case 2:
            return bounded / bounded.std(ddof=0)
        case 3:
            return bounded.impute("mean").robust_scale()
        case 4:
            return bounded.quantile_transform(n_quantiles=20, output_distribution="normal")
        case _:
            return below("float").clip(bounded.quantile(0.1), bounded.max())


def _integer(draw: Draw, below: Below) -> ff.Expr:
    match draw(st.integers(0, 11)):
        case 11:
            strategy = draw(st.sampled_from(["uniform", "quantile"]))
            return below("float").clip(-99, 99).k_bins_discretize(n_bins=4, strategy=strategy)
        case 0 | 1:
            left, right = below("integer"), below("integer").cast("int8", strict=False)
            return {0: left + right, 1: left - right, 2: left // right, 3: left % right}[
                draw(st.integers(0, 3))
            ]
        case 2:
            small = below("integer").cast("int16", strict=False)
            return small * draw(FEW) + below("bool")
        case 3:
            return below("float").cast(
                draw(st.sampled_from(["int8", "int32", "int64", "uint16"])), strict=False
            )
        case 4:
            return below("bool") + below("bool")
        case 5:
            return below("float").cut(sorted({draw(NUMBER) + 0.0, -1.0, 2.0}))
        case 6:
            instant = draw(st.sampled_from([below("instant"), col("naive"), col("day")]))
            return getattr(instant.dt, draw(st.sampled_from(PARTS)))()
        case 7:
            return below("integer").fill_null(draw(FEW)).clip(-5, draw(st.integers(0, 9)))
        case 8:
            mapping = {text: draw(FEW) for text in TEXTS[:4]}
            return col("s").replace_strict(mapping, default=draw(FEW))
        case 9:
            return ff.coalesce(below("integer"), below("bool"), draw(FEW))
        case _:
            return below("float").clip(-99, 99).qcut(draw(st.integers(2, 9)))


def _bool(draw: Draw, below: Below) -> ff.Expr:
    match draw(st.integers(0, 9)):
        case 0 | 1:
            return _comparison(draw, _number(draw, below), _number(draw, below))
        case 2:
            return below("bool") & below("bool")
        case 3:
            return below("bool") | ~below("bool")
        case 4:
            return below("bool") ^ below("bool")
        case 5:
            return below(draw(st.sampled_from(KINDS))).is_null()
        case 6:
            return below("integer").is_in([draw(FEW), draw(FEW), draw(FEW)])
        case 7:
            return col("s") == draw(st.sampled_from(TEXTS))
        case 8:
            return getattr(below("instant").dt, draw(st.sampled_from(QUESTIONS)))()
        case _:
            return below("float").is_between(-1, below("float"), closed="left")


def _comparison(draw: Draw, left: ff.Expr, right: ff.Expr) -> ff.Expr:
    match draw(st.integers(0, 5)):
        case 0:
            return left < right
        case 1:
            return left <= right
        case 2:
            return left > right
        case 3:
            return left >= right
        case 4:
            return left == right
        case _:
            return left != right


def _instant(draw: Draw, below: Below) -> ff.Expr:
    instant = col("t")
    match draw(st.integers(0, 3)):
        case 0:
            return instant.dt.truncate(draw(st.sampled_from(["1h", "1d", "1w", "1mo", "15m"])))
        case 1:
            return instant + hours_apart(draw(FEW))
        case 2:
            return ff.when(below("bool")).then(instant).otherwise(None)
        case _:
            return instant.fill_null(instant.min())
