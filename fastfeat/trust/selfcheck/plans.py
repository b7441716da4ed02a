"""Self-check plans: every case of every operator, the calendar, and many calls in one plan."""

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
    """One call of an operator, with its columns and its expression."""

    operator: Operator
    case: Case
    columns: tuple[str, ...]
    expression: Expr


def operator_features() -> dict[str, dict[str, Feature]]:
    """Return every case of every operator, by family and by name."""
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
    """Return the plans by name: one per operator family, "calendar", "wide", and small outputs."""
    plans = {family: plan_of(found) for family, found in operator_features().items()}
    plans["calendar"], plans["wide"] = Plan(dict(_calendar())), Plan(dict(_wide()))
    plans |= {f"rounded to {dtype}": Plan(dict(_small()), dtype=dtype) for dtype in _SMALL}
    plans["smallest codes"] = Plan(dict(_codes()), codes="smallest")
    return dict(sorted(plans.items()))


def plan_of(features: Mapping[str, Feature]) -> Plan:
    """Return the plan of some features; their target columns are declared as outcomes."""
    outcomes = [
        f.columns[1] for f in features.values() if "targets" in f.operator.define.__module__
    ]
    expressions = {name: feature.expression for name, feature in features.items()}
    return Plan(expressions, outcomes=list(dict.fromkeys(outcomes)))


def row_plan() -> Plan:
    """Return 12 features of a row, for a comparison of speed with a copy."""
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
    """Yield the columns for a case: all of its kind in turn, or only two for further cases."""
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
    """Yield features within the range of the smallest types, some of them subnormal."""
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
    """Yield features with 60 distinct elementary calls, so that no two share a loop."""
    x, y = col("f64"), col("f32")
    for k in range(15):
        logarithm = (x * (k + 2)).log1p() - (y + k).exp()
        yield f"logarithm {k}", logarithm if k % 2 else (x + k).sqrt().log()
        yield f"angle {k}", (x - k).sin() * (y * (k + 1)).cos() + k
