"""The data of the large demo: generated card payments, the same on every machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from docs.demos.large_plan import signals
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, pa

ROWS_OF_GROUP = 125_000
GROUPS_OF_FILE = 8
_SEED = 20260102
_N_CARDS, _N_MERCHANTS, _N_COUNTRIES = 1_000_000, 50_000, 60
_SHARE_MISSING = 1 / 20
_FIRST_S, _MOST_S = 1_767_225_600, 40  # from 2026 on; seconds between payments
_SPECIFICATION = "_rows.json"  # readers of a folder skip it


def payments(group: int, n_rows: int = ROWS_OF_GROUP) -> Table:
    """Return the first payments of one row group, about 230 bytes each.

    The group's number alone determines the data.
    """
    random = np.random.Generator(np.random.SFC64([_SEED, group]))
    n = ROWS_OF_GROUP
    merchant = (random.random(n) ** 3 * _N_MERCHANTS).astype(np.int32)  # few have most payments
    amount = random.lognormal(3, 1, n)
    risk = 0.002 + 0.05 * (merchant % 97 == 0) + 0.02 * (amount > 200)
    number = group * n + np.arange(n, dtype=np.int64)
    at = _FIRST_S + number * _MOST_S // 2 + random.integers(0, _MOST_S // 2, n)
    columns: dict[str, Any] = {
        "payment": number,
        "at": pa.array(at * 1_000_000, pa.timestamp("us", "UTC")),  # like Spark
        "card": (random.random(n) ** 2 * _N_CARDS).astype(np.int64),
        "merchant": _texts("merchant-", _N_MERCHANTS, merchant),
        "country": _texts("C", _N_COUNTRIES, random.integers(0, _N_COUNTRIES, n, np.int32)),
        "amount": np.round(amount, 2),
        "is_fraud": random.random(n) < risk,
    }
    for name in signals:
        missing = random.random(n, np.float32) < _SHARE_MISSING
        columns[name] = pa.array(random.standard_normal(n), mask=missing)
    return pa.table(columns).slice(0, n_rows)


def rows_of(n_bytes: int) -> int:
    """Return the number of payments that take `n_bytes` in memory."""
    table = payments(0)
    return max(1, n_bytes * table.num_rows // table.nbytes)


def write_rows(folder: Path, n_rows: int, step: Callable[[str], None]) -> bool:
    """Write payments as Parquet files of a folder, and return whether they had to be written.

    The folder is written completely or not at all; other payments in it are replaced. FastfeatError
    if it cannot be written.
    """
    wanted = {"seed": _SEED, "n_rows": n_rows}
    if _specified(folder) == wanted:
        return False
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    size = ROWS_OF_GROUP * GROUPS_OF_FILE
    n_files, n_done = -(-n_rows // size), 0
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with ThreadPoolExecutor(2) as pool:
            files = [
                pool.submit(_write_file, unfinished, k, min(size, n_rows - k * size))
                for k in range(n_files)
            ]
            try:
                for file in files:
                    n_done += file.result()
                    step(f"Making {n_rows:,} payments: {n_done:,}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        (unfinished / _SPECIFICATION).write_text(json.dumps(wanted), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except OSError as error:
        raise FastfeatError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def _write_file(folder: Path, file: int, n_rows: int) -> int:
    """Write one file, a row group at a time, and return its number of rows."""
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]  # pyarrow has no stubs

    parquet: Any = pq
    schema, first = payments(0, 0).schema, file * GROUPS_OF_FILE
    texts = ["merchant", "country"]
    with parquet.ParquetWriter(
        folder / f"part-{file:03}.parquet", schema, compression="none", use_dictionary=texts
    ) as writer:
        for k in range(-(-n_rows // ROWS_OF_GROUP)):
            size = min(ROWS_OF_GROUP, n_rows - k * ROWS_OF_GROUP)
            writer.write_table(payments(first + k, size))
    return n_rows


def _specified(folder: Path) -> dict[str, Any] | None:
    """Return the specification of a folder's payments if they are complete, else None."""
    try:
        return json.loads((folder / _SPECIFICATION).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _texts(prefix: str, n: int, codes: Any) -> Any:
    """Return a column of texts, with `n` distinct values."""
    return pa.DictionaryArray.from_arrays(pa.array(codes), _words(prefix, n)).cast(pa.string())


@cache
def _words(prefix: str, n: int) -> Any:
    return pa.array([f"{prefix}{k:05}" for k in range(n)])
