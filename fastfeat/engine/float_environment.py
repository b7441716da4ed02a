"""The floating-point environment of a thread: IEEE 754 while Python computes for a plan.

Kernels set it themselves. A library linked with -ffast-math turns on flush-to-zero for its process,
which would change the results that `fit` computes in Python.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from fastfeat.errors import FloatsChanged, warn

P = ParamSpec("P")
R = TypeVar("R")
_SUBNORMAL, _SMALLEST_NORMAL, _HALF = 2.0**-1050, 2.0**-1022, 0.5
_ONE, _MORE_THAN_HALF_ULP, _NEXT = 1.0, 1.5 * 2.0**-53, 1.0 + 2.0**-52
_ENVIRONMENT_BYTES = 256  # more than a fenv_t takes on any platform


def is_ieee() -> bool:
    """Return whether this thread keeps subnormal numbers and rounds to nearest."""
    return (
        _SUBNORMAL != 0.0
        and _SMALLEST_NORMAL * _HALF != 0.0
        and _ONE + _MORE_THAN_HALF_ULP == _NEXT
        and -_ONE - _MORE_THAN_HALF_ULP == -_NEXT
    )


def with_ieee_arithmetic(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function`, changed to run in the IEEE environment.

    A call costs 0.1 us more if that environment is set already.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if is_ieee():
            return function(*args, **kwargs)
        library, default = _c_environment()
        if library is None:
            warn(
                "a library has changed how this process computes with floats (flush-to-zero), and "
                "fastfeat cannot undo that on this system: very small numbers may differ",
                FloatsChanged,
                getattr(args[0], "told", None) if args else None,  # of a fitted plan
            )
            return function(*args, **kwargs)
        with _environment(library, default):
            return function(*args, **kwargs)

    return run


@contextmanager
def _environment(library: ctypes.CDLL, default: ctypes.c_void_p) -> Generator[None]:
    """Set C's default floating-point environment in a `with` block; restore the previous one."""
    before = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    library.fegetenv(before)
    library.fesetenv(default)
    try:
        yield
    finally:
        library.fesetenv(before)


@cache
def _c_environment() -> tuple[ctypes.CDLL | None, ctypes.c_void_p]:
    """Return the C library and its FE_DFL_ENV: on Linux -1, on macOS a variable."""
    try:
        library = ctypes.CDLL("libm.so.6" if sys.platform == "linux" else None)
        if sys.platform == "darwin":
            return library, ctypes.c_void_p(
                ctypes.addressof(ctypes.c_char.in_dll(library, "_FE_DFL_ENV"))
            )
        return (library if sys.platform == "linux" else None), ctypes.c_void_p(-1)
    except (OSError, ValueError, TypeError):  # TypeError: Windows has no library named None
        return None, ctypes.c_void_p(-1)
