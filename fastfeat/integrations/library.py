"""Import of the library that a module of this package integrates, at the module's first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def library(name: str, extra: str | None = None) -> Any:
    """Import a module of another library, and return it as `Any`, without its types.

    `extra` is the name in `pip install fastfeat[extra]` that installs it; None means `name`.

    Raises:
        ModuleNotFoundError: It is not installed. The message says how to install it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # a dependency of the library is missing
            raise
        install = f"pip install 'fastfeat[{extra or name}]'"
        raise ModuleNotFoundError(f"{name} is not installed: {install}", name=name) from None
