"""Groups of columns to learn from together, and the way their rows reach each round.

A round is one pass over the rows. Columns that fit are copied to the device once and stay for all
rounds, together with columns computed from them. If a single column does not fit, each round copies
and computes it again, piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.columns.inputs import InputSource, added_bytes
from fastfeat.engine.gpu.columns.memory import (
    DeviceColumn,
    DeviceMemory,
    allocate_output,
    element_bytes,
)
from fastfeat.engine.gpu.learn.scan import EachPiece, PieceWork
from fastfeat.engine.gpu.pieces.adopt import sources_of
from fastfeat.engine.gpu.pieces.pieces import pieces_of, room_of_pieces
from fastfeat.engine.gpu.pieces.pipeline import (
    FinishPiece,
    PieceMemory,
    columns_of,
    fill_once,
    memories_of,
    run_in_turn,
)
from fastfeat.engine.gpu.pieces.run import as_it_is, target_of
from fastfeat.engine.gpu.programs.launch import PreparedPiece, ask, settle_on_error, settle_piece
from fastfeat.engine.gpu.programs.program import DeviceBoundProgram, bind, text_of, words_of
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, Program, leaves_of, program_of
from fastfeat.engine.storage import column_of
from fastfeat.io.arrow import pa
from fastfeat.io.columns.types import storage_type
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.scalars.value import InputSlot

SlotSources = Mapping[InputSlot, InputSource]


@dataclass(frozen=True, slots=True)
class OutputGroup:
    """Outputs to learn from together, and a function that passes their rows to each round.

    Args:
        runtime: The device.
        program: Computes the outputs.
        n_rows: Number of rows.
        each_piece: Calls its argument for each piece, with the first row, the number of rows, and
            the column of each output.
    """

    runtime: Runtime
    program: Program
    n_rows: int
    each_piece: EachPiece


def groups_of(
    runtime: Runtime,
    program: Program,
    sources: SlotSources,
    n_rows: int,
    scratch: Sequence[float],
) -> list[list[int]]:
    """Return groups of outputs, as indices; a group is as large as fits the device with all rows.

    `sources` has the column of each slot; columns on the device take no extra room. `scratch` has
    the bytes that the rounds take for each output.
    """
    room = runtime.computations.share() * room_of_pieces(runtime)
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
    sources: SlotSources,
    n_rows: int,
    constants: Constants,
    scratch: Sequence[float],
) -> OutputGroup:
    """Return the group of some outputs; copy all its rows to the device if they fit.

    `members` are the numbers of its outputs in the program. `sources` has the column of each slot.
    `constants` are constants that the program reads. `scratch` has the bytes that the rounds take
    for each output.

    Raises RowFailed for the first row with an error, such as an overflow, and OutOfDeviceMemory if
    not even 64 rows fit.
    """
    part = program_of([program.outputs[k] for k in members])
    slots = [column_of(output) for output in part.outputs]
    computed = [output for output, slot in zip(part.outputs, slots, strict=True) if slot is None]
    bound = bind(runtime, program_of(computed), constants)
    row_bytes = added_bytes({slot: sources[slot] for slot in part.inputs})
    row_bytes += sum(element_bytes(output.dtype) for output in computed)
    reserved = sum(scratch[k] for k in members)
    pieces = pieces_of(runtime, row_bytes, n_rows, reserved)
    memories = memories_of(runtime, part.inputs, sources, pieces, partial(_outputs, runtime, bound))

    def ask_piece(
        memory: PieceMemory, start: int, stop: int
    ) -> tuple[list[DeviceColumn], FinishPiece]:
        there, finish = _ask_computed(runtime, bound, part.inputs, memory, start, stop)
        made = (output.as_column() for output in memory.outputs)
        return [next(made) if slot is None else there[slot] for slot in slots], finish

    if len(pieces.spans) == 1:
        held, finish = ask_piece(memories[0], *pieces.spans[0])
        finish()

        def once(work: PieceWork) -> None:
            _work_on(runtime, work, 0, n_rows, held)()

        return OutputGroup(runtime, part, n_rows, once)

    waits_first = _may_compute_again(bound)

    def each_piece(work: PieceWork) -> None:
        def ask_and_work(memory: PieceMemory, start: int, stop: int) -> FinishPiece:
            columns, finish = ask_piece(memory, start, stop)
            if waits_first:
                finish()
            take = _work_on(runtime, work, start, stop - start, columns)

            def finish_both() -> None:
                if not waits_first:
                    finish()
                take()

            return finish_both

        with settle_on_error(runtime):
            run_in_turn(memories, pieces.spans, ask_and_work)

    return OutputGroup(runtime, part, n_rows, each_piece)


def _work_on(
    runtime: Runtime, work: PieceWork, start: int, n: int, columns: Sequence[DeviceColumn]
) -> FinishPiece:
    """Start `work` on a piece; return a function that waits for it and takes its result."""
    take = work(start, n, columns)
    mark = runtime.mark()

    def finish() -> None:
        runtime.finish(mark)
        take()

    return finish


def _may_compute_again(bound: DeviceBoundProgram) -> bool:
    """Return whether outputs may be computed again, by the kernels for large arguments."""
    program = bound.plan.program
    return text_of(program, exact=True) != text_of(program, exact=False)


def _outputs(runtime: Runtime, bound: DeviceBoundProgram, n_rows: int) -> tuple[DeviceMemory, ...]:
    """Return device memory for `n_rows` rows of each computed output.

    Missing floats will be NaN.
    """
    return tuple(
        allocate_output(
            runtime,
            output.dtype,
            n_rows,
            with_validity=has and output.dtype.physical != "f64",
        )
        for has, output in zip(bound.plan.has_validity, bound.plan.program.outputs, strict=True)
    )


def _ask_computed(
    runtime: Runtime,
    bound: DeviceBoundProgram,
    slots: Sequence[InputSlot],
    memory: PieceMemory,
    start: int,
    stop: int,
) -> tuple[dict[InputSlot, DeviceColumn], FinishPiece]:
    """Start the copies of the inputs of a piece, and its computations once their inputs are there.

    `bound` is the program of the computed outputs; it reads some of the inputs `slots`. The piece
    has rows [start, stop). Returns the column of each input, and a function that waits for the
    computed outputs and may raise RowFailed.
    """
    columns, fills = columns_of(runtime, memory, start, stop)
    there, fill_of = dict(zip(slots, columns, strict=True)), {slots[k]: f for k, f in fills.items()}
    own = bound.plan.program.inputs
    finish: FinishPiece = _nothing
    if bound.plan.program.outputs:
        words = words_of(bound, [there[slot] for slot in own], [*map(target_of, memory.outputs)])
        prepared = PreparedPiece(bound.plan, words, stop - start, (memory, bound.tables))
        own_fills = {k: fill_of.pop(slot) for k, slot in enumerate(own) if slot in fill_of}
        before = fill_once(own_fills, iter(()))
        asked = ask(runtime, prepared, 0, stop - start, before=before)
        finish = partial(settle_piece, runtime, prepared, asked, start)
    for fill in fill_of.values():
        fill()
    return there, finish


def _nothing() -> None:
    """Do nothing: there is nothing to wait for."""


NamedColumns = Mapping[str, tuple[Any, DType]]
"""By name: shape (n_rows,), an Arrow array or a DeviceArray, and its type."""
ScanResultT = TypeVar("ScanResultT")


def over_rows(
    runtime: Runtime, columns: NamedColumns, n_bytes: int, work: Callable[[EachPiece], ScanResultT]
) -> ScanResultT:
    """Return the result of `work`, which makes rounds (passes) over the rows of some columns.

    The rows are copied to the device once if they fit. Each round gets `columns` in this order.
    `n_bytes` is further memory that the rounds take. `work` gets a function for one round, see
    `EachPiece`; it may be started several times. Raises OutOfDeviceMemory if this memory and 64
    rows do not fit.
    """
    return runtime.computations.run(partial(_over_rows, runtime, columns, n_bytes, work))


def _over_rows(
    runtime: Runtime, columns: NamedColumns, n_bytes: int, work: Callable[[EachPiece], ScanResultT]
) -> ScanResultT:
    program = program_of([as_it_is(name, dtype) for name, (_, dtype) in columns.items()])
    plain = [plain_column(column, dtype) for column, dtype in columns.values()]
    scratch = [n_bytes, *[0] * (len(columns) - 1)]
    with settle_on_error(runtime):
        sources = sources_of(runtime, program.inputs, dict(zip(program.inputs, plain, strict=True)))
        n_rows, members = len(plain[0]), range(len(columns))
        rows = group_of(runtime, program, members, sources, n_rows, Constants({}, {}), scratch)
        return work(rows.each_piece)


def plain_column(column: Any, dtype: DType) -> Any:
    """Return a host column with its values in the storage type that kernels read.

    A device column is returned unchanged.
    """
    if isinstance(column, DeviceArray):
        return column
    pieces = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    kind = storage_type(dtype)
    return pa.chunked_array([piece.view(kind) for piece in pieces], kind)
