"""A sink that writes features to Parquet files, at each checkpoint, each whole or not at all.

A file `TOPIC/partition=N/FIRST-END.parquet` covers the offsets FIRST <= offset < END. Its columns
`fastfeat.offset` and `fastfeat.row` hold each row's offset and its index in the message; topic,
partition and the digest of the fitted plans are in the file's metadata. Rows that are repeated
after a crash are dropped by offset, so no row is stored twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.outputs import Outputs
from fastfeat.apps.stream.to_kafka import OFFSET, ROW
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import StreamError
from fastfeat.io.arrow import Table, pa, parquet_module
from fastfeat.io.sinks import atomic

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")
_LARGEST_BYTES = 64 << 20
"""Maximum size of rows that wait for a checkpoint; above it they are written early."""


@dataclass(slots=True)
class _Waiting:
    """Rows of a partition that are in no file yet.

    Args:
        covered: Offset; files contain all rows before it.
        first: Offset at which the waiting rows begin.
        end: Offset at which the rows received so far end.
        tables: The waiting rows, in order.
        n_bytes: Size of `tables`.
    """

    covered: int
    first: int
    end: int
    tables: list[Table] = field(default_factory=list[Table])
    n_bytes: int = 0


class ToParquet:
    """A sink that writes features to files under a folder, for the events of a topic."""

    def __init__(self, folder: Path, topic: str) -> None:
        self._folder = folder / quote(topic, safe="")
        self._waiting: dict[int, _Waiting] = {}

    def opened(self, partition: int) -> None:
        """Prepare the folder of a partition.

        It reads from the file names which offsets are written; those rows are not written again.
        """
        folder = self._of(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            told = error.strerror or error
            raise StreamError(f"out.parquet.folder: cannot create {folder}: {told}") from error
        covered = 0
        for path in folder.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is not None:
                covered = max(covered, int(found[2]))
            elif atomic.TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)  # left by a killed member
        self._waiting[partition] = _Waiting(covered, covered, covered)

    def size(self, outputs: Outputs) -> int:
        """Return the number of feature rows."""
        return outputs.features.num_rows

    def put(self, outputs: Outputs, first: int) -> int:
        """Keep the rows that are in no file yet, to write them later; accept all rows."""
        waiting = self._waiting[outputs.partition]
        is_new = np.flatnonzero(outputs.offsets >= waiting.covered)
        if len(is_new):
            if not waiting.tables:
                waiting.first = max(waiting.covered, outputs.first)
            table = _rows(outputs, int(is_new[0]))
            waiting.tables.append(table)
            waiting.n_bytes += table.nbytes
        waiting.end = max(waiting.end, outputs.end)
        if waiting.n_bytes > _LARGEST_BYTES:
            self._write(outputs.partition)
        return outputs.features.num_rows

    def flush(self, partition: int, end: int, wait_s: float) -> bool:
        """Write the kept rows to a file, and return True."""
        self._write(partition)
        return True

    def close(self) -> None:
        """Drop the kept rows that are in no file."""
        self._waiting.clear()

    def _write(self, partition: int) -> None:
        waiting = self._waiting[partition]
        if not waiting.tables:
            return
        target = self._of(partition) / f"{waiting.first:020}-{waiting.end:020}.parquet"
        try:
            with atomic.replace_file(target) as partial:
                parquet_module().write_table(pa.concat_tables(waiting.tables), partial)
                atomic.sync(partial)
            atomic.sync(target.parent)
        except OSError as error:
            raise StreamError(f"cannot write {target}: {error.strerror or error}") from error
        waiting.covered = waiting.first = waiting.end
        waiting.tables.clear()
        waiting.n_bytes = 0

    def _of(self, partition: int) -> Path:
        return self._folder / f"partition={partition}"


@with_argument_errors_as("fastfeat.apps.stream.", {})
def read_features(folder: str | os.PathLike[str], topic: str) -> Table:
    """Return all features that a stream wrote to files for a topic, in order within each partition.

    The table has the further column `fastfeat.partition`.

    Args:
        folder: The configured output folder.
        topic: Topic of the events.
    """
    tables: list[Table] = []
    for path in sorted((Path(folder) / quote(topic, safe="")).glob("partition=*/*.parquet")):
        partition = int(path.parent.name.partition("=")[2])
        table = parquet_module().ParquetFile(path).read()
        numbers = pa.array([partition] * table.num_rows, pa.int32())
        tables.append(table.append_column("fastfeat.partition", numbers))
    return pa.concat_tables(_without_metadata(tables)) if tables else pa.table({})


def _without_metadata(tables: Sequence[Table]) -> list[Table]:
    """Return the tables without their schema metadata, so that they can be concatenated."""
    return [table.replace_schema_metadata(None) for table in tables]


def _rows(outputs: Outputs, first: int) -> Table:
    part = outputs.features.slice(first)
    table = part.append_column(OFFSET, pa.array(outputs.offsets[first:], pa.int64()))
    table = table.append_column(ROW, pa.array(outputs.within[first:], pa.int64()))
    return table.replace_schema_metadata(
        {
            "fastfeat.topic": outputs.topic,
            "fastfeat.partition": str(outputs.partition),
            "fastfeat.artifact": outputs.artifact,
        }
    )
