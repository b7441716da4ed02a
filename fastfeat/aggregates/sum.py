"""sum: the exact sum, rounded once; of integers checked against int64; 0 of no values."""

from __future__ import annotations

from fastfeat.aggregates.definition import Values, infinite_total, present, to_float, total
from fastfeat.aggregates.exact import sum_of
from fastfeat.aggregates.function import AggregateFunction, Summary
from fastfeat.aggregates.rules import to_sum
from fastfeat.dtypes import INTEGER_RANGE, DType
from fastfeat.errors import Overflow
from fastfeat.ir.node import Params


def _finalize(summary: Summary, params: Params) -> float | int:
    if summary.dtype.physical == "f64":
        return sum_of(summary.moments)
    return _checked(summary.moments.sum)


def _checked(exact: int) -> int:
    lowest, highest = INTEGER_RANGE["int64"]
    if not lowest <= exact <= highest:
        raise Overflow(f"sum: {exact} does not fit int64. Sum floats instead: .cast('float64')")
    return exact


def _reference(values: Values, params: Params, dtype: DType) -> float | int:
    known = present(values, dtype)
    infinite = infinite_total(known)
    if infinite is not None:
        return infinite
    exact = total(known)
    if dtype.physical == "f64":
        return to_float(exact)
    return _checked(int(exact))


SUM = AggregateFunction("sum", frozenset({"sum"}), to_sum, _finalize, _reference)
