"""Tasks: requests to a backend; this module has the kinds that run programs over rows.

The other kinds are in the folders of steps. A backend is a table from kind to function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from fastfeat.engine.program import Constants, Functions, Program
from fastfeat.scalars.value import InputSlot

Result = TypeVar("Result", covariant=True)


class Task(Generic[Result]):
    """A request to a backend, with the columns that it reads; each kind defines its result."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RowTask(Task[list[Any]]):
    """A program over rows: an Arrow array for each output.

    Args:
        program: The program.
        columns: A column of `n_rows` rows for each input slot: an Arrow chunked array, or a
            DeviceArray.
        n_rows: Number of rows.
        constants: Learned constants.
    """

    program: Program
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants


@dataclass(frozen=True, slots=True)
class MatrixTask(Task[None]):
    """A program over rows that writes its outputs, all of one float type, into a matrix.

    Args:
        program: The program.
        columns: A column of `n_rows` rows for each input slot, as in a `RowTask`.
        n_rows: Number of rows.
        constants: Learned constants.
        out: The matrix, shape (n_rows, n_outputs), any strides; missing values become NaN.
    """

    program: Program
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants
    out: NDArray[Any]


@dataclass(frozen=True, slots=True)
class LearnTask(Task[list[list[Any]]]):
    """Aggregates of a program's outputs: the list of values for each output; None is missing.

    Args:
        program: Computes the values to learn from.
        wanted: The aggregates of each output, by name and parameters.
        columns: A column of `n_rows` rows for each input slot, as in a `RowTask`.
        n_rows: Number of rows.
        constants: Learned constants.
    """

    program: Program
    wanted: Sequence[Functions]
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants
