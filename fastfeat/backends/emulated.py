"""The GPU backend without a GPU: its CUDA code compiled by g++, for tests and kernel authors."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from fastfeat.backends.device import device_backend
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Runtime

_chosen: ContextVar[Runtime | None] = ContextVar("emulated_runtime", default=None)


def runtime() -> Runtime:
    """Return the runtime that runs the kernels, with CUDA threads in sequence.

    In a block of `use_runtime` it is the runtime that was given there.

    Raises:
        BackendUnavailable: g++ is missing.
    """
    return _chosen.get() or _in_order()


@cache
def _in_order() -> EmulatedRuntime:
    return EmulatedRuntime()


@contextmanager
def use_runtime(chosen: Runtime) -> Generator[None]:
    """Run kernels inside the `with` block with another runtime.

    Runtimes differ in the order of threads, in memory and in checks.
    """
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


BACKEND = device_backend("emulated", runtime)
