"""The library that a module of this package is for, imported by the first use of that module."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def library(name: str, extra: str | None = None) -> Any:
    """Return a module of another library.

    It is `Any` to a type checker, with and without the library.

    Args:
        name: of the module, such as "lightgbm".
        extra: of fastfeat, which installs it; None where it has that name.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # something that the library needs itself
            raise
        install = f"pip install 'fastfeat[{extra or name}]'"
        raise ModuleNotFoundError(f"{name} is not installed: {install}", name=name) from None
