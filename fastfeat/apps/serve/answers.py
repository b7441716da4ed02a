"""Encode features for answers: as JSON rows, an Arrow stream, or a float matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.apps.serve.refusals import Refusal
from fastfeat.io.arrow import ChunkedArray, Table, pa

ARROW_STREAM = "application/vnd.apache.arrow.stream"


def rows_of(features: Table) -> Any:
    """Return features for JSON: a list of values per row, or a matrix if many rows are float64.

    A float is the shortest text of its value as float64, whatever its width.

    Raises:
        Refusal: A feature is infinite, which JSON cannot express.
    """
    columns = features.columns
    if features.num_rows > _FEW and all(column.type.id == _FLOAT64 for column in columns):
        matrix = np.empty((features.num_rows, len(columns)))
        for k, column in enumerate(columns):
            matrix[:, k] = column.to_numpy()
        if not np.isinf(matrix).any():
            return matrix
    lists = [
        values_of(name, column) for name, column in zip(features.column_names, columns, strict=True)
    ]
    return list(zip(*lists, strict=True)) if lists else [()] * features.num_rows


def values_of(name: str, column: ChunkedArray) -> list[Any]:
    """Return a column's values for JSON: times as ISO 8601 text, durations as whole numbers.

    Raises:
        Refusal: A value is infinite.
    """
    written = _WRITTEN.get(column.type.id)
    values = column.to_pylist() if written is None else written(column)
    for one in _INFINITE if written is _floats else ():
        if one in values:
            raise infinite(name, values.index(one), one)
    return values


def _floats(column: ChunkedArray) -> list[Any]:
    if len(column) <= _FEW:
        return column.to_pylist()
    return column.to_numpy().astype(np.float64).tolist()


def _texts(column: ChunkedArray) -> list[Any]:
    return column.cast(pa.large_string()).to_pylist()


def _times(column: ChunkedArray) -> list[Any]:
    if column.type.tz is not None:  # in UTC, so that the text is unambiguous
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    texts = column.cast(pa.string()).to_pylist()
    return [None if text is None else text.replace(" ", "T", 1) for text in texts]


def _ticks(column: ChunkedArray) -> list[Any]:
    return column.cast(pa.int64()).to_pylist()


_FEW = 16
"""Up to this many values, a Python loop is faster than NumPy."""
_INFINITE = (float("inf"), float("-inf"))
_FLOAT64 = pa.float64().id
_WRITTEN: Mapping[int, Callable[[ChunkedArray], list[Any]]] = {
    **{kind.id: _floats for kind in (pa.float16(), pa.float32(), pa.float64())},
    **{kind.id: _texts for kind in (pa.binary(), pa.large_binary(), pa.date32(), pa.date64())},
    **{kind.id: _texts for kind in (pa.time32("s"), pa.time64("us"))},
    pa.timestamp("us").id: _times,
    pa.duration("us").id: _ticks,
}
"""Arrow type id to the function that converts its values; other types need no conversion."""


def arrow_bytes(features: Table) -> bytes:
    """Return features as the bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, features.schema) as writer:
        writer.write_table(features)
    return sink.getvalue().to_pybytes()


def matrix_of(features: Table) -> NDArray[np.float64]:
    """Return features as a float64 matrix, shape (n_rows, n_features), row by row; NaN is missing.

    Raises:
        Refusal: A feature is not numeric, is infinite, or is an integer that float64 cannot hold.
    """
    matrix = np.empty((features.num_rows, features.num_columns))
    for k, name in enumerate(features.column_names):
        column = features.column(name)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            if not pa.types.is_boolean(column.type):
                raise Refusal(
                    400,
                    "NotInMatrix",
                    f"the feature {name!r} has the type {column.type}, which a tensor of floats "
                    "cannot hold. Request it from /v1/features",
                    column=name,
                )
            column = column.cast(pa.uint8())
        try:
            values = column.cast(pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            raise Refusal(
                400,
                "NotInMatrix",
                f"the feature {name!r} has an integer that float64 cannot hold. Request it from "
                "/v1/features",
                column=name,
            ) from None
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise infinite(name, row, float(values[row]))
        matrix[:, k] = values
    return matrix


def infinite(name: str, row: int, value: float) -> Refusal:
    """Return the error to raise for an infinite feature, which JSON cannot express."""
    return Refusal(
        400,
        "NotInJson",
        f"the feature {name!r} of row {row} is {value}, which JSON cannot express. Send the rows "
        f"with the content type {ARROW_STREAM}",
        row=row,
        column=name,
        value=str(value),
    )
