"""Steps that a prepared call runs itself have the bits of the general way, for few calls.

What kernels do not take where it stands (dictionaries, missing elements of lists) is left to that.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, Overflow
from fastfeat_tests.execute.test_prepared import (
    N_CALLS,
    OPTIONS,
    assert_same,
    general,
    n_calls,
    resident,
)

TEXTS = ["", "a", "b", "word", "a longer text than sixteen bytes", "née", "日本語", "zzz"]
SIZES = (1, 7, 8, 63, 64, 65, 1000)


def table_of(n_rows: int, seed: int, missing: float = 0.0, wide: bool = False) -> Any:
    """Return keys of several types, text, and lists, with so many missing."""
    rng = np.random.default_rng(seed)

    def mask() -> Any:
        return rng.random(n_rows) < missing

    lengths = rng.integers(0, 9, n_rows)
    absent = mask()
    lengths[absent] = 0
    ends = np.concatenate([[0], np.cumsum(lengths)])
    numbers = np.where(rng.random(ends[-1]) < 0.1, -0.0, rng.normal(size=ends[-1]))
    lists = pa.LargeListArray if wide else pa.ListArray
    offsets = pa.array(ends.astype(np.int64 if wide else np.int32))
    text = pa.large_string() if wide else pa.string()
    return pa.table(
        {
            "x": pa.array(rng.normal(size=n_rows), mask=mask()),
            "k": pa.array(rng.integers(-3, 40, n_rows), mask=mask()),
            "far": pa.array(rng.integers(0, 30, n_rows) * 10**12, mask=mask()),
            "small": pa.array(rng.integers(-3, 9, n_rows).astype(np.int8), mask=mask()),
            "big": pa.array(rng.integers(0, 9, n_rows).astype(np.uint64) << 60, mask=mask()),
            "day": pa.array(rng.integers(0, 20, n_rows).astype(np.int32), mask=mask()).view(
                pa.date32()
            ),
            "s": pa.array(rng.choice(TEXTS, n_rows), text, mask=mask()),
            "f": pa.array(rng.choice([0.5, -0.0, 0.0, np.nan, np.inf, 3], n_rows), mask=mask()),
            "g": pa.array(rng.integers(0, 9, n_rows).astype(np.float32), mask=mask()),
            "b": pa.array(rng.random(n_rows) < 0.3, mask=mask()),
            "r": pa.array(rng.choice(TEXTS, n_rows), text, mask=mask()),
            "l": lists.from_arrays(offsets, numbers, mask=pa.array(absent)),
        }
    )


FEATURES: dict[str, Any] = {
    **{f"code_{name}": col(name).ordinal_encode() for name in ("k", "far", "small", "big", "day")},
    **{f"code_{name}": col(name).ordinal_encode() for name in ("f", "g", "b")},
    "of_floats": ff.cross(col("f"), col("b")).ordinal_encode(),
    "hash_floats": ff.cross(col("f"), col("g"), col("b")).hash(50),
    "code_s": col("s").ordinal_encode(),
    "rare": col("s").ordinal_encode(min_frequency=0.1),
    "mean_of": col("x") - col("x").mean(by="k"),
    "counted": col("s").count_encode(),
    "one": col("s").one_hot_encode(),
    "is_a": col("s") == "a",
    "among": col("s").is_in(["b", "word"]),
    "bytes": col("s").str.len_bytes(),
    "chars": col("s").str.len_chars() * 2,
    "has": col("s").str.contains("o", literal=True),
    "starts": col("s").str.starts_with("a").fill_null(True),
    "n": col("l").list.len(),
    "sum": col("l").list.sum(),
    "mean": col("l").list.mean(),
    "least": col("l").list.min() * 2,
    "most": col("l").list.max(),
    "last": col("l").list.get(-1),
    "grams": col("s").str.hash_ngrams(2, 8),
    "tokens": col("s").str.hash_tokens(3),
    "hash": col("s").hash() > 2**62,
    "bucket": col("s").hash(100, seed=7),
    "both": ff.cross(col("s"), col("small")).hash(1000),
    "pair": ff.cross(col("s"), col("k")).ordinal_encode(),
    "of_pair": col("x").mean(by=["k", "day"]),
    "same": col("s") == col("r"),
    "present": col("s").is_not_null() & col("r").is_null(),
}
FITTED = {
    wide: ff.Plan(FEATURES).fit(table_of(400, 1, missing=0.1, wide=wide)) for wide in (False, True)
}
WITH_KEPT = ff.Plan({name: FEATURES[name] for name in ("code_s", "n", "has")}, keep=["s", "k"]).fit(
    table_of(400, 1, missing=0.1)
)
FLOATS = ff.Plan({"sum": FEATURES["sum"], "x": col("x") * 2}, dtype="float64").fit(
    table_of(400, 1, missing=0.1)
)
tables = st.builds(
    table_of,
    st.sampled_from(SIZES),
    st.integers(0, 99),
    missing=st.sampled_from((0, 0.2, 1)),
    wide=st.booleans(),
)


def assert_prepared(fitted: Any, rows: Any) -> None:
    """Check that further calls have the bits of the general way, and are few of Python's."""
    for options in OPTIONS:
        expected = general(fitted, rows, **options)
        fitted.transform(rows, **options)
        assert_same(fitted.transform(rows, **options), expected)
        assert n_calls(lambda: fitted.transform(rows, **options)) <= N_CALLS  # noqa: B023


