"""What is learnt per key on a device is what the CPU learns, to the bit, and is learnt there."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import cpu as host_steps
from fastfeat.backends import emulated, step_kernels
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime, ThreadOrder
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import Overflow
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.steps.keys import cpu_group_states as host_groups
from fastfeat.steps.keys import cpu_ordered as host_ordered
from fastfeat.steps.keys.gpu import groups as device_groups
from fastfeat.steps.targets import cpu_states as host_targets
from fastfeat_tests.steps.keys import test_keys
from fastfeat_tests.steps.keys.key_tables import key_tables
from fastfeat_tests.steps.targets import test_targets

EXAMPLES = settings(max_examples=5 + settings().max_examples // 20)
pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning"),
]
ORDERS: tuple[ThreadOrder, ...] = ("forward", "reverse", "random")
FLOATS = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e300, -1e300, 5e-324, 2.0**-1022, 0.1, 1e-300]
INTEGERS = [-(2**63), 2**63 - 1, 0, 1, -1, 2**53 + 1]
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "f64": (pa.float64(), st.sampled_from(FLOATS) | st.floats(-10, 10)),
    "f32": (pa.float32(), st.sampled_from([0.5, math.inf, math.nan, 2.0**-149, 2.0**100])),
    "i64": (pa.int64(), st.sampled_from(INTEGERS) | st.integers(-9, 9)),
    "u64": (pa.uint64(), st.sampled_from([0, 2**64 - 1, 2**63, 5])),
    "i8": (pa.int8(), st.integers(-128, 127)),
    "flag": (pa.bool_(), st.booleans()),
    "day": (pa.timestamp("us"), st.integers(0, 10**15)),
}


@cache
def runtime_of(order: ThreadOrder) -> EmulatedRuntime:
    """Return a device with small blocks, several of which share the rows."""
    return EmulatedRuntime(order, geometry=Geometry(block=64, most_blocks=3, rows_per_thread=1))


@cache
def plan() -> ff.Plan:
    """Return every aggregate of every type of value, by a key of few and one of many values."""
    features: dict[str, ff.Expr] = {}
    for name in VALUES:
        for key in ("few", "many"):
            x = col(name)
            features |= {
                f"n {name} {key}": x.count(by=key),
                f"null {name} {key}": x.null_count(by=key),
            }
            features |= {f"min {name} {key}": x.min(by=key), f"max {name} {key}": x.max(by=key)}
            if name != "day":
                features |= {f"mean {name} {key}": x.mean(by=key)}
                features |= {f"std {name} {key}": x.std(by=key), f"var {name} {key}": x.var(by=key)}
        features[f"median {name}"] = col(name).cast("float64").median(by="few")
    features |= {"sum f64": col("f64").sum(by="few"), "sum i8": col("i8").sum(by="many")}
    features |= {"sum flag": col("flag").sum(by="few"), "unique": col("i64").n_unique(by="few")}
    return ff.Plan(features)


@st.composite
def value_tables(draw: st.DrawFn) -> pa.Table:
    """Return rows of values, some missing, and keys, in several chunks."""
    n_rows = draw(st.sampled_from([1, 7, 40, 200]))
    columns: dict[str, pa.Array] = {}
    for name, (kind, values) in VALUES.items():
        present = st.none() | values if draw(st.booleans()) else values
        few = draw(st.lists(present, min_size=1, max_size=12))
        columns[name] = pa.array((few * n_rows)[:n_rows], kind, from_pandas=False)
    n_keys = draw(st.sampled_from([1, 3]))
    columns["few"] = pa.array([k % n_keys for k in range(n_rows)])
    columns["many"] = pa.array([None if k % 11 == 3 else k * 7 % 97 for k in range(n_rows)])
    table, at = pa.table(columns), draw(st.integers(0, n_rows))
    return pa.concat_tables([table.slice(0, at), table.slice(at)])


def assert_learns_alike(plan: ff.Plan, train: pa.Table, order: ThreadOrder) -> None:
    with emulated.use_runtime(runtime_of(order)):
        found = plan.fit(train, backend="emulated")
    assert artifact_bytes(found.record) == artifact_bytes(plan.fit(train).record)


@EXAMPLES
@given(value_tables(), st.sampled_from(ORDERS))
def test_a_device_learns_aggregates_per_key(train: pa.Table, order: ThreadOrder) -> None:
    assert_learns_alike(plan(), train, order)


@EXAMPLES
@given(key_tables(), st.sampled_from(ORDERS))
def test_a_device_learns_by_every_kind_of_key(train: pa.Table, order: ThreadOrder) -> None:
    assert_learns_alike(test_keys.plan(), train, order)


@EXAMPLES
@given(test_targets.target_tables(), st.sampled_from(ORDERS))
def test_a_device_learns_targets(train: pa.Table, order: ThreadOrder) -> None:
    plan = test_targets.plan()
    with emulated.use_runtime(runtime_of(order)):
        found, features = plan.fit_transform(train, backend="emulated")
    fitted, expected = plan.fit_transform(train)
    assert artifact_bytes(found.record) == artifact_bytes(fitted.record)
    test_targets.assert_same(features, expected)


ROWS = pa.table({"k": [*"aabbc"] * 50, "x": [0.5, None, 1e300, -3.0, 1e-5] * 50, "y": [0, 1] * 125})
K, X = col("k"), col("x")
LEARNT = {
    "mean": X.mean(by="k"),
    "max": X.max(by="k"),
    "scaled": X.standard_scale(by="k"),
    "median": X.median(by="k"),
    "low": X.quantile(0.1, interpolation="lower", by="k"),
    "quantile": K.target_encode("y", smooth=1, stat="quantile"),
    "target": K.target_encode("y"),
    "woe": K.woe_encode("y"),
    "var": K.target_encode("y", smooth=1, stat="var"),
    "time": K.target_encode("y", smooth=1, time="x"),
}


def refused(*_: Any, **__: Any) -> None:
    raise AssertionError("this was done on the host")


@pytest.mark.parametrize("name", LEARNT)
def test_sums_are_not_found_on_the_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ff.Plan({name: LEARNT[name]}, outcomes=["y"])
    expected = artifact_bytes(plan.fit(ROWS).record)
    for module in (host_groups, host_targets):
        monkeypatch.setattr(module, "add", refused)
    monkeypatch.setattr(host_groups, "split_task", refused)
    if name != "time":  # its folds are found there, which are in order of time
        monkeypatch.setattr(host_ordered, "split_by_group", refused)
    monkeypatch.setattr(device_groups, "order", refused)
    with pytest.raises(AssertionError, match="done on the host"):
        plan.fit(ROWS)
    assert artifact_bytes(plan.fit(ROWS, backend="emulated").record) == expected


@pytest.mark.parametrize("n_bytes", [100_000, 10_000_000])
def test_folds_are_those_of_the_host(n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features = {
        "by row": K.target_encode("y", smooth=1, folds=7),
        "by key": K.target_encode("y", smooth=1, folds=3, fold_by=["k", "x"]),
    }
    plan, rows = ff.Plan(features, outcomes=["y"]), pa.concat_tables([ROWS] * 20)
    expected = plan.fit_transform(rows)[1]
    assert "fold" in step_kernels("gpu")
    monkeypatch.delitem(step_kernels("cpu"), "fold")
    monkeypatch.setattr(host_steps.reference, "run_step", refused)
    with emulated.use_runtime(EmulatedRuntime("random", n_bytes=n_bytes)):
        found = plan.fit_transform(rows, backend="emulated")[1]
    assert found.equals(expected)


def test_explain_says_where_groups_are_learnt() -> None:
    plan = ff.Plan({"mean": X.mean(by="k"), "mode": X.mode(by="k"), "skew": X.skew(by="k")})
    lines = plan.explain("cuda", schema=ROWS.schema).splitlines()
    at = lines.index("// learnt per group:")
    assert lines[at + 1 : at + 4] == [
        "//   on the device: col('x').mean(by=col('k'))",
        "//   on the host: col('x').mode(by=col('k'))",
        "//   on the host: col('x').skew(bias=True, by=col('k'))",
    ]


def test_a_sum_that_does_not_fit_is_the_same_error() -> None:
    plan = ff.Plan({"s": col("i").sum(by="k")})
    for backend in ("cpu", "emulated"):
        with pytest.raises(Overflow, match="sum of a group does not fit"):
            plan.fit({"i": [2**62, 2**62, 1], "k": [1, 1, 2]}, backend=backend)


def test_columns_of_a_device_are_learnt_from() -> None:
    runtime = EmulatedRuntime()
    x = ROWS["x"].to_numpy()
    buffer = runtime.allocate(x.nbytes)
    runtime.upload(x, buffer)
    on_device = runtime.array(buffer, x.shape, x.dtype, (8,))
    found = {"mean": X.mean(by="k"), "median": X.median(by="k"), "std": X.std(by="k")}
    shapes = {"skew": X.skew(by="k"), "of all": X.kurtosis(), "computed": (2 * X + 1).skew()}
    plan = ff.Plan({**found, **shapes})
    with emulated.use_runtime(runtime):
        fitted = plan.fit({"k": ROWS["k"], "x": on_device}, backend="emulated")
    assert artifact_bytes(fitted.record) == artifact_bytes(
        plan.fit({"k": ROWS["k"], "x": x}).record
    )


@pytest.mark.parametrize("n_bytes", [60_000, 100_000])
def test_pieces_learn_what_the_whole_does(n_bytes: int) -> None:
    rows = pa.concat_tables([ROWS] * 20)
    features = {
        "mean": X.mean(by="k"),
        "median": X.median(by="k"),
        "target": K.target_encode("y"),
        "quantile": K.target_encode("y", smooth=1, stat="quantile", folds=2),
    }
    plan = ff.Plan(features, outcomes=["y"])
    with emulated.use_runtime(EmulatedRuntime(n_bytes=n_bytes)):
        found = plan.fit(rows, backend="emulated")
    assert artifact_bytes(found.record) == artifact_bytes(plan.fit(rows).record)


def test_a_target_of_a_device_is_learnt_from() -> None:
    runtime = EmulatedRuntime()
    y = np.linspace(0, 1, 250)
    buffer = runtime.allocate(y.nbytes)
    runtime.upload(y, buffer)
    on_device = runtime.array(buffer, y.shape, y.dtype, (8,))
    features = {
        "mean": K.target_encode("y"),
        "quantile": K.target_encode("y", smooth=1, stat="quantile"),
        "median": col("y").median(by="k"),
        "again": col("y").impute("median", by="k"),
    }
    plan = ff.Plan({n: features[n] for n in ("mean", "quantile")}, outcomes=["y"])
    keyed = ff.Plan({n: features[n] for n in ("median", "again")})
    for one in (plan, keyed):
        with emulated.use_runtime(runtime):
            fitted = one.fit({"k": ROWS["k"], "y": on_device}, backend="emulated")
        assert artifact_bytes(fitted.record) == artifact_bytes(
            one.fit({"k": ROWS["k"], "y": y}).record
        )
