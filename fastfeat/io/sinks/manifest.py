"""The manifest of an output folder: a record of its inputs and of the files finished so far.

It is `_manifest.json` in the folder; readers of a folder skip names that begin with an underscore.
It is rewritten after each part is on disk, so that an interrupted run can resume after these parts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import OutputError, counted, reason_of
from fastfeat.io.sinks import atomic

NAME = "_manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished file of features, synced to disk.

    Args:
        name: Path within the folder, with slashes.
        n_rows: Number of rows.
        n_bytes: Size in bytes.
        detail: JSON metadata from the table library, or "".
    """

    name: str
    n_rows: int
    n_bytes: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OutputPart:
    """The files that hold the features of consecutive rows of the data.

    Args:
        first_row: Number of the first row in the data.
        n_rows: Number of rows.
        files: One file, or with `partition_by` one per combination of values.
    """

    first_row: int
    n_rows: int
    files: tuple[WrittenFile, ...]


@dataclass(frozen=True, slots=True)
class OutputContents:
    """The inputs and the form of a folder of features; both must match to resume an output.

    Args:
        plan: SHA-256 hash of the fitted plan, in hex digits.
        tables: SHA-256 hash of the lookup tables, in hex digits; "" if no table is read.
        source: Name, size in bytes and modification time of each data file; None if the data is not
            in files, so that a later run cannot recognise it.
        file_format: Form of the folder: "parquet", "delta".
        part_rows: Rows of the data per part; the last part may have fewer.
        partition_by: Columns that split the files of a part.
        training: Whether the rows are the training rows, encoded out of fold.
    """

    plan: str
    tables: str
    source: tuple[tuple[str, int, int | None], ...] | None
    file_format: str
    part_rows: int
    partition_by: tuple[str, ...] = ()
    training: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Manifest:
    """The parts of an output that are finished, and the inputs they were computed from.

    Args:
        contents: Inputs and form.
        parts: Parts in row order.
        is_whole: Whether all parts are written; if not, the run was interrupted or continues.
        quarantined: Manifest of the rows that were quarantined; None if no row could be.
    """

    contents: OutputContents
    parts: tuple[OutputPart, ...] = ()
    is_whole: bool = False
    quarantined: Manifest | None = None

    @property
    def n_rows(self) -> int:
        """The number of rows of features."""
        return sum(part.n_rows for part in self.parts)

    @property
    def n_bytes(self) -> int:
        """The total bytes of all files."""
        return sum(file.n_bytes for file in self.files)

    @property
    def files(self) -> tuple[WrittenFile, ...]:
        """The files of all parts, in row order."""
        return tuple(file for part in self.parts for file in part.files)

    def __repr__(self) -> str:
        """Return the amount of rows, files and bytes as text."""
        n_rows, n_files = counted(self.n_rows, "row"), counted(len(self.files), "file")
        so_far = "" if self.is_whole else ", unfinished"
        form = self.contents.file_format
        return f"Manifest({n_rows} in {n_files} of {form}, {self.n_bytes:,} bytes{so_far})"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder: synced to disk first, then moved in place of the old one.

    Raises:
        OSError: The disk is full, or the folder is gone.
    """
    body = _body(manifest)
    text = json.dumps({"sha256": _digest(body), **body}, indent=1)
    atomic.write_bytes(folder / NAME, text.encode(), durable=True)
    atomic.sync(folder)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, or None if it has none.

    Raises:
        OutputError: It is damaged, or has a later format version.
    """
    path = folder / NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {reason_of(error)}") from error
    try:
        body = json.loads(content)
        told, found = body.pop("sha256"), body["format"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise OutputError(f"{path} is damaged: {_ADVICE}") from None
    if type(found) is int and found > FORMAT:
        raise OutputError(
            f"{path} has format {found}; this version reads {FORMAT}. Update fastfeat"
        )
    try:
        if told != _digest(body):
            raise ValueError
        return _of_body(body)
    except (ValueError, KeyError, TypeError):
        raise OutputError(f"{path} is damaged: {_ADVICE}") from None


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raise OutputError for the first file in the manifest that is gone or has another size."""
    for file in manifest.files:
        path = folder / file.name
        try:
            n_bytes = path.stat().st_size
        except OSError as error:
            raise OutputError(
                f"{path} is in the manifest but cannot be found ({reason_of(error)}): {_ADVICE}"
            ) from None
        if n_bytes != file.n_bytes:
            raise OutputError(
                f"{path} has {n_bytes:,} bytes, but {file.n_bytes:,} were written: " + _ADVICE
            )


_ADVICE = "remove the folder and run again to start over"


def _body(manifest: Manifest) -> dict[str, Any]:
    of = manifest.contents
    return {
        "format": FORMAT,
        "plan": of.plan,
        "tables": of.tables,
        "source": None if of.source is None else [list(file) for file in of.source],
        "file_format": of.file_format,
        "part_rows": of.part_rows,
        "partition_by": list(of.partition_by),
        "training": of.training,
        "is_whole": manifest.is_whole,
        "parts": [
            [p.first_row, p.n_rows, [[f.name, f.n_rows, f.n_bytes, f.detail] for f in p.files]]
            for p in manifest.parts
        ],
    }


def _of_body(body: Any) -> Manifest:
    source: Any = body["source"]
    contents = OutputContents(
        body["plan"],
        body["tables"],
        None if source is None else tuple((name, size, at) for name, size, at in source),
        body["file_format"],
        body["part_rows"],
        tuple(body["partition_by"]),
        body["training"],
    )
    parts = tuple(
        OutputPart(first, n_rows, tuple(WrittenFile(*file) for file in files))
        for first, n_rows, files in body["parts"]
    )
    return Manifest(contents, parts, body["is_whole"])


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
