"""Interning: nodes with equal fields are one object, so common subexpressions are free."""

from __future__ import annotations

import copyreg
import os
import struct
import threading
from dataclasses import fields
from typing import Any
from weakref import WeakValueDictionary

_POOL: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
_lock = threading.Lock()
_TOLD_APART = frozenset({tuple, float, int, bool})


def identity_key(value: object) -> object:
    """Return a hashable key that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    kind = type(value)
    if kind not in _TOLD_APART:
        return value
    if kind is tuple:
        return _keys(value)  # type: ignore[arg-type]  # pyright: ignore
    return kind, struct.pack("<d", value) if kind is float else value


def _keys(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the key of each field; most are names and nodes, and are their own."""
    if _TOLD_APART.isdisjoint(map(type, fields)):
        return fields
    return tuple([f if type(f) not in _TOLD_APART else identity_key(f) for f in fields])


class Interned(type):
    """Metaclass of frozen dataclasses: calling the class returns the one node with these fields."""

    def __init__(cls, *args: Any, **kwargs: Any) -> None:
        """Have pickle and copy make nodes by calling the class."""
        super().__init__(*args, **kwargs)
        copyreg.pickle(cls, _again)

    def __call__(cls, *fields: Any) -> Any:
        """Return the interned node; fields are positional and complete."""
        key = cls, *_keys(fields)
        with _lock:
            node = _POOL.get(key)
            if node is None:
                node = super().__call__(*fields)
                _POOL[key] = node
            return node


def _again(node: Any) -> tuple[Any, ...]:
    """Return the call by which pickle and copy make a node: its class returns the existing one."""
    values = tuple(getattr(node, field.name) for field in fields(node) if field.init)
    return type(node), values  # pyright: ignore[reportUnknownVariableType]


def _unlock() -> None:
    """Give a forked child its own lock: the old one may be held by a thread that is gone."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
