"""Rows far beyond 2**31, no rows, and memory that begins anywhere: the bits of the plain case.

No card's worth of memory is needed: a kernel takes its first row as an argument, and addresses that
are moved back by as many rows bring the window to a few rows that exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.grouped import cuda as grouped_cuda
from fastfeat_kernels.grouped import layout as grouped_layout
from fastfeat_kernels.grouped.cuda import ranks
from fastfeat_kernels.moments import cuda as moments_cuda
from fastfeat_kernels.selection import cuda as selection_cuda

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.columns.kernels import launch_sums
from fastfeat.engine.gpu.columns.memory import (
    DeviceColumn,
    DeviceMemory,
    allocate_output,
    fill_column,
    laid_out,
    place_column,
)
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.pieces.run import target_of
from fastfeat.engine.gpu.programs import table
from fastfeat.engine.gpu.programs.launch import PreparedPiece, ask, status_of
from fastfeat.engine.gpu.programs.program import bind, device_program, words_of
from fastfeat.engine.gpu.runtime import MOST_BLOCKS, Geometry, grid_of
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.storage import storage
from fastfeat.execute.inputs import slot_columns
from fastfeat.ir.dtypes import DType
from fastfeat.plan.lower.constants import bind as constants_of
from fastfeat_tests.operators.operator_tables import bits_of

pytestmark = pytest.mark.emulator

N_ROWS = 200
# Windows of 200 rows: across the bounds of 32 bits, at both sides of them, and far beyond.
FIRSTS = [0, (1 << 31) - 96, (1 << 31) + 96, (1 << 32) - 96, (1 << 32) + 32, 1 << 36]
PLAN = ff.Plan(
    {
        "exp": col("x").exp(),
        "single": col("y").cast("float32") * 2,
        "sum": col("k") + col("i"),
        "not": ~col("flag"),
        "above": col("x") > 0,
        "sin": (col("x") * 1e9).sin(),
    }
)


def rows_of(n: int = N_ROWS) -> Any:
    random = np.random.default_rng(0)
    missing = [random.random(n) < 0.2 for _ in range(5)]
    return pa.table(
        {
            "x": pa.array(random.normal(size=n) * 3, mask=missing[0]),
            "y": pa.array(random.normal(size=n).astype(np.float32), mask=missing[1]),
            "k": pa.array(random.integers(-(2**40), 2**40, n), mask=missing[2]),
            "i": pa.array(random.integers(-100, 100, n).astype(np.int16), mask=missing[3]),
            "flag": pa.array(random.random(n) < 0.5, mask=missing[4]),
        }
    )


def rows_on_device(runtime: EmulatedRuntime, rows: Any, dtype: DType) -> DeviceColumn:
    """Return all rows of a column, copied to the device."""
    memory = place_column(runtime, rows, dtype, len(rows))
    fill_column(runtime, memory, rows, dtype)
    return laid_out(memory, rows, dtype)


def moved_output(output: DeviceMemory, dtype: DType, first: int) -> Any:
    """Return where an output begins, so that its row `first` is the first row in memory."""
    kind, target = storage(dtype), target_of(output)
    back = first // 8 if kind == "bool" else first * np.dtype(kind).itemsize
    validity = target.validity - first // 8 if target.validity else 0
    return target._replace(values=target.values - back, validity=validity)


def computed(program: Program, constants: Constants, rows: Any, first: int, *, exact: bool) -> Any:
    """Return the bytes of every output of rows [first, first + n), and the status."""
    runtime = EmulatedRuntime("random", geometry=Geometry(block=64, most_blocks=2))
    n, columns = rows.num_rows, slot_columns(program, rows)
    inputs = [
        rows_on_device(runtime, columns[slot], slot.dtype).from_row(-first, slot.dtype)
        for slot in program.inputs
    ]
    plan = device_program(program)
    outputs = [
        allocate_output(runtime, o.dtype, n, with_validity=has)
        for o, has in zip(program.outputs, plan.has_validity, strict=True)
    ]
    for output in outputs:
        for buffer in (output.values, output.validity):
            if buffer is not None:
                runtime.zero(buffer)
    targets = [
        moved_output(output, o.dtype, first)
        for output, o in zip(outputs, program.outputs, strict=True)
    ]
    bound = bind(runtime, program, constants)
    prepared = PreparedPiece(plan, words_of(bound, inputs, targets), n, (bound, inputs))
    status = status_of(runtime, ask(runtime, prepared, first, n, exact=exact))
    found: list[bytes] = []
    for output in outputs:
        for buffer in (output.values, output.validity):
            if buffer is not None:
                found.append(downloaded(runtime, buffer))
    return found, status


def downloaded(runtime: EmulatedRuntime, buffer: Any) -> bytes:
    held = np.empty(buffer.n_bytes, np.uint8)
    runtime.download(buffer, held)
    runtime.synchronize()
    return held.tobytes()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("first", FIRSTS[1:])
def test_rows_beyond_32_bits_are_those_of_the_beginning(first: int, exact: bool) -> None:
    fitted, rows = PLAN.fit(rows_of()), rows_of()
    program = fitted.record.arrow_program
    constants = constants_of(program, fitted.record.constants)
    expected = computed(program, constants, rows, 0, exact=exact)
    assert computed(program, constants, rows, first, exact=exact) == expected
    assert any(any(part) for part in expected[0])


ELEMENTS = ("x", "y", "k", "i", "flag")


def learnt(first: int, name: str, kernel: str) -> Sequence[int]:
    """Return the words that a kernel leaves of a column whose rows begin at `first`."""
    runtime = EmulatedRuntime("random", geometry=Geometry(block=64, rows_per_thread=1))
    fitted = ff.Plan({"c": col(name)}).fit(rows_of())
    (slot,) = fitted.record.arrow_program.inputs
    columns = slot_columns(fitted.record.arrow_program, rows_of())
    whole = rows_on_device(runtime, columns[slot], slot.dtype)
    at = whole.from_row(-first, slot.dtype)
    words, element = (at.values, at.value_bit, at.validity, at.bit), storage(slot.dtype)
    if kernel == "grouped":
        return grouped_words(runtime, element, words, first)
    if kernel == "ranks":
        return counted_digits(runtime, element, words, first)
    if kernel == "moments":
        state = moments_cuda.new_state()
        held = runtime.allocate(state.nbytes)
        runtime.upload(state, held)
        table_words = moments_cuda.table_words(element, words, held.address, 2, -first)
        module = runtime.module(moments_cuda.text(64))
        launch_sums(runtime, module, moments_cuda.kernel_of(element), [table_words], first, N_ROWS)
    else:
        state = np.zeros(selection_cuda.N_DIGITS, np.int64)
        prefixes = np.zeros(1, np.uint64)
        held, known = runtime.allocate(state.nbytes), runtime.allocate(8)
        runtime.upload(state, held)
        runtime.upload(prefixes, known)
        table_words = selection_cuda.table_words(
            element, words, (known.address, 1), held.address, 56
        )
        module = runtime.module(selection_cuda.text(64))
        launch_sums(runtime, module, "count_digits", [table_words], first, N_ROWS)
    runtime.download(held, state)
    runtime.synchronize()
    return state.tolist()


def grouped_words(
    runtime: EmulatedRuntime, element: str, column: tuple[int, int, int, int], first: int
) -> Sequence[int]:
    """Return the words that a kernel leaves of the groups of a column."""
    task = grouped_cuda.DeviceMomentsRequest(element, 3, 2, True, N_ROWS)
    codes, held, state, exponents = (
        runtime.allocate(n_bytes)
        for n_bytes in (
            4 * N_ROWS,
            grouped_cuda.places_of(task).n_bytes,
            8 * grouped_cuda.N_STATE_WORDS,
            16 * grouped_layout.N_EXPONENTS,
        )
    )
    runtime.upload(np.arange(N_ROWS, dtype=np.int32) % 3, codes)
    for buffer in (held, state, exponents):
        runtime.zero(buffer)
    table_words = grouped_cuda.table_words(
        task,
        column,
        grouped_cuda.RowGroups(codes.address - 4 * first),
        grouped_cuda.TargetAddresses(held.address, state.address, exponents.address),
        8,
        grouped_cuda.NOTHING_SHARED,
    )
    module = runtime.module(grouped_cuda.text(64))
    kernels = ["grouped_look"] if element.startswith("float") else []
    for kernel in [grouped_cuda.kernel_of(element), *kernels]:
        launch_sums(runtime, module, kernel, [table_words], first, N_ROWS)
    found = (np.frombuffer(downloaded(runtime, b), np.int64) for b in (held, exponents))
    return np.concatenate([*found]).tolist()


def counted_digits(
    runtime: EmulatedRuntime, element: str, column: tuple[int, int, int, int], first: int
) -> Sequence[int]:
    """Return the counts of the first digits of the keys of groups of a column."""
    codes, folds, prefixes, counts = (
        runtime.allocate(n_bytes) for n_bytes in (4 * N_ROWS, 4 * N_ROWS, 24, 24 * ranks.N_DIGITS)
    )
    runtime.upload(np.arange(N_ROWS, dtype=np.int32) % 3, codes)
    runtime.upload(np.arange(N_ROWS, dtype=np.int32) % 5, folds)
    for buffer in (prefixes, counts):
        runtime.zero(buffer)
    rows = ranks.RankedRows(codes.address - 4 * first, folds.address - 4 * first, 2)
    searches = ranks.Searches(1, prefixes.address, 0, counts.address)
    shared = grouped_cuda.NOTHING_SHARED
    table_words = ranks.table_words(element, column, rows, searches, 60, shared)
    module = runtime.module(ranks.text(64))
    launch_sums(runtime, module, "grouped_digits", [table_words], first, N_ROWS)
    return np.frombuffer(downloaded(runtime, counts), np.int64).tolist()


@pytest.mark.parametrize("kernel", ["moments", "selection", "grouped", "ranks"])
@pytest.mark.parametrize("name", ELEMENTS)
def test_what_is_learnt_beyond_32_bits_is_that_of_the_beginning(name: str, kernel: str) -> None:
    expected = learnt(0, name, kernel)
    assert any(expected)
    for first in (*FIRSTS[1:], (1 << 31) - 50, (1 << 32) - 1):
        assert learnt(first, name, kernel) == expected


def test_no_rows_run_no_thread() -> None:
    fitted, rows = PLAN.fit(rows_of()), rows_of(64)
    program = fitted.record.arrow_program
    runtime = EmulatedRuntime()
    plan = device_program(program)
    bound = bind(runtime, program, constants_of(program, fitted.record.constants))
    nothing = [DeviceColumn(1 << 60, 0, 1 << 60, 0, ()) for _ in program.inputs]
    targets = [
        target_of(allocate_output(runtime, o.dtype, 0, with_validity=True)) for o in program.outputs
    ]
    prepared = PreparedPiece(plan, words_of(bound, nothing, targets), 0, ())
    assert status_of(runtime, ask(runtime, prepared, 0, 0)) == 0
    empty = fitted.transform(rows.slice(0, 0), backend="emulated")
    assert (empty.num_rows, empty.schema) == (0, fitted.schema)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_more_instances_than_a_grid_has_rows_take_several_launches(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 41  # 4 outputs an instance, each of a column of its own
    features = {f"c{k}": (col(f"x{k}") + k).abs() for k in range(n)}
    rows = pa.table({f"x{k}": rows_of()["x"] for k in range(n)})
    fitted = ff.Plan(features).fit(rows)
    expected = fitted.transform(rows)
    monkeypatch.setattr(table, "MOST_INSTANCES", most)
    device_program.cache_clear()
    try:
        plan = device_program(fitted.record.arrow_program)
        assert max(one.n_instances for one in plan.table.launches) == most
        per_loop: dict[int, int] = {}
        for one in plan.table.launches:
            per_loop[one.loop] = per_loop.get(one.loop, 0) + one.n_instances
        assert per_loop == {k: len(loop.instances) for k, loop in enumerate(plan.loops)}
        result = fitted.transform(rows, backend="emulated")
    finally:
        device_program.cache_clear()
    assert result.equals(expected)


def test_grids_stay_within_what_a_card_takes() -> None:
    for n_rows in (0, 1, (1 << 31) - 1, 1 << 31, 1 << 33, (1 << 63) - 1):
        for geometry in (Geometry(), Geometry(block=64, most_blocks=MOST_BLOCKS)):
            for grid in (geometry.grid_of_rows(n_rows), geometry.grid_of_sums(n_rows)):
                assert 1 <= grid <= geometry.most_blocks
    assert grid_of(1 << 31, 256, MOST_BLOCKS) == 1 << 23
    for arguments in ((-1, 256), (1, 0), (1, 256, 0), (1, 256, 1 << 31)):
        with pytest.raises(ValueError, match="no grid for"):
            grid_of(*arguments)


def test_host_columns_begin_at_any_row() -> None:
    rows = rows_of(300)
    plan = ff.Plan({**dict(PLAN.features), "share": col("flag").mean() + col("i").median()})
    with emulated.use_runtime(EmulatedRuntime(n_bytes=12_000)):
        for offset in [*range(34), 63, 64, 65]:
            part = rows.slice(offset, 230)
            fitted = plan.fit(part, backend="emulated")
            assert fitted.learnt() == plan.fit(part).learnt()
            result, expected = fitted.transform(part, backend="emulated"), fitted.transform(part)
            for name in expected.column_names:
                assert bits_of(result[name]) == bits_of(expected[name]), (name, offset)


def unaligned(array: Any, n_bytes: int) -> Any:
    """Return an Arrow array whose buffers begin `n_bytes` after a multiple of 64 bytes."""
    moved: list[Any] = []
    for buffer in array.buffers():
        if buffer is not None:
            room = pa.allocate_buffer(buffer.size + 64)
            np.frombuffer(room, np.uint8)[n_bytes : n_bytes + buffer.size] = np.frombuffer(
                buffer, np.uint8
            )
            buffer = room.slice(n_bytes, buffer.size)
        moved.append(buffer)
    return pa.Array.from_buffers(array.type, len(array), moved, -1, array.offset)


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 4, 7])
def test_host_buffers_that_are_not_aligned_are_aligned_on_the_way(n_bytes: int) -> None:
    rows = rows_of()
    odd = pa.table(
        {
            name: unaligned(column.combine_chunks(), n_bytes)
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }
    ).slice(3)
    plan = ff.Plan({**dict(PLAN.features), "median": col("k").median() + col("y").std()})
    fitted = plan.fit(odd, backend="emulated")
    expected = plan.fit(rows.slice(3))
    assert fitted.learnt() == expected.learnt()
    result, wanted = fitted.transform(odd, backend="emulated"), expected.transform(rows.slice(3))
    for name in wanted.column_names:
        assert bits_of(result[name]) == bits_of(wanted[name]), name


def test_moving_a_column_keeps_what_it_names() -> None:
    column = DeviceColumn(1000, 3, 500, 5, ())
    moved = column.from_row(10, DType("float64"))
    assert moved == replace(column, values=1080, bit=15)
    assert column.from_row(10, DType("bool")) == replace(column, value_bit=13, bit=15)