@given(tables, st.integers(0, 70), st.booleans())
def test_steps_have_the_bits_of_the_general_way(rows: Any, offset: int, wide: bool) -> None:
    assert_prepared(FITTED[wide], rows)
    rest = rows.slice(min(offset, rows.num_rows - 1))
    assert_prepared(FITTED[wide], rest)
    assert_prepared(FITTED[wide], rest.combine_chunks().to_batches()[0])


def test_memory_grows_with_rows() -> None:
    fitted = FITTED[False]
    for n_rows in (10, 4000, 1025, 3, 4000):
        assert_prepared(fitted, table_of(n_rows, n_rows, missing=0.1))
    many = table_of(9000, 4, missing=0.1)
    for options in OPTIONS:
        expected = general(fitted, many, **options)
        fitted.transform(many, **options)
        assert_same(fitted.transform(many, **options), expected)


@pytest.mark.parametrize("kept", [["code_k", "n"], ["bytes"], ["code_s", "has", "sum"]])
def test_features_that_are_steps_alone_are_prepared(kept: list[str]) -> None:
    rows = table_of(300, 2, missing=0.2)
    assert_prepared(ff.Plan({name: FEATURES[name] for name in kept}).fit(rows), rows)


def test_other_forms_of_columns_have_the_bits_of_the_general_way() -> None:
    fitted, rows = FITTED[False], table_of(200, 5, missing=0.2)
    lists = rows["l"].to_pylist()
    with_missing = [None if one is None else [None, *one] for one in lists]
    others = {
        "s": [rows["s"].dictionary_encode(), rows["s"].cast(pa.string_view())],
        "k": [rows["k"].cast(pa.int16()), rows["k"].dictionary_encode()],
        "l": [pa.array(with_missing, pa.list_(pa.float64())), rows["l"].cast(pa.list_(pa.float32()))
              .cast(pa.list_(pa.float64()))],
    }  # fmt: skip
    for name, columns in others.items():
        for column in columns:
            data = rows.set_column(rows.column_names.index(name), name, column)
            for options in OPTIONS:
                expected = general(fitted, data, **options)
                for _ in range(3):
                    found = fitted.transform(data, **options)
                    assert np.array_equal(matrix(found), matrix(expected), equal_nan=True)


def matrix(features: Any) -> Any:
    """Return features as a matrix."""
    if isinstance(features, np.ndarray):
        return features
    columns = [column.to_numpy().astype(np.float64) for column in features.columns]
    return np.column_stack(columns)


