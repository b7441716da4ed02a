"""Run the kernels of a program over the rows of a piece, and find the row of an error.

One call starts the kernels, and another waits for their status. In between, the next piece can be
started.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.engine.failure import first_failing_row
from fastfeat.engine.gpu.programs.program import DeviceProgram, text_of
from fastfeat.engine.gpu.programs.render import kernel_name
from fastfeat.engine.gpu.programs.table import Launch
from fastfeat.engine.gpu.runtime import Buffer, Mark, Runtime
from fastfeat.engine.program import RowFailed
from fastfeat.errors import FastfeatError, KernelFailed, shortened
from fastfeat.scalars.value import LARGE_ARGUMENT


@dataclass(frozen=True, slots=True)
class PreparedPiece:
    """A piece that is ready to compute: the words of its kernels, and the memory they point to."""

    plan: DeviceProgram
    words: Int64Array
    n_rows: int
    owners: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class PendingPiece:
    """The kernels of a piece, which have been started.

    Args:
        table: Their table; word 0 is their status.
        mark: The end of the kernels among the requests to the device; then the status is known.
    """

    table: Buffer
    mark: Mark


@contextmanager
def settle_on_error(runtime: Runtime) -> Generator[None]:
    """On an error or interrupt, wait until the device has finished its outstanding work.

    Outstanding copies would otherwise write to memory that the caller has released.
    """
    try:
        yield
    except BaseException:
        with suppress(FastfeatError):
            runtime.synchronize()
        raise


def run_piece(runtime: Runtime, prepared: PreparedPiece, start: int) -> None:
    """Run all rows of a piece; `start` is the number of its first row in the data.

    Raises RowFailed for the first row with an error, such as an overflow.
    """
    settle_piece(runtime, prepared, ask(runtime, prepared, 0, prepared.n_rows), start)


def settle_piece(
    runtime: Runtime, prepared: PreparedPiece, asked: PendingPiece, start: int
) -> bool:
    """Wait for the kernels of a piece; return whether its rows had to be computed again.

    `asked` are these kernels; nothing else may have written to the piece's memory. `start` is the
    piece's first row in the data.
    Raises RowFailed for the first row with an error, such as an overflow.
    """
    status = status_of(runtime, asked)
    is_again = bool(status & LARGE_ARGUMENT)
    if is_again:
        status = _exact_status(runtime, prepared, 0, prepared.n_rows)
    if status:
        raise RowFailed(start + _failing_row(runtime, prepared))
    return is_again


def _run(runtime: Runtime, prepared: PreparedPiece, first: int, n: int) -> int:
    """Run rows [first, first + n) of a piece; return their status bits.

    If the status asks for the kernels for large arguments, these run too.
    """
    status = status_of(runtime, ask(runtime, prepared, first, n))
    return _exact_status(runtime, prepared, first, n) if status & LARGE_ARGUMENT else status


def _exact_status(runtime: Runtime, prepared: PreparedPiece, first: int, n: int) -> int:
    """Run the kernels for large arguments; return their status bits.

    Other bits of the status that asked for them may be due to wrong values, so this status replaces
    it.
    """
    return status_of(runtime, ask(runtime, prepared, first, n, exact=True)) & ~LARGE_ARGUMENT


def _failing_row(runtime: Runtime, prepared: PreparedPiece) -> int:
    def fails(first: int, n: int) -> bool:
        return _run(runtime, prepared, first, n) != 0

    return first_failing_row(fails, prepared.n_rows)


def ask(
    runtime: Runtime,
    prepared: PreparedPiece,
    first: int,
    n: int,
    *,
    exact: bool = False,
    before: Callable[[Launch], None] | None = None,
) -> PendingPiece:
    """Start the kernels of rows [first, first + n).

    `first` is a multiple of 32, the number of bits in a word of a bitmap. `exact` selects the
    kernels for large arguments of sin, cos and tan. `before` is called before each launch, to start
    the copies that the launch reads.
    """
    plan, geometry = prepared.plan, runtime.geometry
    module = runtime.module(text_of(plan.program, exact))
    table = runtime.allocate(prepared.words.nbytes)
    words = prepared.words.copy()
    for one in plan.table.launches:
        words[one.at] = table.address  # word 0 is the status
    runtime.upload(words, table)
    for one in plan.table.launches:
        if before is not None:
            before(one)
        kernel = kernel_name(one.loop)
        grid = (geometry.grid_of_rows(n), one.n_instances)
        at = table.address + 8 * one.at
        runtime.launch(module, kernel, grid, geometry.block, at, first, n)
    return PendingPiece(table, runtime.mark())


def status_of(runtime: Runtime, asked: PendingPiece) -> int:
    """Wait for kernels, and for downloads after them; return the kernels' status bits."""
    status = np.zeros(1, np.int64)
    runtime.download(asked.table, status, after=asked.mark)
    runtime.finish(asked.mark)
    return int(status[0])


@contextmanager
def naming_features(plan: DeviceProgram) -> Generator[None]:
    """Add the names of the computed features to an error that a kernel raises in the block."""
    try:
        yield
    except KernelFailed as error:
        names = [name for name in plan.features_of(error.kernels) if name]
        if not names:  # inputs of fit have no name
            raise
        computes = "kernel computes" if len(error.kernels) == 1 else "kernels compute"
        text = f"{error}; the {computes} {shortened(names)}"
        raise KernelFailed(text, error.kernels) from error
