"""Lists on an emulated device: what the steps of the CPU give, and none of their kernels."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated, step_kernels
from fastfeat.backends.device import run_step
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime, ThreadOrder
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import FastfeatError
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.lists import list_column
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import UTF8, DType
from fastfeat.ir.node import Call
from fastfeat.steps.lists import cpu as cpu_lists
from fastfeat.steps.on_device import column_in_host
from fastfeat.steps.step import Argument, StepFailed, StepTask
from fastfeat_tests.operators.operator_tables import bits_of

pytestmark = pytest.mark.emulator

X: Any = col("x").list
SMALL = 1 << 14  # bytes of device memory
ORDERS: tuple[ThreadOrder, ...] = ("forward", "reverse", "random")
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 0.1, 1e300, -1e300, 5e-324, math.inf, math.nan])
ELEMENTS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "float64": (pa.float64(), FLOATS),
    "float32": (pa.float32(), st.floats(width=32)),
    "bool": (pa.bool_(), st.booleans()),
    **{
        f"{sign}int{bits}": (
            getattr(pa, f"{sign}int{bits}")(),
            st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(
                lambda x, low=0 if sign == "" else 2 ** (bits - 1): x + low
            )
            | st.integers(0, 3),
        )
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("list.len", {}),
    ("list.sum", {}),
    ("list.mean", {}),
    ("list.min", {}),
    ("list.max", {}),
    ("list.get", {"index": 0}),
    ("list.get", {"index": -2, "null_on_oob": True}),
    ("list.get", {"index": 1, "null_on_oob": False}),
    ("list.slice", {"offset": 1, "length": 2}),
    ("list.slice", {"offset": -2, "length": None}),
    ("list.slice", {"offset": -(2**70), "length": 2**70}),
]


def ran(kernel: Any) -> Any:
    """Return what a step gives, or the error that it raises."""
    try:
        return kernel()
    except (StepFailed, FastfeatError) as error:
        return error.args


def rows_of(column: Any) -> list[Any]:
    """Return the rows of a column by their bits, NaN as missing."""
    return [repr(_plain(row)) for row in column.to_pylist()]


def _plain(row: Any) -> Any:
    if isinstance(row, list):
        return [_plain(element) for element in row]
    return None if row != row else row


def runtime_of(order: ThreadOrder, n_bytes: int = 1 << 30) -> EmulatedRuntime:
    return EmulatedRuntime(order, geometry=Geometry(block=64, most_blocks=2), n_bytes=n_bytes)


@st.composite
def columns(draw: st.DrawFn, kind: str) -> list[Any]:
    """Return lists, some missing, often more than a block of them."""
    element = st.none() | ELEMENTS[kind][1]
    few = draw(st.lists(st.none() | st.lists(element, max_size=5), max_size=8))
    return few * draw(st.sampled_from([1, 1, 9]))


def argument_of(lists: list[Any], kind: str, cut: int) -> Argument:
    """Return a column of lists, in chunks, as a step is given it."""
    wanted, dtype = pa.list_(ELEMENTS[kind][0]), DType("list", of=DType(kind))
    chunks = [pa.array([[None], *lists[:cut]], wanted).slice(1), pa.array(lists[cut:], wanted)]
    return Argument(list_column(pa.chunked_array(chunks), "x", dtype), dtype)


def check(runtime: EmulatedRuntime, step: str, params: dict[str, Any], args: list[Argument]) -> Any:
    """Check a step of the device against that of the CPU; return what it gives."""
    n_rows = len(args[0].values)
    expected = ran(lambda: cpu_lists.KERNELS[step](args, params, n_rows))
    call = Call(step, (), tuple(params.items()))
    found = ran(lambda: run_step(runtime, StepTask(call, args, args[0].dtype, n_rows)))
    if isinstance(expected, tuple):
        assert found == expected
    else:
        assert rows_of(column_in_host(runtime, found)) == rows_of(expected)
    return found


@pytest.mark.parametrize(("step", "params"), STEPS, ids=str)
@given(data=st.data(), kind=st.sampled_from(list(ELEMENTS)), order=st.sampled_from(ORDERS))
def test_functions_of_lists_equal_those_of_the_cpu(
    step: str, params: dict[str, Any], data: st.DataObject, kind: str, order: ThreadOrder
) -> None:
    lists = data.draw(columns(kind))
    args = [argument_of(lists, kind, data.draw(st.integers(0, len(lists))))]
    check(runtime_of(order), step, params, args)


@given(data=st.data(), kind=st.sampled_from(list(ELEMENTS)), order=st.sampled_from(ORDERS))
def test_what_is_contained_is_that_of_the_cpu(
    data: st.DataObject, kind: str, order: ThreadOrder
) -> None:
    lists = data.draw(columns(kind))
    other = data.draw(st.sampled_from([kind, "float64", "int64"]))
    known = [x for row in lists for x in row or () if x is not None]
    inside = known if other == kind and known else [False if other == "bool" else 0]
    items = st.none() | ELEMENTS[other][1] | st.sampled_from(inside)
    wanted = data.draw(st.lists(items, min_size=len(lists), max_size=len(lists)))
    if data.draw(st.booleans()):
        wanted = wanted[:1] * len(lists)
    dtype = DType(other)
    keys = key_column(pa.chunked_array([wanted], ELEMENTS[other][0]), "item", dtype)
    args = [argument_of(lists, kind, 0), Argument(keys, dtype)]
    check(runtime_of(order), "list.contains", {}, args)


@pytest.mark.parametrize(("step", "params"), STEPS, ids=str)
@pytest.mark.parametrize("kind", ["float64", "int16", "bool"])
def test_lists_that_do_not_fit_go_in_pieces(step: str, params: dict[str, Any], kind: str) -> None:
    one, zero = (True, False) if kind == "bool" else (1, 0)
    lists = [[], None, [one, None, zero], [zero, one]] * 900
    runtime = runtime_of("forward", SMALL)
    if step == "list.get":
        params = {**params, "null_on_oob": True}
    found = check(runtime, step, params, [argument_of(lists, kind, 7)])
    assert not isinstance(found, DeviceArray)


def test_times_have_elements_and_text_has_lengths_on_the_device() -> None:
    runtime = runtime_of("forward")
    times = pa.array([[3, None], None, []], pa.list_(pa.timestamp("ms", "UTC")))
    dtype = DType("list", of=DType("timestamp", "ms", "UTC"))
    column = list_column(pa.chunked_array([times]), "x", dtype)
    found = check(runtime, "list.get", {"index": 0}, [Argument(column, dtype)])
    assert isinstance(found, DeviceArray)
    texts, dtype = (
        pa.array([["a"], None, ["b", None]], pa.list_(pa.string())),
        DType("list", of=UTF8),
    )
    column = list_column(pa.chunked_array([texts]), "x", dtype)
    assert isinstance(check(runtime, "list.len", {}, [Argument(column, dtype)]), DeviceArray)
    assert isinstance(check(runtime, "list.get", {"index": 0}, [Argument(column, dtype)]), pa.Array)


@pytest.mark.parametrize("kind", ["float64", "int64"])
def test_sums_that_a_kernel_leaves_are_those_of_the_host(kind: str) -> None:
    large = 1e308 if kind == "float64" else 2**62
    lists = [[1], [large, large, -large], None, [large, large, -large, -large], [large, 1]] * 30
    for step in ("list.sum", "list.mean"):
        check(runtime_of("reverse"), step, {}, [argument_of(lists, kind, 3)])


@pytest.fixture
def no_host_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the steps of lists fail on the host."""

    def fail(*args: Any) -> None:
        raise AssertionError("runs on the host")

    for kernels in (step_kernels("cpu"), cpu_lists.KERNELS):
        for name in step_kernels("gpu").keys() & cpu_lists.KERNELS.keys():
            monkeypatch.setitem(kernels, name, fail)


