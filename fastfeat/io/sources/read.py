"""Any kind of table that a user passes, as a pyarrow Table: the input of every plan."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fastfeat.io import host_memory
from fastfeat.io.arrow import Schema, Table, pa
from fastfeat.io.sources import files
from fastfeat.io.sources.strided import RunTasks, run_in_turn
from fastfeat.io.sources.tables import select, table_in_memory
from fastfeat.progress import show_progress


def read_table(
    data: Any, columns: Sequence[str] | None = None, run: RunTasks = run_in_turn
) -> Table:
    """Return data of any kind as a pyarrow Table, without a copy if Arrow has the same layout.

    Example:
        >>> import numpy as np
        >>> read_table({"x": np.arange(3.0), "y": [1, None, 3]}, ["y"]).to_pydict()
        {'y': [1, None, 3]}
    """
    match data:
        case pa.Table():
            return select(data, columns)
        case _ if not is_in_parts(data):
            return table_in_memory(data, columns, run)
        case str() | os.PathLike() if is_one_file(cast("str", data)):
            path = Path(cast("str", data))
            with show_progress(f"reading {path}"):
                return files.read_file(path, columns)
        case _:
            return _read_whole(data, columns)


def _read_whole(data: Any, columns: Sequence[str] | None) -> Table:
    """Return the rows of all files, or of the tables that a function opens, as one table."""
    from fastfeat.io.sources.dataset import dataset_of  # rarely needed
    from fastfeat.io.sources.scan import scan

    with show_progress("reading files"):
        (scanned,) = scan(dataset_of(data), columns, sys.maxsize)
        return scanned.table


def is_in_parts(data: Any) -> bool:
    """Return whether data is paths of files, or a function that opens them, rather than a table."""
    if isinstance(data, list | tuple):
        given = cast("Sequence[object]", data)
        return bool(given) and all(isinstance(path, str | os.PathLike) for path in given)
    return isinstance(data, str | os.PathLike) or (callable(data) and not isinstance(data, type))


def may_be_large(data: Any) -> bool:
    """Return whether data is files that may exceed free memory, judged by their size on disk."""
    if not is_in_parts(data) or callable(data):
        return False
    path = cast("str", data)
    if isinstance(data, str | os.PathLike) and is_one_file(path):
        n_bytes = os.path.getsize(path) if os.path.isfile(path) else 0
    else:
        from fastfeat.io.sources.dataset import bytes_on_disk  # rarely needed

        n_bytes = bytes_on_disk(data)
    free = host_memory.free_memory()
    return free is not None and n_bytes * _MOST_GROWTH > free


def is_one_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path can only be a single file: not a folder, pattern or address."""
    text = os.fspath(path)
    if "://" in text or os.path.isdir(text):
        return False
    return os.path.exists(text) or not any(sign in text for sign in "*?[")


def schema_in_parts(data: Any) -> Schema:
    """Return the Arrow schema of files, or of a function that opens them, without reading rows.

    For one CSV file the types are inferred from its start; several CSV files are read completely.
    """
    from fastfeat.io.sources.dataset import dataset_of  # rarely needed

    if isinstance(data, str | os.PathLike) and is_one_file(cast("str", data)):
        return files.file_schema(Path(cast("str", data)))
    return dataset_of(data).schema


def column_names(data: Any) -> list[str] | None:
    """Return the column names of data of any kind without reading rows; None if impossible.

    `data` is any data that `read_table` takes, including a reader that was already read.
    """
    match data:
        case _ if is_in_parts(data):
            return schema_in_parts(data).names
        case Mapping():
            return [name for name in cast("Mapping[Any, Any]", data) if isinstance(name, str)]
        case [batch, *_]:
            return column_names(batch)
        case _:
            arrow = isinstance(getattr(data, "schema", None), pa.Schema)
            listed: Any = data.schema.names if arrow else getattr(data, "columns", None)
            return None if listed is None else [name for name in listed if isinstance(name, str)]


_MOST_GROWTH = 32
"""Largest assumed ratio of a file's columns in memory to its bytes on disk."""
