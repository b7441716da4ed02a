"""Running a program into memory of the device that outlives the run: a matrix, or columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastfeat.engine.gpu.columns.inputs import added_bytes
from fastfeat.engine.gpu.pieces.adopt import sources_of
from fastfeat.engine.gpu.pieces.pieces import PIECE_BYTES, pieces_of
from fastfeat.engine.gpu.pieces.pipeline import PieceMemory, memories_of, run_pieces
from fastfeat.engine.gpu.programs.launch import settling
from fastfeat.engine.gpu.programs.program import Target, bind
from fastfeat.engine.gpu.runtime import Mark, Runtime
from fastfeat.engine.program import Constants, Program
from fastfeat.scalars.value import InputSlot


class Place(NamedTuple):
    """The place of an output: the address of row 0, and the bytes and elements between rows."""

    address: int
    row_bytes: int
    rows_apart: int


def compute_into(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    places: Sequence[Place],
) -> None:
    """Write the outputs, numbers without bitmaps, into memory of the device.

    Args:
        runtime: where to run.
        program: what to compute; no output is of bits.
        columns: the column of each input slot.
        n_rows: number of rows.
        constants: what fit has learnt.
        places: where each output goes; NaN is missing there.

    Raises:
        RowFailed: an overflow, or the like; the first row.
        OutOfDeviceMemory: the inputs that are not on the device do not fit by 64 rows.
    """
    work = partial(_compute_into, runtime, program, columns, n_rows, constants, places)
    runtime.computations.run(work)


def _compute_into(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
    places: Sequence[Place],
) -> None:
    with settling(runtime):
        bound = bind(runtime, program, constants)
        sources = sources_of(runtime, program.inputs, columns)
        pieces = pieces_of(runtime, added_bytes(sources), n_rows, most_bytes=PIECE_BYTES)

        def targets(_: PieceMemory, start: int) -> list[Target]:
            return [
                Target(place.address + start * place.row_bytes, 0, place.rows_apart)
                for place in places
            ]

        memories = memories_of(runtime, program.inputs, sources, pieces, lambda _: ())
        run_pieces(runtime, bound, memories, pieces.spans, targets, _stay)


def _stay(_memory: PieceMemory, _start: int, _stop: int, _after: Mark) -> Iterator[None]:
    """Bring nothing to the host."""
    return iter(())
