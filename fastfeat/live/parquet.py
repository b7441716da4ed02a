"""Export of a state's log to a Parquet file, and import of such a file.

Any Parquet reader sees the rows in order of arrival. The metadata holds facts that only a state
needs: the names of the stored window results, digests of the plans that computed them, the offset
reached in each source, and the times up to which rows of silent entities were dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from fastfeat.errors import InvalidData, StateError, reason_of
from fastfeat.io.arrow import Table, pa, parquet_module
from fastfeat.io.sinks import atomic
from fastfeat.keep.artifact import fitted_digest
from fastfeat.live.file.state_file import path_of
from fastfeat.live.lower.live_plan import LivePlan
from fastfeat.live.lower.row_tables import given_type, rows_table, typed
from fastfeat.live.opening import recompute_base
from fastfeat.live.state.changes import ANSWERED, Base, Settings
from fastfeat.live.state.memory import lowered_name
from fastfeat.live.state.state import LiveState

_KEY = b"fastfeat.state"
_FORMAT = 1


def export(state: LiveState, path: str | os.PathLike[str]) -> None:
    """Write the log of a state as a Parquet file, whole or not at all; replaces an existing file.

    Raises:
        StateError: The file cannot be written, or no row has come yet.
        InvalidData: The path does not end in .parquet.
        TypeMismatch: `path` is no path.
    """
    base, target = state.base(), path_of(path)
    if target.suffix != ".parquet":
        raise InvalidData(f"{target}: a state is exported as Parquet: name.parquet")
    if base.rows is None:
        raise StateError(f"{target}: the state has no rows yet, so there is nothing to export")
    told = {
        "format": _FORMAT,
        "kept": [*state.lowered.kept],
        "plans": _digests(state.lowered),
        "offsets": dict(base.offsets),
        "swept": list(base.swept),
    }
    rows = base.rows.replace_schema_metadata({_KEY: json.dumps(told).encode()})
    try:
        with atomic.replace_file(target) as partial, open(partial, "xb") as file:
            parquet_module().write_table(rows, file, compression="zstd")
    except (OSError, pa.ArrowException) as error:
        reason = reason_of(error)
        raise StateError(f"{target}: the file cannot be written: {reason}") from None


def read_export(
    given: object, lowered: LivePlan, settings: Settings, tables: Mapping[str, Table]
) -> Base | None:
    """Return the content of a state that `export` wrote to a file; None if `given` is no such file.

    If the plans are the same as at export, stored window results are taken from the file; otherwise
    they are computed anew from the rows. `tables` are the lookup tables of the new state.

    Raises:
        StateError: The file is from a newer version, or cannot be read.
        UnknownColumn, TypeMismatch: A column that the plans read is absent, or has another type.
    """
    read = _read(given)
    if read is None:
        return None
    rows, told = read
    row_id = lowered.row_id
    passed = [name for name in (row_id, ANSWERED) if name is not None and name in rows.column_names]
    passed += [n for n in map(lowered_name, range(len(lowered.orders))) if n in rows.column_names]
    known = rows_table(rows, lowered.columns, lowered.late, passed)
    if told["plans"] != _digests(lowered):
        return recompute_base(Base(known, tables, told["offsets"]), lowered, settings)
    for name, dtype in lowered.kept_types.items():
        known = known.append_column(
            pa.field(name, given_type(dtype)), typed(rows.column(name), name, dtype)
        )
    return Base(known, tables, told["offsets"], told["swept"])


def _read(given: object) -> tuple[Table, Any] | None:
    """Return the rows and the metadata of an exported file; None if it is no exported file."""
    if not isinstance(given, (str, os.PathLike)):
        return None
    path = Path(cast("str", given))
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"PAR1":
                return None
        with parquet_module().ParquetFile(path) as file:
            metadata: dict[bytes, bytes] = file.schema_arrow.metadata or {}
            told = metadata.get(_KEY)
            return None if told is None else (file.read(), _state_document(told, path))
    except (pa.ArrowException, OSError):
        return None  # whoever reads histories reports the error


def _state_document(content: bytes, path: Path) -> dict[str, Any]:
    try:
        given: dict[str, Any] = json.loads(content)
        known = given["format"]
    except (ValueError, KeyError, TypeError):
        raise StateError(
            f"{path}: the file is damaged: its metadata about the state cannot be read"
        ) from None
    if known != _FORMAT:
        raise StateError(
            f"{path}: the state in this file has format {known}, which this version of fastfeat "
            "does not know. Update fastfeat"
        )
    return given


def _digests(lowered: LivePlan) -> dict[str, str]:
    return {name: fitted_digest(fitted).hex() for name, fitted in lowered.plans.items()}
