"""Groups of columns that are learnt from together, and how their rows come to each round.

Columns that fit are copied to the device once and stay for all rounds, what is computed from them
with them. Where a column alone does not fit, each round copies and computes it again, piece by
piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastfeat.backends.cpu.learn import column_of
from fastfeat.backends.cpu.render import storage
from fastfeat.backends.gpu.adopt import Source, added_bytes, rows_on_device
from fastfeat.backends.gpu.columns import (
    DeviceColumn,
    allocate_output,
    element_bytes,
)
from fastfeat.backends.gpu.pieces import SHARE_OF_MEMORY, pieces_of
from fastfeat.backends.gpu.program import Bound, bind
from fastfeat.backends.gpu.run import run_rows, target_of
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.gpu.scan import EachPiece, Work
from fastfeat.backends.program import Constants, Program, RowFailed, leaves_of, program_of
from fastfeat.scalars.value import InputSlot

Sources = Mapping[InputSlot, Source]


@dataclass(frozen=True, slots=True)
class Group:
    """Outputs that are learnt from together, and what gives their rows to each round.

    Args:
        runtime: where they are.
        program: computes them.
        n_rows: number of rows.
        each_piece: calls what works on a piece with the first row, the number of rows, and the
            column of each output.
    """

    runtime: Runtime
    program: Program
    n_rows: int
    each_piece: EachPiece


def groups_of(
    runtime: Runtime,
    program: Program,
    sources: Sources,
    n_rows: int,
    scratch: Sequence[float],
) -> list[list[int]]:
    """Return which outputs are learnt from together: as many as fit the device whole.

    Args:
        runtime: of the device.
        program: computes them.
        sources: the column of each slot; those on the device take no room.
        n_rows: number of rows.
        scratch: bytes that the rounds take for each output.
    """
    room = SHARE_OF_MEMORY * runtime.memory()[0]
    groups: list[list[int]] = []
    uploaded: set[InputSlot] = set()
    taken = 0.0
    for k, output in enumerate(program.outputs):
        slots = {slot for kind, slot in leaves_of(output) if kind == "input"}
        needed = {slot for slot in slots if not isinstance(sources[slot], DeviceColumn)}
        own = scratch[k] + (0 if column_of(output) else n_rows * element_bytes(output.dtype))
        if not groups or taken + own + _bytes(needed - uploaded, n_rows) > room:
            groups.append([])
            uploaded.clear()
            taken = 0.0
        taken += own + _bytes(needed - uploaded, n_rows)
        groups[-1].append(k)
        uploaded |= needed
    return groups


def _bytes(slots: set[InputSlot], n_rows: int) -> float:
    return n_rows * sum(element_bytes(slot.dtype) for slot in slots)


def group_of(
    runtime: Runtime,
    program: Program,
    members: Sequence[int],
    sources: Sources,
    n_rows: int,
    constants: Constants,
    scratch: Sequence[float],
) -> Group:
    """Return a group; its rows are on the device already where they fit.

    Args:
        runtime: of the device.
        program: computes the outputs.
        members: which of them are in the group.
        sources: the column of each slot.
        n_rows: number of rows.
        constants: what the program reads besides.
        scratch: bytes that the rounds take for each output.

    Raises:
        RowFailed: an overflow, or the like; the first row.
        OutOfDeviceMemory: not even 64 rows fit.
    """
    part = program_of([program.outputs[k] for k in members])
    slots = [column_of(output) for output in part.outputs]
    computed = [output for output, slot in zip(part.outputs, slots, strict=True) if slot is None]
    bound = bind(runtime, program_of(computed), constants)
    row_bytes = added_bytes({slot: sources[slot] for slot in part.inputs})
    row_bytes += sum(element_bytes(output.dtype) for output in computed)
    reserved = sum(scratch[k] for k in members)
    spans = list(pieces_of(runtime, row_bytes, n_rows, reserved))

    def piece(start: int, stop: int) -> Sequence[DeviceColumn]:
        there = {
            slot: rows_on_device(runtime, sources[slot], slot.dtype, start, stop - start)
            for slot in part.inputs
        }
        made = iter(_computed(runtime, bound, there, start, stop))
        return [next(made) if slot is None else there[slot] for slot in slots]

    if len(spans) == 1:
        held = piece(*spans[0])
        return Group(runtime, part, n_rows, lambda work: work(0, n_rows, held))

    def each_piece(work: Work) -> None:
        for start, stop in spans:  # no name for the piece: the next one takes its memory
            work(start, stop - start, piece(start, stop))

    return Group(runtime, part, n_rows, each_piece)


def _computed(
    runtime: Runtime, bound: Bound, there: Mapping[InputSlot, DeviceColumn], start: int, stop: int
) -> list[DeviceColumn]:
    """Return what the rows of a piece, on the device already, give; missing floats are NaN."""
    program = bound.plan.program
    if not program.outputs:
        return []
    flagged = [
        has and not storage(output.dtype).startswith("float")
        for has, output in zip(bound.plan.has_validity, program.outputs, strict=True)
    ]
    outputs = [
        allocate_output(runtime, output.dtype, stop - start, with_validity=has)
        for has, output in zip(flagged, program.outputs, strict=True)
    ]
    try:
        run_rows(runtime, bound, there, [target_of(o) for o in outputs], 0, stop - start)
    except RowFailed as failure:
        raise RowFailed(start + failure.args[0]) from None
    return [output.as_column() for output in outputs]
