"""Features of a stream: Kafka in, and out to Kafka, Valkey or Redis, and Parquet.

`run` is the command `fastfeat stream CONFIG.toml`; the module `config` lists every key. The command
line and the demos import this folder. It imports the API, `live` and the layers below them.

The names of this package are imported on first use, because the libraries for streams are optional.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastfeat.apps.stream.config import Config
    from fastfeat.apps.stream.config_file import config_of, read_config
    from fastfeat.apps.stream.packed import PackedRow, entity_key, read_packed
    from fastfeat.apps.stream.repeats import drop_repeated_rows, drop_repeats
    from fastfeat.apps.stream.runner import Summary, run
    from fastfeat.apps.stream.to_parquet import read_features

__all__ = [
    "Config",
    "PackedRow",
    "Summary",
    "config_of",
    "drop_repeated_rows",
    "drop_repeats",
    "entity_key",
    "read_config",
    "read_features",
    "read_packed",
    "run",
]
_MODULES = {
    "Config": "config",
    "PackedRow": "packed",
    "Summary": "runner",
    "config_of": "config_file",
    "drop_repeated_rows": "repeats",
    "drop_repeats": "repeats",
    "entity_key": "packed",
    "read_config": "config_file",
    "read_features": "to_parquet",
    "read_packed": "packed",
    "run": "runner",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
