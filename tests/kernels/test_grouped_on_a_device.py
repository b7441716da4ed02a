"""Moments of groups on an emulated device against the reference, in every order of threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.column import ELEMENTS, key_of
from fastfeat_kernels.grouped import cuda, finalize, layout
from fastfeat_kernels.grouped.order import order as order_of
from fastfeat_kernels.grouped.order import quantiles_of
from fastfeat_kernels.grouped.reference import ENTRIES
from fastfeat_kernels.grouped.state import GroupedMoments, all_moments_of, moments_of
from fastfeat_kernels.grouped.summarize import summarize
from fastfeat_kernels.moments.state import Level, Moments
from fastfeat_kernels.moments.state import summarize as summarize_column
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime, ThreadOrder
from fastfeat.engine.gpu.pieces.column_groups import over_rows
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import INT32, DType
from fastfeat.steps.keys.gpu import grouped_ranks, grouped_scan
from fastfeat.steps.keys.gpu.grouped_ranks import ExcludedRows, RankSearch, find_keys, find_quantile
from fastfeat.steps.keys.gpu.groups import group_moments
from fastfeat_tests.kernels.kernel_columns import (
    Value,
    columns,
    compiled,
    cuts,
    make_chunk,
    numpy_chunk,
    reference,
)

pytestmark = pytest.mark.emulator
ORDERS: tuple[ThreadOrder, ...] = ("forward", "reverse", "random")
SMALL = Geometry(block=64, most_blocks=3, rows_per_thread=1)
LEVELS: st.SearchStrategy[Level] = st.sampled_from([0, 1, 2])
SHARED = st.sampled_from([0, 100, 400, 48 << 10])
"""Bytes of shared memory: for no line, for those of some groups, of all, and for several of each"""


@cache
def runtime_of(order: ThreadOrder) -> EmulatedRuntime:
    """Return a device with small blocks, several of which share the rows."""
    return EmulatedRuntime(order, geometry=SMALL)


@contextmanager
def shaped(shared_bytes: int = 48 << 10, carry_every: int = cuda.CARRY_EVERY) -> Iterator[None]:
    """Give lines less shared memory, and carry them more often."""
    text = partial(cuda.text, carry_every=carry_every)
    with pytest.MonkeyPatch.context() as patch:
        for module in (grouped_scan, grouped_ranks):
            patch.setattr(module, "SHARED_LIMIT", shared_bytes)
        patch.setattr(cuda, "text", text)
        yield


def arrow_column(
    element: str, values: Sequence[Value], pieces: Sequence[slice], before: int
) -> Any:
    """Return values in chunks, each of which begins after some rows of other values."""
    kind = pa.from_numpy_dtype(np.dtype(element)) if element != "bool" else pa.bool_()
    filler: list[Value] = [True if element == "bool" else 1] * before
    chunks = [pa.array([*filler, *values[piece]], kind).slice(before) for piece in pieces]
    return pa.chunked_array(chunks, kind)


def int32(numbers: Any) -> Any:
    return pa.chunked_array([pa.array(numbers, pa.int32())])


def found_on(
    runtime: EmulatedRuntime,
    element: str,
    column: Any,
    groups: Any,
    n_groups: int,
    level: Level = 2,
    extremes: bool = True,
) -> GroupedMoments:
    """Return the moments that a device finds."""
    task = cuda.DeviceMomentsRequest(element, n_groups, level, extremes, len(groups))
    given_columns = {"values": (column, DType(element)), "codes": (groups, INT32)}
    return group_moments(runtime, task, given_columns)


def all_of(moments: GroupedMoments) -> list[Moments]:
    return all_moments_of(moments, np.arange(moments.n_groups))


@st.composite
def group_numbers(draw: st.DrawFn, n_rows: int) -> tuple[Any, int]:
    """Return a group for each row, and how many there are: one, few, as many as rows, or more."""
    n_groups = draw(st.sampled_from([1, 2, 7, max(n_rows, 1), n_rows + 3]))
    random, lowest = np.random.default_rng(draw(st.integers(0, 9))), draw(st.sampled_from([0, -3]))
    return random.integers(lowest, n_groups, n_rows, np.int32), n_groups


@pytest.mark.parametrize("element", ELEMENTS)
@given(st.data(), st.sampled_from(ORDERS), LEVELS, st.booleans(), SHARED)
def test_a_device_finds_what_the_reference_does(
    element: str,
    data: st.DataObject,
    order: ThreadOrder,
    level: Level,
    extremes: bool,
    n_bytes: int,
) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    column = arrow_column(
        element, values, data.draw(cuts(len(values))), data.draw(st.integers(0, 40))
    )
    given_rows = element, [make_chunk(element, values)], groups, n_groups, level
    expected = summarize(*given_rows, reference(ENTRIES), 1, extremes)
    with shaped(n_bytes, data.draw(st.sampled_from([1, 4, cuda.CARRY_EVERY]))):
        found = found_on(
            runtime_of(order), element, column, int32(groups), n_groups, level, extremes
        )
    assert all_of(found) == all_of(expected)
    assert (found.extremes == expected.extremes).all()
    if level == 2:
        for read in (finalize.means_of, partial(finalize.variances_of, ddof=1)):
            a, b = (read(one, run=compiled("grouped")) for one in (found, expected))
            assert a.tobytes() == b.tobytes()


@given(st.data(), st.sampled_from(ORDERS), st.integers(1, 4), st.integers(1, 5), LEVELS)
def test_cells_are_folds_times_codes(
    data: st.DataObject, order: ThreadOrder, n_folds: int, n_codes: int, level: Level
) -> None:
    values = data.draw(columns("float64", 20))
    random = np.random.default_rng(len(values))
    codes, folds = (random.integers(0, n, len(values), np.int32) for n in (n_codes, n_folds))
    task = partial(
        cuda.DeviceMomentsRequest, "float64", level=level, extremes=False, n_rows=len(values)
    )
    given_columns = {
        "values": (pa.chunked_array([pa.array(values, pa.float64())]), DType("float64")),
        "codes": (int32(codes), INT32),
        "folds": (int32(folds), INT32),
    }
    runtime, n_cells = runtime_of(order), n_folds * n_codes
    cells = group_moments(runtime, task(n_cells), given_columns, (1, 2), n_codes)
    whole = group_moments(runtime, task(n_folds), given_columns, (2,))
    for moments, groups in ((cells, folds * n_codes + codes), (whole, folds)):
        chunks = [make_chunk("float64", values)]
        column = "float64", chunks, groups, moments.n_groups, level
        expected = summarize(*column, compiled("grouped"), extremes=False)
        assert all_of(moments) == all_of(expected)


def wild(n: int) -> Any:
    """Return floats of all exponents, in runs of a common one."""
    random = np.random.default_rng(0)
    exponents = np.repeat([0.0, 300, -300, 3, 150, -8], -(-n // 6))[:n]
    with np.errstate(under="ignore"):
        return random.normal(size=n) * 10.0**exponents


class Noting(EmulatedRuntime):
    """A device that notes which kernels are launched."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.launched = Counter[str]()

    def launch(self, *arguments: Any, **named: Any) -> None:
        self.launched[arguments[1]] += 1
        super().launch(*arguments, **named)


