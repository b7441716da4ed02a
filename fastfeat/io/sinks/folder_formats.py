"""The formats of an output folder: files of one format, or a table of Delta or Lance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from fastfeat_kernels.records import dataclass

from fastfeat.io.arrow import Schema, Table
from fastfeat.io.sinks import delta, lance
from fastfeat.io.sinks.manifest import Manifest, WrittenFile
from fastfeat.io.sinks.parts import write_part

WritePart = Callable[[Path, str, Iterable[Table], Sequence[str], int], tuple[WrittenFile, ...]]
"""Function `(folder, name, groups, partition_by, group_rows) -> files` that writes one part."""


def _as_it_is(table: Table) -> Table:
    return table


def _nothing(folder: Path, manifest: Manifest, schema: Schema) -> None:
    """Do nothing: plain files need no commit."""


def _always() -> None:
    """Do nothing: pyarrow is always installed."""


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """The functions that write an output folder in one format.

    Args:
        write_part: Writes the files of a part.
        prepared: Converts rows to types that the format has.
        commit: Makes one table of all files, once they are written.
        check_installed: Raises if the library is not installed.
        has_partitions: Whether rows can be split into files by the values of columns.
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
"""Folder formats by the user's name for them."""
