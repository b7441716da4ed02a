"""Keys with counts in files, partitioned by hash, so that one partition at a time can be merged.

Equal keys have equal hashes, so they are in the same partition of every file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.keys import key_type
from fastfeat.io.temporary_files import UnnamedFile
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys import cpu_hashing

N_PARTITIONS = 64
_COUNTS = "counts"


class Weighted(NamedTuple):
    """Distinct keys in any order, and the number of rows of each.

    Args:
        parts: One Arrow array per part of the key, shape (n_keys,).
        counts: Number of rows of each key, shape (n_keys,).
        ends: Where each hash partition of the keys ends, if they are sorted by hash; see
            `vocabulary.state.DistinctKeys`.
    """

    parts: tuple[Array, ...]
    counts: Int64Array
    ends: NDArray[np.int64] | None = None


def table_of(keys: Weighted) -> Table:
    """Return keys and counts as an Arrow table; text becomes bytes.

    Text in Arrow must be valid UTF-8, but text keys need not be.
    """
    return pa.Table.from_batches([batch_of(keys)])


def keys_of_table(table: Table, dtypes: Sequence[DType]) -> Weighted:
    """Return the keys and counts of a table from `table_of`; the parts have types `dtypes`."""
    whole = table.combine_chunks()
    columns = [
        column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)
        for column in whole.columns
    ]
    parts = tuple(
        part.view(key_type(dtype)) if dtype.holds_bytes else part
        for part, dtype in zip(columns, dtypes, strict=False)
    )
    return Weighted(parts, columns[-1].to_numpy())


class SpilledKeys(NamedTuple):
    """Keys that one call of `write` put into an unnamed file.

    Args:
        file: The file.
        blocks: For each hash partition, byte offset and number of bytes of each block.
    """

    file: UnnamedFile
    blocks: list[list[tuple[int, int]]]


def write(
    file: UnnamedFile, pieces: Iterable[Weighted], dtypes: Sequence[DType], *, is_cross: bool
) -> SpilledKeys:
    """Append keys with counts to a file, partitioned by hash; `pieces` may repeat keys.

    `is_cross` says that missing parts are values.
    """
    written = SpilledKeys(file, [[] for _ in range(N_PARTITIONS)])
    for keys in pieces:
        columns = [pa.chunked_array([part]) for part in keys.parts]
        numbers = cpu_hashing.buckets(
            cpu_hashing.key_hashes(columns, dtypes, is_cross=is_cross), N_PARTITIONS
        )
        order = np.argsort(numbers, kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=N_PARTITIONS))
        batch = batch_of(keys)
        for blocks, first, end in zip(written.blocks, [0, *ends[:-1]], ends, strict=True):
            if first < end:
                content = batch.take(pa.array(order[first:end])).serialize()
                blocks.append((file.append(content), content.size))
    return written


def partitions(files: Sequence[SpilledKeys], dtypes: Sequence[DType]) -> Iterator[list[Weighted]]:
    """Yield, for each hash partition, the list of its keys with counts, one item per block."""
    for k in range(N_PARTITIONS):
        yield [read(one.file, *block, dtypes) for one in files for block in one.blocks[k]]


def read(file: UnnamedFile, first: int, n_bytes: int, dtypes: Sequence[DType]) -> Weighted:
    """Read a block of keys with counts, which has `n_bytes` bytes from byte `first` of a file."""
    content = pa.py_buffer(file.read(first, n_bytes))
    batch = pa.ipc.read_record_batch(content, schema_of(dtypes))
    return keys_of_table(pa.Table.from_batches([batch]), dtypes)


def schema_of(dtypes: Sequence[DType]) -> Any:
    """Return the Arrow schema in which keys of these types are written to files."""
    none = tuple(pa.nulls(0, key_type(dtype)) for dtype in dtypes)
    return batch_of(Weighted(none, np.zeros(0, np.int64))).schema


def batch_of(keys: Weighted) -> Any:
    """Return keys and counts as an Arrow record batch; text becomes bytes."""
    arrays = [*map(_as_bytes, keys.parts), array_of_values(keys.counts, None, pa.int64())]
    names = [*map(str, range(len(keys.parts))), _COUNTS]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _as_bytes(part: Array) -> Array:
    return part.view(pa.large_binary()) if pa.types.is_large_string(part.type) else part
