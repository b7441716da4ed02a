"""Running a program into memory of its own: Arrow columns, or the columns of a matrix."""

from __future__ import annotations

from typing import Any

from fastfeat_kernels.rows import CODES, tile_column_bytes, tile_rows
from numpy.typing import NDArray

from fastfeat.dtypes import BOOL
from fastfeat.engine.cpu.run import Target, Tile, run
from fastfeat.engine.program import Program
from fastfeat.engine.tasks import MatrixTask, RowTask
from fastfeat.io.sinks.write import array_from_buffers, staggered_addresses, staggered_columns


def compute(task: RowTask) -> list[Any]:
    """Return an Arrow array for each output, which the kernel wrote."""
    program, n_rows = task.program, task.n_rows
    values = _allocate(program, n_rows)
    validity = staggered_columns(len(program.outputs), n_rows, BOOL)
    targets = [
        Target(address, 0 if output.dtype.name == "bool" else array.itemsize, bits)
        for output, (array, address), bits in zip(
            program.outputs, values, staggered_addresses(validity), strict=True
        )
    ]
    owners = (values, validity)
    missing = run(program, task.columns, n_rows, task.constants, targets, owners).tolist()
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


def compute_matrix(task: MatrixTask) -> None:
    """Write the outputs, all of one float type, into a matrix."""
    out = task.out
    first, (row, column), n_bytes = out.ctypes.data, out.strides, out.itemsize
    n_outputs = len(task.program.outputs)
    tile = None if row == n_bytes else _tile(out)
    if tile is not None:
        first, column = 0, tile.column_bytes
    targets = [
        Target(first + k * column, n_bytes, in_tile=tile is not None) for k in range(n_outputs)
    ]
    run(task.program, task.columns, task.n_rows, task.constants, targets, out, tile)


def _tile(out: NDArray[Any]) -> Tile:
    """Return the tile of a matrix whose columns are not contiguous."""
    n_columns, n_bytes = out.shape[1], out.itemsize
    n_rows = tile_rows(n_columns, n_bytes)
    return Tile(
        n_rows,
        tile_column_bytes(n_rows, n_bytes),
        n_columns,
        CODES[out.dtype.name],
        out.ctypes.data,
        (out.strides[0], out.strides[1]),
    )
