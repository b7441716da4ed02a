"""Rows split by the values of columns into Hive-style folders `name=value`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, did_you_mean
from fastfeat.io.arrow import Schema, Table, call, options_of, pa
from fastfeat.io.sources.locations import MISSING

MOST = 1_000
"""Maximum folders per part: a file in each is open while the part is written."""


@dataclass(frozen=True, slots=True)
class FolderRows:
    """The rows of one folder, in order.

    Args:
        folder: Its path, with slashes; "" if rows are not split.
        rows: The rows, without the columns that the folder's name contains.
    """

    folder: str
    rows: Table


def check_columns(columns: Sequence[str], schema: Schema) -> None:
    """Raise if rows cannot be split by columns.

    Raises:
        InvalidPlan: A column is missing or named twice, or no other column is left.
        TypeMismatch: The values of a column cannot be folder names.
    """
    for k, name in enumerate(columns):
        if name not in schema.names:
            raise InvalidPlan(
                f"partition_by=: no feature or kept column is named {name!r}."
                f"{did_you_mean(name, schema.names)} Plan(keep=[...]) passes a column through"
            )
        if name in columns[:k]:
            raise InvalidPlan(f"partition_by=: names {name!r} twice")
        given, types = schema.field(name).type, pa.types
        if not (
            *(types.is_integer(given), types.is_boolean(given), types.is_date(given)),
            *(types.is_string(given), types.is_large_string(given)),
        ).count(True):
            raise TypeMismatch(
                f"partition_by=: {name!r} is {given}. Partition by text, integers, bools or dates"
            )
    if len(columns) == len(schema.names):
        raise InvalidPlan("partition_by=: names all columns, so the files would have none")


def split(table: Table, columns: Sequence[str]) -> list[FolderRows]:
    """Return the rows of a table split by their values in `columns`, sorted by folder.

    `check_columns` must have accepted the columns. Without columns there is one partition.

    Raises:
        InvalidData: More values than files can be open, or a value that would be read as missing.
    """
    if not columns:
        return [FolderRows("", table)]
    numbers = np.zeros(table.num_rows, np.int64)
    # "encode" includes missing values
    names, encoding = [""], options_of("DictionaryEncodeOptions", "encode")
    for column in columns:
        entries = call("dictionary_encode", as_one_array(table.column(column)), options=encoding)
        texts = [f"{quote(column, safe='')}={_text(v, column)}" for v in entries.dictionary]
        codes = entries.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        found, numbers = np.unique(numbers * len(texts) + codes, return_inverse=True)
        places = [divmod(int(k), len(texts)) for k in found]
        names = [f"{names[k]}/{texts[of]}" if names[k] else texts[of] for k, of in places]
        if len(names) > MOST:
            raise InvalidData(
                f"partition_by={list(columns)}: more than {MOST:,} folders for "
                f"{table.num_rows:,} rows. Partition by columns with fewer values"
            )
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=len(names)))
    rest = table.drop_columns(list(columns))
    partitions = [
        FolderRows(name, rest.take(pa.array(order[end - n : end])))
        for name, n, end in zip(names, np.diff(ends, prepend=0), ends, strict=True)
    ]
    return sorted((p for p in partitions if p.rows.num_rows), key=lambda p: p.folder)


def as_one_array(column: Any) -> Any:
    """Return a column in chunks as one array."""
    found = column.combine_chunks()
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found


def _text(value: Any, column: str) -> str:
    """Return a value as part of a folder name."""
    found = value.as_py()
    if found is None:
        return MISSING
    text = str(found).lower() if isinstance(found, bool) else str(found)
    if text in (MISSING, ""):
        raise InvalidData(
            f"partition_by=: {column!r} has the value {text!r}, which as the name of a folder "
            "would be read back as a missing value. Replace this value"
        )
    return quote(text, safe="")
