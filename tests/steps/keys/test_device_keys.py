"""Keys on a device: found and looked up there, in pieces and in place, with the bits of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import device, emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import InvalidData, OutOfDeviceMemory, TypeMismatch
from fastfeat.io.device import DeviceArray
from fastfeat.steps.keys import cpu_hashing as hashing
from fastfeat.steps.keys import cpu_learner
from fastfeat.steps.keys import cpu_vocabulary as vocabulary
from fastfeat.steps.keys.gpu import distinct_keys
from fastfeat.steps.step import StepTask
from fastfeat_tests.engine.gpu.device_producers import ArrowDeviceData, put
from fastfeat_tests.operators.operator_tables import bits_of

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
RANDOM = np.random.default_rng(0)
N_ROWS = 900
FLOATS = [0.0, -0.0, 1.5, float("nan"), float("inf"), 5e-324, None]


def some(values: Any, n: int = N_ROWS) -> list[Any]:
    return [values[k] for k in RANDOM.integers(0, len(values), n)]


TEXTS = [None, "", "a", "ab", "long text of a key " * 4, *(f"key {k}" for k in range(60))]
TRAIN = pa.table(
    {
        "s": pa.array(some(TEXTS)),
        "d": pa.array(some(TEXTS)).dictionary_encode(),
        "k": pa.array(some([None, *range(-30, 30), 2**62])),
        "f": pa.array(some(FLOATS), pa.float64()),
        "x": RANDOM.normal(size=N_ROWS),
        "y": RANDOM.integers(0, 2, N_ROWS),
    }
)
ROWS = pa.table(
    {
        "s": pa.array(some([*TEXTS, "never seen", "nor this"])),
        "d": pa.array(some([*TEXTS, "never seen"])).dictionary_encode(),
        "k": pa.array(some([None, 1, 5, 10**12])),
        "f": pa.array(some([*FLOATS, 7.0]), pa.float64()),
        "x": RANDOM.normal(size=N_ROWS),
        "y": RANDOM.integers(0, 2, N_ROWS),
    }
)
CROSS = ff.cross(col("s"), col("k"), col("f"))
FEATURES = {
    "text": col("s").ordinal_encode(min_frequency=5, n_unseen_buckets=9),
    "entries": col("d").ordinal_encode(max_categories=20),
    "number": col("k").ordinal_encode(n_unseen_buckets=1000),
    "float": col("f").ordinal_encode(),
    "cross": CROSS.ordinal_encode(max_categories=50, n_unseen_buckets=3),
    "count": col("d").count_encode(),
    "one": col("f").one_hot_encode(missing="column"),
    "mean": col("x") - col("x").mean(by=["d", "k"]),
    "hash": CROSS.hash(),
    "bucket": ff.cross(col("d"), col("k")).hash(77, seed=2**63),
}
TARGET = {"target": ff.cross(col("d"), col("f")).target_encode("y", folds=3)}
PLAN = ff.Plan({**FEATURES, **TARGET}, label="y")


def assert_same(one: Any, other: Any) -> None:
    assert one.schema == other.schema
    for name in one.column_names:
        assert bits_of(one[name]) == bits_of(other[name]), name


def assert_bits_of_the_cpu(runtime: EmulatedRuntime, train: Any, rows: Any) -> None:
    expected, expected_train = PLAN.fit_transform(train)
    with emulated.use_runtime(runtime):
        fitted, trained = PLAN.fit_transform(train, backend="emulated")
        result = fitted.transform(rows, backend="emulated")
    assert repr(fitted.learnt()) == repr(expected.learnt())
    assert_same(trained, expected_train)
    assert_same(result, expected.transform(rows))


@contextmanager
def nothing_on_the_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let what looks keys up, or hashes them, on the host fail."""

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("this is to run on the device")

    with monkeypatch.context() as patch:
        patch.setattr(vocabulary, "lookup", fail)
        patch.setattr(vocabulary, "index_of", fail)
        patch.setattr(cpu_learner, "distinct_key_counts", fail)
        patch.setattr(hashing, "hash_rows", fail)
        patch.setattr(device.host, "run_step", fail)
        yield


def test_keys_are_found_and_looked_up_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ff.Plan(FEATURES)
    expected = plan.fit(TRAIN)
    with nothing_on_the_host(monkeypatch):
        fitted = plan.fit(TRAIN, backend="emulated")
        found = fitted.transform(ROWS, backend="emulated")
    assert repr(fitted.learnt()) == repr(expected.learnt())
    assert_same(found, expected.transform(ROWS))


def test_codes_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    run_step = emulated.BACKEND.functions[StepTask]

    def noting(task: StepTask) -> Any:
        made.append(run_step(task))
        return made[-1]

    monkeypatch.setitem(emulated.BACKEND.functions, StepTask, noting)
    plan = ff.Plan(
        {"a": col("s").ordinal_encode(), "b": CROSS.hash(), "c": col("f").count_encode()}
    )
    plan.fit(TRAIN).transform(ROWS, backend="emulated")
    assert [type(column) for column in made] == [DeviceArray] * 3


