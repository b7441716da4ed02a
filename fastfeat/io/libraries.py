"""Libraries that are not installed with fastfeat: imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastfeat.errors import LibraryUnavailable


def library(name: str, lacking: str) -> Any:
    """Return a library, which is `Any` to a type checker whether it is installed or not.

    Args:
        name: of its module.
        lacking: what is said where it is not installed, and what to install.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # something that the library needs itself
            raise
        raise LibraryUnavailable(lacking) from None


def orjson_module(extra: str) -> Any:
    """Return the module `orjson`.

    Args:
        extra: that brings it to who asks.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    return library("orjson", f"orjson is not installed: pip install 'fastfeat[{extra}]'")
