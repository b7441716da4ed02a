"""Running a program into memory of its own: Arrow columns, or the columns of a matrix."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from fastfeat_kernels.rows import CODES, tile_column_bytes, tile_rows
from numpy.typing import NDArray

from fastfeat.dtypes import BOOL
from fastfeat.engine.cpu.compiled import compiled
from fastfeat.engine.cpu.run import Target, Tile, run
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.storage import column_of
from fastfeat.engine.tasks import MatrixTask, RowTask
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sinks.write import array_from_buffers, staggered_addresses, staggered_columns
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.scope import is_over_window
from fastfeat.scalars.value import InputSlot


def compute(task: RowTask) -> list[Any]:
    """Return an Arrow array for each output: that the kernel wrote, or that a step made."""
    program, columns, n_rows, constants = task.program, task.columns, task.n_rows, task.constants
    made, rest = _parts(program)
    if is_observed():  # where columns of steps come in pieces, or in no form that holds them
        compiled(program).loops_address()
    found = {k: _as_made(columns[slot], program.outputs[k]) for k, slot in made.items()}
    if not found or any(array is None for array in found.values()):
        return _compute(program, columns, n_rows, constants)
    computed = iter(_compute(rest, columns, n_rows, constants) if rest.outputs else ())
    return [found[k] if k in found else next(computed) for k in range(len(program.outputs))]


def outputs_of_steps(program: Program) -> Collection[int]:
    """Return the places of outputs that may be arrays of a step, which others may refer to, too."""
    return _parts(program)[0].keys()


@lru_cache(maxsize=128)
def _parts(program: Program) -> tuple[Mapping[int, InputSlot], Program]:
    """Return the outputs that are columns of steps, unchanged, and the program of all others.

    Floats are not given out as they are made, for a NaN in them is missing; but those of windows
    and of lookup tables are null there.
    """
    made: dict[int, InputSlot] = {}
    for k, output in enumerate(program.outputs):
        slot = column_of(output)
        if slot is None or isinstance(slot.sources[0], Column):
            continue
        if output.dtype.physical != "f64" or _is_without_nan(slot.sources[0]):
            made[k] = slot
    return made, program_of([o for k, o in enumerate(program.outputs) if k not in made])


def _is_without_nan(step: Node) -> bool:
    is_looked_up = isinstance(step, Call) and step.function == "lookup_value"
    return is_looked_up or is_over_window(step)


def _as_made(column: Any, output: Output) -> Any:
    """Return the column of a step as the array that the output is; None where it is in pieces."""
    same_type = column.type == arrow_type(output.dtype)
    return column.chunk(0) if same_type and column.num_chunks == 1 else None


def _compute(
    program: Program, columns: Mapping[InputSlot, Any], n_rows: int, constants: Constants
) -> list[Any]:
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
