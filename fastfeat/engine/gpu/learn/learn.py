"""Learning on a device: the hand-written kernels over the columns of a scan, in groups that fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import (
    AggregateFunction,
    Summary,
    level_of,
    needs_order,
    needs_powers,
    ranks_of,
)
from fastfeat.engine.cpu.learn import learn as learn_on_host
from fastfeat.engine.gpu.learn.scan import LearntColumn, find_moments, find_order, scratch_bytes
from fastfeat.engine.gpu.pieces.adopt import sources_of
from fastfeat.engine.gpu.pieces.column_groups import Group, group_of, groups_of
from fastfeat.engine.gpu.pieces.run import on_host
from fastfeat.engine.gpu.programs.launch import settling
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Functions, RowFailed, program_of
from fastfeat.engine.storage import storage
from fastfeat.engine.tasks import LearnTask
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray


def learn(runtime: Runtime, task: LearnTask) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; None is missing.

    Args:
        runtime: where to run.
        task: the aggregates, and the program that computes what is learnt from.

    Raises:
        RowFailed: an overflow, or the like; the first row.
        OutOfDeviceMemory: not even 64 rows fit.
    """
    apart = [k for k, functions in enumerate(task.wanted) if needs_powers(_rows(functions))]
    if apart:
        return _learn_apart(runtime, task, apart)
    return runtime.computations.run(partial(_learn, runtime, task))


def _learn_apart(runtime: Runtime, task: LearnTask, apart: Sequence[int]) -> list[list[Any]]:
    """Return the results of `learn`; some outputs are learnt on the host, which knows powers."""
    program, wanted = task.program, task.wanted
    needed = program_of([program.outputs[k] for k in apart]).inputs
    in_host = {slot: _column_in_host(runtime, task.columns[slot]) for slot in needed}
    results: dict[int, list[Any]] = {}
    failed: list[int] = []
    for members, learn_some, given in (
        ([k for k in range(len(wanted)) if k not in apart], partial(learn, runtime), task.columns),
        (apart, learn_on_host, in_host),
    ):
        if members:
            part = program_of([program.outputs[k] for k in members])
            some = [wanted[k] for k in members]
            own = {slot: given[slot] for slot in part.inputs}
            try:
                found = learn_some(LearnTask(part, some, own, task.n_rows, task.constants))
            except RowFailed as failure:
                failed.append(failure.args[0])
            else:
                results.update(zip(members, found, strict=True))
    if failed:
        raise RowFailed(min(failed))
    return [results[k] for k in range(len(wanted))]


def _column_in_host(runtime: Runtime, column: Any) -> Any:
    if not isinstance(column, DeviceArray):
        return column
    return pa.chunked_array([on_host(runtime, column, column.name)])


def _learn(runtime: Runtime, task: LearnTask) -> list[list[Any]]:
    program, wanted, n_rows = task.program, task.wanted, task.n_rows
    results: list[list[Any]] = [[] for _ in program.outputs]
    failed: list[int] = []
    with settling(runtime):
        sources = sources_of(runtime, program.inputs, task.columns)
        scratch = [scratch_bytes(len(_ranks(functions, n_rows, n_rows))) for functions in wanted]
        for members in groups_of(runtime, program, sources, n_rows, scratch):
            try:  # no name for a group: the next one takes its memory
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


def _learn_group(group: Group, wanted: Sequence[Functions]) -> list[list[Any]]:
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
        summary = Summary(outputs[k].dtype, moments[k], order.get(k, {}))
        results.append([AGGREGATES[f].finalize(summary, params) for f, params in functions])
    return results


def _rows(functions: Functions) -> list[AggregateFunction]:
    return [AGGREGATES[name] for name, _ in functions]


def _ranks(functions: Functions, count: int, n_rows: int) -> list[int]:
    """Return the ranks that some aggregates read, of `count` values among `n_rows` rows."""
    if not count or not needs_order(_rows(functions)):
        return []
    return sorted(
        ranks_of([(AGGREGATES[name], params) for name, params in functions], count, n_rows)
    )
