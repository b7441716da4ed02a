"""Running the kernels of a program over the rows of a piece, and what went wrong in which row."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from fastfeat.backends.gpu.program import DeviceProgram, Words, text_of
from fastfeat.backends.gpu.render import kernel_name
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.program import RowFailed
from fastfeat.backends.search import first_failing_row
from fastfeat.errors import FastfeatError, KernelFailed, shortened
from fastfeat.scalars.value import LARGE_ARGUMENT


@dataclass(frozen=True, slots=True)
class Prepared:
    """The rows of a piece on a device: the words of its kernels and all that they point to."""

    plan: DeviceProgram
    words: Words
    n_rows: int
    owners: tuple[object, ...]


@contextmanager
def settled(runtime: Runtime) -> Generator[None]:
    """Wait, when something goes wrong or is interrupted, until the device has done what it has.

    Copies that are outstanding would write to memory that the caller has let go.
    """
    try:
        yield
    except BaseException:
        with suppress(FastfeatError):
            runtime.synchronize()
        raise


def run_piece(runtime: Runtime, prepared: Prepared, start: int) -> None:
    """Run all rows of a piece, whose first row is row `start` of the data.

    Raises:
        RowFailed: an overflow, or the like; the first row.
        KernelFailed: names the features.
    """
    if _run(runtime, prepared, 0, prepared.n_rows):
        raise RowFailed(start + _failing_row(runtime, prepared))


def _run(runtime: Runtime, prepared: Prepared, first: int, n: int) -> int:
    """Run rows [first, first + n) of a piece; return their status.

    The kernels for large arguments are run where a status asks for them.
    """
    status = launch(runtime, prepared, first, n, exact=False)
    if status & LARGE_ARGUMENT:  # other bits may come from the values that this one says are wrong
        status = launch(runtime, prepared, first, n, exact=True) & ~LARGE_ARGUMENT
    return status


def _failing_row(runtime: Runtime, prepared: Prepared) -> int:
    def fails(first: int, n: int) -> bool:
        return _run(runtime, prepared, first, n) != 0

    return first_failing_row(fails, prepared.n_rows)


def launch(runtime: Runtime, prepared: Prepared, first: int, n: int, *, exact: bool) -> int:
    """Run rows [first, first + n) once; return their status.

    Args:
        runtime: where to run.
        prepared: the piece.
        first: a multiple of 32, which is what the words of a bitmap hold.
        n: number of rows.
        exact: by the kernels for large arguments of sin, cos and tan.
    """
    plan, geometry = prepared.plan, runtime.geometry
    module = runtime.module(text_of(plan.program, exact))
    table = runtime.allocate(prepared.words.nbytes)
    words = prepared.words.copy()
    for one in plan.table.launches:
        words[one.at] = table.address  # word 0 is the status
    runtime.upload(words, table)
    for one in plan.table.launches:
        kernel = kernel_name(one.loop)
        grid = (geometry.grid_of_rows(n), one.n_instances)
        with _naming_features(plan):
            at = table.address + 8 * one.at
            runtime.launch(module, kernel, grid, geometry.block, at, first, n)
    status = np.zeros(1, np.int64)
    with _naming_features(plan):
        runtime.download(table, status)
        runtime.synchronize()
    return int(status[0])


@contextmanager
def _naming_features(plan: DeviceProgram) -> Generator[None]:
    """Add to the error of kernels which features they compute."""
    try:
        yield
    except KernelFailed as error:
        names = [name for name in plan.features_of(error.kernels) if name]
        if not names:  # what fit learns from has no name
            raise
        computes = "it computes" if len(error.kernels) == 1 else "they compute"
        raise KernelFailed(f"{error}; {computes} {shortened(names)}", error.kernels) from error
