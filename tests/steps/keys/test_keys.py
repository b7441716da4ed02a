"""What is learnt per key: the same bits on every backend, by any way that rows come."""

from __future__ import annotations

import datetime
import math
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.steps.keys.key_tables import KEYS, key_tables, one_chunk

EXAMPLES = settings(max_examples=10 + settings().max_examples // 10)
pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
Table = Any


@pytest.fixture(autouse=True, scope="module")
def several_parts() -> Any:
    """Divide a few rows among threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("fastfeat.engine.cpu.kernels"), "SERIAL_BELOW", 1)
        yield


@cache
def plan() -> ff.Plan:
    """Return encoders and aggregates of every kind of key."""
    features: dict[str, ff.Expr] = {}
    for name in KEYS:
        key = col(name)
        features[f"code {name}"] = key.ordinal_encode()
        features[f"few {name}"] = key.ordinal_encode(min_frequency=2, max_categories=3)
        features[f"count {name}"] = key.count_encode()
        features[f"mean {name}"] = col("z").mean(by=name)
    z, w = col("z"), col("w")
    features |= {
        "std": z.std(by=["text", "flag"]),
        "var": z.var(ddof=0, by="i8"),
        "sum": w.sum(by="f64"),
        "sum z": z.sum(by="f64"),
        "min": w.min(by="text"),
        "max": z.max(by="flag"),
        "low": z.quantile(0.25, interpolation="lower", by="day"),
        "day": col("day").quantile(0.7, interpolation="nearest", by="text").dt.epoch("s"),
        "median": w.median(by=col("i8") % 2),
        "n": z.count(by="dict"),
        "null": z.null_count(by="u64"),
        "mode": w.mode(by="view"),
        "unique": z.n_unique(by="large"),
        "any": col("text").count(by="i64"),
        "scaled": z.standard_scale(by="text"),
        "filled": z.impute("median", by="text"),
        "either": z.mean(by="text").fill_null(z.mean()),
        "cross": ff.cross("text", "i8", "flag").ordinal_encode(),
        "share": ff.cross("dict", "f64").count_encode(normalize=True),
        "nested": z.mean(by="text").max(),
        "of code": col("text").ordinal_encode().mean(by="flag"),
    }
    return ff.Plan(features)


def assert_same(left: Table, right: Table) -> None:
    assert left.schema == right.schema
    for name in left.column_names:
        columns = left[name].combine_chunks(), right[name].combine_chunks()
        assert first_difference(*columns) is None, name


@EXAMPLES
@given(train=key_tables(), rows=key_tables())
def test_backends_agree(train: Table, rows: Table) -> None:
    on_cpu = plan().fit(train)
    by_reference = plan().fit(train, backend="reference")
    assert artifact_bytes(on_cpu.record) == artifact_bytes(by_reference.record)
    report = on_cpu.verify(rows)
    assert report.ok, report


@EXAMPLES
@given(train=key_tables(min_rows=2), rows=key_tables(min_rows=2))
def test_chunks_threads_rows_and_the_artifact_change_no_bit(train: Table, rows: Table) -> None:
    fitted = plan().fit(train)
    with_threads = artifact_bytes(fitted.record)
    ff.set_num_threads(3)
    try:
        assert artifact_bytes(plan().fit(one_chunk(train)).record) == with_threads
        expected = fitted.transform(rows)
        assert_same(fitted.transform(one_chunk(rows)), expected)
    finally:
        ff.set_num_threads(None)
    assert_same(fitted_of(with_threads).transform(rows), expected)
    halves = [fitted.transform(rows.slice(0, 1)), fitted.transform(rows.slice(1))]
    assert_same(pa.concat_tables(halves), expected)
    matrix = fitted.transform(rows, to="numpy")
    for row, values in zip(rows.to_pylist(), matrix, strict=True):
        assert fitted.transform_row(row).tobytes() == np.ascontiguousarray(values).tobytes()


@EXAMPLES
@given(train=key_tables(min_rows=2))
def test_the_order_of_training_rows_changes_no_bit(train: Table) -> None:
    backwards = pa.table(
        {
            name: pa.array(column.to_pylist()[::-1], column.type, from_pandas=False)
            for name, column in zip(train.column_names, train.columns, strict=True)
        }
    )
    assert artifact_bytes(plan().fit(train).record) == artifact_bytes(plan().fit(backwards).record)


@pytest.mark.parametrize("aggregate", ["sum", "mean", "var", "median", "mode"])
def test_infinities_of_a_key_leave_the_same_artifact_on_every_backend(aggregate: str) -> None:
    train = {"k": [1, 1, 2, 3], "x": [math.inf, -math.inf, math.inf, 1.0]}
    plan = ff.Plan({"a": getattr(col("x"), aggregate)(by="k")})
    by_reference = plan.fit(train, backend="reference")
    assert artifact_bytes(plan.fit(train).record) == artifact_bytes(by_reference.record)


NANOSECONDS = [2**62 + 1, -(2**62) - 7, 2**53 + 1, -(2**63), 2**63 - 1, 2**53 + 3]
TIMES = pa.table(
    {
        "k": [1, 1, 1, 2, 2, 3, 3],
        "stamp": pa.array([*NANOSECONDS, None], pa.timestamp("ns", "UTC")),
        "length": pa.array([*NANOSECONDS, None], pa.duration("ns")),
        "day": pa.array([1, 2, 5, -(2**31), 2**31 - 1, 7, None], pa.date32()),
        "time": pa.array([1, 2, 5, 86399, 0, 7, None], pa.time32("s")),
    }
)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("name", TIMES.column_names[1:])
def test_quantiles_of_times_are_exact(name: str, interpolation: Any, tmp_path: Path) -> None:
    x = col(name)
    shares = {f"q{q}": x.quantile(q, interpolation=interpolation, by="k") for q in (0, 0.3, 0.5)}
    plan = ff.Plan(shares)
    if interpolation in ("linear", "midpoint") and name != "length":
        with pytest.raises(TypeMismatch, match="cannot interpolate between two values"):
            plan.fit(TIMES)
        return
    fitted, by_reference = (plan.fit(TIMES, backend=backend) for backend in ("cpu", "reference"))
    assert artifact_bytes(fitted.record) == artifact_bytes(by_reference.record)
    assert fitted.verify(TIMES, backends=("cpu", "reference")).ok
    fitted.save(tmp_path / "times.fastfeat")
    found = ff.load(tmp_path / "times.fastfeat").transform(TIMES)
    assert found.schema.types == [TIMES.schema.field(name).type] * 3
    halves = {"linear": 0, "midpoint": 0, "lower": -(2**63), "higher": 2**63 - 1, "nearest": None}
    if name == "length" and halves[interpolation] is not None:
        assert found["q0.5"].cast(pa.int64()).to_pylist()[3:5] == [halves[interpolation]] * 2


def test_codes_are_by_count_and_then_by_value() -> None:
    fitted = ff.Plan({"k": col("k").ordinal_encode()}).fit({"k": [*"bbaacéz", None, None]})
    assert fitted.vocabulary("k").to_pydict() == {
        "code": [0, 1, 2, 3, 4, 5, 6],
        "k": [None, None, "a", "b", "c", "z", "é"],
        "count": [2, 0, 2, 2, 1, 1, 1],
    }
    assert fitted.encoding("k").inverse([6, 2, 0, 1]).to_pylist() == ["é", "a", None, None]
    with pytest.raises(InvalidData, match="7 is not a code"):
        fitted.encoding("k").inverse([7])
    with pytest.raises(InvalidPlan, match="no feature 'q'"):
        fitted.vocabulary("q")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("value", ["a", 3, 2.5, -0.0, True, datetime.date(2024, 5, 1), None])
def test_a_literal_is_a_key_as_any(value: Any, backend: str) -> None:
    key, x = ff.lit(value), col("x")
    features = {
        "code": key.ordinal_encode(),
        "count": key.count_encode(),
        "hot": key.one_hot_encode(missing="column"),
        "cross": ff.cross(key, "k").ordinal_encode(),
        "mean": x.mean(by=[key, "k"]),
        "seen": x.count(by=key),
    }
    rows = {"k": ["p", "q", "p"], "x": [1.0, 2.0, 3.0]}
    fitted = ff.Plan(features).fit(rows, backend=backend)
    found = fitted.transform(rows, backend=backend).to_pydict()
    missing = value is None
    assert found["code"] == [0 if missing else 2] * 3
    assert found["count"] == [3] * 3
    assert found["cross"] == [2, 3, 2]
    assert found["mean"] == ([None] * 3 if missing else [2.0, 2.0, 2.0])
    assert found["seen"] == [None if missing else 3] * 3
    assert fitted.verify(rows).ok
    assert fitted_of(artifact_bytes(fitted.record)).transform(rows).to_pydict() == found


def test_rare_keys_share_the_code_of_unseen_ones() -> None:
    fitted = ff.Plan(
        {
            "least": col("k").ordinal_encode(min_frequency=2),
            "share": col("k").ordinal_encode(min_frequency=0.3),
            "most": col("k").ordinal_encode(max_categories=2),
            "all": col("k").ordinal_encode(max_categories=3),
        }
    ).fit({"k": [*"aaabbc"]})
    rows = fitted.transform({"k": ["a", "b", "c", "d"]}).to_pydict()
    assert rows == {
        "least": [2, 3, 1, 1],
        "share": [2, 3, 1, 1],
        "most": [2, 1, 1, 1],
        "all": [2, 3, 4, 1],
    }


def test_missing_unseen_and_rare_are_as_the_table_of_the_design_says() -> None:
    k, x = col("k"), col("x")
    fitted = ff.Plan(
        {
            "hot": k.one_hot_encode(min_frequency=2, missing="column"),
            "plain": k.one_hot_encode(),
            "n": k.count_encode(),
            "mean": x.mean(by="k"),
            "cross": ff.cross("k", "x").ordinal_encode(),
        }
    ).fit({"k": ["a", "a", "b", None], "x": [1, 3, 5, 7]})
    rows = fitted.transform({"k": ["a", "b", "c", None], "x": [1, 5, 1, 7]})
    assert rows.to_pydict() == {
        "hot_a": [1, 0, 0, 0],
        "hot__missing": [0, 0, 0, 1],
        "hot__other": [0, 1, 1, 0],
        "plain_a": [1, 0, 0, 0],
        "plain_b": [0, 1, 0, 0],
        "n": [2, 1, 0, 1],
        "mean": [2.0, 5.0, None, None],
        "cross": [3, 5, 1, 2],
    }


def test_a_vocabulary_beyond_the_memory_allowed_is_an_error() -> None:
    data = {"k": np.arange(100_000)}
    with pytest.raises(InvalidData, match=r"max_memory=1,000. Raise max_memory"):
        ff.Plan({"k": col("k").ordinal_encode(max_memory=1000)}).fit(data)
    hot = ff.Plan({"k": col("k").one_hot_encode(max_memory=1_000_000)})
    with pytest.raises(InvalidData, match=r"columns of 2,000 rows take 4,000,000 bytes"):
        hot.fit({"k": np.arange(2000)})


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: col("x").mean(by=ff.cross("a", "b") + 1), TypeMismatch, "needs"),
        (lambda: ff.cross("a", "b"), TypeMismatch, "is a cross"),
        (lambda: col("x") + ff.cross("a", "b"), TypeMismatch, "got cross"),
        (lambda: col("x") + col("a").one_hot_encode(), TypeMismatch, "got one_hot"),
        (lambda: col("a").n_unique(by="b"), TypeMismatch, "Encode the text first"),
        (lambda: col("a").mean(by="b"), TypeMismatch, "needs a number"),
        (lambda: col("x").ordinal_encode(vocabulary=["a"]), TypeMismatch, "'a'"),
        (lambda: col("x").ordinal_encode(vocabulary=[0.0, -0.0]), InvalidPlan, "are equal"),
        (lambda: col("x").ordinal_encode(vocabulary=[1, 1.0]), InvalidPlan, "are equal"),
        (lambda: ff.cross("a", "b").count(), TypeMismatch, "got cross"),
        (lambda: ff.cross("a", "b").n_unique(), TypeMismatch, "got cross"),
        (lambda: ff.cross("a", "b").is_null(), TypeMismatch, "got cross"),
        (lambda: ff.cross("a", "b").count(by="a"), TypeMismatch, "got cross"),
        (lambda: col("a").one_hot_encode().count(by="b"), TypeMismatch, "got one_hot"),
    ],
)
def test_what_makes_no_sense_of_keys_is_refused(build: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        ff.Plan({"f": build()}).fit({"x": [1.0, 2.0], "a": ["p", "q"], "b": [1, 2]})


def test_a_key_of_a_lookup_table_that_is_there_twice_is_told_whatever_time_it_is() -> None:
    days = pa.array([3_000_000, 3_000_000], pa.int32()).view(pa.date32())
    tables = {"t": pa.table({"k": days, "v": [1, 2]})}
    plan = ff.Plan({"v": ff.lookup("t", by="k").col("v")})
    with pytest.raises(InvalidData, match="the key k=10183-09-21 in the rows 0 and 1"):
        plan.fit({"k": days}, tables=tables).transform({"k": days}, tables=tables)


@EXAMPLES
@given(train=key_tables(min_rows=2))
def test_training_rows_have_the_codes_that_transform_gives_them(train: Table) -> None:
    fitted, features = plan().fit_transform(train)
    assert_same(features, fitted.transform(train))
    matrix = plan().fit_transform(train, to="numpy")[1]
    np.testing.assert_array_equal(matrix, fitted.transform(train, to="numpy"))


def test_dictionaries_are_read_as_the_text_that_they_stand_for() -> None:
    entries = pa.array(["b", "a", None, "unused", "b", "c"])
    indices = pa.array([0, 1, 2, 4, 5, None, 4, 0], pa.int16())
    first = pa.DictionaryArray.from_arrays(indices, entries)
    second = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int16()), pa.array(["c", "d"]))
    coded = pa.table({"k": pa.chunked_array([first, second.slice(1), first.slice(3, 4)])})
    plain = pa.table({"k": coded["k"].cast(pa.string())})
    k = col("k")
    features = {
        "code": k.ordinal_encode(),
        "few": k.ordinal_encode(max_categories=3),
        "count": k.count_encode(),
        "crossed": ff.cross("k", k.count_encode()).ordinal_encode(),
        "n": k.count(by="k"),
    }
    expected = ff.Plan(features).fit(plain)
    fitted, of_rows = ff.Plan(features).fit_transform(coded)
    assert fitted.vocabulary("code").equals(expected.vocabulary("code"))
    for found in (of_rows, fitted.transform(coded), fitted.transform(plain)):
        assert_same(found, expected.transform(plain))
    assert_same(expected.transform(coded, backend="reference"), of_rows)


def test_elements_that_are_not_utf8_are_keys_on_every_backend() -> None:
    content = pa.array([b"a", b"\xff", b"\xff"])
    texts = pa.Array.from_buffers(pa.string(), 3, content.buffers())
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3, 3]), texts)
    fitted = ff.Plan({"o": col("l").list.ordinal_encode(width=2)}).fit({"l": lists})
    expected = {"o_0": [3, 2, 0], "o_1": [2, 0, 0]}
    for backend in ("cpu", "reference"):
        assert fitted.transform({"l": lists}, backend=backend).to_pydict() == expected
        sliced = fitted.transform({"l": lists.slice(1)}, backend=backend).to_pydict()
        assert sliced == {name: values[1:] for name, values in expected.items()}


@pytest.mark.parametrize(("float_type", "bits"), [("f8", 0x7FF0000000000001), ("f4", 0x7F800001)])
def test_a_signalling_nan_is_a_missing_key_without_a_warning(float_type: str, bits: int) -> None:
    keys = np.array([1, 2, 1, 3], float_type)
    keys.view(f"u{keys.itemsize}")[3] = bits
    counts = ff.Plan({"n": col("k").count_encode()}).fit_transform({"k": keys})[1]["n"]
    assert counts.to_pylist() == [2, 1, 2, 1]
