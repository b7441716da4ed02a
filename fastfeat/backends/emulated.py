"""The GPU backend without a card: the same CUDA text through g++, for tests and kernel authors."""

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
    """Return the runtime of the kernels: threads one after the other, unless `running_on` says how.

    Raises:
        BackendUnavailable: there is no g++.
    """
    return _chosen.get() or _in_order()


@cache
def _in_order() -> EmulatedRuntime:
    return EmulatedRuntime()


@contextmanager
def running_on(chosen: Runtime) -> Generator[None]:
    """Run kernels in the order, with the memory and with the checks of a runtime."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


BACKEND = device_backend("emulated", runtime)
