"""The libraries that results are of: pandas, Polars and torch, imported when one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fastfeat.errors import LibraryUnavailable


def library(name: str) -> Any:
    """Return a library, which is `Any` to a type checker whether it is installed or not.

    Args:
        name: "pandas", "polars" or "torch", which is also the name of the extra that installs it.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # something that the library needs itself
            raise
        raise LibraryUnavailable(
            f"to={name!r} needs the package {name}, which is not installed. Install "
            f"fastfeat[{name}], or use to='arrow' or to='numpy', which need nothing more"
        ) from None