def test_elements_under_a_missing_list_are_not_read() -> None:
    offsets, values = pa.array([0, 2, 4, 6], pa.int32()), pa.array(np.arange(6.0))
    bits = pa.py_buffer(np.array([0b101], np.uint8))
    hidden = pa.Array.from_buffers(
        pa.list_(pa.float64()), 3, [bits, offsets.buffers()[1]], children=[values]
    )
    rows = pa.table({"l": hidden})
    fitted = ff.Plan({"sum": col("l").list.sum(), "n": col("l").list.len()}).fit(rows)
    for _ in range(3):
        found = fitted.transform(rows).to_pydict()
        assert found == {"sum": [1.0, None, 9.0], "n": [2, None, 2]}


def test_text_that_is_no_text_is_told_each_time() -> None:
    rows = pa.table({"s": ["a", "b", "c"]})
    fitted = ff.Plan({"n": col("s").str.len_chars()}).fit(rows)
    odd = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.array([0, 1, 2], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff")]
    )
    for _ in range(3):
        assert fitted.transform(rows)["n"].to_pylist() == [1, 1, 1]
        with pytest.raises(InvalidData, match="row 1"):
            fitted.transform(pa.table({"s": odd}))
    assert n_calls(lambda: fitted.transform(rows)) <= N_CALLS


def test_steps_that_others_read_are_made_before() -> None:
    rows = table_of(300, 3, missing=0.1)
    chained = {
        "of_length": col("s").str.len_bytes().ordinal_encode(),
        "length": col("s").str.len_bytes(),
        "of_lower": col("s").str.to_lowercase().str.len_chars(),
        "code": col("k").ordinal_encode(),
    }
    fitted = ff.Plan(chained).fit(rows)
    for options in OPTIONS:
        expected = general(fitted, rows, **options)
        for _ in range(3):
            assert_same(fitted.transform(rows, **options), expected)


@pytest.mark.parametrize("to", ["polars", "pandas"])
@pytest.mark.parametrize("categories", [False, True])
def test_frames_of_prepared_features_are_those_of_the_general_way(
    to: str, categories: bool
) -> None:
    pytest.importorskip(to)
    rows = table_of(200, 5, missing=0.2)
    for fitted in (FITTED[False], WITH_KEPT, FLOATS):
        for data in (rows, rows.slice(3, 50), rows.to_pandas()):
            options: dict[str, Any] = {"to": to, "categories": categories}
            expected = general(fitted, data, **options)
            for _ in range(2):
                found = fitted.transform(data, **options)
                assert type(found) is type(expected)
                assert list(found.columns) == list(expected.columns)
                assert list(found.dtypes) == list(expected.dtypes)
                assert found.equals(expected)
    before = n_calls(lambda: general(FITTED[False], rows, to="arrow"))
    for _ in range(2):  # the first prepares, the second allocates the memory of a call
        FITTED[False].transform(rows, to="arrow")
    assert n_calls(lambda: FITTED[False].transform(rows, to="arrow")) < before / 10


@pytest.mark.parametrize("to", ["arrow", "numpy"])
def test_text_of_polars_is_prepared_with_the_bits_of_the_general_way(to: str) -> None:
    pl = pytest.importorskip("polars")
    text = ["ab", None, "a much longer text than a view holds", "b"] * 25
    rows = pl.DataFrame({"s": text, "kept": text, "x": np.arange(100.0)})
    features = {
        "code": col("s").ordinal_encode(),
        "both": col("kept").str.len_bytes() + col("x"),
        "has": col("s").str.contains("a"),
    }
    plan = ff.Plan(features, keep=["kept"])
    fitted = plan.fit(rows)
    views = pa.table(rows)  # as Arrow has them, which is not read anew
    expected = general(fitted, views, to=to)
    for found in (general(fitted, rows, to=to), *(fitted.transform(rows, to=to) for _ in range(2))):
        if to == "arrow":
            assert found.schema.equals(expected.schema)
            assert found["kept"].equals(expected["kept"])
            assert_same(found.drop_columns(["kept"]), expected.drop_columns(["kept"]))
        else:
            assert_same(found, expected)
    plain = ff.Plan({name: features[name] for name in ("code", "has")}).fit(rows)
    before = n_calls(lambda: general(plain, rows, to=to))
    plain.transform(rows, to=to)
    assert n_calls(lambda: plain.transform(rows, to=to)) < before / 2


