"""Outputs: Arrow arrays over memory that kernels wrote, and tables written as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Array, ChunkedArray, Table, pa, parquet_module
from fastfeat.io.columns.types import arrow_type, memory_type
from fastfeat.io.sinks import atomic
from fastfeat.io.sources import formats
from fastfeat.ir.dtypes import DType

if TYPE_CHECKING:
    from fastfeat.io.sources.formats import FileFormat

LARGE = 1 << 20
"""Bytes below which malloc itself keeps freed memory."""


def array_from_buffers(
    dtype: DType,
    values: NDArray[Any],
    validity: NDArray[np.uint8] | None,
    null_count: int,
    length: int,
) -> Array:
    """Return a feature as an Arrow array over memory that kernels wrote, without a copy."""
    arrow = arrow_type(dtype)
    if dtype.name == "null":
        return pa.nulls(length)
    bitmap = None if validity is None or null_count == 0 else pa.py_buffer(validity)
    buffers = [bitmap, pa.py_buffer(values)]
    return pa.Array.from_buffers(arrow, length, buffers, 0 if bitmap is None else null_count)


def empty_bytes(n_bytes: int) -> NDArray[np.uint8]:
    """Return uninitialised memory for a result, from an allocator that keeps freed memory.

    NumPy returns large arrays to the system, which clears each page of the next array: 64 MB of
    features took 11.4 ms in place of 6 ms. Arrow's mimalloc is better whether memory is held or
    freed. Arrow's other allocators have small pages, and take 36 ms.
    """
    if n_bytes < LARGE or pa.default_memory_pool().backend_name != "mimalloc":
        return np.empty(n_bytes, dtype=np.uint8)
    return np.frombuffer(pa.allocate_buffer(n_bytes), dtype=np.uint8)


def empty_matrix(
    shape: tuple[int, int], dtype: np.dtype[Any], order: Literal["C", "F"] = "F"
) -> NDArray[Any]:
    """Return an uninitialised matrix, column-major, or row-major with "C"."""
    n_rows, n_columns = shape
    memory = empty_bytes(n_rows * n_columns * dtype.itemsize)
    return memory.view(dtype).reshape(shape, order=order)


def staggered_columns(n_columns: int, n_rows: int, dtype: DType) -> list[NDArray[Any]]:
    """Return uninitialized output columns of one type, in one allocation, for kernels to write to.

    Each starts at a multiple of 64 bytes, an odd number of cache lines after its neighbour. At a
    distance of a power of two, columns would compete for the same cache sets (200 outputs: 130-153
    ns per row, down to 83). Each column is longer than `n_rows`, so that whole words of 64 rows may
    be written. A bool column is the bits of its rows, 8 per byte; validity bitmaps are bool
    columns.
    """
    storage = memory_type(dtype)
    padded_rows = -(-n_rows // 64) * 64
    n_elements = padded_rows // 8 if dtype.name == "bool" else padded_rows
    n_bytes = n_elements * storage.itemsize
    stride = 64 * (-(-n_bytes // 64) | 1)
    memory = empty_bytes(n_columns * stride + 64)
    first = -memory.ctypes.data % 64
    starts = range(first, first + n_columns * stride, stride)
    return [memory[start : start + n_bytes].view(storage) for start in starts]


def staggered_addresses(columns: Sequence[NDArray[Any]]) -> list[int]:
    """Return the addresses of `staggered_columns`; asking each array takes 1 us."""
    if len(columns) < 2:
        return [column.ctypes.data for column in columns]
    first, second = (column.ctypes.data for column in columns[:2])
    return [first + k * (second - first) for k in range(len(columns))]


def overlaps(out: NDArray[Any], columns: Mapping[str, ChunkedArray]) -> str | None:
    """Return the first column that shares memory with an output array, or None.

    A kernel assumes that its outputs do not alias inputs, and would be silently wrong. The whole
    memory span of a strided `out` counts.
    """
    if out.size == 0:
        return None
    low, high = byte_bounds(out)
    for name, column in columns.items():
        if any(start < high and low < end for start, end in _address_ranges(column)):
            return name
    return None


def _address_ranges(column: ChunkedArray) -> Iterator[tuple[int, int]]:
    """Yield the start and end address of each buffer of a column."""
    for piece in column.chunks:
        for buffer in piece.buffers():
            if buffer is not None:
                yield buffer.address, buffer.address + buffer.size


def write_table(table: Table, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet, Arrow IPC or CSV, by the suffix of the path.

    An existing file is replaced. The file appears whole or not at all: it is written beside its
    final path and then moved there.
    """
    target = Path(path)
    file_format = formats.SUFFIXES.get(target.suffix.lower())
    if file_format is None:
        raise FastfeatError(
            f"cannot write {target}: unknown suffix {target.suffix!r}. "
            f"Known: {', '.join(formats.SUFFIXES)}"
        )
    try:
        with atomic.replace_file(target) as partial:
            _WRITERS[file_format](table, partial)
    except (OSError, pa.ArrowException) as error:
        raise FastfeatError(f"cannot write {target}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the reason why a file could not be written, without the name of the partial file."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


def _write_parquet(table: Table, path: Path) -> None:
    """Write a Parquet file."""
    parquet = parquet_module()
    parquet.write_table(table, path)


def _write_ipc_file(table: Table, path: Path) -> None:
    """Write an uncompressed Arrow IPC file, so that it can be memory-mapped."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _write_ipc_stream(table: Table, path: Path) -> None:
    """Write an Arrow IPC stream."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def _write_csv(table: Table, path: Path) -> None:
    """Write a CSV file with a header."""
    import pyarrow.csv  # pyright: ignore[reportMissingTypeStubs]  # pyarrow has no stubs

    csv: Any = pyarrow.csv
    csv.write_csv(table, path)


def _write_tsv(table: Table, path: Path) -> None:
    """Write a tab-separated file with a header."""
    import pyarrow.csv  # pyright: ignore[reportMissingTypeStubs]  # pyarrow has no stubs

    csv: Any = pyarrow.csv
    csv.write_csv(table, path, csv.WriteOptions(delimiter="\t"))


_WRITERS: dict[FileFormat, Callable[[Table, Path], None]] = {
    "parquet": _write_parquet,
    "ipc_file": _write_ipc_file,
    "ipc_stream": _write_ipc_stream,
    "csv": _write_csv,
    "tsv": _write_tsv,
}