@pytest.mark.parametrize("n_bytes", [50_000, 80_000, 400_000])
@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_pieces_find_what_the_whole_does(n_bytes: int, deferred: bool, order: ThreadOrder) -> None:
    n, n_groups = 3000, 20
    x = wild(n)
    groups = np.random.default_rng(1).integers(0, n_groups, n, np.int32)
    runtime = Noting(order, n_bytes=n_bytes, deferred=deferred, geometry=SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped_scan, "ROWS_LISTED", 100)
        column = pa.chunked_array([pa.array(x)])
        found = found_on(runtime, "float64", column, int32(groups), n_groups)
    expected = summarize("float64", [numpy_chunk(x)], groups, n_groups, 2, compiled("grouped"))
    assert all_of(found) == all_of(expected)
    runtime.synchronize()
    assert runtime.memory() == (n_bytes, n_bytes)
    n_pieces, n_windows = (runtime.launched[f"grouped_{name}"] for name in ("floats", "finish"))
    assert (n_pieces > 3, n_windows > 2) == (n_bytes < 80_000,) * 2
    assert runtime.launched["grouped_left"] >= 5


def test_groups_that_do_not_fit_say_what_is_needed_and_free() -> None:
    runtime = EmulatedRuntime(n_bytes=100_000, geometry=SMALL)
    column = pa.chunked_array([pa.array(np.ones(10))])
    with pytest.raises(OutOfDeviceMemory, match=r"10 rows need 10[0-9,]+ bytes .* are free"):
        found_on(runtime, "float64", column, int32(np.zeros(10, np.int32)), 100_000)


def test_no_rows_have_no_moments() -> None:
    nothing = pa.chunked_array([], pa.float64())
    found = found_on(runtime_of("forward"), "float64", nothing, int32([]), 3)
    assert [one.count for one in all_of(found)] == [0, 0, 0]


def test_values_and_codes_of_a_device_are_read_in_place() -> None:
    runtime = EmulatedRuntime(geometry=SMALL)
    x = np.random.default_rng(0).normal(size=500)
    codes = np.random.default_rng(1).integers(0, 9, 500, np.int32)
    given_columns: dict[str, tuple[Any, DType]] = {}
    for name, array, dtype in (("values", x, DType("float64")), ("codes", codes, INT32)):
        held = runtime.allocate(array.nbytes)
        runtime.upload(array, held)
        given_columns[name] = DeviceArray(dtype, 500, held.address, owner=held), dtype
    task = cuda.DeviceMomentsRequest("float64", 9, 2, True, 500)
    found = group_moments(runtime, task, given_columns)
    expected = summarize("float64", [numpy_chunk(x)], codes, 9, 2, compiled("grouped"))
    assert all_of(found) == all_of(expected)