def test_a_frame_of_prepared_features_is_its_user_s() -> None:
    pytest.importorskip("pandas")
    rows = table_of(100, 6, missing=0.2)
    for fitted in (FITTED[False], WITH_KEPT):
        for _ in range(3):
            fitted.transform(rows, to="pandas")
        frame = fitted.transform(rows, to="pandas")
        again = fitted.transform(rows, to="pandas")
        for name in frame.columns:
            frame.loc[frame.index[:5], name] = frame[name].iloc[9]
        assert fitted.transform(rows, to="pandas").equals(again)


def test_forms_that_do_not_go_together_are_told_each_time() -> None:
    rows = table_of(100, 7)
    for _ in range(3):
        FITTED[False].transform(rows, to="numpy")
        with pytest.raises(InvalidPlan, match="categories=True"):
            FITTED[False].transform(rows, to="numpy", categories=True)
        with pytest.raises(InvalidPlan, match="out= is for"):
            FITTED[False].transform(rows, to="polars", out=np.zeros((100, 3)))


@given(tables, st.lists(st.integers(0, 6), max_size=9), st.data())
def test_chosen_rows_have_the_bits_of_the_general_way(
    rows: Any, places: list[int], data: st.DataObject
) -> None:
    numbers = [place % rows.num_rows for place in places]
    fitted = data.draw(st.sampled_from([FITTED[False], FITTED[True], WITH_KEPT]))
    forms: list[dict[str, Any]] = [*OPTIONS, {"to": "pandas"}]
    for options in forms:
        expected = general(fitted, rows, rows=numbers, **options)
        for _ in range(2):
            found = fitted.transform(rows, rows=numbers, **options)
            if isinstance(expected, np.ndarray):
                assert found.tobytes() == expected.tobytes()
            else:
                assert found.equals(expected)


def test_errors_of_chosen_rows_name_the_row_of_the_data() -> None:
    rows = pa.table({"i": [1] * 100})
    fitted = ff.Plan({"cube": col("i") ** 3}).fit(rows)
    failing = pa.table({"i": [1] * 70 + [2**40] * 30})
    for _ in range(3):
        assert fitted.transform(rows, rows=[3, 5])["cube"].to_pylist() == [1, 1]
        with pytest.raises(Overflow, match=r"cube.*row 80"):
            fitted.transform(failing, rows=[3, 80])


def test_threads_share_a_plan_with_steps() -> None:
    batches = [table_of(n, n, missing=0.1) for n in (5, 300, 1500)]
    expected = [general(FITTED[False], rows, to="numpy").tobytes() for rows in batches]
    wrong: list[int] = []

    def work(first: int) -> None:
        for k in range(60):
            place = (first + k) % len(batches)
            found = FITTED[False].transform(batches[place], to="numpy")
            if found.tobytes() != expected[place]:
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is told by Linux")
def test_memory_of_steps_stays_flat() -> None:
    rows = table_of(300, 8, missing=0.1)

    def work(n: int) -> None:
        for _ in range(n):
            FITTED[False].transform(rows)
            FITTED[False].transform(rows, to="numpy")

    work(200)
    gc.collect()
    before = resident()
    work(1500)
    gc.collect()
    assert resident() - before < 4 << 20  # a leak of 2 KiB a call would be 6 MB


def test_many_buckets_take_no_memory_that_is_kept() -> None:
    rows = table_of(20, 9)
    fitted = ff.Plan({"n": col("s").str.hash_ngrams(2, 300), "k": col("k") * 2}).fit(rows)
    for options in OPTIONS:
        expected = general(fitted, rows, **options)
        for _ in range(2):
            assert_same(fitted.transform(rows, **options), expected)
