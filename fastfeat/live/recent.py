"""Profiles of the rows that a live state has answered recently, by time of arrival.

Rows wait in a buffer and are counted some thousands at a time, so one row costs only a copy of its
values. The window, such as one hour, is cut into twelve parts of equal length. Each part has its
own profile; the profile of the window merges them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import InvalidPlan
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Array, Schema, Table, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.dtypes import DType
from fastfeat.live.lower.row_tables import value_array
from fastfeat.operators.durations import resolve_duration
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.table_profiles import counted_tables

N_PARTS: Final = 12
"""Number of parts in a window; the window moves by dropping its oldest part."""
MOST_WAITING: Final = 4096
"""Number of rows in the buffer before they are counted; smaller batches cost more per row."""


class Recent:
    """Profiles of the rows that one plan answered recently. Thread-safe."""

    def __init__(
        self,
        fitted: Fitted,
        layout: Profile,
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin without rows.

        `layout` is the profile of the training rows, which fixes how values are counted; `seconds`
        is the length of the window; `clock` returns the time in seconds.
        """
        self._fitted, self._layout = fitted, layout
        self._names = [name for name in layout.inputs if name not in fitted.declaration.late]
        self._types = {name: cast(DType, fitted.inputs[name]) for name in self._names}
        self._features = list(fitted.nodes)
        self._length, self._clock = seconds / N_PARTS, clock
        self._parts: dict[int, Profile] = {}
        self._part = 0
        self._dtype = np.dtype(np.float64)
        self._rows: list[tuple[tuple[Any, ...], bytes]] = []
        self._tables: list[tuple[Table, Table]] = []
        self._n_waiting = 0
        self._lock = threading.Lock()

    def note(self, rows: Any, features: Any) -> None:
        """Put answered rows into the buffer.

        Args:
            rows: One row as a dict, or many rows as a table with the columns that the plan reads.
            features: For one row, a float array of shape (n_features,) in the matrix dtype; for
                many, a table or a matrix of shape (n_rows, n_features).
        """
        part = int(self._clock() / self._length)
        with self._lock:
            if part != self._part or self._n_waiting >= MOST_WAITING:
                self._count()
                self._part = part
            if not isinstance(rows, pa.Table):
                self._dtype = features.dtype
                self._rows.append((tuple(map(rows.get, self._names)), features.tobytes()))
                self._n_waiting += 1
                return
            is_table = isinstance(features, pa.Table)
            table = features if is_table else self._table(features.copy())
            self._tables.append((rows.select(self._names), table.select(self._features)))
            self._n_waiting += rows.num_rows

    def profile(self) -> Profile:
        """Return the profile of the rows of the window.

        The window moves in steps of a twelfth, so up to its oldest twelfth may be left out.
        """
        with self._lock:
            self._count()
            parts = list(self._parts.values())
        none = self._table(np.empty((0, len(self._features))))
        found = counted_tables(self._layout, self._fitted, self._columns([]), none)
        return reduce(Profile.merge, parts, found)

    @with_ieee_arithmetic
    def _count(self) -> None:
        """Count the rows of the buffer, and drop parts that have left the window."""
        rows, tables = self._rows, self._tables
        self._rows, self._tables, self._n_waiting = [], [], 0
        if rows:
            width = len(self._fitted.feature_names)
            values = np.frombuffer(b"".join(of for _, of in rows), self._dtype)
            matrix = values.reshape(-1, width)
            tables.append((self._columns([of for of, _ in rows]), self._table(matrix)))
        for some in _of_same_types(tables):
            inputs = pa.concat_tables([given for given, _ in some])
            features = pa.concat_tables([of for _, of in some])
            found = counted_tables(self._layout, self._fitted, inputs, features)
            before = self._parts.get(self._part)
            self._parts[self._part] = found if before is None else before.merge(found)
        first = int(self._clock() / self._length) - N_PARTS
        self._parts = {number: part for number, part in self._parts.items() if number > first}

    def _columns(self, rows: Sequence[tuple[Any, ...]]) -> Table:
        """Return rows, each a tuple of the values of the input columns, as a table."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self._names)
        arrays = [
            _array(values, name, dtype)
            for values, (name, dtype) in zip(columns, self._types.items(), strict=True)
        ]
        return pa.table(arrays, names=self._names)

    def _table(self, matrix: NDArray[Any]) -> Table:
        """Return a matrix of features as a table with the types of the plan's features."""
        schema = self._fitted.schema
        arrays: list[Array] = []
        for values, field in zip(matrix.T.astype(np.float64, order="C"), schema, strict=True):
            array = pa.array(values, mask=np.isnan(values))
            arrays.append(array if pa.types.is_floating(field.type) else array.cast(field.type))
        return pa.Table.from_arrays(arrays, names=schema.names)


def _of_same_types(tables: Sequence[tuple[Table, Table]]) -> list[list[tuple[Table, Table]]]:
    """Return pairs of inputs and features in groups; the tables of a group have equal schemas."""
    found: list[tuple[tuple[Schema, Schema], list[tuple[Table, Table]]]] = []
    for pair in tables:
        types = pair[0].schema, pair[1].schema
        for known, group in found:
            if known == types:
                group.append(pair)
                break
        else:
            found.append((types, [pair]))
    return [group for _, group in found]


def _array(values: Sequence[Any], name: str, dtype: DType) -> Array:
    """Return column values, as users pass them, as an array."""
    if not dtype.is_list:
        try:
            return pa.array(values, arrow_type(dtype))
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass  # such as times as text
    pieces = [value_array(value, name, dtype) for value in values]
    return pa.concat_arrays(pieces) if pieces else pa.array([], arrow_type(dtype))


def seconds_of(window: Any) -> float:
    """Return the length of a window such as "1h" or a timedelta, in seconds.

    Raises `InvalidPlan` or `TypeMismatch` for other values, or for less than a second.
    """
    told = f"watch({window!r})"
    length, unit = resolve_duration(told, window)
    if length is None or unit == "steps" or length < 10**9:
        raise InvalidPlan(f"{told}: takes a duration of a second or more, such as '1h'")
    return length / 10**9
