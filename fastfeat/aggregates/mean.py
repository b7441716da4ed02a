"""mean: RN(sum) / n; of durations the exact mean without its fraction, as Polars has it."""

from __future__ import annotations

import math
from fractions import Fraction

from fastfeat.aggregates.definition import (
    Values,
    infinite_total,
    present,
    to_53_bits,
    to_float,
    total,
)
from fastfeat.aggregates.exact import mean_of
from fastfeat.aggregates.function import AggregateFunction, Summary
from fastfeat.aggregates.rules import to_level
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> float | int | None:
    moments = summary.moments
    if summary.dtype.name == "duration":
        return math.trunc(Fraction(moments.sum, moments.count)) if moments.count else None
    return mean_of(moments)


def _reference(values: Values, params: Params, dtype: DType) -> float | int | None:
    known = present(values, dtype)
    if not known:
        return None
    infinite = infinite_total(known)
    if infinite is not None:
        return infinite
    if dtype.name == "duration":
        quotient = abs(sum(known)) // len(known)
        return quotient if sum(known) > 0 else -quotient
    return to_float(to_53_bits(total(known)) / len(known))


MEAN = AggregateFunction(
    "mean", frozenset({"count", "sum"}), to_level, _finalize, _reference, tells_number=False
)
