"""The manifest of a folder of features: what they are made of, and which files are whole.

It stands in the folder as `_manifest.json`: readers of a folder pass over names that begin so. It
is written anew for each part that is on the disk, so that an interrupted run goes on behind them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastfeat.errors import OutputError, counted, reason_of
from fastfeat.io.sinks.atomic import sync, write_bytes

NAME = "_manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of features, whole and on the disk.

    Args:
        name: its path within the folder, with slashes.
        n_rows: of it.
        n_bytes: of it.
        detail: what the library of a table notes of it, as JSON; "" where it notes nothing.
    """

    name: str
    n_rows: int
    n_bytes: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The files of neighbouring rows of the data.

    Args:
        first_row: number of the first of these rows in the data.
        n_rows: how many there are.
        files: what they are written to: one, or with `partition_by` one for each of their values.
    """

    first_row: int
    n_rows: int
    files: tuple[WrittenFile, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """The sources of a folder of features, and its form: they must be alike to go on with it.

    Args:
        plan: the digest of the fitted plan, in hex digits.
        tables: a digest of the lookup tables, in hex digits; "" where none is read.
        source: name, size and time of change of each file of the data; None where it is not in
            files, so that nothing tells whether it is the same.
        file_format: the form of the folder: "parquet", "delta".
        part_rows: how many rows of the data a part has; the last one may have fewer.
        partition_by: the columns by whose values the files of a part are split.
        training: whether the rows are those that were learnt from, encoded out of fold.
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
    """The parts of an output, and what they are made of.

    Args:
        contents: what they are made of.
        parts: in the order of their rows.
        is_whole: whether these are all; else the run was interrupted, or goes on.
        quarantined: of the rows that were set apart meanwhile; None where none could be.
    """

    contents: Contents
    parts: tuple[Part, ...] = ()
    is_whole: bool = False
    quarantined: Manifest | None = None

    @property
    def n_rows(self) -> int:
        """The number of rows of features."""
        return sum(part.n_rows for part in self.parts)

    @property
    def n_bytes(self) -> int:
        """The size of all files."""
        return sum(file.n_bytes for file in self.files)

    @property
    def files(self) -> tuple[WrittenFile, ...]:
        """The files of all parts, in the order of their rows."""
        return tuple(file for part in self.parts for file in part.files)

    def __repr__(self) -> str:
        """Return how much there is, in how many files."""
        n_rows, n_files = counted(self.n_rows, "row"), counted(len(self.files), "file")
        so_far = "" if self.is_whole else ", unfinished"
        form = self.contents.file_format
        return f"Manifest({n_rows} in {n_files} of {form}, {self.n_bytes:,} bytes{so_far})"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder, on the disk before it takes the place of the one before.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    body = _body(manifest)
    text = json.dumps({"sha256": _digest(body), **body}, indent=1)
    write_bytes(folder / NAME, text.encode(), durable=True)
    sync(folder)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder; None where there is none.

    Raises:
        OutputError: it is damaged, or of a later version.
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
    """Raise where a file that a manifest lists is gone, or of another size.

    Raises:
        OutputError: the first such file.
    """
    for file in manifest.files:
        path = folder / file.name
        try:
            n_bytes = path.stat().st_size
        except OSError as error:
            raise OutputError(
                f"{path} is in the manifest, and {reason_of(error)}: {_ADVICE}"
            ) from None
        if n_bytes != file.n_bytes:
            raise OutputError(
                f"{path} has {n_bytes:,} bytes, and had {file.n_bytes:,} when it was written: "
                + _ADVICE
            )


_ADVICE = "remove the folder, and run again: it begins anew"


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
    contents = Contents(
        body["plan"],
        body["tables"],
        None if source is None else tuple((name, size, at) for name, size, at in source),
        body["file_format"],
        body["part_rows"],
        tuple(body["partition_by"]),
        body["training"],
    )
    parts = tuple(
        Part(first, n_rows, tuple(WrittenFile(*file) for file in files))
        for first, n_rows, files in body["parts"]
    )
    return Manifest(contents, parts, body["is_whole"])


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