def test_explain_says_where_each_step_runs() -> None:
    plan = ff.Plan({"a": CROSS.ordinal_encode(), "b": col("s").str.contains("^key [0-9]")})
    assert plan.explain("cuda", schema=TRAIN.schema).splitlines()[:3] == [
        "// steps, which compute whole columns:",
        "//   on the device: ff.cross(col('s'), col('k'), col('f')).ordinal_encode()",
        "//   on the host: col('s').str.contains(pattern='^key [0-9]')",
    ]


GEOMETRY = Geometry(block=64, most_blocks=3, rows_per_thread=1)


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_every_order_of_threads_gives_the_same(order: Any) -> None:
    runtime = EmulatedRuntime(order, resident=3, geometry=GEOMETRY)
    assert_bits_of_the_cpu(runtime, TRAIN, ROWS)


@pytest.mark.parametrize("n_bytes", [180_000, 300_000, 600_000])
@pytest.mark.parametrize("deferred", [False, True])
def test_pieces_give_the_same(n_bytes: int, deferred: bool) -> None:
    runtime = EmulatedRuntime(n_bytes=n_bytes, deferred=deferred)
    assert_bits_of_the_cpu(runtime, TRAIN, ROWS)
    runtime.synchronize()
    assert runtime.memory() == (n_bytes, n_bytes)


def test_a_table_grows_until_the_keys_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct_keys, "FIRST_KEYS", 1)
    monkeypatch.setattr(distinct_keys, "GROWTH", 2)
    data = {"k": RANDOM.permutation(5000), "x": np.arange(5000)}
    plan = ff.Plan({"k": col("k").ordinal_encode(), "x": col("x") - col("x").sum(by="k")})
    assert_same(
        plan.fit(data, backend="emulated").transform(data, backend="emulated"),
        plan.fit(data).transform(data),
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "", "a", "b", "\u00e9"]),
            st.none() | st.integers(-2, 2),
            st.sampled_from(FLOATS),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 40),
    st.sampled_from(["forward", "reverse", "random"]),
)
def test_any_keys_have_the_codes_of_the_cpu(
    keys: list[tuple[Any, ...]], cut: int, order: Any
) -> None:
    s, k, f = zip(*keys, strict=True)
    columns = {"s": pa.array(s, pa.string()), "k": pa.array(k, pa.int64())}
    whole = pa.table({**columns, "f": pa.array(f, pa.float64())})
    train, rows = whole.slice(min(cut, len(s) - 1)), whole
    plan = ff.Plan(
        {
            "s": col("s").ordinal_encode(n_unseen_buckets=3),
            "f": col("f").ordinal_encode(max_categories=2),
            "pair": ff.cross(col("s"), col("f")).ordinal_encode(n_unseen_buckets=4),
            "n": col("k").count(by=["s", "f"]),
            "h": ff.cross(col("k"), col("s")).hash(9),
        }
    )
    expected = plan.fit(train)
    with emulated.use_runtime(EmulatedRuntime(order, geometry=GEOMETRY)):
        fitted = plan.fit(train, backend="emulated")
        assert repr(fitted.learnt()) == repr(expected.learnt())
        assert_same(fitted.transform(rows, backend="emulated"), expected.transform(rows))


NUMBERS: dict[str, Any] = {
    "f64": np.array(some([0.0, -0.0, np.nan, 1.5, np.inf])),
    "f32": np.array(some([0.0, -0.0, np.nan, 1.5, 0.1]), np.float32),
    "i64": np.array(some([-(2**63), 2**63 - 1, 0, 5])),
    "i8": np.array(some([-128, 127, 0]), np.int8),
    "u64": np.array(some([2**64 - 1, 0, 7]), np.uint64),
    "flag": RANDOM.random(N_ROWS) < 0.5,
    "x": RANDOM.normal(size=N_ROWS),
    "y": RANDOM.integers(0, 2, N_ROWS),
}
KEYS = [name for name in NUMBERS if name not in "xy"]
NUMBER_PLAN = ff.Plan(
    {
        **{f"code_{n}": col(n).ordinal_encode(max_categories=3) for n in KEYS},
        **{f"n_{n}": col(n).count_encode() for n in KEYS},
        **{f"by_{n}": col("x").mean(by=n) for n in KEYS},
        "one": col("i8").one_hot_encode(),
        "pair": ff.cross(col("f64"), col("flag")).ordinal_encode(),
        "hash": ff.cross(col("f32"), col("i8"), col("u64")).hash(100),
        "plain": col("f32").hash(),
        "target": col("i64").target_encode("y", folds=3, fold_by="i8"),
    },
    label="y",
)


@pytest.mark.parametrize("n_bytes", [1 << 30, 500_000])
def test_numbers_of_the_device_are_keys_in_place(n_bytes: int) -> None:
    runtime = EmulatedRuntime(n_bytes=n_bytes)
    expected, expected_train = NUMBER_PLAN.fit_transform(NUMBERS)
    data = {name: put(runtime, values) for name, values in NUMBERS.items()}
    with emulated.use_runtime(runtime):
        fitted, trained = NUMBER_PLAN.fit_transform(data, backend="emulated")
        result = fitted.transform(data, backend="emulated")
    assert repr(fitted.learnt()) == repr(expected.learnt())
    assert_same(trained, expected_train)
    assert_same(result, expected.transform(NUMBERS))


def arrow_keys() -> Any:
    ticks = pa.array(some([None, 0, 1, 86_400_000, -5]), pa.int64())
    days = pa.array(some([None, 0, 19_000]), pa.int32())
    return pa.record_batch(
        {
            "at": ticks.view(pa.timestamp("ms", "Europe/Berlin")),
            "day": days.view(pa.date32()),
            "flag": pa.array(some([None, True, False])),
            "n": pa.array(some([None, 1, 2]), pa.int16()),
            "f": pa.array(some(FLOATS), pa.float64()),
        }
    )


@pytest.mark.parametrize("offset", [0, 3, 32])
def test_dates_and_missing_values_of_the_device_are_keys(offset: int) -> None:
    host = arrow_keys().slice(offset)
    names = host.schema.names
    plan = ff.Plan(
        {
            **{name: col(name).ordinal_encode() for name in names},
            **{f"n_{name}": ff.cross(col(name), col("n")).count_encode() for name in names},
            "h": ff.cross(col("at"), col("day"), col("flag")).hash(),
        }
    )
    expected, runtime = plan.fit(host), EmulatedRuntime()
    with emulated.use_runtime(runtime):
        fitted = plan.fit(ArrowDeviceData(runtime, host), backend="emulated")
        result = fitted.transform(ArrowDeviceData(runtime, host), backend="emulated")
    assert repr(fitted.learnt()) == repr(expected.learnt())
    assert_same(result, expected.transform(host))


def test_keys_of_another_type_are_converted_where_each_is_exact() -> None:
    plan, runtime = ff.Plan({"k": col("k").ordinal_encode()}), EmulatedRuntime()
    fitted = plan.fit({"k": [1, 2, 2, 3]})
    for values in (np.array([2.0, np.nan, 9.0]), np.array([1, 2, 3], np.uint8)):
        with emulated.use_runtime(runtime):
            found = fitted.transform({"k": put(runtime, values)}, backend="emulated")
        assert_same(found, fitted.transform({"k": values}))
    with pytest.raises(InvalidData) as expected:
        fitted.transform({"k": np.array([1.0, 0.5])})
    with emulated.use_runtime(runtime), pytest.raises(InvalidData) as caught:
        fitted.transform({"k": put(runtime, np.array([1.0, 0.5]))}, backend="emulated")
    assert str(caught.value) == str(expected.value)


def test_a_number_of_the_device_is_no_text() -> None:
    fitted, runtime = ff.Plan({"s": col("s").ordinal_encode()}).fit({"s": ["a"]}), EmulatedRuntime()
    with emulated.use_runtime(runtime), pytest.raises(TypeMismatch, match="fit saw"):
        fitted.transform({"s": put(runtime, np.arange(3))}, backend="emulated")


@pytest.mark.parametrize("name", ["s", "d", "k"])
def test_too_many_keys_are_refused_as_on_the_cpu(name: str) -> None:
    plan = ff.Plan({"code": col(name).ordinal_encode(max_memory=1_000)})
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(InvalidData, match="distinct keys take") as caught:
            plan.fit(TRAIN, backend=backend)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_keys_that_do_not_fit_the_device_are_refused_with_what_to_do() -> None:
    plan, data = ff.Plan({"k": col("k").ordinal_encode()}), {"k": np.arange(20_000)}
    told = pytest.raises(OutOfDeviceMemory, match=r"distinct keys .* backend='cpu'")
    with emulated.use_runtime(EmulatedRuntime(n_bytes=300_000)), told:
        plan.fit(data, backend="emulated")


def test_a_table_is_looked_up_by_a_key_of_the_device() -> None:
    runtime, table = EmulatedRuntime(), {"i8": [0, 127], "seats": [7.0, 9.0]}
    plan = ff.Plan({"seats": ff.lookup("planes", by="i8").col("seats")})
    tables = {"planes": table}
    expected = plan.fit(NUMBERS, tables=tables).transform(NUMBERS, tables=tables)
    data = {name: put(runtime, values) for name, values in NUMBERS.items()}
    with emulated.use_runtime(runtime):
        fitted = plan.fit(data, tables=tables, backend="emulated")
        found = fitted.transform(data, tables=tables, backend="emulated")
    assert_same(found, expected)
