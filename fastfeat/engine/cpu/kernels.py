"""Running the hand-written kernels on our threads, and into how many parts it pays to divide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial

from fastfeat_kernels.column import Call, Run
from fastfeat_kernels.grouped import layout as grouped
from fastfeat_kernels.vocabulary import layout as vocabulary
from fastfeat_kernels.windows import layout as windows

from fastfeat.engine.cpu.compile import written_kernel
from fastfeat.engine.cpu.threads import num_threads, run_tasks
from fastfeat.progress import doing

SERIAL_BELOW = 1 << 16
PARTS_PER_THREAD = 2


def n_parts(n_rows: int) -> int:
    """Return into how many runs of rows a column is divided: one, where threads would not pay."""
    return 1 if n_rows < SERIAL_BELOW else PARTS_PER_THREAD * num_threads()


_BY_ROWS = {
    "grouped": grouped.BY_ROWS,
    "vocabulary": vocabulary.BY_ROWS,
    "windows": windows.BY_ROWS,
}


def by_rows(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the kernels that more rows may ask for, by folder and entry, where some were run.

    Args:
        names: of those that were run, such as "windows.compute".
    """
    folders = dict.fromkeys(name.partition(".")[0] for name in names)
    return [(folder, entry) for folder in folders for entry in _BY_ROWS.get(folder, ())]


def make_ready(wanted: Sequence[tuple[str, str]]) -> None:
    """Load kernels, or compile them, before they are run.

    Args:
        wanted: folder and entry of each.
    """
    with doing("kernels for more rows", len(wanted), "kernels") as step:
        for k, (folder, entry) in enumerate(wanted):
            step(k)
            _kernel_of(folder, entry)


def forget_kernels() -> None:
    """Look kernels up anew, in this process and on disk, when they are run next."""
    _kernel_of.cache_clear()


_kernel_of = cache(written_kernel)


@cache
def runner(folder: str) -> Run:
    """Return the function that runs the calls of a hand-written kernel on our threads."""
    kernel_of = partial(_kernel_of, folder)

    def run(element: str, sequences: Sequence[Sequence[Call]]) -> None:
        kernel = kernel_of(element)

        def work(calls: Sequence[Call]) -> None:
            for call in calls:
                kernel(call.table.ctypes.data, call.first, call.n)

        if len(sequences) == 1:  # no thread is asked to help: 5 of the 15 us that few rows take
            work(sequences[0])
        else:
            run_tasks([lambda calls=calls: work(calls) for calls in sequences])

    return run
