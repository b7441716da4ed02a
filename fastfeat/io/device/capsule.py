"""Python capsules, in which libraries pass addresses to each other."""

from __future__ import annotations

import ctypes
from typing import Any

_api: Any = ctypes.pythonapi
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", _api)
)


def pointer_in(capsule: object, name: bytes) -> int:
    """Return the address in a capsule.

    Raises:
        ValueError: It is not a capsule, or has another name.
    """
    address = _pointer(capsule, name)
    assert address is not None  # a capsule never holds a null pointer
    return address


def rename(capsule: object, name: bytes) -> None:
    """Rename a capsule; `name` must be a constant, because a capsule does not copy it."""
    _set_name(capsule, name)
