"""Features as they are answered: rows of JSON, an Arrow stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.serve.refusals import Refusal

ARROW_STREAM = "application/vnd.apache.arrow.stream"


def rows_of(features: Table) -> Any:
    """Return features as rows for JSON: lists of values, or a matrix of floats.

    Raises:
        Refusal: a feature is infinite, which JSON does not have.
    """
    columns = features.columns
    if columns and all(pa.types.is_float64(column.type) for column in columns):
        matrix = np.empty((features.num_rows, len(columns)))
        for k, column in enumerate(columns):
            matrix[:, k] = column.to_numpy()
        if np.isinf(matrix).any():
            row, k = (int(at[0]) for at in np.nonzero(np.isinf(matrix)))
            raise _infinite(features.column_names[k], row, float(matrix[row, k]))
        return matrix
    lists = [values_of(name, features.column(name)) for name in features.column_names]
    return list(zip(*lists, strict=True)) if lists else [[] for _ in range(features.num_rows)]


def values_of(name: str, column: ChunkedArray) -> list[Any]:
    """Return the values of a column for JSON: times as ISO 8601, durations as whole numbers.

    Raises:
        Refusal: one is infinite.
    """
    kind = column.type
    if pa.types.is_floating(kind):
        values = column.to_numpy()
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise _infinite(name, row, float(values[row]))
        return list(values) if kind.bit_width == 32 else values.astype(np.float64).tolist()
    if pa.types.is_timestamp(kind):
        texts = column.cast(pa.string()).to_pylist()
        return [None if text is None else text.replace(" ", "T", 1) for text in texts]
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return column.cast(pa.string()).to_pylist()
    if pa.types.is_duration(kind):
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.large_string()).to_pylist()
    return column.to_pylist()


def arrow_bytes(features: Table) -> bytes:
    """Return features as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, features.schema) as writer:
        writer.write_table(features)
    return sink.getvalue().to_pybytes()


def chosen(features: Table, names: Sequence[str] | None) -> Table:
    """Return some of the features, in the order in which they were asked for."""
    return features if names is None else features.select(list(names))


def _infinite(name: str, row: int, value: float) -> Refusal:
    return Refusal(
        400,
        "NotInJson",
        f"the feature {name!r} of row {row} is {value}, which JSON does not have. Ask with the "
        f"content type {ARROW_STREAM}",
        row=row,
        column=name,
        value=str(value),
    )
