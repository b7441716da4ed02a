"""Running the hand-written kernels on our threads, and into how many parts it pays to divide."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from fastfeat_kernels.column import Call, Run

from fastfeat.backends.cpu.compile import written_kernel
from fastfeat.backends.cpu.threads import num_threads, run_tasks

SERIAL_BELOW = 1 << 16
PARTS_PER_THREAD = 2


def n_parts(n_rows: int) -> int:
    """Return into how many runs of rows a column is divided: one, where threads would not pay."""
    return 1 if n_rows < SERIAL_BELOW else PARTS_PER_THREAD * num_threads()


@cache
def runner(folder: str) -> Run:
    """Return what runs the calls of a hand-written kernel on our threads."""
    kernel_of = cache(partial(written_kernel, folder))

    def run(element: str, sequences: Sequence[Sequence[Call]]) -> None:
        kernel = kernel_of(element)

        def work(calls: Sequence[Call]) -> None:
            for call in calls:
                kernel(call.table.ctypes.data, call.first, call.n)

        run_tasks([lambda calls=calls: work(calls) for calls in sequences])

    return run
