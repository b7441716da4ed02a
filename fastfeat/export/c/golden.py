"""Golden rows in exported C: generated rows and their features, which the self-test compares."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.transform import transform
from fastfeat.export.c.inputs import Input
from fastfeat.io.arrow import Table, pa
from fastfeat.trust.quality.golden.generated_rows import Odd, generate_rows

N_ROWS = 16
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class GoldenMatrix:
    """Generated rows, and the bits of their features.

    Args:
        rows: The rows.
        bits: The features as float64, as integers of the same bits, shape (n_rows, n_outputs).
    """

    rows: Table
    bits: NDArray[np.uint64]


def golden_matrix(fitted: Fitted) -> GoldenMatrix:
    """Return generated rows that the plan can compute, with their features."""
    rows, matrix = _computed(fitted, "everywhere")
    if 2 * rows.num_rows < N_ROWS:
        rows, matrix = max(
            (rows, matrix), _computed(fitted, "nowhere"), key=lambda one: len(one[1])
        )
    matrix[np.isnan(matrix)] = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000000))[0]
    return GoldenMatrix(rows, matrix.view(np.uint64))


def _computed(fitted: Fitted, odd: Odd) -> tuple[Table, NDArray[np.float64]]:
    """Return the generated rows that the plan can compute, and their features."""
    rows = generate_rows(fitted, N_ROWS, _SEED, odd).rows
    whole = _features(fitted, rows)
    if whole is not None:
        return rows, whole
    pairs = [(rows.slice(k, 1), _features(fitted, rows.slice(k, 1))) for k in range(rows.num_rows)]
    kept = [(row, found) for row, found in pairs if found is not None]
    if not kept:
        return rows.slice(0, 0), np.zeros((0, len(fitted.nodes)))
    return pa.concat_tables([row for row, _ in kept]), np.concatenate([f for _, f in kept])


def _features(fitted: Fitted, rows: Table) -> NDArray[np.float64] | None:
    """Return the features of rows, shape (n_rows, n_outputs); None if one cannot be computed."""
    try:
        with fitted.told.suppress_warnings():
            found = transform(fitted, CallRows(rows, None, None, None, "cpu"), to="numpy")
    except FastfeatError:
        return None
    return np.array(found, np.float64, order="C")


@dataclass(frozen=True, slots=True, eq=False)
class InputColumn:
    """A column as exported C reads it.

    Args:
        values: Its values, 8 bytes each; the bytes of texts.
        valid: One byte per row, 1 if the value is there.
        offsets: For texts, the first byte of each, and the end; None for others.
    """

    values: NDArray[Any]
    valid: NDArray[np.uint8]
    offsets: NDArray[np.int64] | None


def input_column(column: Any, one: Input) -> InputColumn:
    """Return an Arrow column in the form that exported C reads."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.uint8)
    if one.dtype.holds_bytes:
        return _texts(array, valid)
    if one.dtype.name == "null":
        return InputColumn(np.zeros(len(array)), valid, None)
    kind = {"double": "float64", "uint64_t": "uint64", "int64_t": "int64"}[one.c_type]
    values = _numbers(array, one)
    return InputColumn(np.ascontiguousarray(values, kind), valid, None)


def _numbers(array: Any, one: Input) -> NDArray[Any]:
    if one.dtype.is_temporal:
        width = array.type.bit_width
        ticks = array.view(pa.int32() if width == 32 else pa.int64())
        numbers = ticks.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        return numbers // 86_400_000 if one.dtype.name == "date64" else numbers
    if pa.types.is_decimal(array.type) and one.dtype.is_float:
        return np.array([0 if v is None else float(v) for v in array.to_pylist()], np.float64)
    zero = False if pa.types.is_boolean(array.type) else 0
    return array.fill_null(zero).to_numpy(zero_copy_only=False)


def _texts(array: Any, valid: NDArray[np.uint8]) -> InputColumn:
    parts: Sequence[bytes] = [
        b"" if value is None else value.encode() if isinstance(value, str) else bytes(value)
        for value in array.to_pylist()
    ]
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return InputColumn(np.frombuffer(b"".join(parts) or b"\0", np.uint8), valid, offsets)
