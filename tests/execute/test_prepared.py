"""Prepared transforms give the bits of the general way, for few calls of Python, and nothing else.

The general way is taken by forgetting what was prepared; that a second transform is prepared is
told by the number of its calls.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, Overflow, TypeMismatch, UnknownColumn
from fastfeat.execute import transform as execution
from fastfeat_tests.plan.plan_tables import cut, cut_differently, table_of

N_CALLS = 60
OPTIONS: list[dict[str, Any]] = [{}, {"to": "numpy"}]
SIZES = (0, 1, 63, 64, 65, 1000)
FEATURES = {
    "log": col("x").abs().log1p(),
    "scaled": col("y").standard_scale(),
    "ratio": col("x") / col("full"),
    "narrow": col("f") * 3,
    "sum": col("i") + col("small"),
    "unsigned": col("u"),
    "large": col("x") > col("y"),
    "known": col("flag").fill_null(False),
    "both": col("flag") & col("other"),
    "hour": col("t").dt.hour(),
    "weekday": col("day").dt.weekday(),
    "gap": col("naive").dt.epoch("s"),
    "filled": col("whole").impute("median"),
}
TIMES = {"truncated": col("t").dt.truncate("1h"), "day": col("day"), "passed": col("naive")}
FITTED = ff.Plan(FEATURES).fit(table_of(500, 1, finite=True))
SMALL = {name: FEATURES[name] for name in ("log", "narrow", "sum", "large", "both", "hour")}
WITH_TIMES = ff.Plan(SMALL | TIMES, keep=["s", "i"], dtype="float32").fit(
    table_of(500, 1, finite=True)
)


def general(fitted: Any, table: Any, **options: Any) -> Any:
    """Return features by the general way, which the first batch of a schema does not take."""
    fitted.record.prepared.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "prepare", lambda *_: None)
        return fitted.transform(table, **options)


def n_calls(call: Any) -> int:
    """Return how many functions of Python and C a call calls."""
    seen: list[str] = []

    def note(frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            seen.append(event)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(seen) - 1  # of setprofile itself


def is_prepared(fitted: Any, table: Any, **options: Any) -> bool:
    """Return whether rows were transformed by a prepared transform, the bits of which are right."""
    expected = general(fitted, table, **options)
    found = fitted.transform(table, **options)
    assert_same(found, expected)
    return n_calls(lambda: fitted.transform(table, **options)) <= N_CALLS


def assert_same(found: Any, expected: Any) -> None:
    """Check that matrices or tables have the same bits, and tables the same buffers but padding."""
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        assert found.flags.f_contiguous == expected.flags.f_contiguous
        assert found.tobytes() == expected.tobytes()
        return
    found.validate(full=True)
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.num_rows == expected.num_rows
    for name in expected.column_names:
        ours, theirs = found.column(name), expected.column(name)
        assert ours.num_chunks == theirs.num_chunks
        assert ours.null_count == theirs.null_count
        assert [bits_of(chunk) for chunk in ours.chunks] == [bits_of(c) for c in theirs.chunks]


def bits_of(array: Any) -> tuple[Any, ...]:
    """Return the validity of an array as a list, and its values, under nulls too, as bytes."""
    valid, values = array.is_valid().to_pylist(), array.buffers()[-1]
    if array.type in (pa.string(), pa.bool_()):
        return valid, array.to_pylist()
    first, width = array.offset, array.type.bit_width // 8
    return valid, values.to_pybytes()[first * width : (first + len(array)) * width]


tables = st.builds(
    table_of, st.sampled_from(SIZES), st.integers(0, 99), missing=st.sampled_from((0, 0.2, 1))
)
edges = st.lists(st.integers(0, 1000), max_size=3)


@given(tables, edges, st.integers(0, 9), st.data())
def test_any_cut_of_rows_has_the_bits_of_the_general_way(
    table: Any, ends: list[int], offset: int, data: st.DataObject
) -> None:
    rows = cut(table, ends, offset)
    if data.draw(st.booleans()):
        others = data.draw(st.lists(edges, min_size=2, max_size=2))
        rows = cut_differently(rows, others, 0)
    for fitted, options in ((FITTED, {"to": "numpy"}), (FITTED, {}), (WITH_TIMES, {})):
        assert is_prepared(fitted, rows, **options) or not rows.num_rows
        if rows.num_rows:
            batch = rows.combine_chunks().to_batches()[0]
            assert is_prepared(fitted, batch, **options)


@given(tables, st.sampled_from("CF"))
def test_memory_given_has_the_bits_of_the_general_way(table: Any, order: Any) -> None:
    def memory() -> Any:
        return np.full((table.num_rows, len(FEATURES)), 7.0, order=order)

    first, second = memory(), memory()
    assert general(FITTED, table, to="numpy", out=first) is first
    assert FITTED.transform(table, to="numpy", out=second) is second
    assert second.tobytes() == first.tobytes()
    if table.num_rows:
        assert n_calls(lambda: FITTED.transform(table, to="numpy", out=second)) <= N_CALLS
    strided = np.full((table.num_rows, 2 * len(FEATURES)), 7.0)[:, ::2]
    assert FITTED.transform(table, to="numpy", out=strided) is strided
    assert strided.tobytes() == first.tobytes()


@pytest.mark.parametrize("n_features", [12, 120, 540])
@pytest.mark.parametrize("to", ["arrow", "numpy"])
def test_calls_do_not_grow_with_features(n_features: int, to: str) -> None:
    names = [f"x{k}" for k in range(n_features // 3)]
    table = pa.table({name: np.arange(100.0) for name in names})
    features = {f"{name}_{k}": col(name) * k + 1 for name in names for k in range(3)}
    fitted = ff.Plan(features).fit(table)
    assert len(fitted.transform(table).column_names) == n_features
    fitted.transform(table, to=to)
    fitted.transform(table, to=to)
    assert n_calls(lambda: fitted.transform(table, to=to)) <= N_CALLS // 2
    assert n_calls(lambda: fitted.transform(table.slice(3, 7), to=to)) <= N_CALLS // 2
    assert is_prepared(fitted, table, to=to)


MORE = {
    "is_a": col("s") == "a",
    "present": col("s").is_not_null(),
    "code": col("s").ordinal_encode(),
    "both": ff.cross(col("s"), col("u")).ordinal_encode(),
    "of_key": col("x") - col("whole").mean(by="u"),
    "length": col("s").str.len_bytes() * 2,
    "one": col("s").one_hot_encode(),
    "target": col("u").target_encode("flag"),
    "plain": col("y") + 1,
    "small": col("small") * 2,
}
WITH_STEPS = ff.Plan(MORE, label="flag", keep=["s"]).fit(table_of(500, 1, finite=True))


@given(tables, edges, st.booleans())
def test_tasks_before_have_the_bits_of_the_general_way(
    table: Any, ends: list[int], other_types: bool
) -> None:
    rows = cut(table, ends, 0)
    if other_types:
        rows = rows.set_column(6, "small", rows["small"].cast(pa.float64()))
        rows = rows.set_column(13, "s", rows["s"].dictionary_encode())
    for options in OPTIONS:
        expected = general(WITH_STEPS, rows, **options)
        before = n_calls(lambda: general(WITH_STEPS, rows, **options))  # noqa: B023  # at once
        WITH_STEPS.transform(rows, **options)
        found = WITH_STEPS.transform(rows, **options)
        after = n_calls(lambda: WITH_STEPS.transform(rows, **options))  # noqa: B023  # at once
        assert after < 0.8 * before or not rows.num_rows
        if rows.num_rows and not other_types:
            assert_same(found, expected)
        elif isinstance(found, np.ndarray):
            assert found.tobytes() == expected.tobytes()
        else:
            assert found.equals(expected)


def test_windows_and_lookups_have_the_bits_of_the_general_way() -> None:
    rng = np.random.default_rng(9)
    rows = pa.table(
        {
            "t": pa.array(np.arange(300) * 10**9, pa.timestamp("ns")),
            "k": rng.integers(0, 5, 300),
            "x": rng.normal(size=300),
            "late": pa.array(rng.normal(size=300), mask=rng.random(300) < 0.2),
        }
    )
    shops = pa.table({"k": np.arange(4), "size": rng.normal(size=4), "open": ["a", "b", "a", None]})
    minute = ff.window("1m", by="k", time="t")
    features = {
        "mean": col("x").mean(over=minute),
        "more": col("late").sum(over=minute) * 2,
        "seen": ff.count(over=minute),
        "size": ff.lookup("shops", by="k").col("size"),
        "is_a": ff.lookup("shops", by="k").col("open") == "a",
        "own": col("x") * 3,
    }
    looked_up = {name: features[name] for name in ("size", "is_a", "own")}
    past, now = rows.slice(0, 200), rows.slice(200).drop_columns(["late"])
    plan = ff.Plan(features, outcomes=["late"])
    fitted = plan.fit(past, tables={"shops": shops}, history="batch")
    of_tables = ff.Plan(looked_up).fit(past, tables={"shops": shops})
    histories: list[Any] = [past, "batch"]
    asked = [(fitted, {"history": history}) for history in histories]
    for one, seen in [*asked, (of_tables, {})]:
        for options in OPTIONS:
            given_too: dict[str, Any] = {**options, **seen, "tables": {"shops": shops}}
            assert_few_calls(one, now, given_too)
            assert_few_calls(one, now.slice(50, 1), given_too)


def assert_few_calls(fitted: Any, rows: Any, options: dict[str, Any]) -> None:
    """Check that a further call has the bits of the general way, and fewer calls."""
    expected = general(fitted, rows, **options)
    before = n_calls(lambda: general(fitted, rows, **options))
    fitted.transform(rows, **options)
    assert_same(fitted.transform(rows, **options), expected)
    assert n_calls(lambda: fitted.transform(rows, **options)) < before


def test_a_second_transform_is_prepared() -> None:
    table = pa.table({"x": [1.0, 2.0], "other": ["a", "b"]})
    for to in ("arrow", "numpy"):
        fitted = ff.Plan({"y": col("x") * 2}).fit(table)
        fitted.transform(table, to=to)
        assert n_calls(lambda: fitted.transform(table, to=to)) <= N_CALLS  # noqa: B023  # at once


def test_rows_of_other_kinds_are_prepared_when_they_are_read() -> None:
    rows = {"x": np.arange(5.0)}
    fitted = ff.Plan({"y": col("x") * 2}).fit(rows)
    expected = fitted.transform(rows)
    assert fitted.record.prepared["arrow"]
    assert_same(fitted.transform(rows), expected)
    assert_same(fitted.transform([{"x": 3.0}]), expected.slice(3, 1).combine_chunks())


def test_a_schema_that_changes_is_seen() -> None:
    fitted = ff.Plan({"y": col("x") + 1, "z": col("i") * 2}).fit({"x": [1.0], "i": [1]})
    rows = pa.table({"x": [1.0, None], "i": [3, 4]})
    expected = {"y": [2.0, None], "z": [6, 8]}
    other_order = pa.table({"more": ["a", "b"], "i": rows["i"], "x": rows["x"]})
    narrow = rows.set_column(1, "i", rows["i"].cast(pa.int8()))
    dictionary = rows.set_column(0, "x", rows["x"].dictionary_encode())
    wide = pa.table({**{f"w{k}": ["a", "b"] for k in range(40)}, "x": rows["x"], "i": rows["i"]})
    for _ in range(3):
        for table in (rows, other_order, narrow, dictionary, wide):
            assert fitted.transform(table).to_pydict() == expected
            assert fitted.transform(table, to="numpy").tolist()[0] == [2.0, 6.0]
        with pytest.raises(UnknownColumn, match="'i'"):
            fitted.transform(rows.select(["x"]))
        with pytest.raises(TypeMismatch, match="fit saw int64"):
            fitted.transform(rows.set_column(1, "i", pa.array(["a", "b"])))
    many = [pa.table({f"w{k}": [1], "x": [1.0], "i": [1]}) for k in range(30)]
    for table in many:
        assert fitted.transform(table).to_pydict() == {"y": [2.0], "z": [2]}
    assert len(fitted.record.prepared["arrow"]) < 10


def test_errors_name_the_row_and_the_feature() -> None:
    rows = pa.table({"i": [1] * 100})
    fitted = ff.Plan({"fine": col("i"), "cube": col("i") ** 3}).fit(rows)
    assert is_prepared(fitted, rows)
    failing = pa.table({"i": [1] * 70 + [2**40] * 30})
    for to in ("arrow", "numpy"):
        for _ in range(3):
            with pytest.raises(Overflow, match=r"cube.*row 70"):
                fitted.transform(failing, to=to)
            assert fitted.transform(rows, to=to) is not None


def test_very_large_arguments_have_the_bits_of_the_general_way() -> None:
    rows = pa.table({"x": [1.0, 1e300, None, -3e15]})
    fitted = ff.Plan({"sin": col("x").sin(), "more": col("x") + 1}).fit(rows)
    for options in OPTIONS:
        expected = general(fitted, rows, **options)
        for _ in range(3):
            assert_same(fitted.transform(rows, **options), expected)


def test_a_column_without_values_in_fit_may_not_have_them_later() -> None:
    fitted = ff.Plan({"x": col("x"), "n": col("n").is_null()}).fit(
        pa.table({"x": [1.0], "n": pa.nulls(1)})
    )
    missing = pa.table({"x": [2.0], "n": pa.nulls(1)})
    typed = pa.table({"x": [2.0], "n": pa.array([None], pa.int64())})
    with_values = pa.table({"x": [2.0], "n": [5]})
    for _ in range(3):
        for rows in (missing, typed):
            assert fitted.transform(rows).to_pydict() == {"x": [2.0], "n": [True]}
        with pytest.raises(TypeMismatch, match="only missing values"):
            fitted.transform(with_values)


def test_memory_that_rows_are_read_from_is_not_written_to() -> None:
    memory = np.arange(8.0)
    rows = pa.table({"x": pa.array(memory)})
    fitted = ff.Plan({"y": col("x") + 1}).fit(rows)
    for _ in range(3):
        assert fitted.transform(rows, to="numpy").shape == (8, 1)
        with pytest.raises(InvalidData, match="overlaps the memory of the input column 'x'"):
            fitted.transform(rows, to="numpy", out=memory.reshape(8, 1))
    assert memory.tolist() == list(range(8))


def test_memory_that_steps_read_is_not_written_to() -> None:
    numbers, memory = np.arange(8), np.zeros((8, 2), order="F")
    keys = memory[:, 1].view(np.int64)
    keys[:] = numbers
    rows = pa.table({"x": numbers * 1.0, "k": pa.array(numbers)})
    plan = {"y": col("x") + 1, "code": col("k").ordinal_encode()}
    fitted = ff.Plan(plan).fit(rows)
    shared = rows.set_column(1, "k", pa.array(keys))
    for data in (shared, shared.to_batches()[0]):
        for _ in range(3):
            assert fitted.transform(data, to="numpy").shape == (8, 2)
            with pytest.raises(InvalidData, match="overlaps the memory of the input column 'k'"):
                fitted.transform(data, to="numpy", out=memory)
    assert keys.tolist() == numbers.tolist()


def test_values_in_odd_places_are_read() -> None:
    memory = np.zeros(81, np.uint8)
    memory[1:] = np.frombuffer(np.arange(10.0).tobytes(), np.uint8)
    odd = pa.Array.from_buffers(pa.float64(), 10, [None, pa.py_buffer(memory).slice(1)])
    rows = pa.table({"x": odd})
    fitted = ff.Plan({"y": col("x") + 1}).fit(rows)
    for _ in range(3):
        assert fitted.transform(rows)["y"].to_pylist() == list(range(1, 11))


def test_a_count_of_nulls_that_is_not_known_is_not_needed() -> None:
    bits = pa.py_buffer(np.array([0b1111_0101, 1], np.uint8))
    values = pa.py_buffer(np.arange(9.0))
    fitted = ff.Plan({"y": col("x") + 1, "n": col("x").is_null()}).fit({"x": [1.0, None]})

    def rows() -> Any:
        return pa.table({"x": pa.Array.from_buffers(pa.float64(), 9, [bits, values], -1)})

    expected = general(fitted, rows())
    assert_same(fitted.transform(rows()), expected)
    assert expected["y"].null_count == 2


def test_threads_share_a_plan() -> None:
    table = table_of(1000, 3)
    expected = general(FITTED, table, to="numpy").tobytes(), general(FITTED, table)
    wrong: list[int] = []

    def work(first: int) -> None:
        for _ in range(200):
            if FITTED.transform(table, to="numpy").tobytes() != expected[0]:
                wrong.append(first)
            if not FITTED.transform(table).equals(expected[1]):
                wrong.append(first)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_has_its_own_memory() -> None:
    table = table_of(100, 4)
    expected = general(FITTED, table, to="numpy").tobytes()
    assert FITTED.transform(table, to="numpy").tobytes() == expected
    child = os.fork()
    if not child:
        same = all(FITTED.transform(table, to="numpy").tobytes() == expected for _ in range(50))
        os._exit(0 if same else 1)
    assert all(FITTED.transform(table, to="numpy").tobytes() == expected for _ in range(50))
    assert os.waitpid(child, 0)[1] == 0


def test_a_signal_may_ask_for_features_meanwhile() -> None:
    table, other = table_of(100, 5), table_of(1000, 6)
    expected = general(FITTED, table), general(FITTED, other)
    busy = [False]

    def again(frame: Any, event: str, arg: Any) -> None:
        if event == "c_call" and not busy[0]:
            busy[0] = True
            assert FITTED.transform(other).equals(expected[1])
            busy[0] = False

    sys.setprofile(again)
    try:
        found = [FITTED.transform(table) for _ in range(3)]
    finally:
        sys.setprofile(None)
    assert all(features.equals(expected[0]) for features in found)


def test_features_outlive_what_they_were_made_of() -> None:
    table = table_of(1000, 7)
    fitted = ff.Plan(FEATURES).fit(table_of(500, 1, finite=True))
    expected = general(fitted, table)
    column, view = fitted.transform(table)["log"], fitted.transform(table).slice(10, 5)
    del fitted
    gc.collect()
    assert column.equals(expected["log"])
    assert view.equals(expected.slice(10, 5))


def resident() -> int:
    """Return the bytes of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is told by Linux")
