"""How rows in several chunks are split for the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu import run


def in_chunks(table: pa.Table, ends: list[int]) -> pa.Table:
    """Return a table whose columns have chunks that end at these rows."""
    edges = [0, *ends, table.num_rows]
    chunks = [table.slice(a, b - a) for a, b in zip(edges, edges[1:], strict=False)]  # noqa: RUF007
    return pa.concat_tables(chunks)


def test_words_of_several_chunks_are_copied_once_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    n_rows = 100_000
    table = pa.table(
        {
            "x": pa.array(rng.normal(size=n_rows), mask=rng.random(n_rows) < 0.1),
            "flag": pa.array(rng.random(n_rows) < 0.5, mask=rng.random(n_rows) < 0.1),
            "small": rng.integers(0, 9, n_rows).astype(np.int8),
        }
    )
    fitted = ff.Plan(
        {"y": col("x") * 2, "both": col("flag") & (col("x") > 0), "n": col("small") + 1}
    ).fit(table)
    copied: list[Any] = []
    monkeypatch.setattr(
        run, "_copied", lambda *args, of=run._copied: copied.append(args) or of(*args)
    )
    expected = fitted.transform(table)
    assert not copied
    chunked = in_chunks(table, list(range(5_000, n_rows, 5_000)))
    assert fitted.transform(chunked).equals(expected)
    assert len(copied) == 3


def test_chunks_of_other_lengths_in_each_column_change_no_bit() -> None:
    n_rows = 70_000  # more than a small batch has, whose chunks are put together first
    x, k = np.arange(n_rows) / 7, np.arange(n_rows) % 11
    table = pa.table({"x": x, "k": k})
    fitted = ff.Plan({"y": col("x") + col("k"), "even": col("k") % 2 == 0}).fit(table)
    apart = pa.table(
        {
            "x": in_chunks(table, [1, 63, 64, 65, 50_000]).column("x"),
            "k": in_chunks(table, [200, 201, 33_333, 64_000, 69_999]).column("k"),
        }
    )
    assert fitted.transform(apart).equals(fitted.transform(table))
