"""Scalers: shift and scale by values learnt from the training rows, with scikit-learn's names.

A column that is constant up to rounding is divided by 1, with one warning from `fit`. The spread is
the divisor of a scaler, such as the standard deviation. The level is a typical value, such as the
mean; if the spread is very small compared with it, the column is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call, lit
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import BoolChoice, Parameter, Parameters, Real, Several
from fastfeat.ir.show import frame_options
from fastfeat.ir.writing import Texts, Writer, number_text
from fastfeat.operators import aggregates as learnt
from fastfeat.operators import horizontal
from fastfeat.operators.cast import as_float
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

_PAIR = Several(Real(), least=2, most=2, rising=True)
STANDARD_SCALE: Parameters = (
    Parameter("with_mean", BoolChoice(), "Whether to subtract the mean", True),
    Parameter("with_std", BoolChoice(), "Whether to divide by the standard deviation", True),
)
MIN_MAX_SCALE: Parameters = (
    Parameter(
        "feature_range", _PAIR, "Results for the smallest and the largest training value", (0, 1)
    ),
    Parameter("clip", BoolChoice(), "Whether to limit the result to `feature_range`", False),
)
MAX_ABS_SCALE: Parameters = (
    Parameter("clip", BoolChoice(), "Whether to limit the result to [-1, 1]", False),
)
ROBUST_SCALE: Parameters = (
    Parameter("with_centering", BoolChoice(), "Whether to subtract the median", True),
    Parameter(
        "with_scaling",
        BoolChoice(),
        "Whether to divide by the distance between the two quantiles",
        True,
    ),
    Parameter("quantile_range", _PAIR, "Lower and upper quantile, in percent", (25.0, 75.0)),
    Parameter(
        "unit_variance",
        BoolChoice(),
        "Whether to scale normally distributed values to variance 1",
        False,
    ),
)


def standard_scale(
    x: Expr,
    *,
    with_mean: bool = True,
    with_std: bool = True,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
) -> Expr:
    """Return (x - mean) / std, with the population's standard deviation (ddof=0).

    Args:
        x: Numbers. Missing stays missing and is not learnt from.
        with_mean: Whether to subtract the mean.
        with_std: Whether to divide by the standard deviation.
        by: One or several keys, as names or expressions. Each key then has a mean and deviation of
            its own, learnt from its training rows; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.

    Source:
        scikit-learn's StandardScaler. A column is constant if std <= 8 * eps * abs(mean).

    Example:
        >>> plan = ff.Plan({"z": col("x").standard_scale()})
        >>> fitted = plan.fit({"x": [1.0, 3.0]})
        >>> fitted.transform({"x": [5.0]}, backend="reference")["z"].to_pylist()
        [3.0]
    """
    given = check_parameters(
        "standard_scale", STANDARD_SCALE, with_mean=with_mean, with_std=with_std
    )
    mean = learnt.mean(x, by=by, min_rows=min_rows)
    shifted = x - mean if given["with_mean"] else as_float(x)
    return (
        shifted / scale(learnt.std(x, ddof=0, by=by, min_rows=min_rows), mean)
        if given["with_std"]
        else shifted
    )


def min_max_scale(
    x: Expr,
    *,
    feature_range: tuple[float, float] = (0, 1),
    clip: bool = False,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
) -> Expr:
    """Return x shifted and stretched so that the training rows fill a range.

    Args:
        x: Numbers. Missing stays missing and is not learnt from.
        feature_range: The results for the smallest and the largest training value.
        clip: Whether values outside the range of the training rows are limited to it.
        by: One or several keys, as names or expressions. Each key then has a range of its own,
            learnt from its training rows; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.

    Raises:
        InvalidPlan: `feature_range` is not a pair of finite numbers, the first below the second.

    Source:
        scikit-learn's MinMaxScaler: (x - min) / (max - min) * (high - low) + low.

    Example:
        >>> plan = ff.Plan({"z": col("x").min_max_scale()})
        >>> fitted = plan.fit({"x": [1.0, 3.0]})
        >>> fitted.transform({"x": [5.0]}, backend="reference")["z"].to_pylist()
        [2.0]
    """
    given = check_parameters("min_max_scale", MIN_MAX_SCALE, feature_range=feature_range, clip=clip)
    low, high = given["feature_range"]
    smallest, largest = (
        as_float(learnt.min(x, by=by, min_rows=min_rows)),
        as_float(learnt.max(x, by=by, min_rows=min_rows)),
    )
    scaled = (x - smallest) / scale(largest - smallest, largest)
    if (low, high) != (0.0, 1.0):
        scaled = scaled * (high - low) + low
    return call("clip", scaled, low, high) if given["clip"] else scaled


def max_abs_scale(
    x: Expr, *, clip: bool = False, by: KeyColumns | None = None, min_rows: int | None = None
) -> Expr:
    """Return x divided by the largest absolute value of the training rows.

    Args:
        x: Numbers. Missing stays missing and is not learnt from.
        clip: Whether the result is limited to [-1, 1].
        by: One or several keys, as names or expressions. Each key then has a largest value of its
            own, learnt from its training rows; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.

    Source:
        scikit-learn's MaxAbsScaler.

    Example:
        >>> plan = ff.Plan({"z": col("x").max_abs_scale()})
        >>> fitted = plan.fit({"x": [1.0, -4.0]})
        >>> fitted.transform({"x": [2.0]}, backend="reference")["z"].to_pylist()
        [0.5]
    """
    given = check_parameters("max_abs_scale", MAX_ABS_SCALE, clip=clip)
    ends = [
        call("abs", as_float(end))
        for end in (
            learnt.min(x, by=by, min_rows=min_rows),
            learnt.max(x, by=by, min_rows=min_rows),
        )
    ]
    scaled = x / scale(horizontal.max_horizontal(*ends), lit(0.0))
    return call("clip", scaled, -1.0, 1.0) if given["clip"] else scaled


def robust_scale(
    x: Expr,
    *,
    with_centering: bool = True,
    with_scaling: bool = True,
    quantile_range: tuple[float, float] = (25.0, 75.0),
    unit_variance: bool = False,
    by: KeyColumns | None = None,
    min_rows: int | None = None,
) -> Expr:
    """Return (x - median) / (distance between two quantiles); outliers hardly affect it.

    Args:
        x: Numbers. Missing stays missing and is not learnt from.
        with_centering: Whether to subtract the median.
        with_scaling: Whether to divide by the distance between the quantiles.
        quantile_range: The two quantiles in percent.
        unit_variance: Whether to scale further so that normally distributed values get variance 1.
        by: One or several keys, as names or expressions. Each key then has quantiles of its own,
            learnt from its training rows; missing for a key that `fit` has not seen.
        min_rows: `fit` drops keys with fewer training rows than this and treats them as unseen.
            None keeps all keys.

    Raises:
        InvalidPlan: `quantile_range` is not a pair of percentages, the first below the second.

    Source:
        scikit-learn's RobustScaler.

    Example:
        >>> plan = ff.Plan({"z": col("x").robust_scale()})
        >>> fitted = plan.fit({"x": [1.0, 2.0, 3.0, 4.0, 5.0]})
        >>> fitted.transform({"x": [9.0]}, backend="reference")["z"].to_pylist()
        [3.0]
    """
    given = check_parameters(
        "robust_scale",
        ROBUST_SCALE,
        with_centering=with_centering,
        with_scaling=with_scaling,
        unit_variance=unit_variance,
        quantile_range=quantile_range,
    )
    low, high = given["quantile_range"]
    unit_variance = given["unit_variance"]
    if low < 0 or high > 100 or (unit_variance and (low == 0 or high == 100)):
        raise InvalidPlan(
            f"robust_scale(quantile_range={quantile_range!r}): takes two percentages from 0 to "
            "100, and with unit_variance=True neither may be 0 or 100"
        )
    median = learnt.median(x, by=by, min_rows=min_rows)
    shifted = x - median if given["with_centering"] else as_float(x)
    if not given["with_scaling"]:
        return shifted
    ends = [learnt.quantile(x, percent / 100, by=by, min_rows=min_rows) for percent in (high, low)]
    spread = ends[0] - ends[1]
    divisor = scale(spread, median)
    if unit_variance:
        normal = [call("normal_quantile", lit(percent / 100)) for percent in (low, high)]
        divisor = divisor / (normal[1] - normal[0])
    return shifted / divisor


def scale(spread: Expr, level: Expr) -> Expr:
    """Return the divisor of a scaler: the spread, or 1 if the spread is only rounding noise.

    The noise depends on the size of the level.
    """
    return call("scale_or_one", spread, level)


def _scale_of(spread: float, level: float) -> float:
    return 1.0 if spread <= 8 * 2.0**-52 * abs(level) else spread


def _reference_of_scaler(
    learn: Callable[..., tuple[float, float] | None], finish: Callable[..., float]
) -> Callable[..., list[Any]]:
    """Return the reference function of a scaler.

    `learn` returns (shift, divisor) from the training values; `finish` is applied to
    (x - shift) / divisor.
    """

    def reference(
        train: Sequence[ReferenceColumn], rows: Sequence[ReferenceColumn], **params: Any
    ) -> list[Any]:
        known = learn(train[0], **params)
        if known is None:
            return [None] * len(rows[0])
        shift, divisor = known
        return [
            None if x is None else finish((float(x) - shift) / divisor, **params) for x in rows[0]
        ]

    return reference


def _standard(
    train: ReferenceColumn, with_mean: bool = True, with_std: bool = True
) -> tuple[float, float] | None:
    mean, std = compute_by_definition("mean", train), compute_by_definition("std", train, ddof=0)
    if mean is None or std is None:
        return (0.0, 1.0) if not with_mean and not with_std else None
    return mean if with_mean else 0.0, _scale_of(std, mean) if with_std else 1.0


def _min_max(train: ReferenceColumn, **params: Any) -> tuple[float, float] | None:
    ends = _ends(train)
    if ends is None:
        return None
    smallest, largest = ends
    return smallest, _scale_of(largest - smallest, largest)


def _into_range(x: float, feature_range: tuple[float, float] = (0, 1), clip: bool = False) -> float:
    low, high = feature_range
    moved = x if (low, high) == (0, 1) else x * (high - low) + low
    return min(max(moved, low), high) if clip and moved == moved else moved


def _max_abs(train: ReferenceColumn, **params: Any) -> tuple[float, float] | None:
    ends = _ends(train)
    return None if ends is None else (0.0, _scale_of(max(map(abs, ends)), 0.0))


def _ends(train: ReferenceColumn) -> tuple[float, float] | None:
    """Return the smallest and the largest present value; None if there are none."""
    smallest, largest = compute_by_definition("min", train), compute_by_definition("max", train)
    return None if smallest is None else (float(smallest), float(largest))


def _into_unit(x: float, clip: bool = False) -> float:
    return min(max(x, -1.0), 1.0) if clip and x == x else x


def _robust(
    train: ReferenceColumn,
    with_centering: bool = True,
    with_scaling: bool = True,
    quantile_range: tuple[float, float] = (25.0, 75.0),
    unit_variance: bool = False,
) -> tuple[float, float] | None:
    low, median, high = (
        compute_quantile(train, p / 100) for p in (quantile_range[0], 50, quantile_range[1])
    )
    if low is None or median is None or high is None:
        return (0.0, 1.0) if not with_centering and not with_scaling else None
    divisor = _scale_of(high - low, median) if with_scaling else 1.0
    if unit_variance and with_scaling:
        from statistics import NormalDist

        inverse = NormalDist().inv_cdf
        divisor /= inverse(quantile_range[1] / 100) - inverse(quantile_range[0] / 100)
    return median if with_centering else 0.0, divisor


def _unchanged(x: float, **params: Any) -> float:
    return x


def _scaled_text(node: Call, texts: Texts) -> str | None:
    """Return the text of a scaler's call; None for any other division."""
    match node.args:
        case (shifted, Call("scale_or_one", (spread, level))):
            return (
                _standard_text(shifted, spread, level, texts)
                or _robust_text(shifted, spread, level, [], texts)
                or _min_max_text(shifted, spread, level, texts)
                or _max_abs_text(shifted, spread, texts)
            )
        case (shifted, Call("div", (Call("scale_or_one", (spread, level)), _))):
            return _robust_text(shifted, spread, level, ["unit_variance=True"], texts)
        case _:
            return None