def test_memory_stays_flat() -> None:
    table = table_of(500, 8)
    out = np.empty((500, len(FEATURES)), order="F")
    failing = table.set_column(0, "x", table["x"].cast(pa.float32()).cast(pa.float64()))

    def work(n: int) -> None:
        for _ in range(n):
            FITTED.transform(table)
            FITTED.transform(table, to="numpy")
            FITTED.transform(failing, to="numpy", out=out)

    work(300)
    gc.collect()
    before = resident()
    work(3000)
    gc.collect()
    assert resident() - before < 4 << 20  # a leak of 1 KiB a call would be 9 MB


def test_text_compared_with_learnt_text_is_given_beside_numbers_again():
    rows = pa.table({"shop": ["a", "b", "a", None], "x": [1.0, 2.0, 3.0, 4.0]})
    fitted = ff.Plan({"is_mode": col("shop").mode() == col("shop"), "x": col("x") + 1}).fit(rows)
    expected = general(fitted, rows)
    for _ in range(3):
        assert fitted.transform(rows).equals(expected)
    assert fitted.transform(rows.to_batches()[0]).equals(expected)


def _dictionary(values: list[Any], index: Any = None) -> Any:
    indices = pa.array(range(len(values)), index or pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(values))


@pytest.mark.parametrize(
    "chunks",
    [
        [_dictionary(["a", None]), _dictionary(["b", None])],
        [_dictionary([f"{j}{k}" for k in range(100)], pa.int8()) for j in "ab"],
        [_dictionary([[1], [2]]), _dictionary([[3], [4]])],
    ],
    ids=["with nulls", "more than an index numbers", "of lists"],
)
@pytest.mark.parametrize("to", ["arrow", "numpy"])
def test_chunks_with_dictionaries_that_do_not_unify_are_computed_each_time(
    chunks: list[Any], to: str
) -> None:
    column = pa.chunked_array(chunks)
    table = pa.table({"x": np.arange(float(len(column))), "z": column})
    features = {"f": col("x") * 2}
    if to == "arrow" and pa.types.is_string(column.type.value_type):
        features["n"] = col("z").str.len_bytes()
    fitted = ff.Plan(features).fit(table)
    expected = general(fitted, table, to=to)
    for _ in range(4):
        found = fitted.transform(table, to=to)
        assert found.equals(expected) if to == "arrow" else (found == expected).all()
