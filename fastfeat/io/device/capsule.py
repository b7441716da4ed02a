"""The capsules of Python, by which libraries hand each other addresses."""

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
        ValueError: it is no capsule, or one of another name.
    """
    address = _pointer(capsule, name)
    assert address is not None  # a capsule holds no null pointer
    return address


def rename(capsule: object, name: bytes) -> None:
    """Give a capsule another name, a constant: a capsule does not copy it."""
    _set_name(capsule, name)
