"""Import on demand of optional libraries, which are not installed with fastfeat."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastfeat.errors import LibraryUnavailable


def library(name: str, lacking: str) -> Any:
    """Return a library's module, imported now.

    Its type is `Any`, so that type checking does not depend on its installation. `lacking` is the
    error message if it is not installed, with the package to install.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # a dependency of the library is missing
            raise
        raise LibraryUnavailable(lacking) from None


def orjson_module(extra: str) -> Any:
    """Return the module `orjson`; `extra` is the extra that installs it for the caller."""
    return library("orjson", f"orjson is not installed: pip install 'fastfeat[{extra}]'")
