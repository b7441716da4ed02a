"""Interning: nodes with equal fields are one object, so common subexpressions are free."""

from __future__ import annotations

import os
import struct
import threading
from typing import Any
from weakref import WeakValueDictionary

_POOL: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
_lock = threading.Lock()


def identity_key(value: object) -> object:
    """Return a hashable key that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    kind = type(value)
    if kind is tuple:
        return tuple(map(identity_key, value))  # type: ignore[arg-type]  # pyright: ignore
    if kind is float:
        return kind, struct.pack("<d", value)
    return (kind, value) if kind is int or kind is bool else value


class Interned(type):
    """Metaclass of frozen dataclasses: calling the class returns the one node with these fields."""

    def __call__(cls, *fields: Any) -> Any:
        """Return the interned node; fields are positional and complete."""
        key = (cls, *[identity_key(field) for field in fields])
        with _lock:
            node = _POOL.get(key)
            if node is None:
                node = super().__call__(*fields)
                _POOL[key] = node
            return node


def _unlock() -> None:
    """Give a forked child its own lock: the old one may be held by a thread that is gone."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
