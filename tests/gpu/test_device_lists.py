"""Lists on an emulated device: what the steps of the CPU give, and none of their kernels."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat import col
from fastfeat.backends.cpu import lists as cpu_lists
from fastfeat.backends.gpu.emulated import EmulatedRuntime, Order
from fastfeat.backends.gpu.geometry import Geometry
from fastfeat.backends.gpu.in_host import column_in_host
from fastfeat.backends.gpu.steps import KERNELS
from fastfeat.dtypes import DType
from fastfeat.errors import FastfeatError
from fastfeat.io.lists import list_column
from fastfeat.steps import Argument, StepFailed

pytestmark = pytest.mark.emulator

X: Any = col("x").list
SMALL = 1 << 14  # bytes of device memory
ORDERS: tuple[Order, ...] = ("forward", "reverse", "random")
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
    rows = column.to_pylist()
    return [None if row != row else repr(_plain(row)) for row in rows]


def _plain(row: Any) -> Any:
    return [None if x != x else x for x in row] if isinstance(row, list) else row


def runtime_of(order: Order, n_bytes: int = 1 << 30) -> EmulatedRuntime:
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
    found = ran(lambda: KERNELS[step](runtime, args, params, n_rows))
    if isinstance(expected, tuple):
        assert found == expected
    else:
        assert rows_of(column_in_host(runtime, found)) == rows_of(expected)
    return found


@pytest.mark.parametrize(("step", "params"), STEPS, ids=str)
@given(data=st.data(), kind=st.sampled_from(list(ELEMENTS)), order=st.sampled_from(ORDERS))
def test_functions_of_lists_equal_those_of_the_cpu(
    step: str, params: dict[str, Any], data: st.DataObject, kind: str, order: Order
) -> None:
    lists = data.draw(columns(kind))
    args = [argument_of(lists, kind, data.draw(st.integers(0, len(lists))))]
    check(runtime_of(order), step, params, args)
