"""What keeps memory of a device, and what notices its end.

An interrupt, such as Ctrl-C, may be raised between any two lines of Python, so that the end of an
owner is noticed by none: what the interpreter calls then is written in C.
"""

from __future__ import annotations

import weakref


class Owner:
    """What buffers refer to; its end gives the memory back."""

    __slots__ = ("__weakref__",)


class Watch(weakref.ref[Owner]):
    """A weak reference to an owner that says which memory it keeps.

    Make it with the `append` of a deque, which holds it when the owner is gone.
    """

    __slots__ = ("address", "kept", "n_bytes")

    address: int
    """Of the first byte."""
    n_bytes: int
    kept: object
    """What else is needed to give the memory back."""
