"""The version of NVIDIA's driver, read without CuPy and without starting CUDA."""

from __future__ import annotations

import ctypes
from functools import cache

_LIBRARY = "libcuda.so.1"


@cache
def driver_version() -> tuple[int, int] | None:
    """Return the CUDA version of the driver, such as (13, 0); None without a driver."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    version = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return version_of(version.value)


def version_of(number: int) -> tuple[int, int]:
    """Return major and minor of a version number in CUDA's form.

    Example:
        >>> version_of(13020)
        (13, 2)
    """
    return number // 1000, number % 1000 // 10
