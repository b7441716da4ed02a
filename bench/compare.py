"""Outputs of different libraries, converted to one form, and compared before anything is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Allowed difference of floats: absolute + relative * expected. Integers must be equal.

    Args:
        relative: As a share of the expected value.
        absolute: In the unit of the value.
        reason: One line for the report: why outputs are not equal bit for bit.
    """

    relative: float = 0.0
    absolute: float = 0.0
    reason: str = "exact"


EXACT = Tolerance()


@dataclass(frozen=True, slots=True)
class Values:
    """One column of a result: numbers, and a mask of missing ones (those hold 0)."""

    numbers: NDArray[Any]
    missing: NDArray[np.bool_]


class OutputsDiffer(Exception):
    """Two contenders computed different results: their times mean nothing."""


def require_equal(expected: Any, got: Any, tolerance: Tolerance, who: str) -> None:
    """Raise OutputsDiffer unless two results agree, column by column, in order.

    Args:
        expected: Result of the contender that all others are compared with.
        got: Result of another; tables, frames, matrices and lists of arrays may be mixed.
        tolerance: Allowed difference of floats.
        who: Names of both for the message.
    """
    left, right = columns_of(expected), columns_of(got)
    if len(left) != len(right):
        raise OutputsDiffer(f"{who}: {len(left)} columns against {len(right)}")
    for index, (one, other) in enumerate(zip(left, right, strict=True)):
        _require_equal_column(one, other, tolerance, f"{who}, column {index}")


def _require_equal_column(one: Values, other: Values, tolerance: Tolerance, where: str) -> None:
    if len(one.numbers) != len(other.numbers):
        raise OutputsDiffer(f"{where}: {len(one.numbers)} rows against {len(other.numbers)}")
    wrong = one.missing != other.missing
    differs = one.numbers != other.numbers
    if differs.any() and tolerance != EXACT:
        expected = one.numbers[differs].astype(np.float64)
        got = other.numbers[differs].astype(np.float64)
        with np.errstate(invalid="ignore"):
            allowed = tolerance.absolute + tolerance.relative * np.abs(expected)
            # An infinity would allow any difference, so it must be equal.
            differs[differs] = ~(np.abs(expected - got) <= allowed) | np.isinf(expected)
    wrong |= differs & ~one.missing & ~other.missing
    if wrong.any():
        row = int(np.argmax(wrong))
        raise OutputsDiffer(
            f"{where}, row {row}: {_shown(one, row)} against {_shown(other, row)}"
            f" ({int(wrong.sum())} of {len(wrong)} rows differ)"
        )


def _shown(values: Values, row: int) -> str:
    return "missing" if values.missing[row] else repr(values.numbers[row].item())


def columns_of(result: Any) -> list[Values]:
    """Return the columns of a table, a frame, a matrix (n_rows, n_columns), or a list of arrays."""
    match result:
        case pa.Table():
            return [_from_arrow(column) for column in result.columns]
        case np.ndarray():
            matrix = result.reshape(-1, 1) if result.ndim == 1 else result
            return [_from_numpy(matrix[:, index]) for index in range(matrix.shape[1])]
        case list() | tuple():
            return [_from_numpy(np.atleast_1d(np.asarray(one))) for one in result]
        case dict():
            return [_from_numpy(np.atleast_1d(np.asarray(one))) for one in result.values()]
        case _ if hasattr(result, "iloc"):
            return [_from_numpy(result.iloc[:, i].to_numpy()) for i in range(result.shape[1])]
        case _ if hasattr(result, "to_arrow"):
            return columns_of(result.to_arrow())
        case _ if hasattr(result, "numpy"):
            return columns_of(result.numpy())
        case _:
            raise TypeError(f"a result of type {type(result).__name__} cannot be compared")


def _from_arrow(column: pa.ChunkedArray) -> Values:
    missing = column.is_null(nan_is_null=True).to_numpy()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    filled = column.fill_null(0).to_numpy()
    return Values(np.where(missing, 0, filled) if missing.any() else filled, missing)


def _from_numpy(array: NDArray[Any]) -> Values:
    if array.dtype == bool:
        array = array.astype(np.int8)
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=bool)
    return Values(np.where(missing, 0, array) if missing.any() else array, missing)


def n_bytes(result: Any) -> int:
    """Return the bytes of a result; 0 if it is not a table or array (learnt values)."""
    match result:
        case pa.Table():
            return result.nbytes
        case np.ndarray():
            return result.nbytes
        case list() | tuple() if all(isinstance(one, np.ndarray) for one in result):
            return sum(one.nbytes for one in result)
        case _:
            return 0
