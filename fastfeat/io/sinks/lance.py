"""Lance datasets: a fragment a part, and a version that has them all. It alone imports lance."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastfeat.errors import OutputError
from fastfeat.io.arrow import RecordBatch, Schema, Table, pa
from fastfeat.io.libraries import library
from fastfeat.io.sinks.atomic import sync, sync_below
from fastfeat.io.sinks.manifest import Manifest, WrittenFile


def write_fragment(
    folder: Path, name: str, groups: Iterable[Table], partition_by: Sequence[str], group_rows: int
) -> tuple[WrittenFile, ...]:
    """Write a part as a fragment, and return its file, which Lance names.

    Args:
        folder: of the dataset.
        name: of the part, which Lance has no use for.
        groups: its rows, one at least.
        partition_by: none: Lance has no partitions.
        group_rows: of a group, which Lance has no use for.

    Raises:
        LibraryUnavailable: pylance is not installed.
        OSError: the disk is full.
        OutputError: Lance refuses.
    """
    assert not partition_by
    _library()
    fragments: Any = importlib.import_module("lance.fragment")
    given = iter(groups)
    first = next(given)
    failed: list[BaseException] = []
    reader = pa.RecordBatchReader.from_batches(first.schema, _batches(first, given, failed))
    try:
        made = fragments.write_fragments(
            reader,
            str(folder),
            first.schema,
            mode="create",
            max_rows_per_file=1 << 40,
            max_bytes_per_file=1 << 60,
        )
    except (OSError, ValueError, RuntimeError) as error:
        if failed:  # what we raised came through a library of Rust
            raise failed[0] from error
        raise OSError(str(error)) from error
    return tuple(_written(folder, fragment.to_json()) for fragment in made)


def _batches(
    first: Table, others: Iterator[Table], failed: list[BaseException]
) -> Iterator[RecordBatch]:
    """Yield the batches of tables; what goes wrong is noted as it is raised."""
    try:
        yield from first.to_batches()
        for table in others:
            yield from table.to_batches()
    except BaseException as error:
        failed.append(error)
        raise


def _written(folder: Path, fragment: dict[str, Any]) -> WrittenFile:
    (file,) = fragment["files"]
    name = f"data/{file['path']}"
    sync(folder / name)
    sync(folder / "data")
    n_bytes = (folder / name).stat().st_size
    return WrittenFile(name, fragment["physical_rows"], n_bytes, json.dumps(fragment))


def commit(folder: Path, manifest: Manifest, schema: Schema) -> None:
    """Write the first version of a dataset, of all of its fragments.

    Args:
        folder: of the dataset; it has no version.
        manifest: which files there are.
        schema: of the rows.

    Raises:
        LibraryUnavailable: pylance is not installed.
        OutputError: Lance refuses.
    """
    found = _library()
    kind: Any = importlib.import_module("lance.fragment").FragmentMetadata
    fragments = [kind.from_json(file.detail) for file in manifest.files]
    try:
        operation = found.LanceOperation.Overwrite(schema, fragments)
        found.LanceDataset.commit(str(folder), operation, read_version=0)
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"lance cannot make a dataset of {folder}: {error}") from error
    for name in ("_versions", "_transactions"):
        sync_below(folder / name)


def check_installed() -> None:
    """Raise where the library of Lance is not installed.

    Raises:
        LibraryUnavailable: it says what to install.
    """
    _library()


def _library() -> Any:
    return library(
        "lance",
        "format='lance' needs the package pylance, which is not installed. Install it with "
        "pip install 'fastfeat[lance]', or use format='parquet'",
    )
