"""The layout of output files, from the user's arguments, and places that output may not replace.

All checks of this module run before any row is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan, OutputError, TypeMismatch, did_you_mean, reason_of
from fastfeat.io.sinks.folder_formats import FOLDER_FORMATS
from fastfeat.io.sources.addresses import without_secrets
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.file_parts import FilePart
from fastfeat.io.sources.formats import SUFFIXES
from fastfeat.io.sources.output_overlap import would_include_output


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of features in files.

    Args:
        target: The file or the folder.
        form: Key of `FOLDER_FORMATS` for a folder, or the format of a file.
        is_folder: Whether the target is a folder.
        partition_by: Columns with values that name subfolders.
        part_rows: Rows of a part; None for parts of about 256 MiB.
    """

    target: Path
    form: str
    is_folder: bool
    partition_by: tuple[str, ...] = ()
    part_rows: int | None = None


def layout_of(
    out: str | os.PathLike[str],
    file_format: str | None = None,
    partition_by: str | Sequence[str] = (),
    part_rows: int | None = None,
) -> Layout:
    """Return the layout of an output, from the user's arguments.

    Args:
        out: A file with the suffix of a format, or a folder.
        file_format: Key of `FOLDER_FORMATS` for a folder's files; None for Parquet.
        partition_by: Columns with values that name subfolders.
        part_rows: Rows of a part of a folder.

    Raises:
        InvalidPlan: An unknown format, an address, or options of folders for a file.
        TypeMismatch: A value that cannot be a path or a column.
        LibraryUnavailable: The library of a format is not installed.
    """
    given = _path_of(out)
    target = given if given.name not in ("", "..") else given.resolve()
    columns = _names_of(partition_by)
    named = SUFFIXES.get(target.suffix.lower())
    if part_rows is not None and (type(part_rows) is not int or part_rows < 1):
        raise InvalidPlan(f"part_rows={part_rows!r}: must be a number of rows, at least 1")
    if file_format is not None and str(file_format) not in FOLDER_FORMATS:
        hint = did_you_mean(str(file_format), FOLDER_FORMATS)
        raise InvalidPlan(
            f"format={file_format!r}: must be one of {', '.join(FOLDER_FORMATS)}.{hint}"
        )
    if named is not None and names_file(target):
        if columns or part_rows is not None or file_format is not None:
            raise InvalidPlan(
                f"format=, partition_by= and part_rows= are for folders, but {target} is a file, "
                "by its suffix. Pass the path of a folder"
            )
        return Layout(target, named, is_folder=False)
    form = file_format or _BY_SUFFIX.get(target.suffix, "parquet")
    if file_format is None and target.suffix and form == "parquet" and not target.is_dir():
        raise InvalidPlan(
            f"{target}: no format has the suffix {target.suffix!r}. For a file, use one of "
            f"{', '.join(SUFFIXES)}. For a folder with this name, pass format='parquet'"
        )
    FOLDER_FORMATS[form].check_installed()
    if columns and not FOLDER_FORMATS[form].has_partitions:
        raise InvalidPlan(
            f"partition_by=: format={form!r} has no partitions. Leave partition_by= out, or choose "
            "another format"
        )
    return Layout(target, form, True, columns, part_rows)


def _path_of(out: Any) -> Path:
    """Return the path of an output.

    Raises:
        TypeMismatch: `out` is not a path.
        InvalidPlan: The path is empty, or an address.
    """
    given: object = os.fspath(cast("str", out)) if isinstance(out, str | os.PathLike) else out
    if not isinstance(given, str):
        raise TypeMismatch(
            f"out={out!r}: must be the path of a file, such as 'features.parquet', or of a folder"
        )
    if not given:
        raise InvalidPlan("out='': the path is empty. Pass a file, such as 'features.parquet'")
    if _ADDRESS.match(given):
        raise InvalidPlan(
            f"out={without_secrets(given)!r}: features can be written to files on this machine, "
            "but not to an address. Write them to a local folder, then copy the folder"
        )
    return Path(given)


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Start of an address such as "s3://". Also matches a `Path` made from one: it has one slash."""


def _names_of(partition_by: Any) -> tuple[str, ...]:
    """Return the columns that name subfolders; raise TypeMismatch for other values."""
    names: Any = [partition_by] if isinstance(partition_by, str) else partition_by
    columns = tuple(cast("Sequence[object]", names)) if isinstance(names, Sequence) else (None,)
    found = tuple(column for column in columns if isinstance(column, str))
    if found != columns:
        raise TypeMismatch(
            f"partition_by={partition_by!r}: must be a column name, or a list of column names"
        )
    return found


_BY_SUFFIX = {".lance": "lance", ".delta": "delta"}


def names_file(out: Path) -> bool:
    """Return whether an output is a file, by its suffix."""
    return out.suffix.lower() in SUFFIXES and not out.is_dir()


def check_beside(layout: Layout, *given: Any, read: Sequence[Dataset | str | None]) -> None:
    """Raise if the output would replace an input file, or be read as input data the next time.

    Args:
        layout: Where the features are written.
        given: Data, histories and lookup tables as the user passed them, including folders and
            patterns.
        read: The data sets, some of which may be in files.

    Raises:
        OutputError: The output is an input file, is in the folder of the data, or cannot be
            resolved.
    """
    target = layout.target
    try:
        own = target.resolve()
    except OSError as error:  # the current folder may have been deleted
        raise OutputError(f"cannot write {target}: {reason_of(error)}") from error
    parts = [part for of in read if isinstance(of, Dataset) for part in of.parts]
    files = [part.at.name for part in parts if isinstance(part, FilePart)]
    files += [os.fspath(cast("str", of)) for of in given if isinstance(of, str | os.PathLike)]
    if any(Path(file).resolve() == own for file in files if "\0" not in file) and own.is_file():
        raise OutputError(
            f"{target} is a file of the data, and the features would replace it. Choose another "
            "path"
        )
    suffix = _SUFFIX_OF_FORM.get(layout.form, ".parquet")
    name = f"part-000000{suffix}" if layout.is_folder else None
    if any(would_include_output(data, own, name) for data in given):
        raise OutputError(
            f"{target} is in the folder of the data, so the next run would read the features as "
            "data. Choose a path outside of this folder"
        )


_SUFFIX_OF_FORM = {"ipc": ".arrow", "csv": ".csv", "tsv": ".tsv"}
