"""Tab completion that offers only the methods and attributes that are for users."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static, isfunction
from typing import Any, TypeVar

from fastfeat.first_use import OnFirstUse

C = TypeVar("C", bound=type)


def with_completion(*attributes: str, without: tuple[str, ...] = ()) -> Callable[[C], C]:
    """Return a class decorator that limits `dir` of instances, and so tab completion.

    `dir` then lists the public methods, the named attributes, and names that begin with "_".

    Example:
        >>> @with_completion("shown")
        ... class Thing:
        ...     shown, internal = 1, 2
        ...
        ...     def method(self): ...
        >>> [name for name in dir(Thing()) if not name.startswith("_")]
        ['method', 'shown']
    """

    def of_class(cls: C) -> C:
        def names(self: Any) -> list[str]:
            """Return the names that users need, and those that begin with an underscore."""
            return [
                name
                for name in object.__dir__(self)
                if name.startswith("_")
                or name in attributes
                or (name not in without and _is_method(cls, name))
            ]

        setattr(cls, "__dir__", names)  # noqa: B010  # checkers would take any name
        return cls

    return of_class


def _is_method(cls: type, name: str) -> bool:
    found = getattr_static(cls, name, None)
    return isfunction(found) or isinstance(found, staticmethod | classmethod | OnFirstUse)