PLAN = ff.Plan(
    {
        "len": X.len(),
        "sum": X.sum() * 2,
        "mean": X.mean().standard_scale(),
        "ends": X.max() - X.min(),
        "first": X.first().fill_null(0),
        "last": X.last().ordinal_encode(),
        "sliced": X.slice(-2).list.sum(),
        "padded": X.pad(3, value=0),
        "contains": X.contains(3) | X.contains(col("y")),
        "by_length": col("y").mean(by=X.len()),
    }
)


@pytest.mark.parametrize("order", ORDERS)
def test_plans_have_the_bits_of_the_cpu(order: ThreadOrder, request: pytest.FixtureRequest) -> None:
    lists = pa.chunked_array([[[3, 4], None, []], [[5, None, 3]] * 9], pa.list_(pa.int32()))
    rows = pa.table({"x": lists, "y": pa.array([4, 0, None, *range(9)], pa.int64())})
    fitted = PLAN.fit(rows)
    tables = [rows, rows.slice(2, 5), rows.slice(0, 0)]
    expected = [fitted.transform(table) for table in tables]
    request.getfixturevalue("no_host_kernels")
    with emulated.use_runtime(runtime_of(order)):
        on_device = PLAN.fit(rows, backend="emulated")
        found = [on_device.transform(table, backend="emulated") for table in tables]
    for one, other in zip(found, expected, strict=True):
        assert one.schema == other.schema
        for name in other.column_names:
            assert bits_of(one[name]) == bits_of(other[name]), name


@pytest.mark.parametrize("feature", [X.sum(), X.get(1, null_on_oob=False), X.len() * 2**62])
def test_errors_are_those_of_the_cpu(feature: Any) -> None:
    rows = pa.table({"x": pa.array([[1, 2], None, [2**63 - 1, 1], [4]])})
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(FastfeatError) as caught:
            ff.Plan({"f": feature}).fit(rows, backend=backend).transform(rows, backend=backend)
        told.append(f"{caught.type.__name__}: {caught.value}")
    assert told[0] == told[1]


def test_explain_says_which_lists_are_of_the_host() -> None:
    rows = pa.table({"x": pa.array([["a"], None]), "y": pa.array([[1, 2], None])})
    plan = ff.Plan({"text": X.contains("a"), "n": X.len(), "numbers": col("y").list.sum()})
    told = plan.fit(rows).explain("cuda")
    assert "//   on the host: col('x').list.contains('a')" in told
    assert "//   on the device: col('x').list.len()" in told
    assert "//   on the device: col('y').list.sum()" in told
