"""A digest of features in files, independent of the order of rows and their division into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Table, pa

_ODD, _OTHER_ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(29)


def digest_of_features(folder: Path) -> tuple[int, str]:
    """Return the number of rows in the files of a folder, and a digest of their bits.

    The digest is the sum of a hash of each row: of the bits of its values, and of the places of
    missing ones. Parquet files with names that begin with "_" are skipped.
    """
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]  # pyarrow has no stubs

    parquet: Any = pq
    n_rows, total = 0, 0
    for path in sorted(folder.rglob("[!_.]*.parquet")):
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1 << 16):
                total += int(row_hashes(pa.Table.from_batches([batch])).sum(dtype=np.uint64))
                n_rows += batch.num_rows
    return n_rows, f"{total % 2**64:016x}"


def row_hashes(table: Table) -> NDArray[np.uint64]:
    """Return a hash of the bits of each row, `(n_rows,)`."""
    hashes = np.zeros(table.num_rows, np.uint64)
    for name in table.column_names:
        hashes = (hashes ^ _bits(table[name])) * _ODD
        hashes ^= hashes >> _SHIFT
    return hashes * _OTHER_ODD


def _bits(column: Any) -> NDArray[np.uint64]:
    """Return the bits of fixed-width values as integers; all missing values get equal bits."""
    values: NDArray[Any] = (
        column.fill_null(0).to_numpy() if column.null_count else column.to_numpy()
    )
    if values.dtype.kind == "f":
        values = values.view(f"u{values.dtype.itemsize}")
    bits = values.astype(np.uint64)
    if column.null_count:
        bits[column.is_null().to_numpy()] = _OTHER_ODD
    return bits
