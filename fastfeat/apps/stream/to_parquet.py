"""Features to Parquet: a file for each checkpoint of a partition, whole or not at all.

Files are `TOPIC/partition=N/FIRST-END.parquet`, of the offsets from FIRST up to END without it.
Their rows have the offset and the number in their message in the columns `fastfeat.offset` and
`fastfeat.row`; topic, partition and digest of the fitted plans stand in the metadata of the file.
What comes again after a crash is dropped by its offset, so that no row stands twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from fastfeat.apps.stream.outputs import Outputs
from fastfeat.apps.stream.to_kafka import OFFSET, ROW
from fastfeat.calls.arguments import explaining_as
from fastfeat.errors import StreamError
from fastfeat.io.arrow import Table, pa, parquet_module
from fastfeat.io.sinks.atomic import TEMPORARY, replacing, sync

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")
_LARGEST_BYTES = 64 << 20
"""Of rows that wait for a checkpoint; more are written before it."""


@dataclass(slots=True)
class _Waiting:
    """Rows of a partition that are in no file yet.

    Args:
        covered: the offset up to which files have all rows.
        first: the offset that the waiting rows begin with.
        end: the offset up to which rows came.
        tables: these, in order.
        n_bytes: of them.
    """

    covered: int
    first: int
    end: int
    tables: list[Table] = field(default_factory=list[Table])
    n_bytes: int = 0


class ToParquet:
    """Features to files.

    Args:
        folder: that they stand in.
        topic: of the events.
    """

    def __init__(self, folder: Path, topic: str) -> None:
        self._folder = folder / quote(topic, safe="")
        self._waiting: dict[int, _Waiting] = {}

    def opened(self, partition: int) -> None:
        """Take a partition that comes to this member: what its files have is not written again."""
        folder = self._of(partition)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            told = error.strerror or error
            raise StreamError(f"out.parquet.folder: cannot make {folder}: {told}") from error
        covered = 0
        for path in folder.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is not None:
                covered = max(covered, int(found[2]))
            elif TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)  # of a member that was killed
        self._waiting[partition] = _Waiting(covered, covered, covered)

    def size(self, outputs: Outputs) -> int:
        """Return the number of rows of features."""
        return outputs.features.num_rows

    def put(self, outputs: Outputs, first: int) -> int:
        """Take all rows that no file has."""
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
        """Return True, once all rows are in files on the disk."""
        self._write(partition)
        return True

    def close(self) -> None:
        """Forget what is in no file."""
        self._waiting.clear()

    def _write(self, partition: int) -> None:
        waiting = self._waiting[partition]
        if not waiting.tables:
            return
        target = self._of(partition) / f"{waiting.first:020}-{waiting.end:020}.parquet"
        try:
            with replacing(target) as partial:
                parquet_module().write_table(pa.concat_tables(waiting.tables), partial)
                sync(partial)
            sync(target.parent)
        except OSError as error:
            raise StreamError(f"cannot write {target}: {error.strerror or error}") from error
        waiting.covered = waiting.first = waiting.end
        waiting.tables.clear()
        waiting.n_bytes = 0

    def _of(self, partition: int) -> Path:
        return self._folder / f"partition={partition}"


@explaining_as("fastfeat.apps.stream.", {})
def read_features(folder: str | os.PathLike[str], topic: str) -> Table:
    """Return the features in the files of a topic, with the partition, in order within it.

    Args:
        folder: as it is configured.
        topic: of the events.
    """
    tables: list[Table] = []
    for path in sorted((Path(folder) / quote(topic, safe="")).glob("partition=*/*.parquet")):
        partition = int(path.parent.name.partition("=")[2])
        table = parquet_module().ParquetFile(path).read()
        numbers = pa.array([partition] * table.num_rows, pa.int32())
        tables.append(table.append_column("fastfeat.partition", numbers))
    return pa.concat_tables(_alike(tables)) if tables else pa.table({})


def _alike(tables: Sequence[Table]) -> list[Table]:
    """Return tables without the metadata in which they may differ."""
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
