"""Running a program into memory of its own: Arrow columns, or the columns of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fastfeat.backends.cpu.run import Target, run
from fastfeat.backends.program import Constants, Program
from fastfeat.dtypes import BOOL
from fastfeat.io.write import array_from_buffers, staggered_addresses, staggered_columns
from fastfeat.scalars.value import InputSlot


def compute(
    program: Program, columns: Mapping[InputSlot, Any], n_rows: int, constants: Constants
) -> list[Any]:
    """Return an Arrow array for each output, over memory that the kernel wrote."""
    values = _allocate(program, n_rows)
    validity = staggered_columns(len(program.outputs), n_rows, BOOL)
    targets = [
        Target(address, 0 if output.dtype.name == "bool" else array.itemsize, bits)
        for output, (array, address), bits in zip(
            program.outputs, values, staggered_addresses(validity), strict=True
        )
    ]
    owners = (values, validity)
    missing = run(program, columns, n_rows, constants, targets, owners).tolist()
    return [
        array_from_buffers(output.dtype, array, bits, count, n_rows)
        for output, (array, _), bits, count in zip(
            program.outputs, values, validity, missing, strict=True
        )
    ]


def _allocate(program: Program, n_rows: int) -> list[tuple[NDArray[Any], int]]:
    """Return output columns with their addresses, those of one type in one allocation."""
    by_type: dict[Any, list[int]] = {}
    for k, output in enumerate(program.outputs):
        by_type.setdefault(output.dtype, []).append(k)
    columns: dict[int, tuple[NDArray[Any], int]] = {}
    for dtype, members in by_type.items():
        arrays = staggered_columns(len(members), n_rows, dtype)
        placed = zip(arrays, staggered_addresses(arrays), strict=True)
        columns.update(zip(members, placed, strict=True))
    return [columns[k] for k in range(len(program.outputs))]


def compute_matrix(
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    out: NDArray[Any],
) -> None:
    """Write the outputs, all of one float type, into a matrix.

    Args:
        out: shape (n_rows, n_outputs), any strides; missing values become NaN.
    """
    first, (row, column) = out.ctypes.data, out.strides
    strided = row != out.itemsize
    targets = [
        Target(first + k * column, row, strided=strided) for k in range(len(program.outputs))
    ]
    run(program, columns, n_rows, constants, targets, out)
