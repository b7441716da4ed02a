"""`to="scipy"`: the features of `to="numpy"`, without the zeros of blocks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, RowsWithoutLabel, TypeMismatch

Backend = Literal["cpu", "reference", "emulated"]
WORDS = ["a", "bb", "ccc", "", "zw ei", None]
_rng = np.random.default_rng(5)


def rows_of(n_rows: int, rng: np.random.Generator = _rng) -> pa.Table:
    """Return random rows with missing values in every column."""

    def words(k: int = len(WORDS)) -> list[str | None]:
        return [WORDS[i] for i in rng.integers(0, k, n_rows)]

    lists = [
        None if rng.random() < 0.2 else [WORDS[i] for i in rng.integers(0, 6, rng.integers(0, 5))]
        for _ in range(n_rows)
    ]
    return pa.table(
        {
            "x": pa.array(rng.integers(-2, 3, n_rows), pa.float64(), mask=rng.random(n_rows) < 0.3),
            "i": pa.array(rng.integers(-2, 3, n_rows), mask=rng.random(n_rows) < 0.3),
            "c": pa.array(words(), pa.string()),
            "d": pa.array(words(3), pa.string()),
            "l": pa.array(lists, pa.list_(pa.string())),
            "y": pa.array(rng.integers(0, 2, n_rows)),
            "t": pa.array(np.arange(n_rows)).cast(pa.timestamp("s")),
        }
    )


ROWS = rows_of(200)
FEATURES = {
    "x": col("x"),
    "c": col("c").one_hot_encode(missing="column"),
    "c_again": col("c").one_hot_encode(missing="column"),
    "first": col("c").one_hot_encode(drop="first"),
    "binary": (col("d") == "a").one_hot_encode(drop="if_binary"),
    "rare": col("c").one_hot_encode(min_frequency=35, missing="column"),
    "i": col("i"),
    "above": col("x") > 0,
    "both": ff.cross(col("c"), col("d")).one_hot_encode(missing="column"),
    "number": col("i").one_hot_encode(max_categories=3),
    "tags": col("l").list.multi_hot_encode(missing="column"),
    "tags_0": col("l").list.multi_hot_encode(min_frequency=0.3),
    "grams": col("c").str.hash_ngrams(2, 5),
    "tokens": col("c").str.to_uppercase().str.hash_tokens(3),
    "code": col("d").ordinal_encode(),
    "past": col("x").sum(over=ff.window("3s", time="t")),
}
TRAINED = {"rate": col("d").target_encode("y", folds=3), **FEATURES}


def check_equal(sparse: Any, dense: np.ndarray[Any, Any]) -> None:
    """Check a CSR matrix: its values, its type, its order, and the entries that it stores."""
    assert sparse.format == "csr"
    assert sparse.dtype == dense.dtype
    assert sparse.shape == dense.shape
    assert sparse.indices.dtype == sparse.indptr.dtype == np.int32
    np.testing.assert_array_equal(sparse.toarray(), dense)
    entries = set[tuple[int, int]]()
    for row in range(len(dense)):
        columns = sparse.indices[sparse.indptr[row] : sparse.indptr[row + 1]]
        assert (np.diff(columns) > 0).all()
        entries |= {(row, int(column)) for column in columns}
    assert entries >= set(zip(*map(np.ndarray.tolist, np.nonzero(dense)), strict=True))


@pytest.mark.parametrize("dtype", [None, "float32"])
@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
def test_sparse_equals_dense(backend: Backend, dtype: Literal["float32"] | None) -> None:
    fitted = ff.Plan(FEATURES, label="y", dtype=dtype).fit(ROWS)
    for rows in (ROWS, ROWS.slice(20, 30), ROWS.slice(0, 0), pa.concat_tables([ROWS, ROWS])):
        dense = fitted.transform(rows, to="numpy", history="batch", backend=backend)
        check_equal(fitted.transform(rows, to="scipy", history="batch", backend=backend), dense)


def test_only_zeros_of_blocks_are_absent() -> None:
    fitted = ff.Plan({name: FEATURES[name] for name in ("x", "c", "i", "grams")}).fit(ROWS)
    dense = fitted.transform(ROWS, to="numpy", history="batch")
    found = fitted.transform(ROWS, to="scipy", history="batch")
    is_block = np.array([name.startswith(("c_", "grams_")) for name in fitted.feature_names])
    assert np.isnan(dense[:, is_block]).any()
    assert np.isnan(dense[:, ~is_block]).any()
    assert found.nnz == dense[:, ~is_block].size + np.count_nonzero(dense[:, is_block])
    assert np.count_nonzero(found.data == 0) == np.count_nonzero(dense[:, ~is_block] == 0)


def test_rows_are_selected() -> None:
    fitted = ff.Plan(FEATURES, label="y").fit(ROWS)
    for rows in ([7, 3, 3, 190], np.arange(len(ROWS)) % 3 == 0, np.arange(20, 150)):
        dense = fitted.transform(ROWS, rows=rows, to="numpy", history="batch")
        check_equal(fitted.transform(ROWS, rows=rows, to="scipy", history="batch"), dense)


@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
@pytest.mark.parametrize("rows", [None, np.arange(200) % 4 > 0])
def test_training_rows_are_out_of_fold(backend: Backend, rows: Any) -> None:
    plan = ff.Plan(TRAINED, label="y")
    _, dense = plan.fit_transform(ROWS, rows=rows, to="numpy", backend=backend)
    _, found = plan.fit_transform(ROWS, rows=rows, to="scipy", backend=backend)
    check_equal(found, dense)


def test_rows_that_are_not_learned_from_come_in_order() -> None:
    features = {name: FEATURES[name] for name in ("x", "c", "tags", "grams")}
    late = col("y").last(over=ff.ahead("3s", time="t"))
    plan = ff.Plan(
        {**features, "rate": col("d").target_encode("late", time="t")}, label={"late": late}
    )
    rows = ROWS.set_column(5, "y", pa.array([None if k % 3 else k % 2 for k in range(200)]))
    with pytest.warns(RowsWithoutLabel):
        _, dense = plan.fit_transform(rows, to="numpy")
    with pytest.warns(RowsWithoutLabel):
        _, found = plan.fit_transform(rows, to="scipy")
    check_equal(found, dense)


def test_folds_are_sparse() -> None:
    plan = ff.Plan(TRAINED, label="y")
    dense = plan.cross_fit(ROWS, 3, to="numpy")
    found = plan.cross_fit(ROWS, 3, to="scipy")
    for one, other in zip(found, dense, strict=True):
        check_equal(one.train, other.train)
        check_equal(one.test, other.test)


def test_batches_are_sparse() -> None:
    features = {name: one for name, one in FEATURES.items() if name != "past"}
    fitted = ff.Plan(features, label="y").fit(ROWS)
    dense = fitted.transform(ROWS, to="numpy", history="batch")
    pieces = [ROWS.slice(0, 70), ROWS.slice(70)]
    reader = pa.RecordBatchReader.from_batches(
        ROWS.schema, [batch for piece in pieces for batch in piece.to_batches()]
    )
    first = 0
    for found in fitted.transform_batches(reader, to="scipy"):
        check_equal(found, dense[first : first + found.shape[0]])
        first += found.shape[0]
    assert first == len(ROWS)


def test_batches_are_as_large_as_their_entries(tmp_path: Path) -> None:
    rows = pa.table({"c": [f"c{k}" for k in range(3000)] * 10})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    fitted = ff.Plan({"c": col("c").one_hot_encode()}).fit(rows)
    (found,) = fitted.transform_batches(tmp_path / "rows.parquet", to="scipy")
    assert found.shape == (30_000, 3000)
    assert found.nnz == 30_000


def test_columns_of_no_category() -> None:
    rows = {"c": ["a", "b"], "x": [1.0, 0.0]}
    plan = ff.Plan({"c": col("c").one_hot_encode(min_frequency=9, drop="first"), "x": col("x")})
    fitted = plan.fit(rows)
    check_equal(
        fitted.transform(rows, to="scipy", history="batch"),
        fitted.transform(rows, to="numpy", history="batch"),
    )


def test_smallest_codes_are_integers() -> None:
    fitted = ff.Plan({"c": FEATURES["c"], "code": FEATURES["code"]}, codes="smallest").fit(ROWS)
    found = fitted.transform(ROWS, to="scipy", history="batch")
    assert found.dtype == np.uint8
    check_equal(found, fitted.transform(ROWS, to="numpy", history="batch"))


@st.composite
def plans(draw: st.DrawFn) -> ff.Plan:
    """Return a plan of some features in any order, among them repeated ones."""
    names = draw(st.lists(st.sampled_from(sorted(FEATURES)), min_size=1, max_size=6))
    return ff.Plan({f"f{k}": FEATURES[name] for k, name in enumerate(names)}, label="y")


@given(plans(), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_random_plans(plan: ff.Plan, n_rows: int, seed: int) -> None:
    fitted, rows = plan.fit(ROWS), rows_of(n_rows, np.random.default_rng(seed))
    check_equal(
        fitted.transform(rows, to="scipy", history="batch"),
        fitted.transform(rows, to="numpy", history="batch"),
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_small_floats_are_refused(dtype: Literal["float16", "bfloat16"]) -> None:
    plan = ff.Plan({"x": col("x")}, dtype=dtype)
    fitted, rows = plan.fit(ROWS), ROWS
    told = rf"to='scipy': SciPy has no sparse matrix of {dtype}. Use Plan\(dtype='float32'\)"
    with pytest.raises(InvalidPlan, match=told):
        fitted.transform(rows, to="scipy", history="batch")
    with pytest.raises(InvalidPlan, match=told):
        plan.fit_transform(rows, to="scipy")


def test_wrong_uses_are_refused() -> None:
    fitted = ff.Plan({"x": col("x"), "t": col("t")}).fit(ROWS)
    with pytest.raises(TypeMismatch, match="feature 't' is "):
        fitted.transform(ROWS, to="scipy", history="batch")
    with pytest.raises(InvalidPlan, match="out= is for"):
        fitted.transform(ROWS, to="scipy", history="batch", out=np.zeros(3))
    with pytest.raises(InvalidPlan, match="categories=True is for"):
        fitted.transform(ROWS, to="scipy", history="batch", categories=True)
    live = ff.Plan({"x": col("x")}).fit(ROWS).online()
    with live, pytest.raises(InvalidPlan, match="a live state gives no sparse matrix"):
        live.features(ROWS.slice(0, 2), to="scipy")


def test_text_that_is_not_utf8_is_named_by_its_row() -> None:
    fitted = ff.Plan({"c": col("c").str.hash_ngrams(2, 4)}).fit({"c": ["ab"]})
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff")]
    )
    with pytest.raises(InvalidData, match="row 1"):
        fitted.transform({"c": broken}, to="scipy")


def test_many_buckets_cost_their_pieces() -> None:
    rows = {"c": ["a b a", "", "b"]}
    fitted = ff.Plan({"c": col("c").str.hash_tokens(2**15)}).fit(rows)
    found = fitted.transform(rows, to="scipy")
    assert found.shape == (3, 2**15)
    assert sorted(found.data.tolist()) == [1, 1, 2]


_WIDE = """
import resource
import numpy as np, pyarrow as pa
import fastfeat as ff
n, k = 1_000_000, 100_000
codes = np.random.default_rng(0).permutation(np.arange(n) % k)
rows = pa.table({"c": pa.array(np.char.add("c", np.arange(k).astype(str))).take(pa.array(codes))})
plan = ff.Plan({"c": ff.col("c").one_hot_encode(max_memory=1 << 50)}, dtype="float32")
fitted = plan.fit(rows)
found = fitted.transform(rows, to="scipy", history="batch")
assert found.shape == (n, k) and found.nnz == n, found
columns = np.array(fitted.feature_names)[found.indices[:1000]]
assert (columns == [f"c_{text}" for text in rows["c"][:1000].to_pylist()]).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_many_categories_take_the_memory_of_their_entries() -> None:
    run = subprocess.run([sys.executable, "-c", _WIDE], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 900  # MiB; 320 when this was written
