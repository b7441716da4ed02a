"""The GPU backend without a card: the same CUDA text built by g++, for tests and kernel authors."""

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
    """Return the runtime of the kernels; threads run in sequence unless `running_on` is active.

    Raises:
        BackendUnavailable: g++ is missing.
    """
    return _chosen.get() or _in_order()


@cache
def _in_order() -> EmulatedRuntime:
    return EmulatedRuntime()


@contextmanager
def running_on(chosen: Runtime) -> Generator[None]:
    """Run kernels with another runtime in the block: its thread order, memory and checks."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


BACKEND = device_backend("emulated", runtime)
