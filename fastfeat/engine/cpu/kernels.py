"""Compile hand-written kernels by Numba, and run them on the thread pool.

Numba is imported only for compiling. This module also decides into how many row ranges to split
work. A kernel is known by its folder and entry: function `entry` of
`fastfeat_kernels.<folder>.cpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib import import_module

from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.load import LoadedKernel

from fastfeat.engine.cpu import threads
from fastfeat.engine.cpu.cache import (
    cached_kernel,
    digest_of_sources,
    is_compiled,
    object_of,
    recipe_of_written,
    tell_foreign,
    tell_not_kept,
)
from fastfeat.first_use import import_object
from fastfeat.progress import show_progress


def written_kernel(folder: str, entry: str) -> LoadedKernel:
    """Return a hand-written kernel, loaded or compiled on first use."""
    return cached_kernel(recipe_of_written(folder, entry), lambda: _compile(folder, entry))


def is_written_kernel_compiled(folder: str, entry: str) -> bool:
    """Return whether a hand-written kernel is available, in this process or on disk."""
    return is_compiled(recipe_of_written(folder, entry))


def written_object(folder: str, entry: str) -> tuple[bytes, str]:
    """Return the object code of a hand-written kernel and its symbol, to be kept in the package."""
    from fastfeat_kernels.compile import compile_entry

    recipe = recipe_of_written(folder, entry)
    return object_of(recipe, lambda: compile_entry(_entry_of(folder, entry)))


def sources_of_written(folder: str, entry: str) -> str:
    """Return a digest of everything that a hand-written kernel is compiled from."""
    return digest_of_sources(recipe_of_written(folder, entry))


def _entry_of(folder: str, entry: str) -> Callable[..., int]:
    return import_module(f"fastfeat_kernels.{folder}.cpu").ENTRIES[entry]


def _compile(folder: str, entry: str) -> tuple[bytes, str] | LoadedKernel:
    """Return object code and its symbol name, or a loaded kernel if the code cannot be stored."""
    from fastfeat_kernels.compile import compile_entry, kernel_of_process
    from fastfeat_kernels.llvm import NotCacheable

    function = _entry_of(folder, entry)
    try:
        return compile_entry(function)
    except NotCacheable as error:
        tell_foreign(error)
    except AttributeError as error:  # Numba's private interface has changed
        import numba

        why = f"this version of Numba, {numba.__version__}, is not supported: {error}"
        tell_not_kept(why, "Install an older Numba or a newer fastfeat")
    return kernel_of_process(function)


SERIAL_BELOW = 1 << 16
PARTS_PER_THREAD = 2


def n_parts(n_rows: int) -> int:
    """Return the number of row ranges to split `n_rows` rows into: 1 if threads would not pay."""
    return 1 if n_rows < SERIAL_BELOW else PARTS_PER_THREAD * threads.num_threads()


def n_tables(n_rows: int) -> int:
    """Return the number of row ranges to split rows into, if each fills its own hash table.

    There is one range per thread. More ranges would balance the threads better, but the cache that
    their tables take costs more.
    """
    return max(n_parts(n_rows) // PARTS_PER_THREAD, 1)


_BY_ROWS = ("grouped", "vocabulary", "windows")
"""Folders with a layout that names further kernels, which only larger data needs."""


def by_rows(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the further kernels that only larger data needs, as (folder, entry).

    `names` are kernels that already ran, such as "windows.compute"; their folders are searched.
    """
    folders = dict.fromkeys(name.partition(".")[0] for name in names)
    return [
        (folder, entry)
        for folder in folders
        if folder in _BY_ROWS
        for entry in import_object(f"fastfeat_kernels.{folder}.layout:BY_ROWS")
    ]


def make_ready(wanted: Sequence[tuple[str, str]]) -> None:
    """Load or compile kernels, given as (folder, entry), so that their first run is fast."""
    with show_progress("loading kernels for larger data", len(wanted), "kernels") as step:
        for k, (folder, entry) in enumerate(wanted):
            step(k)
            _kernel_of(folder, entry)


def forget_kernels() -> None:
    """Forget loaded kernels; their next use looks for them again, in this process and on disk."""
    _kernel_of.cache_clear()


_kernel_of = cache(written_kernel)


@cache
def runner(folder: str) -> CallRunner:
    """Return the function that runs calls of a hand-written kernel on the thread pool."""
    kernel_of = partial(_kernel_of, folder)

    def run(element: str, sequences: Sequence[Sequence[KernelRowCall]]) -> None:
        kernel = kernel_of(element)

        def work(calls: Sequence[KernelRowCall]) -> None:
            for call in calls:
                kernel(call.table.ctypes.data, call.first, call.n)

        if len(sequences) == 1:  # without the pool: saves 5 of 15 us for few rows
            work(sequences[0])
        else:
            threads.run_tasks([lambda calls=calls: work(calls) for calls in sequences])

    return run