def find_standardized(node: Node, texts: Texts) -> tuple[Node, list[str]] | None:
    """Return (x, options as text) if a division is `standard_scale` of x; None if it is not."""
    match node:
        case Call("div", (shifted, Call("scale_or_one", (spread, level)))):
            return _standardized(shifted, spread, level, texts)
        case _:
            return None


def _standardized(
    shifted: Node, spread: Node, level: Node, texts: Texts
) -> tuple[Node, list[str]] | None:
    match spread, level:
        case Aggregate("std", args, (("ddof", 0),)), Aggregate("mean") if args == level.args:
            x, is_centred = _centred(shifted, level)
            how = [*([] if is_centred else ["with_mean=False"]), *frame_options(level, texts)]
            return None if x is None else (x, how)
        case _:
            return None


def _standard_text(shifted: Node, spread: Node, level: Node, texts: Texts) -> str | None:
    found = _standardized(shifted, spread, level, texts)
    return None if found is None else f"{texts[found[0]]}.standard_scale({', '.join(found[1])})"


def _robust_text(
    shifted: Node, spread: Node, level: Node, more: Sequence[str], texts: Texts
) -> str | None:
    match spread, level:
        case Call("sub", (Aggregate("quantile") as high, Aggregate("quantile") as low)), Aggregate(
            "quantile"
        ):
            x, is_centred = _centred(shifted, level)
            if x is None or not x == high.args[0] == low.args[0]:
                return None
            centring = [] if is_centred else ["with_centering=False"]
            given = [*centring, *_range(low, high), *more, *frame_options(level, texts)]
            return f"{texts[x]}.robust_scale({', '.join(given)})"
        case _:
            return None


def _min_max_text(shifted: Node, spread: Node, level: Node, texts: Texts) -> str | None:
    match shifted, spread:
        case Call("sub", (x, low)), Call(
            "sub",
            (
                Call("cast", (Aggregate("max"),)) as top,
                Call("cast", (Aggregate("min") as least,)) as bottom,
            ),
        ) if top is level and low is bottom and x is least.args[0]:
            return f"{texts[x]}.min_max_scale({', '.join(frame_options(least, texts))})"
        case _:
            return None


def _max_abs_text(x: Node, spread: Node, texts: Texts) -> str | None:
    match spread:
        case Call(
            "max_horizontal", (Call("abs", (Call("cast", (Aggregate("min") as least,)),)), _)
        ):
            by = frame_options(least, texts)
            return f"{texts[x]}.max_abs_scale({', '.join(by)})" if x is least.args[0] else None
        case _:
            return None


def _centred(shifted: Node, level: Aggregate) -> tuple[Node | None, bool]:
    """Return (x, True) if a numerator is x minus its level, (x, False) if it is x alone.

    (None, False) for anything else.
    """
    match shifted:
        case Call("sub", (x, one)) if one is level and x is level.args[0]:
            return x, True
        case Call("cast", (x,)) if x is level.args[0]:
            return x, False
        case _:
            return None, False


def _range(low: Aggregate, high: Aggregate) -> list[str]:
    """Return the `quantile_range` option of a robust scaler as text; empty if it is the default."""
    ends = [round(100 * dict(one.params)["q"], 9) for one in (low, high)]
    return [] if ends == [25, 75] else [f"quantile_range=({', '.join(map(number_text, ends))})"]


WRITTEN: dict[str, Writer] = {"div": _scaled_text}
"""Writers (see `ir.writing`) of scalers, by the function of the last node."""


OPERATORS: dict[str, Operator] = {
    "standard_scale": Operator(
        standard_scale,
        _reference_of_scaler(_standard, _unchanged),
        (Case(), Case(params={"with_mean": False}), Case(params={"with_std": False})),
        parameters=STANDARD_SCALE,
    ),
    "min_max_scale": Operator(
        min_max_scale,
        _reference_of_scaler(_min_max, _into_range),
        (
            Case(),
            Case(params={"feature_range": (-1, 3), "clip": True}),
            Case(params={"clip": True}),
        ),
        parameters=MIN_MAX_SCALE,
    ),
    "max_abs_scale": Operator(
        max_abs_scale,
        _reference_of_scaler(_max_abs, _into_unit),
        (Case(), Case(params={"clip": True})),
        parameters=MAX_ABS_SCALE,
    ),
    "robust_scale": Operator(
        robust_scale,
        _reference_of_scaler(_robust, _unchanged),
        (
            Case(),
            Case(params={"with_centering": False, "quantile_range": (10, 95.5)}),
            Case(params={"unit_variance": True}),
            Case(params={"with_scaling": False}),
        ),
        ulp=4,
        parameters=ROBUST_SCALE,
    ),
}
