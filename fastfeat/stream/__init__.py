"""Features of a stream: Kafka in, and out to Kafka, Valkey or Redis, and Parquet.

`run` is the command `fastfeat stream CONFIG.toml`; the module `config` lists every key. The command
line and the demos import this folder; it imports `serve`, `online`, `plan` and what is below.

Names are loaded when they are used: the libraries of streams are extras.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastfeat.stream.config import Config
    from fastfeat.stream.reading import config_of, read_config
    from fastfeat.stream.runner import Summary, run

__all__ = ["Config", "Summary", "config_of", "read_config", "run"]
_MODULES = {
    "Config": "config",
    "Summary": "runner",
    "config_of": "reading",
    "read_config": "reading",
    "run": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