@pytest.mark.parametrize("level", [1, 2])
def test_the_highest_limb_has_room_for_all_rows(level: Level) -> None:
    """Half of the values reach to the top of the window, and others to its end."""
    n = (1 << 23) + (1 << 18)
    x = np.full(n, 1 - 2.0**-53)
    x[:512] = (1 + 2.0**-52) * 2.0 ** (-27 if level == 2 else -67)
    groups = np.zeros(n, np.int32)
    runtime = EmulatedRuntime()
    found = found_on(runtime, "float64", pa.chunked_array([pa.array(x)]), int32(groups), 1, level)
    column = summarize_column("float64", [numpy_chunk(x)], level, compiled("moments"))
    one = moments_of(found, 0)
    assert (one.sum, one.sum_of_squares) == (column.sum, column.sum_of_squares)


@pytest.mark.parametrize("n_rows", [0, 1, (1 << 21) - 1, 1 << 21, 1 << 31, 1 << 40])
def test_headroom_is_for_so_many_rows(n_rows: int) -> None:
    headroom = cuda.DeviceMomentsRequest("float64", 1, 2, False, n_rows).headroom
    assert n_rows << layout.LIMB_BITS <= 1 << (61 + headroom)
    assert headroom == 0 or n_rows >= layout.MOST_AT_TOP


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("n_groups", [0, 1, 3, 400, 558, 559, 1228, 10**7])
def test_lines_in_shared_memory_are_within_its_limit(n_groups: int, level: Level) -> None:
    for extremes in (False, True):
        task = cuda.DeviceMomentsRequest("float64", n_groups, level, extremes, 100)
        shared = cuda.shared_of(n_groups, cuda.line_bytes(task))
        assert 0 <= shared.n_bytes <= 48 << 10
        assert shared.n_copies.bit_count() == 1
        assert shared.n_groups == n_groups or shared.n_bytes <= cuda.FEW_BYTES


def keys_of(element: str, values: Sequence[Value], chosen: Any) -> list[int]:
    """Return the keys of some rows in order."""
    rows = zip(values, chosen.tolist(), strict=True)
    return sorted(key_of(element, x) for x, is_in in rows if is_in and x is not None)


LEFT_OUT = st.none() | st.builds(ExcludedRows, st.integers(0, 2), st.booleans())


@pytest.mark.parametrize("element", ELEMENTS)
@given(st.data(), st.sampled_from(ORDERS), SHARED, LEFT_OUT)
def test_keys_are_found_by_rank(
    element: str,
    data: st.DataObject,
    order: ThreadOrder,
    n_bytes: int,
    left_out: ExcludedRows | None,
) -> None:
    values = data.draw(columns(element, 30))
    groups, n_groups = data.draw(group_numbers(len(values)))
    random, is_whole = np.random.default_rng(2), data.draw(st.booleans())
    if is_whole:
        groups, n_groups = np.zeros_like(groups), 1
    folds, chosen = random.integers(0, 3, len(values), np.int32), np.ones(len(values), np.bool_)
    if left_out is not None:
        chosen = folds < left_out.fold if left_out.is_ordered else folds != left_out.fold
    keys = [keys_of(element, values, chosen & (groups == g)) for g in range(n_groups)]
    counts, n_ranks = np.array([len(own) for own in keys]), data.draw(st.integers(1, 5))
    wanted = random.integers(0, np.maximum(counts, 1)[:, None], (n_groups, n_ranks))
    given_columns = {
        "values": (arrow_column(element, values, data.draw(cuts(len(values))), 5), DType(element)),
        "codes": (int32(groups), INT32),
        "folds": (int32(folds), INT32),
    }
    runtime, search = runtime_of(order), RankSearch(element, counts, is_whole, left_out)
    with shaped(n_bytes):
        found = over_rows(
            runtime, given_columns, 0, lambda each: find_keys(runtime, search, each, wanted)
        )
    for own, places, got in zip(keys, wanted.tolist(), found.tolist(), strict=True):
        assert not own or got == [own[place] for place in places]


@pytest.mark.parametrize("n_bytes", [20_000, 400_000])
@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "nearest", "midpoint"])
def test_quantiles_of_pieces_are_those_of_the_whole(n_bytes: int, interpolation: Any) -> None:
    n, n_groups, q = 3000, 20, 0.3
    x, groups = wild(n), np.random.default_rng(1).integers(0, n_groups - 1, n, np.int32)
    runtime = EmulatedRuntime("random", n_bytes=n_bytes, geometry=SMALL)
    search = RankSearch("float64", np.bincount(groups, minlength=n_groups))
    given_columns = {
        "values": (pa.chunked_array([pa.array(x)]), DType("float64")),
        "codes": (int32(groups), INT32),
    }
    found = over_rows(
        runtime,
        given_columns,
        grouped_ranks.scratch_bytes(n_groups, 2),
        lambda each: find_quantile(runtime, search, each, (q, interpolation)),
    )
    ordered = order_of("float64", [numpy_chunk(x)], groups, n_groups, compiled("grouped"))
    assert found.tobytes() == quantiles_of(ordered, [q], interpolation)[:, 0].tobytes()
