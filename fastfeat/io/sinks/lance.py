"""Writing Lance datasets: one fragment per part, then a version of all.

Only this module imports lance.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastfeat.errors import OutputError
from fastfeat.io.arrow import RecordBatch, Schema, Table, pa
from fastfeat.io.libraries import library
from fastfeat.io.sinks import atomic
from fastfeat.io.sinks.manifest import Manifest, WrittenFile


def write_fragment(
    folder: Path, name: str, groups: Iterable[Table], partition_by: Sequence[str], group_rows: int
) -> tuple[WrittenFile, ...]:
    """Write a part as one Lance fragment, and return its files; Lance chooses their names.

    `groups` has at least one table. `partition_by` must be empty, because Lance has no partitions;
    `name` and `group_rows` are unused.

    Raises:
        LibraryUnavailable: pylance is not installed.
        OSError: The disk is full.
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
        if failed:  # our own exception came back through the Rust library
            raise failed[0] from error
        raise OSError(str(error)) from error
    return tuple(_written(folder, fragment.to_json()) for fragment in made)


def _batches(
    first: Table, others: Iterator[Table], failed: list[BaseException]
) -> Iterator[RecordBatch]:
    """Yield the batches of tables; an exception is recorded in `failed` and raised."""
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
    atomic.sync(folder / name)
    atomic.sync(folder / "data")
    n_bytes = (folder / name).stat().st_size
    return WrittenFile(name, fragment["physical_rows"], n_bytes, json.dumps(fragment))


def commit(folder: Path, manifest: Manifest, schema: Schema) -> None:
    """Write the first version of a Lance dataset, with all of its fragments.

    `folder` must not have a version yet.

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
        raise OutputError(f"lance cannot create a dataset in {folder}: {error}") from error
    for name in ("_versions", "_transactions"):
        atomic.sync_below(folder / name)


def check_installed() -> None:
    """Raise LibraryUnavailable, with the package to install, unless pylance is installed."""
    _library()


def _library() -> Any:
    return library(
        "lance",
        "format='lance' needs the package pylance, which is not installed. Install it with "
        "pip install 'fastfeat[lance]', or use format='parquet'",
    )
