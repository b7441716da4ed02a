"""mode: the most frequent value; of several as frequent, the least."""

from __future__ import annotations

from collections import Counter

from fastfeat.aggregates.definition import Values
from fastfeat.aggregates.function import AggregateFunction, Number
from fastfeat.aggregates.vocabulary import learnt_from_keys
from fastfeat.dtypes import FLOAT64, UTF8, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Params


def _result(dtype: DType, params: Params) -> DType:
    if dtype == UTF8 or dtype.is_number or dtype.is_temporal:
        return FLOAT64 if dtype.name == "decimal" else dtype
    raise TypeMismatch(f"needs a number, text, a date or time, got {dtype}")


def _reference(values: Values, params: Params, dtype: DType) -> Number | str | None:
    counts = Counter(_plain(v, dtype) for v in values if v is not None and v == v)
    return min(counts, key=lambda v: (-counts[v], _order(v)), default=None)


def _plain(value: Number | str, dtype: DType) -> Number | str:
    """Return the value that stands for its equals: 0.0 for -0.0; uint64 may be a signed pattern."""
    if isinstance(value, str):
        return value
    return value % (1 << 64) if dtype.name == "uint64" else value or type(value)(0)


def _order(value: Number | str) -> object:
    return value.encode() if isinstance(value, str) else value


MODE = AggregateFunction("mode", frozenset({"keys"}), _result, learnt_from_keys, _reference)
