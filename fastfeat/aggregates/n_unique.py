"""n_unique: how many different values there are; a missing one is none."""

from __future__ import annotations

from fastfeat.aggregates.definition import Values, present
from fastfeat.aggregates.function import AggregateFunction
from fastfeat.aggregates.rules import any_to_integer
from fastfeat.aggregates.vocabulary import learnt_from_keys
from fastfeat.dtypes import DType
from fastfeat.ir.node import Params


def _reference(values: Values, params: Params, dtype: DType) -> int:
    return len(set(present(values, dtype)))


N_UNIQUE = AggregateFunction(
    "n_unique", frozenset({"keys"}), any_to_integer, learnt_from_keys, _reference
)
