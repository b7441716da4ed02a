"""Tasks: requests to a backend; this module has the kinds that run programs over rows.

The other kinds are in the folders of steps. A backend is a table from kinds of task to functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.program import Constants, Functions, Program
from fastfeat.scalars.value import InputSlot

ResultT = TypeVar("ResultT", covariant=True)


class Task(Generic[ResultT]):
    """A request to a backend with all its input; the type parameter is the type of the result."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RowTask(Task[list[Any]]):
    """A request to run a program over rows: the result is an Arrow array for each output.

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
    """A request to run a program over rows and write its outputs to a matrix of one float type.

    Args:
        program: The program.
        columns: A column of `n_rows` rows for each input slot, see `RowTask`.
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
    """A request for aggregates of a program's outputs: one list of values per output.

    Args:
        program: Computes the values to learn from.
        wanted: The aggregates of each output, by name and parameters.
        columns: A column of `n_rows` rows for each input slot, see `RowTask`.
        n_rows: Number of rows.
        constants: Learned constants.
    """

    program: Program
    wanted: Sequence[Functions]
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants
