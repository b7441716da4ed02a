"""Send pieces (ranges of rows) through a device: copy the next while computing the previous.

A piece is started launch by launch, each after the copies of columns that no earlier launch has
read. The results of the previous piece are copied back in between. Then the previous piece is
waited for, and its memory is used for the piece after the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.columns.inputs import Fill, InputSource, PlacedInput, place_inputs, rows_of
from fastfeat.engine.gpu.columns.memory import DeviceColumn, DeviceMemory, allocate_output
from fastfeat.engine.gpu.pieces.pieces import DevicePieces
from fastfeat.engine.gpu.programs.launch import PreparedPiece, ask, naming_features, settle_piece
from fastfeat.engine.gpu.programs.program import DeviceBoundProgram, DeviceTarget, words_of
from fastfeat.engine.gpu.programs.table import Launch
from fastfeat.engine.gpu.runtime import Mark, Runtime
from fastfeat.engine.program import RowFailed
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.scalars.value import InputSlot


@dataclass(frozen=True, slots=True)
class PieceMemory:
    """Device memory for a piece: its inputs and outputs."""

    inputs: tuple[PlacedInput, ...]
    outputs: tuple[DeviceMemory, ...]


TargetsOf = Callable[[PieceMemory, int], Sequence[DeviceTarget]]
"""`(memory of a piece, first row) -> places of its outputs`."""
Downloads = Callable[[PieceMemory, int, int, Mark], Iterator[None]]
"""Starts one part of the copies of a piece to the host at each step, after a mark."""
FinishPiece = Callable[[], object]
"""Waits for a piece that has been started."""


def memories_of(
    runtime: Runtime,
    slots: Sequence[InputSlot],
    sources: Mapping[InputSlot, InputSource],
    pieces: DevicePieces,
    allocate: Callable[[int], tuple[DeviceMemory, ...]],
) -> list[PieceMemory]:
    """Return memory for one piece, or for two that are on the device at the same time.

    The list is empty without pieces. `allocate` returns memory for the outputs, from the number of
    rows.
    """

    def place() -> PieceMemory:
        n_rows = pieces.n_rows
        return PieceMemory(tuple(place_inputs(runtime, slots, sources, n_rows)), allocate(n_rows))

    if not pieces.spans:
        return []
    memories = [place()]
    if pieces.at_once > 1:
        with suppress(OutOfDeviceMemory):  # the free memory may be fragmented
            memories.append(place())
    return memories


def allocate_outputs(
    runtime: Runtime, bound: DeviceBoundProgram, n_rows: int
) -> tuple[DeviceMemory, ...]:
    """Return device memory for `n_rows` rows of each output of a program."""
    plan = bound.plan
    return tuple(
        allocate_output(runtime, output.dtype, n_rows, with_validity=has)
        for output, has in zip(plan.program.outputs, plan.has_validity, strict=True)
    )


def run_in_turn(
    memories: Sequence[PieceMemory],
    spans: Sequence[tuple[int, int]],
    ask_piece: Callable[[PieceMemory, int, int], FinishPiece],
) -> None:
    """Start and finish pieces; each is finished after the start of the next, if memory is for two.

    `memories` are used in turn. `spans` has the first row and the end of each piece, in order.
    `ask_piece` starts a piece in some memory. Raises RowFailed for the first piece that failed.
    """
    finish: FinishPiece | None = None
    for k, (start, stop) in enumerate(spans):
        if finish is not None and len(memories) == 1:
            finish()
            finish = None
        try:
            following = ask_piece(memories[k % len(memories)], start, stop)
        except RowFailed:  # the rows of the previous piece come first
            if finish is not None:
                finish()
            raise
        if finish is not None:
            finish()
        finish = following
    if finish is not None:
        finish()


def run_pieces(
    runtime: Runtime,
    bound: DeviceBoundProgram,
    memories: Sequence[PieceMemory],
    spans: Sequence[tuple[int, int]],
    targets_of: TargetsOf,
    downloads: Downloads,
) -> None:
    """Compute pieces of rows, two at a time if there is memory for two.

    `memories` are used in turn. `spans` has the first row and the end of each piece, in order.
    `targets_of` returns the addresses for outputs, and `downloads` copies them to the host.

    Raises RowFailed for the first row that failed, and KernelFailed with the names of the features.
    """
    former: Iterator[None] = iter(())

    def ask_piece(memory: PieceMemory, start: int, stop: int) -> FinishPiece:
        nonlocal former
        columns, fills = columns_of(runtime, memory, start, stop)
        words = words_of(bound, columns, targets_of(memory, start))
        prepared = PreparedPiece(bound.plan, words, stop - start, (memory, bound.tables))
        asked = ask(runtime, prepared, 0, stop - start, before=fill_once(fills, former))
        former = parts = downloads(memory, start, stop, asked.mark)

        def finish() -> None:
            _exhaust(parts)
            if settle_piece(runtime, prepared, asked, start):
                _exhaust(downloads(memory, start, stop, runtime.mark()))
                runtime.finish(runtime.mark())

        return finish

    with naming_features(bound.plan):
        run_in_turn(memories, spans, ask_piece)


def columns_of(
    runtime: Runtime, memory: PieceMemory, start: int, stop: int
) -> tuple[list[DeviceColumn], dict[int, Fill]]:
    """Return rows [start, stop) of each input as columns, and functions that copy them, by index.

    Raises RowFailed for a row that is not exactly a value of the type that fit saw.
    """
    found = [rows_of(runtime, placed, start, stop - start) for placed in memory.inputs]
    fills = {k: fill for k, (_, fill) in enumerate(found) if fill is not None}
    return [column for column, _ in found], fills


def fill_once(fills: dict[int, Fill], others: Iterator[None]) -> Callable[[Launch], None]:
    """Return a function that copies the inputs of a launch, unless an earlier launch has read them.

    `fills` has the functions that copy inputs; each is removed when it is called. After each copy
    `others`, the downloads of the previous piece, advances by one.
    """

    def fill(launch: Launch) -> None:
        for k in launch.inputs:
            if k in fills:
                fills.pop(k)()
                next(others, None)

    return fill


def _exhaust(parts: Iterator[None]) -> None:
    for _ in parts:
        pass
