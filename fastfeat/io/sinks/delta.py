"""Writing Delta tables: the transaction log over Parquet files.

Only this module imports deltalake.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastfeat.errors import OutputError, TypeMismatch
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.io.columns.common_types import cast_to_schema, common_type
from fastfeat.io.libraries import library
from fastfeat.io.sinks import atomic
from fastfeat.io.sinks.manifest import Manifest, WrittenFile
from fastfeat.io.sources.locations import MISSING


def in_delta_types(table: Table) -> Table:
    """Return rows in Delta's types: signed integers, no float16, times in microseconds of UTC.

    Raises:
        TypeMismatch: Delta has no type for a column, or its type cannot hold a value.
    """
    fields = [field.with_type(_type_in_delta(field.name, field.type)) for field in table.schema]
    return cast_to_schema(table, pa.schema(fields), "Delta")


def _type_in_delta(name: str, given: DataType) -> DataType:
    """Return the type of a column in a Delta table."""
    types = pa.types
    if types.is_time(given) or types.is_duration(given) or types.is_null(given):
        raise TypeMismatch(f"{name!r} is {given}, and Delta has no such type. Make it a number")
    return pa.float32() if types.is_float16(given) else common_type(given)


def commit(folder: Path, manifest: Manifest, schema: Schema) -> None:
    """Write the first entry of a Delta table's transaction log, which lists all files of the table.

    `folder` must not have a log yet. `schema` includes the columns in the names of folders.

    Raises:
        LibraryUnavailable: deltalake is not installed.
        OutputError: deltalake refuses.
    """
    found = _library()
    transaction: Any = importlib.import_module("deltalake.transaction")
    actions = [_action(transaction, file) for file in manifest.files]
    try:
        transaction.create_table_with_add_actions(
            str(folder),
            found.Schema.from_arrow(schema),
            actions,
            mode="error",
            partition_by=list(manifest.contents.partition_by),
        )
    except Exception as error:  # the Rust library has its own exception types
        raise OutputError(f"deltalake cannot create a table in {folder}: {error}") from error
    atomic.sync_below(folder / "_delta_log")


def _action(transaction: Any, file: WrittenFile) -> Any:
    """Return the entry of a file in the transaction log."""
    values: dict[str, str | None] = {}
    for part in file.name.split("/")[:-1]:
        name, _, value = part.partition("=")
        values[unquote(name)] = None if value == MISSING else unquote(value)
    stats = json.dumps({"numRecords": file.n_rows})
    return transaction.AddAction(file.name, file.n_bytes, values, 0, True, stats)


def check_installed() -> None:
    """Raise LibraryUnavailable, with the package to install, unless deltalake is installed."""
    _library()


def _library() -> Any:
    return library(
        "deltalake",
        "format='delta' needs the package deltalake, which is not installed. Install it with "
        "pip install 'fastfeat[delta]', or use format='parquet'",
    )
