"""Compiling generated modules and hand-written kernels; Numba is imported only for that."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from importlib import import_module
from typing import Any

from fastfeat_kernels.load import Kernel

from fastfeat.engine.cpu.cache import cached_kernel, kernel_key, warn_once

import_module("concurrent.futures.thread")  # Numba needs it, and at exit it is too late for it


def generated_kernel(text: str) -> Kernel:
    """Return the kernel of a generated module: of the `entry` that it defines."""
    return cached_kernel(text, lambda: _compile(_entry_of(text)))


def written_kernel(folder: str, entry: str) -> Kernel:
    """Return a hand-written kernel: `entry` of `fastfeat_kernels.<folder>.cpu`."""
    module = f"fastfeat_kernels.{folder}.cpu"
    return generated_kernel(f'from {module} import ENTRIES\n\nentry = ENTRIES["{entry}"]\n')


def assembly(text: str) -> str:
    """Return the assembly text of a generated module, for tests that count instructions."""
    from fastfeat_kernels.compile import assembly_of

    return assembly_of(_entry_of(text))


def _entry_of(text: str) -> Callable[..., int]:
    """Return the function `entry` of a generated module; tracebacks show its text."""
    name = f"<fastfeat {kernel_key(text)[:12]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"__name__": name}
    exec(compile(text, name, "exec"), scope)
    return scope["entry"]


def _compile(entry: Callable[..., int]) -> tuple[bytes, str] | Kernel:
    """Return object code; a kernel of this process alone where the code cannot leave it."""
    from fastfeat_kernels.compile import NotCacheable, compile_entry, kernel_of_process

    try:
        return compile_entry(entry)
    except (NotCacheable, AttributeError) as error:
        warn_once("kernels that cannot be kept", _reason(error))
        return kernel_of_process(entry)


def _reason(error: Exception) -> str:
    """Return the reason for which compiled kernels last no longer than this process."""
    import numba

    if isinstance(error, AttributeError):  # its private interface has moved
        why = f"this version of Numba, {numba.__version__}, is not known: {error}"
        todo = "Install an older Numba or a newer fastfeat"
    else:
        why = f"on this processor they call functions of other libraries, {error}"
        todo = "If NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is set, remove it"
    return (
        f"compiled kernels cannot be kept for other processes ({why}); each process compiles its "
        f"own. Results are the same. {todo}"
    )
