"""Learning on the CPU: the hand-written kernels over the columns of a scan, on all threads.

An output that is an input column as it is, is read in place. Others are computed piece by piece
and freed, except those whose order is asked for: quantiles keep one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastfeat_kernels.moments.state import (
    Level,
    Moments,
    merge,
    moments_of_count,
    no_moments,
    summarize,
)
from fastfeat_kernels.powers.state import NO_POWERS, PowerSums
from fastfeat_kernels.powers.state import merge as merge_powers
from fastfeat_kernels.powers.state import summarize as summarize_powers
from fastfeat_kernels.selection.state import OrderStatistics, select

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import (
    Number,
    Summary,
    level_of,
    needs_moments,
    needs_order,
    needs_powers,
    ranks_of,
)
from fastfeat.engine.cpu.kernels import PARTS_PER_THREAD, n_parts, runner
from fastfeat.engine.cpu.run import compute
from fastfeat.engine.cpu.threads import num_threads, run_tasks
from fastfeat.engine.program import Constants, Functions, Output, Program, RowFailed, program_of
from fastfeat.engine.storage import column_of, storage
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.io.arrow import pa
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.columns.types import storage_type
from fastfeat.scalars.value import InputSlot

ROWS_PER_PIECE = 1 << 20
Found = tuple[Moments | None, PowerSums, list[Chunk]]
"""The summary of an output, and its values: any is left out where nobody asks for it."""


class Needs(NamedTuple):
    """The kernels that the aggregates of one output need."""

    level: Level
    moments: bool
    powers: bool
    order: bool


def learn(task: LearnTask) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; None is missing."""
    program, columns, n_rows = task.program, task.columns, task.n_rows
    needs = [_needs(functions) for functions in task.wanted]
    slots = [column_of(output) for output in program.outputs]
    computed = [k for k, slot in enumerate(slots) if slot is None]
    found = _learn_computed(program, computed, needs, columns, n_rows, task.constants)
    found |= _learn_in_place(program, slots, needs, columns, n_rows)
    results: list[list[Any]] = []
    for k, (output, functions) in enumerate(zip(program.outputs, task.wanted, strict=True)):
        summary = _summary(output, needs[k], *found[k], functions, n_rows)
        results.append([AGGREGATES[f].finalize(summary, params) for f, params in functions])
    return results


def _summary(
    output: Output,
    needs: Needs,
    moments: Moments | None,
    powers: PowerSums,
    chunks: Sequence[Chunk],
    functions: Functions,
    n_rows: int,
) -> Summary:
    """Return the summary that the aggregates of an output are made from."""
    element, order = storage(output.dtype), dict[int, Number]()
    if needs.order:
        selected = _order(element, chunks, functions, n_rows)
        order = selected.values
        moments = moments or moments_of_count(element, n_rows, selected.count)
    assert moments is not None
    return Summary(output.dtype, moments, order, powers)


def _learn_in_place(
    program: Program,
    slots: Sequence[InputSlot | None],
    needs: Sequence[Needs],
    columns: Mapping[InputSlot, Any],
    n_rows: int,
) -> dict[int, Found]:
    """Return the summaries of outputs that are columns, and the columns.

    Of many columns each is a task: to divide every one of 8 between two threads took 0.1 ms more a
    column than it saved.
    """
    found: dict[int, Found] = {}
    many = sum(slot is not None for slot in slots) >= PARTS_PER_THREAD * num_threads()

    def summarize_column(k: int, slot: InputSlot) -> None:
        pieces = physical_chunks(columns[slot])
        n_parts = 1 if many else _n_parts(pieces)
        element = storage(program.outputs[k].dtype)
        moments = None
        if needs[k].moments:
            moments = _moments(element, pieces, needs[k].level, n_parts)
        powers = NO_POWERS
        if needs[k].powers:
            powers = summarize_powers(element, pieces, runner("powers"), n_parts)
        found[k] = moments, powers, pieces

    tasks = [partial(summarize_column, k, slot) for k, slot in enumerate(slots) if slot is not None]
    if many and n_parts(n_rows) > 1:
        run_tasks(tasks)
    else:
        for task in tasks:
            task()
    return found


def _learn_computed(
    program: Program,
    computed: Sequence[int],
    needs: Sequence[Needs],
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> dict[int, Found]:
    """Return the summaries of computed outputs, and the values whose order is needed."""
    if not computed:
        return {}
    outputs = [program.outputs[k] for k in computed]
    part = program_of(outputs)
    moments = [no_moments(storage(output.dtype)) for output in outputs]
    powers = [NO_POWERS for _ in outputs]
    kept: list[list[Chunk]] = [[] for _ in outputs]
    for start in range(0, n_rows, ROWS_PER_PIECE):
        n = min(ROWS_PER_PIECE, n_rows - start)
        piece = {slot: columns[slot].slice(start, n) for slot in part.inputs}
        try:
            arrays = compute(RowTask(part, piece, n, constants))
        except RowFailed as failure:
            raise RowFailed(start + failure.args[0]) from None
        for j, array in enumerate(arrays):
            plain = array.view(storage_type(outputs[j].dtype))
            chunks = physical_chunks(pa.chunked_array([plain]))
            k = computed[j]
            element = storage(outputs[j].dtype)
            if needs[k].moments:
                more = _moments(element, chunks, needs[k].level, _n_parts(chunks))
                moments[j] = merge(moments[j], more)
            if needs[k].powers:
                more_powers = summarize_powers(element, chunks, runner("powers"), _n_parts(chunks))
                powers[j] = merge_powers(powers[j], more_powers)
            if needs[k].order:
                kept[j] += chunks
    return {
        k: (moments[j] if needs[k].moments else None, powers[j], kept[j])
        for j, k in enumerate(computed)
    }


def _moments(element: str, chunks: Sequence[Chunk], level: Level, n_parts: int) -> Moments:
    return summarize(element, chunks, level, runner("moments"), n_parts)


def _order(
    element: str, chunks: Sequence[Chunk], functions: Functions, n_rows: int
) -> OrderStatistics:
    """Return the values by rank that some aggregates read, and how many values there are."""
    wanted = [(AGGREGATES[name], params) for name, params in functions]

    def ranks(count: int) -> set[int] | range:
        return ranks_of(wanted, count, n_rows)

    return select(element, chunks, ranks, runner("selection"), _n_parts(chunks))


def _n_parts(chunks: Sequence[Chunk]) -> int:
    return n_parts(sum(chunk.length for chunk in chunks))


def _needs(functions: Functions) -> Needs:
    rows = [AGGREGATES[name] for name, _ in functions]
    return Needs(level_of(rows), needs_moments(rows), needs_powers(rows), needs_order(rows))
