"""Memory of saving, loading and telling plans apart that have learnt very many keys."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.plan.lower.codes import are_keys

N_KEYS = 400_000
KEYS = 16 * N_KEYS
"""Bytes of the keys and their counts."""


def test_keys_are_written_and_hashed_where_they_are(tmp_path: Path) -> None:
    fitted = ff.Plan({"n": col("k").count_encode()}).fit({"k": np.arange(N_KEYS) * 7919})
    path = tmp_path / "keys.fastfeat"
    held = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        hash(fitted)
        fitted.save(path)
        _, taken = tracemalloc.get_traced_memory()
        assert taken < KEYS // 4
        tracemalloc.reset_peak()
        again = ff.load(path)
        _, taken = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2.5 * KEYS  # the file, in which keys stay, their counts, and keys in order
    assert pa.total_allocated_bytes() - held < KEYS // 4
    assert again == fitted
    rows = {"k": [0, 7919, 5]}
    assert again.transform(rows).to_pydict() == fitted.transform(rows).to_pydict()


@pytest.mark.parametrize("kind", [pa.large_string(), pa.int64()])
def test_keys_that_are_there_twice_are_found_wherever_they_stand(kind: pa.DataType) -> None:
    def keys(*texts: str) -> list[pa.Array]:
        return [pa.array(["7", *texts], pa.large_string()).cast(kind)[1:]]

    assert are_keys(keys("10", "20", "1", "2", "11"), "key")
    assert not are_keys(keys("10", "20", "1", "2", "10"), "key")
    assert are_keys(keys(), "key")
    if kind == pa.large_string():
        assert are_keys(keys("", "a", "ba"), "key")
        assert not are_keys(keys("", "a", "ba", ""), "key")
