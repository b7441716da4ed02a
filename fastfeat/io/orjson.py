"""JSON by orjson: the one module that imports it."""

from __future__ import annotations

import importlib
from typing import Any

from fastfeat.errors import LibraryUnavailable


def orjson_module(extra: str) -> Any:
    """Return the module `orjson`.

    Args:
        extra: that brings it to who asks.

    Raises:
        LibraryUnavailable: it is not installed.
    """
    try:
        return importlib.import_module("orjson")
    except ModuleNotFoundError as error:
        if error.name != "orjson":
            raise
        raise LibraryUnavailable(
            f"orjson is not installed: pip install 'fastfeat[{extra}]'"
        ) from None
