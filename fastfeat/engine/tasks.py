"""Tasks: records of what a backend is asked for; here the kinds that are programs over rows.

The other kinds stand in the folders of steps. A backend is a table from the kind to a function.
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
    """A request to a backend, with the columns that it reads; each kind says what its result is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RowTask(Task[list[Any]]):
    """A program over rows: an Arrow array for each output.

    Args:
        program: what to compute.
        columns: a column of `n_rows` rows for each input slot: an Arrow chunked array, or a
            DeviceArray.
        n_rows: number of rows.
        constants: what fit has learnt.
    """

    program: Program
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants


@dataclass(frozen=True, slots=True)
class MatrixTask(Task[None]):
    """A program over rows whose outputs, all of one float type, are written into a matrix.

    Args:
        program: what to compute.
        columns: as of `RowTask`, as the following are.
        n_rows: number of rows.
        constants: what fit has learnt.
        out: shape (n_rows, n_outputs), any strides; missing values become NaN.
    """

    program: Program
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants
    out: NDArray[Any]


@dataclass(frozen=True, slots=True)
class LearnTask(Task[list[list[Any]]]):
    """Aggregates of what a program computes: the values of each output's; None is missing.

    Args:
        program: computes what is learnt from.
        wanted: the aggregates of each output, by name and parameters.
        columns: as of `RowTask`, as the following are.
        n_rows: number of rows.
        constants: what fit has learnt.
    """

    program: Program
    wanted: Sequence[Functions]
    columns: Mapping[InputSlot, Any]
    n_rows: int
    constants: Constants
