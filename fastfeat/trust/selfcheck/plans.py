"""Self-check plans: every case of every operator, calendar functions, and a plan of many calls.

A case is an example of an operator: the kinds of its columns, and its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fastfeat.api.plan import Plan
from fastfeat.expr import Expr, col
from fastfeat.operators import OPERATORS
from fastfeat.operators.operator import Case, Operator
from fastfeat.trust.selfcheck.tables import KINDS

_ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "+05:45")
_SMALL = ("float16", "bfloat16")
_PARTS = (
    *("year", "quarter", "month", "week", "weekday", "day", "ordinal_day", "hour", "minute"),
    *("second", "microsecond", "is_leap_year", "is_month_end", "days_in_month"),
)


class Feature(NamedTuple):
    """One case of an operator, with the columns it is applied to and the resulting expression."""

    operator: Operator
    case: Case
    columns: tuple[str, ...]
    expression: Expr


def operator_features() -> dict[str, dict[str, Feature]]:
    """Return a feature for every case of every operator, by operator family and by name."""
    families: dict[str, dict[str, Feature]] = {}
    for name, operator in OPERATORS.items():
        family = families.setdefault(operator.define.__module__.rpartition(".")[2], {})
        for number, case in enumerate(operator.cases):
            for columns in _columns_for(case, is_first=number == 0):
                made = operator.of(*map(col, columns), **case.params)
                expression = made.hash() if operator.gives_text else made
                feature = Feature(operator, case, columns, expression)
                family[f"{name} {number} {' '.join(columns)}"] = feature
    return families


def contract_plans() -> dict[str, Plan]:
    """Return the plans by name: one per operator family, and some others.

    The others are "calendar", "wide", and plans with small output types.
    """
    plans = {family: plan_of(found) for family, found in operator_features().items()}
    plans["calendar"], plans["wide"] = Plan(dict(_calendar())), Plan(dict(_wide()))
    plans |= {f"rounded to {dtype}": Plan(dict(_small()), dtype=dtype) for dtype in _SMALL}
    plans["smallest codes"] = Plan(dict(_codes()), codes="smallest")
    return dict(sorted(plans.items()))


def plan_of(features: Mapping[str, Feature]) -> Plan:
    """Return a plan with the given features; the targets of encoders are declared as outcomes."""
    outcomes = [
        f.columns[1] for f in features.values() if "targets" in f.operator.define.__module__
    ]
    expressions = {name: feature.expression for name, feature in features.items()}
    return Plan(expressions, outcomes=list(dict.fromkeys(outcomes)))


def row_plan() -> Plan:
    """Return a plan with 12 features that read only their own row, to measure speed."""
    x, y, z = col("f64"), col("f32"), col("lat1")
    features: Mapping[str, Expr] = {
        "filled": x.fill_null(0.0),
        "clipped": y.fill_null(0.0).clip(-8.0, 8.0),
        "log": x.abs().log1p(),
        "scaled": (x - 10.0) / 3.0,
        "ratio": x / y,
        "root": y.abs().sqrt(),
        "product": x * y + z,
        "bin": z.cut([-60.0, -20.0, 0.0, 20.0, 60.0]),
        "hour": z.cyclical(24),
        "is_large": (x > 100).fill_null(False),
        "centred": z - 45.0,
    }
    return Plan(features, dtype="float32")


def _columns_for(case: Case, *, is_first: bool) -> Iterator[tuple[str, ...]]:
    """Yield the columns to apply a case to, as tuples with one column per argument.

    The first case of an operator is applied to all columns of its kind, each other case to two.
    """
    kinds = [KINDS[kind] for kind in case.on]
    for turn in range(len(kinds[0]) if is_first else min(2, len(kinds[0]))):
        yield tuple(kind[(turn + place) % len(kind)] for place, kind in enumerate(kinds))


def _calendar() -> Iterator[tuple[str, Expr]]:
    for zone in _ZONES:
        for part in _PARTS:
            yield f"{part} {zone}", getattr(col("t").dt, part)(tz=zone)
        for every in ("15m", "1d", "1w", "1mo", "1q"):
            yield f"truncate {every} {zone}", col("t").dt.truncate(every, tz=zone).dt.epoch()


def _small() -> Iterator[tuple[str, Expr]]:
    """Yield features with values that 16-bit floats can hold, some of them subnormal there."""
    for name in ("f64", "f32"):
        within = col(name).clip(-60_000.0, 60_000.0)
        yield f"within {name}", within
        for scale in (1e-3, 1e-9, 1e-42):
            yield f"times {scale} {name}", within * scale


def _codes() -> Iterator[tuple[str, Expr]]:
    yield "text", col("text").ordinal_encode()
    yield "number", col("f64").ordinal_encode()
    yield "bucket", col("text").hash(n_buckets=1000)
    yield "bin", col("f64").qcut(20)
    for part in ("hour", "weekday", "ordinal_day", "year"):
        yield part, getattr(col("t").dt, part)()


def _wide() -> Iterator[tuple[str, Expr]]:
    """Yield features with 60 distinct calls of functions such as `log` and `sin`.

    No two features can share a loop of the kernel.
    """
    x, y = col("f64"), col("f32")
    for k in range(15):
        logarithm = (x * (k + 2)).log1p() - (y + k).exp()
        yield f"logarithm {k}", logarithm if k % 2 else (x + k).sqrt().log()
        yield f"angle {k}", (x - k).sin() * (y * (k + 1)).cos() + k
