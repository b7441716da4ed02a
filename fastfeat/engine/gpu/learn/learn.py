"""Learn aggregates of all rows on a device: kernels over groups of columns that fit its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import (
    AggregateFunction,
    ColumnSummary,
    level_of,
    needs_likelihood,
    needs_order,
    needs_powers,
    ranks_of,
)
from fastfeat.engine.cpu.learn import learn as learn_on_host
from fastfeat.engine.gpu.learn.scan import LearntColumn, find_moments, find_order, scratch_bytes
from fastfeat.engine.gpu.pieces.adopt import sources_of
from fastfeat.engine.gpu.pieces.column_groups import OutputGroup, group_of, groups_of
from fastfeat.engine.gpu.pieces.run import on_host
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Functions, RowFailed, program_of
from fastfeat.engine.storage import storage
from fastfeat.engine.tasks import LearnTask
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray


def learn(runtime: Runtime, task: LearnTask) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; None if missing.

    Raises RowFailed for the first row with an error, such as an overflow, and OutOfDeviceMemory if
    not even 64 rows fit.
    """
    if all(is_learnt_on_device(name) for functions in task.wanted for name, _ in functions):
        return runtime.computations.run(partial(_learn, runtime, task))
    return _learn_on_both(runtime, task)


def is_learnt_on_device(function: str) -> bool:
    """Return whether a device has a kernel for an aggregate over all rows."""
    row = AGGREGATES[function]
    return not needs_powers([row]) and not needs_likelihood([row])


def _learn_on_both(runtime: Runtime, task: LearnTask) -> list[list[Any]]:
    """Return the results of `learn`; the host learns the aggregates without a kernel."""
    results: dict[tuple[int, int], Any] = {}
    failed: list[int] = []
    for learn_some, on_device in ((learn, True), (_learn_in_host, False)):
        places = {
            k: [n for n, (f, _) in enumerate(functions) if is_learnt_on_device(f) == on_device]
            for k, functions in enumerate(task.wanted)
        }
        members = [k for k, own in places.items() if own]
        if not members:
            continue
        part = program_of([task.program.outputs[k] for k in members])
        wanted = [[task.wanted[k][n] for n in places[k]] for k in members]
        columns = {slot: task.columns[slot] for slot in part.inputs}
        try:
            found = learn_some(
                runtime, LearnTask(part, wanted, columns, task.n_rows, task.constants)
            )
        except RowFailed as failure:
            failed.append(failure.args[0])
            continue
        for k, values in zip(members, found, strict=True):
            results |= {(k, n): value for n, value in zip(places[k], values, strict=True)}
    if failed:
        raise RowFailed(min(failed))
    return [
        [results[k, n] for n in range(len(functions))] for k, functions in enumerate(task.wanted)
    ]


def _learn_in_host(runtime: Runtime, task: LearnTask) -> list[list[Any]]:
    columns = {slot: _column_in_host(runtime, column) for slot, column in task.columns.items()}
    return learn_on_host(replace(task, columns=columns))


def _column_in_host(runtime: Runtime, column: Any) -> Any:
    if not isinstance(column, DeviceArray):
        return column
    return pa.chunked_array([on_host(runtime, column, column.name)])


def _learn(runtime: Runtime, task: LearnTask) -> list[list[Any]]:
    program, wanted, n_rows = task.program, task.wanted, task.n_rows
    results: list[list[Any]] = [[] for _ in program.outputs]
    failed: list[int] = []
    with settle_on_error(runtime):
        sources = sources_of(runtime, program.inputs, task.columns)
        scratch = [scratch_bytes(len(_ranks(functions, n_rows, n_rows))) for functions in wanted]
        for members in groups_of(runtime, program, sources, n_rows, scratch):
            try:  # no name for a group, so that the next one can reuse its memory
                learnt = _learn_group(
                    group_of(runtime, program, members, sources, n_rows, task.constants, scratch),
                    [wanted[k] for k in members],
                )
            except RowFailed as failure:
                failed.append(failure.args[0])
                continue
            for k, values in zip(members, learnt, strict=True):
                results[k] = values
    if failed:
        raise RowFailed(min(failed))
    return results


def _learn_group(group: OutputGroup, wanted: Sequence[Functions]) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output of a group."""
    runtime, outputs = group.runtime, group.program.outputs
    columns = [
        LearntColumn(k, storage(output.dtype), level_of(_rows(functions)))
        for k, (output, functions) in enumerate(zip(outputs, wanted, strict=True))
    ]
    moments = find_moments(runtime, columns, group.each_piece)
    ranks = {k: _ranks(f, moments[k].count, group.n_rows) for k, f in enumerate(wanted)}
    ranks = {k: found for k, found in ranks.items() if found}
    order = find_order(runtime, columns, ranks, group.each_piece)
    results: list[list[Any]] = []
    for k, functions in enumerate(wanted):
        summary = ColumnSummary(outputs[k].dtype, moments[k], order.get(k, {}))
        results.append([AGGREGATES[f].finalize(summary, params) for f, params in functions])
    return results


def _rows(functions: Functions) -> list[AggregateFunction]:
    return [AGGREGATES[name] for name, _ in functions]


def _ranks(functions: Functions, count: int, n_rows: int) -> list[int]:
    """Return the ranks at which aggregates read sorted values, [] if none does.

    There are `count` values among `n_rows` rows.
    """
    if not count or not needs_order(_rows(functions)):
        return []
    return sorted(
        ranks_of([(AGGREGATES[name], params) for name, params in functions], count, n_rows)
    )
