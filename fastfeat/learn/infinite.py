"""Find the first infinite value of the input of a statistic, for its error message.

Rows that come in parts are read once more for this, but only if a learnt value is not finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.engine.learner import Learner, LearntResult, PackedState, Rows, number_of

VALUES = "values"
"""The column to search, an Arrow array or column."""


@dataclass(slots=True)
class FirstInfinite:
    """The first infinite value found so far.

    Args:
        row: The value's row number; None if all values are finite.
        value: The value.
    """

    row: int | None = None
    value: float = 0.0


def first_infinite(values: Any) -> FirstInfinite:
    """Return the first infinite value of a column; `row` is its position in the column."""
    array = values.to_numpy(zero_copy_only=False)
    is_infinite = np.isinf(array) if array.dtype.kind == "f" else np.zeros(0, np.bool_)
    rows = np.flatnonzero(is_infinite)
    return FirstInfinite(int(rows[0]), float(array[rows[0]])) if len(rows) else FirstInfinite()


def _start(spec: None, hint: None) -> FirstInfinite:
    return FirstInfinite()


def _add(state: FirstInfinite, columns: Mapping[Any, Any], rows: Rows) -> None:
    found = first_infinite(columns[VALUES])
    if found.row is not None:
        _take(state, FirstInfinite(number_of(rows, found.row), found.value))


def _take(state: FirstInfinite, other: FirstInfinite) -> None:
    if other.row is not None and (state.row is None or other.row < state.row):
        state.row, state.value = other.row, other.value


def _merge(a: FirstInfinite, b: FirstInfinite) -> FirstInfinite:
    _take(a, b)
    return a


def _pack(state: FirstInfinite) -> PackedState:
    return PackedState({"row": state.row, "value": repr(state.value)})


def _unpack(spec: None, hint: None, packed: PackedState) -> FirstInfinite:
    return FirstInfinite(packed.numbers["row"], float(packed.numbers["value"]))


LEARNER: Learner[None, FirstInfinite] = Learner(
    "infinite",
    _start,
    _add,
    _merge,
    lambda state: LearntResult((state,)),
    _pack,
    _unpack,
    lambda state: 16,
    lambda spec, n_rows: 16,
)
