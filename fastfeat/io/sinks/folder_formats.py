"""The forms that a folder of features can have: files of a format, or the table of a library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastfeat.io.arrow import Schema, Table
from fastfeat.io.sinks import delta, lance
from fastfeat.io.sinks.manifest import Manifest, WrittenFile
from fastfeat.io.sinks.parts import write_part

WritePart = Callable[[Path, str, Iterable[Table], Sequence[str], int], tuple[WrittenFile, ...]]
"""Writes the files of a part: folder, name, groups of rows, columns to split by, rows a group."""


def _as_it_is(table: Table) -> Table:
    return table


def _nothing(folder: Path, manifest: Manifest, schema: Schema) -> None:
    """Do nothing: files of a format are all that there is."""


def _always() -> None:
    """Do nothing: pyarrow is installed."""


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """The form of a folder of features.

    Args:
        write_part: writes the files of a part.
        prepared: gives rows the types that it has.
        commit: makes one table of all files, once they are there.
        check_installed: raises where its library is not installed.
        has_partitions: whether its files can be split by values.
    """

    write_part: WritePart
    prepared: Callable[[Table], Table] = _as_it_is
    commit: Callable[[Path, Manifest, Schema], None] = _nothing
    check_installed: Callable[[], None] = _always
    has_partitions: bool = True


_PARQUET: WritePart = partial(write_part, "parquet")
FOLDER_FORMATS: dict[str, FolderFormat] = {
    "parquet": FolderFormat(_PARQUET),
    "ipc": FolderFormat(partial(write_part, "ipc_file")),
    "csv": FolderFormat(partial(write_part, "csv")),
    "tsv": FolderFormat(partial(write_part, "tsv")),
    "delta": FolderFormat(_PARQUET, delta.in_delta_types, delta.commit, delta.check_installed),
    "lance": FolderFormat(
        lance.write_fragment,
        commit=lance.commit,
        check_installed=lance.check_installed,
        has_partitions=False,
    ),
}
"""By the word of a user."""
