"""Learning on a device: the hand-written kernels over the columns of a scan, in pieces that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.moments import cuda as moments_cuda
from fastfeat_kernels.moments.state import Level, Moments, merge, no_moments
from fastfeat_kernels.selection import cuda as selection_cuda
from numpy.typing import NDArray

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import Number, Summary, level_of, needs_order, ranks_of
from fastfeat.backends.cpu.learn import Functions, column_of
from fastfeat.backends.cpu.render import storage
from fastfeat.backends.gpu.columns import DeviceColumn, element_bytes, upload_column
from fastfeat.backends.gpu.geometry import grid_of
from fastfeat.backends.gpu.run import compute, pieces_of
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.backends.program import Constants, Output, Program, program_of
from fastfeat.dtypes import DType
from fastfeat.io.arrow import pa
from fastfeat.io.types import storage_type
from fastfeat.scalars.value import InputSlot

ROWS_PER_THREAD = 64
"""How many rows a thread of a kernel takes where there are very many: fewer blocks to add up."""


def learn(
    runtime: Runtime,
    program: Program,
    wanted: Sequence[Functions],
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; None is missing."""
    sources = _sources(runtime, program, columns, n_rows, constants)
    results: list[list[Any]] = []
    for output, functions, source in zip(program.outputs, wanted, sources, strict=True):
        rows = [AGGREGATES[name] for name, _ in functions]
        moments = _moments(runtime, output.dtype, source, level_of(rows))
        order: Mapping[int, Number] = {}
        if needs_order(rows):
            order = _order(runtime, output, source, functions, moments.count)
        summary = Summary(output.dtype, moments, order)
        results.append([AGGREGATES[f].finalize(summary, params) for f, params in functions])
    return results


def _sources(
    runtime: Runtime,
    program: Program,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> list[Any]:
    """Return each output as an Arrow chunked array in plain storage; input columns as they are."""
    slots = [column_of(output) for output in program.outputs]
    computed = [k for k, slot in enumerate(slots) if slot is None]
    found: dict[int, Any] = {}
    if computed:
        part = program_of([program.outputs[k] for k in computed])
        arrays = compute(runtime, part, columns, n_rows, constants)
        for k, array in zip(computed, arrays, strict=True):
            plain = array.view(storage_type(program.outputs[k].dtype))
            found[k] = pa.chunked_array([plain])
    return [found[k] if slot is None else columns[slot] for k, slot in enumerate(slots)]


def _parts(runtime: Runtime, source: Any, dtype: DType) -> Iterator[tuple[DeviceColumn, int, int]]:
    """Yield runs of rows of a column on the device: the column, first row, number of rows."""
    for start, stop in pieces_of(runtime, element_bytes(dtype), len(source)):
        n = stop - start
        yield upload_column(runtime, source.slice(start, n), dtype), start, n


def _words(column: DeviceColumn) -> tuple[int, int, int, int]:
    return column.values, column.value_bit, column.validity, column.bit


def _moments(runtime: Runtime, dtype: DType, source: Any, level: Level) -> Moments:
    element = storage(dtype)
    module = runtime.module(moments_cuda.text())
    moments = no_moments(element)
    for column, start, n in _parts(runtime, source, dtype):
        state = moments_cuda.new_state()
        held = runtime.allocate(state.nbytes)
        runtime.upload(state, held)
        words = moments_cuda.table_words(element, _words(column), held.address, level, start)
        kernel = moments_cuda.kernel_of(element)
        _launch(runtime, module, kernel, moments_cuda.BLOCK, words, n)
        runtime.download(held, state)
        runtime.synchronize()
        moments = merge(moments, moments_cuda.read_state(element, state, level))
    return moments


def _order(
    runtime: Runtime, output: Output, source: Any, functions: Functions, count: int
) -> Mapping[int, Number]:
    """Return the values by rank that some aggregates read."""
    wanted = [(AGGREGATES[name], params) for name, params in functions]
    ranks = sorted(ranks_of(wanted, count, len(source))) if count else []
    if not ranks:
        return {}
    search = selection_cuda.begin(ranks)
    for shift in selection_cuda.SHIFTS:
        counts = _count_digits(runtime, output.dtype, source, search.prefixes, shift)
        search = selection_cuda.narrowed(search, counts)
    return selection_cuda.values_of(storage(output.dtype), search)


def _count_digits(
    runtime: Runtime, dtype: DType, source: Any, prefixes: NDArray[np.uint64], shift: int
) -> NDArray[np.int64]:
    """Return how many keys have each digit after each prefix, shape (n_prefixes, N_DIGITS)."""
    module = runtime.module(selection_cuda.text())
    counts = np.zeros((len(prefixes), selection_cuda.N_DIGITS), np.int64)
    known = runtime.allocate(prefixes.nbytes)
    runtime.upload(prefixes, known)
    held = runtime.allocate(counts.nbytes)
    runtime.upload(counts, held)
    for column, _, n in _parts(runtime, source, dtype):
        words = selection_cuda.table_words(
            storage(dtype), _words(column), (known.address, len(prefixes)), held.address, shift
        )
        _launch(runtime, module, "count_digits", selection_cuda.BLOCK, words, n)
    runtime.download(held, counts)
    runtime.synchronize()
    return counts


def _launch(
    runtime: Runtime, module: Any, kernel: str, block: int, words: list[int], n: int
) -> None:
    array = np.array(words, np.int64)
    table = runtime.allocate(array.nbytes)
    runtime.upload(array, table)
    x = grid_of(-(-n // ROWS_PER_THREAD), block)
    runtime.launch(module, kernel, (x, 1), block, table, 0, n)
