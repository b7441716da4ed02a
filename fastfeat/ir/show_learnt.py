"""Printing scalers, bins and transformations, of several nodes each, as the code of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from fastfeat.ir.node import Aggregate, Call, GroupFrame, Literal, Node
from fastfeat.ir.show_keys import key_of
from fastfeat.ir.show_signs import bare

Texts = Mapping[Node, str]


def show_of_learnt(node: Node, texts: Texts) -> str | None:
    """Return the text of a node that is the last of such an operator; None for any other.

    Args:
        node: what is shown.
        texts: those of the nodes below it.
    """
    match node:
        case Call("bin", (x, Literal(edges))) if isinstance(edges, tuple):
            return f"{texts[x]}.cut({_numbers(cast('tuple[float, ...]', edges))})"
        case Call("bin", (x, Aggregate("quantiles", (y,), (("probabilities", inner),)))) if x is y:
            return f"{texts[x]}.qcut({_bins(inner)})"
        case Call("bin_inside", (x, table)) if (points := points_of(x, table)) is not None:
            n_points, strategy = points
            named = "" if strategy == "quantile" else f", strategy={strategy!r}"
            return f"{texts[x]}.k_bins_discretize(n_bins={n_points - 1}{named})"
        case Call("fill_null", (x, value)) if not isinstance(value, Literal):
            return f"{texts[x]}.impute({', '.join(_imputed(x, value, texts))})"
        case Call("yeo_johnson" | "box_cox", (x, _)) if _is_power(node):
            return f"{texts[x]}.power_transform({_power_of(node, standardize=False)})"
        case Call("interpolate_rank", (x, Aggregate("even_quantiles", (y,), params), _)) if x is y:
            return f"{texts[x]}.quantile_transform(n_quantiles={dict(params)['n_quantiles']})"
        case Call("clip", (Call("normal_quantile", (Call("interpolate_rank") as rank,)), _, _)):
            return f"{texts[rank][:-1]}, output_distribution='normal')"
        case Call("div", (shifted, Call("scale_or_one", (spread, level)))):
            return _scaled(shifted, spread, level, texts)
        case Call("div", (shifted, Call("div", (Call("scale_or_one", (spread, level)), _)))):
            return _scaled(shifted, spread, level, texts, ["unit_variance=True"])
        case _:
            return None


def show_several(nodes: Sequence[Node], texts: Texts) -> str | None:
    """Return the text of an operator of several columns; None for columns of one each.

    Args:
        nodes: the columns.
        texts: those of all nodes below them.
    """
    match nodes:
        case [Call("cyclical_sin", (x,), (("period", period),)), Call("cyclical_cos", (y,), _)] if (
            x is y
        ):
            return f"{texts[x]}.cyclical({_number(period)})"
        case [Call("fill_null") as filled, Call("is_null", (x,))] if filled.args[0] is x:
            return (
                f"{texts[filled][:-1]}, add_indicator=True)"
                if ".impute(" in texts[filled]
                else None
            )
        case [Call("bucket_count", (counts,)), *_] if all(n.args == (counts,) for n in nodes):
            return texts[counts]
        case [Call("spline_basis", (x, table), params), *_] if all(
            node.args == (x, table) for node in nodes
        ):
            return f"{texts[x]}.spline_transform({_splines(x, table, dict(params), len(nodes))})"
        case _:
            return None


def _imputed(x: Node, value: Node, texts: Texts) -> list[str]:
    """Return the parameters of an imputation: its strategy or value; a median is a quantile."""
    median = (("interpolation", "linear"), ("q", 0.5))
    match value:
        case Aggregate("mean" | "mode" as word, (y, *_)) if x is y:
            return [repr(word), *_by(value, texts)]
        case Aggregate("quantile", (y, *_), params) if x is y and params == median:
            return ["'median'", *_by(value, texts)]
        case _:
            return [bare(value, texts[value])]


def points_of(x: Node, table: Node) -> tuple[int, str] | None:
    """Return how many points are learnt of x, and by which strategy; None for anything else."""
    match table:
        case Aggregate("evenly_spaced", (y,), (("n_points", n_points),)) if x is y:
            return n_points, "uniform"
        case Aggregate("quantiles", (y,), (("probabilities", shares),)) if x is y:
            n_points = len(shares)
            is_even = shares == tuple(k / max(1, n_points - 1) for k in range(n_points))
            return (n_points, "quantile") if is_even else None
        case _:
            return None


def _splines(x: Node, table: Node, params: Mapping[str, object], n_columns: int) -> str:
    """Return the parameters of a spline, as they are written."""
    points = points_of(x, table)
    degree, beyond = params.get("degree"), params.get("extrapolation")
    given: dict[str, str] = {}
    if points is not None:
        given = {"n_knots": str(points[0]), "knots": repr(points[1])}
    elif isinstance(table, Literal):
        given = {"knots": _numbers(table.value)}
    given |= {"degree": repr(degree), "extrapolation": repr(beyond)}
    n_points = points[0] if points is not None else len(getattr(table, "value", ()))
    full = n_points - 1 if beyond == "periodic" else n_points + cast(int, degree) - 1
    if n_columns < full:
        given["include_bias"] = "False"
    plain = {
        "n_knots": "5", "knots": "'uniform'", "degree": "3", "extrapolation": "'constant'"
    }  # fmt: skip
    return ", ".join(f"{name}={text}" for name, text in given.items() if text != plain.get(name))


def _is_power(node: Node) -> bool:
    """Return whether a node is a value raised to the power that is learnt of it."""
    match node:
        case Call("yeo_johnson" | "box_cox" as power, (x, Aggregate(learnt, (y,)))):
            return x is y and learnt == f"{power}_lambda"
        case _:
            return False


def _power_of(node: Call, *, standardize: bool) -> str:
    method = ["method='box-cox'"] if node.function == "box_cox" else []
    return ", ".join([*method, *([] if standardize else ["standardize=False"])])


def _scaled(
    shifted: Node, spread: Node, level: Node, texts: Texts, more: Sequence[str] = ()
) -> str | None:
    """Return the text of a scaler: what is divided, and the spread and level of the divisor."""
    match spread, level:
        case Aggregate("std", _, (("ddof", 0),)), Aggregate("mean") if not more:
            return _by_mean(shifted, spread, level, texts)
        case Call("sub", (Aggregate("quantile") as high, Aggregate("quantile") as low)), Aggregate(
            "quantile"
        ):
            options = [*_range(low, high), *more, *_by(level, texts)]
            x, is_centred = _centred(shifted, level)
            if x is None or not x == high.args[0] == low.args[0]:
                return None
            centring = [] if is_centred else ["with_centering=False"]
            return f"{texts[x]}.robust_scale({', '.join([*centring, *options])})"
        case Call("sub", (Call("cast", (Aggregate("max"),)) as top, low)), _ if top is level:
            match shifted, low:
                case Call("sub", (x, one)), Call("cast", (Aggregate("min", args) as least,)) if (
                    one is low and x is args[0] and not more
                ):
                    return f"{texts[x]}.min_max_scale({', '.join(_by(least, texts))})"
                case _:
                    return None
        case Call(
            "max_horizontal", (Call("abs", (Call("cast", (Aggregate("min") as least,)),)), _)
        ), _:
            if shifted is least.args[0] and not more:
                return f"{texts[shifted]}.max_abs_scale({', '.join(_by(least, texts))})"
            return None
        case _:
            return None


def _by_mean(shifted: Node, std: Aggregate, mean: Aggregate, texts: Texts) -> str | None:
    x, is_centred = _centred(shifted, mean)
    if x is None or std.args != mean.args:
        return None
    options = [*([] if is_centred else ["with_mean=False"]), *_by(mean, texts)]
    if _is_power(x) and not options:
        assert isinstance(x, Call)
        return f"{texts[x.args[0]]}.power_transform({_power_of(x, standardize=True)})"
    return f"{texts[x]}.standard_scale({', '.join(options)})"


def _centred(shifted: Node, level: Aggregate) -> tuple[Node | None, bool]:
    """Return the scaled expression, and whether the level is subtracted; None of anything else."""
    match shifted:
        case Call("sub", (x, one)) if one is level and x is level.args[0]:
            return x, True
        case Call("cast", (x,)) if x is level.args[0]:
            return x, False
        case _:
            return None, False


def _by(learnt: Aggregate, texts: Texts) -> list[str]:
    """Return the parameters that say the key of an aggregate; none of all rows."""
    if isinstance(learnt.frame, GroupFrame):
        return key_of(learnt, [texts[arg] for arg in learnt.args])
    return []


def _range(low: Aggregate, high: Aggregate) -> list[str]:
    """Return which quantiles a robust scaler takes, in percent, where they are not the usual."""
    ends = [round(100 * dict(one.params)["q"], 9) for one in (low, high)]
    return [] if ends == [25, 75] else [f"quantile_range=({', '.join(map(_number, ends))})"]


def _bins(inner: Sequence[float]) -> str:
    """Return the number of bins of equally many rows, or the probabilities between others."""
    n_bins = len(inner) + 1
    is_even = tuple(inner) == tuple(k / n_bins for k in range(1, n_bins))
    return str(n_bins) if is_even else _numbers(inner)


def _numbers(values: Sequence[float]) -> str:
    return f"[{', '.join(map(_number, values))}]"


def _number(value: float) -> str:
    """Return a number as a person writes it: 24 for 24.0."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return repr(int(value)) if is_whole and str(value) != "-0.0" else repr(value)
