"""Samples of rows: later rounds begin with them, and learn what they would without, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu import ranks
from fastfeat.io.budget import Budget
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.learn import passes, row_sample
from fastfeat.learn.row_sample import RowSample

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

N = 700
X = col("x").impute("median")
PLAN = ff.Plan(
    {
        "twice": X.robust_scale().qcut(5),
        "of two": (X + col("n")).quantile_transform(n_quantiles=9),
        "beside": X.standard_scale().mean() + X.std() + col("n").max(),
    }
)

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.BinsMerged")  # of few rows


def rows_of(n: int, seed: int) -> Any:
    random = np.random.default_rng(seed)
    x = np.where(random.random(n) < 0.1, np.nan, random.normal(size=n).round(1))
    return pa.table({"x": pa.array(x, from_pandas=True), "n": np.sort(random.integers(0, 50, n))})


def test_later_levels_read_the_rows_once_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "N_SAMPLE", 32)
    read: list[int] = []
    whole_pass = passes._pass

    def counted(*args: Any) -> Any:
        read.append(args[0].round)
        return whole_pass(*args)

    monkeypatch.setattr(passes, "_pass", counted)
    table = rows_of(N, 0)
    fitted = PLAN.fit(table, memory="64GiB")
    assert len(read) == 3 + 2 + 2  # medians; scales; cuts
    assert artifact_bytes(fitted.record) == artifact_bytes(PLAN.fit(table).record)
    read.clear()
    monkeypatch.setattr(passes, "sample_for", lambda learning: RowSample([]))
    PLAN.fit(table, memory="64GiB")
    assert len(read) == 3 + 3 + 3


@pytest.mark.filterwarnings("ignore::fastfeat.errors.BinsMerged")  # of few rows, many are alike
@given(n=st.integers(33, 300), seed=st.integers(0, 1 << 16), n_bytes=st.integers(100, 1 << 14))
def test_artifact_does_not_depend_on_the_sample(n: int, seed: int, n_bytes: int) -> None:
    table = rows_of(n, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "N_SAMPLE", 32)
        patch.setattr(row_sample, "MOST_ROWS", 8)
        patch.setattr(Budget, "table_bytes", lambda self, n_growing=0: n_bytes)
        patch.setattr(passes, "_FEWEST_ROWS", 1)
        fitted = PLAN.fit(table, memory="64GiB")
    assert artifact_bytes(fitted.record) == artifact_bytes(PLAN.fit(table).record)


def test_row_that_fails_in_the_sample_is_told_by_the_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks, "N_SAMPLE", 32)
    table = pa.table({"n": [*range(100), 2**62, *range(99), 2**62]})
    plan = ff.Plan({"n": (col("n") * 2 - col("n").quantile(0.5).cast("int64")).qcut(3)})
    with pytest.raises(ff.errors.Overflow) as told:
        plan.fit(table, memory="64GiB")
    with pytest.raises(ff.errors.Overflow) as expected:
        plan.fit(table)
    assert str(told.value).startswith(str(expected.value))


@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=9))
def test_sample_is_of_one_row_in_so_many(sizes: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sample, "MOST_ROWS", 16)
        sample, first = RowSample(["n"]), 0
        for size in sizes:
            rows = np.arange(first, first + size)
            sample.add(pa.table({"n": rows, "x": rows}), first)
            first += size
    assert sample.table().column("n").to_pylist() == sample.numbers.tolist()
    assert len(sample.numbers) <= 16
    assert len(sample.numbers) >= min(first, 4)
    assert (np.diff(sample.numbers) > 0).all()
