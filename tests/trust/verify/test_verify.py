"""`verify`: what it compares, what it finds, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import cpu, reference
from fastfeat.engine.tasks import RowTask
from fastfeat.errors import BackendUnavailable, InvalidData, InvalidPlan
from fastfeat.trust.verify import comparison, paths
from fastfeat_tests.plan.plan_tables import cut, table_of

BIG = table_of(500, 0, finite=True)
VERIFIED = ff.Plan(
    {"log": col("x").log1p(), "scaled": col("y").standard_scale(), "even": col("i") % 2 == 0}
)


def test_verify_finds_that_all_bits_agree():
    report = VERIFIED.fit(BIG).verify(cut(BIG, [100, 101], 3), n_rows=200)
    assert report.ok
    assert [check.name for check in report.checks] == [
        "cpu = reference",
        "one chunk = many chunks",
        "all threads = 1 thread",
        "all rows = first half + second half",
        "batch = one row at a time",
    ]
    assert str(report).count("ok  ") == 5
    assert "cpu = reference (200 rows)" in str(report)
    assert "many chunks (500 rows)" in str(report)
    one = VERIFIED.fit(BIG).verify(BIG.slice(0, 1))
    assert one.ok
    assert "cpu = reference (1 row)" in str(one)


def test_verify_takes_a_sample_of_any_type_of_text():
    texts = [f"k{i % 7}" for i in range(40)]
    lists = pa.ListArray.from_arrays(pa.array(range(41)), pa.array(texts, pa.string_view()))
    table = pa.table({"s": pa.array(texts, pa.string_view()), "l": lists})
    frame = pl.DataFrame({"s": texts, "l": [[text] for text in texts]})
    plan = ff.Plan({"s": col("s").ordinal_encode(), "l": col("l").list.multi_hot_encode()})
    for data in (table, frame, frame.with_columns(s=pl.col("s").cast(pl.Categorical))):
        report = plan.fit(data).verify(data, n_rows=30)
        assert report.ok
        assert report.checks[0].n_rows == 30


def test_verify_compares_the_backends_that_it_is_given():
    fitted = VERIFIED.fit(BIG)
    report = fitted.verify(BIG, n_rows=20, backends=["reference", "cpu"])
    assert report.ok
    assert (report.checks[0].name, report.checks[0].n_rows) == ("reference = cpu", 20)
    with pytest.raises(BackendUnavailable, match=r"no backend 'tpu'"):
        fitted.verify(BIG, backends=("cpu", "tpu"))
    for backends in ((), ("cpu",), ("cpu", "cpu"), "cpu"):
        with pytest.raises(InvalidPlan, match=r"at least two .*, got "):
            fitted.verify(BIG, backends=backends)


def test_verify_of_nothing_is_an_error():
    fitted = VERIFIED.fit(BIG)
    with pytest.raises(InvalidData, match=r"no rows, so there is nothing to verify"):
        fitted.verify(BIG.slice(0, 0))
    for n_rows in (0, -1, True):
        with pytest.raises(InvalidPlan, match=r"n_rows must be at least 1, got"):
            fitted.verify(BIG, n_rows=n_rows)


def test_verify_takes_features_that_no_matrix_holds():
    rows = {"n": [2**60 + 1, 5], "t": np.array([1, 2], "datetime64[us]"), "x": [0.5, None]}
    plan = ff.Plan(
        {"n": col("n") - 1, "t": col("t"), "x": col("x") + 1, "turn": col("n").cyclical(7)}
    )
    report = plan.fit(rows).verify(rows)
    assert report.ok
    assert report.checks[-1].name == "batch = one row at a time"
    skipped = plan.fit(rows).select("t").verify(rows)
    assert skipped.ok
    assert "skip batch = one row at a time: no feature is a number" in str(skipped)


def test_verify_takes_times_beyond_those_of_python():
    rows = pa.table({"t": pa.array([2**50, 5, None], pa.timestamp("s"))})
    report = ff.Plan({"year": col("t").dt.year()}).fit(rows).verify(rows)
    assert report.ok
    assert "skip batch = one row at a time: the rows have times that" in str(report)


def test_verify_leaves_the_number_of_threads_to_the_environment(monkeypatch):
    VERIFIED.fit(BIG).verify(BIG)
    monkeypatch.setenv("FASTFEAT_NUM_THREADS", "7")
    assert ff.num_threads() == 7


def spoil(array: Any, row: int) -> Any:
    """Return an array of floats with the last bit of one row changed."""
    values = array.to_numpy(zero_copy_only=False).copy()
    values.view(np.int64)[row] ^= 1
    return pa.array(values, mask=np.asarray(array.is_null()))


def spoiling(original: Callable[..., Any], applies: Callable[[int], bool]) -> Callable[..., Any]:
    def compute(task: RowTask) -> Any:
        arrays = original(task)
        if applies(task.n_rows):
            return [arrays[0], spoil(arrays[1], 7), *arrays[2:]]
        return arrays

    return compute


@pytest.mark.parametrize(
    ("backend", "applies", "failing"),
    [
        (reference, lambda n: True, "cpu = reference"),
        (cpu, lambda n: n == 250, "all rows = first half + second half"),
    ],
)
def test_verify_finds_a_single_bit(backend, applies, failing, monkeypatch):
    fitted = VERIFIED.fit(BIG)
    functions = backend.BACKEND.functions
    monkeypatch.setitem(functions, RowTask, spoiling(functions[RowTask], applies))
    report = fitted.verify(BIG, n_rows=100)
    assert not report.ok
    (failed,) = [check for check in report.checks if check.difference is not None]
    assert failed.name == failing
    assert failed.difference is not None
    assert failed.difference.startswith("feature 'scaled', row 7: ")
    assert f"FAIL {failing}" in str(report)


def test_verify_finds_a_row_that_differs(monkeypatch):
    fitted = VERIFIED.fit(BIG)
    original = paths.transform_row
    monkeypatch.setattr(
        paths,
        "transform_row",
        lambda *args, **given: original(*args, **given) + np.array([0, 1e-9, 0]),
    )
    report = fitted.verify(BIG)
    assert [c.name for c in report.checks if c.difference] == ["batch = one row at a time"]
    assert "feature 'scaled'" in str(report)


@pytest.mark.parametrize(
    ("left", "right", "row"),
    [
        (pa.array([1.0, 2.0]), pa.array([1.0, 2.0]), None),
        (pa.array([1.0, 0.0]), pa.array([1.0, -0.0]), 1),
        (pa.array([1.0, None]), pa.array([1.0, 2.0]), 1),
        (pa.array([True, None, False]), pa.array([True, None, True]), 2),
        (pa.array([True, None]), pa.array([True, False]), 1),
        (pa.array([1, 2, 3], pa.int8()).slice(1), pa.array([2, 4], pa.int8()), 1),
        (pa.array([5, None], pa.timestamp("us")), pa.array([5, None], pa.timestamp("us")), None),
        (pa.array([], pa.float64()), pa.array([], pa.float64()), None),
    ],
)
def test_arrays_are_compared_by_their_bits(left, right, row):
    assert comparison.first_difference(left, right) == row


def test_a_row_with_the_first_instant_of_int64_is_not_compared_one_at_a_time():
    times = pa.array([-(2**63), 0, None], pa.int64()).view(pa.timestamp("ns"))
    data = pa.table({"t": times})
    report = ff.Plan({"missing": col("t").is_null()}).fit(data).verify(data)
    assert report.ok, report


def test_rows_whose_nanoseconds_python_cuts_off_are_not_compared_one_by_one():
    times = pa.array([1_001, 2_000], pa.time64("ns"))
    fitted = ff.Plan({"h": col("t").hash(9)}).fit({"t": times})
    report = fitted.verify({"t": times})
    assert report.ok
    assert "skip batch = one row at a time: the rows have times" in str(report)
    assert not any(check.skipped for check in fitted.verify({"t": times.slice(1)}).checks)
