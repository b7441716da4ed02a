"""Learner of the aggregates of all rows: the hand-written kernels over batches, on all threads.

An output that is an input column as it is, is read in place. Others are computed piece by piece
and freed, except those whose order is asked for: quantiles keep one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import Columns, columns_at
from fastfeat_kernels.moments.many import ManyMoments, summarize_columns
from fastfeat_kernels.moments.state import (
    NO_ROW,
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
from numpy.typing import NDArray

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
from fastfeat.engine.columns import in_place
from fastfeat.engine.cpu.kernels import PARTS_PER_THREAD, n_parts, runner
from fastfeat.engine.cpu.run import compute
from fastfeat.engine.cpu.threads import num_threads, run_tasks
from fastfeat.engine.learner import Learner, Learnt, Packed, Rows, number_of
from fastfeat.engine.program import Constants, Functions, Program, RowFailed, program_of
from fastfeat.engine.storage import column_of, storage
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.column import Chunk, physical_chunks
from fastfeat.io.columns.types import storage_type
from fastfeat.scalars.value import InputSlot

ROWS_PER_PIECE = 1 << 20
N_BYTES_OF_MOMENTS, N_BYTES_OF_POWERS = 1 << 10, 3 << 10  # of the widest floats


MANY = 32
"""Columns of one type, of which the same is learnt, from which on they are learnt together."""


class Needs(NamedTuple):
    """The kernels that the aggregates of one output need."""

    level: Level
    moments: bool
    powers: bool
    order: bool


class Alike(NamedTuple):
    """Outputs that are columns of one type, of which the same is wanted, from moments alone.

    Args:
        outputs: their numbers.
        inputs: the number of the input that each is, shape (n_outputs,).
        element: the type, as kernels know it.
        level: as of the kernel of moments.
        functions: what is wanted of each.
    """

    outputs: tuple[int, ...]
    inputs: NDArray[np.int64]
    element: str
    level: Level
    functions: Functions


class Plan(NamedTuple):
    """The ways of learning each output: they follow from a program and what is wanted of it.

    Args:
        needs: the kernels that each output needs.
        computed: the outputs that are no columns.
        columns: the slot of each of the others.
        alike: those of these that are learnt together, where they are known to lie in place.
        others: the slot of each of those that are not.
    """

    needs: tuple[Needs, ...]
    computed: tuple[int, ...]
    columns: Mapping[int, InputSlot]
    alike: tuple[Alike, ...]
    others: Mapping[int, InputSlot]


@dataclass(frozen=True, slots=True)
class Spec:
    """Aggregates of what a program computes.

    Args:
        program: computes what is learnt from.
        wanted: the aggregates of each output, by name and parameters.
        constants: what the program reads besides the columns.
    """

    program: Program
    wanted: Sequence[Functions]
    constants: Constants


@dataclass(slots=True)
class Statistics:
    """The state: what the kernels have found of each output so far.

    Args:
        spec: what is learnt.
        plan: what follows from that.
        n_rows: how many rows were added.
        moments: of each output; of no rows where nobody asks for them, as the following are.
        powers: sums of powers.
        kept: the values, where their order is needed.
        many: moments of outputs that are alike, where they were added together, and are not in
            `moments` yet.
    """

    spec: Spec
    plan: Plan
    n_rows: int
    moments: list[Moments]
    powers: list[PowerSums]
    kept: list[list[ChunkedArray]]
    many: list[tuple[Alike, ManyMoments]]


def learn(task: LearnTask) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; None is missing."""
    state = _start(Spec(task.program, task.wanted, task.constants), None)
    _add(state, task.columns, range(task.n_rows))
    return list(_next(state).values)


def _start(spec: Spec, hint: None) -> Statistics:
    plan = _plan(spec.program, tuple(map(tuple, spec.wanted)))
    outputs, dtypes = spec.program.outputs, [output.dtype for output in spec.program.outputs]
    nothing = {dtype: no_moments(storage(dtype)) for dtype in set(dtypes)}
    n, moments = len(outputs), [nothing[dtype] for dtype in dtypes]
    return Statistics(spec, plan, 0, moments, [NO_POWERS] * n, [[] for _ in outputs], [])


def _add(state: Statistics, columns: Mapping[InputSlot, Any], rows: Rows) -> None:
    _settle(state)
    program, plan = state.spec.program, state.plan
    _add_computed(state, plan.computed, columns, rows)
    wide = in_place(columns, program)
    if wide is None or not isinstance(rows, range) or rows.start:
        _add_in_place(state, plan.columns, columns, rows)
    else:
        _add_in_place(state, plan.others, columns, rows)
        state.many += [(alike, _add_alike(alike, wide)) for alike in plan.alike]
    state.n_rows += len(rows)


def _add_alike(alike: Alike, columns: Columns) -> ManyMoments:
    """Return the moments of outputs that are alike: each column is a task of some thread."""
    chosen = columns_at(columns, alike.inputs)
    n_tasks = n_parts(len(alike.outputs) * columns.n_rows)
    return summarize_columns(alike.element, chosen, alike.level, runner("moments"), n_tasks)


def _settle(state: Statistics) -> None:
    """Put the moments of columns that were added together into those of each."""
    for alike, many in state.many:
        for place, k in enumerate(alike.outputs):
            state.moments[k] = merge(state.moments[k], many[place])
    state.many.clear()


@lru_cache(maxsize=16)
def _plan(program: Program, wanted: tuple[Functions, ...]) -> Plan:
    needs_of = {functions: _needs(functions) for functions in dict.fromkeys(wanted)}
    slots = [column_of(output) for output in program.outputs]
    number = {slot: k for k, slot in enumerate(program.inputs)}
    members: dict[tuple[str, Functions], list[int]] = {}
    for k, (slot, functions) in enumerate(zip(slots, wanted, strict=True)):
        needs = needs_of[functions]
        if slot is not None and needs.moments and not (needs.powers or needs.order):
            members.setdefault((storage(program.outputs[k].dtype), functions), []).append(k)
    alike: list[Alike] = []
    for (element, functions), outputs in members.items():
        if len(outputs) >= MANY:
            inputs = np.array([number[slot] for k in outputs if (slot := slots[k])], np.int64)
            level = needs_of[functions].level
            alike.append(Alike(tuple(outputs), inputs, element, level, functions))
    together = {k for one in alike for k in one.outputs}
    columns = {k: slot for k, slot in enumerate(slots) if slot is not None}
    return Plan(
        tuple(needs_of[functions] for functions in wanted),
        tuple(k for k, slot in enumerate(slots) if slot is None),
        columns,
        tuple(alike),
        {k: slot for k, slot in columns.items() if k not in together},
    )


def _add_in_place(
    state: Statistics,
    slots: Mapping[int, InputSlot],
    columns: Mapping[InputSlot, Any],
    rows: Rows,
) -> None:
    """Add outputs that are columns.

    Of many columns each is a task: to divide every one of 8 between two threads took 0.1 ms more a
    column than it saved.
    """
    many = len(slots) >= PARTS_PER_THREAD * num_threads()

    def add_column(k: int, slot: InputSlot) -> None:
        _add_output(state, k, columns[slot], rows, 1 if many else n_parts(len(rows)))

    tasks = [partial(add_column, k, slot) for k, slot in slots.items()]
    if many and n_parts(len(rows)) > 1:
        run_tasks(tasks)
    else:
        for task in tasks:
            task()


def _add_computed(
    state: Statistics, computed: Sequence[int], columns: Mapping[InputSlot, Any], rows: Rows
) -> None:
    """Add the outputs that are computed.

    Raises:
        RowFailed: the first row that cannot be computed.
    """
    if not computed:
        return
    outputs = state.spec.program.outputs
    part = _part(state.spec.program, tuple(computed))
    for start in range(0, len(rows), ROWS_PER_PIECE):
        some = rows[start : start + ROWS_PER_PIECE]
        piece = {slot: columns[slot].slice(start, len(some)) for slot in part.inputs}
        try:
            arrays = compute(RowTask(part, piece, len(some), state.spec.constants))
        except RowFailed as failure:
            raise RowFailed(number_of(some, failure.args[0])) from None
        for k, array in zip(computed, arrays, strict=True):
            plain = pa.chunked_array([array.view(storage_type(outputs[k].dtype))])
            _add_output(state, k, plain, some, n_parts(len(some)))


@lru_cache(maxsize=64)
def _part(program: Program, numbers: tuple[int, ...]) -> Program:
    """Return the program of some outputs of another one."""
    return program_of([program.outputs[k] for k in numbers])


def _add_output(state: Statistics, k: int, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    """Add rows of an output, as numbers in plain storage."""
    chunks = physical_chunks(column)
    element, needs = storage(state.spec.program.outputs[k].dtype), state.plan.needs[k]
    if needs.moments:
        found = summarize(element, chunks, needs.level, runner("moments"), n_parts)
        if found.first_infinite != NO_ROW:
            found = replace(found, first_infinite=number_of(rows, found.first_infinite))
        state.moments[k] = merge(state.moments[k], found)
    if needs.powers:
        powers = summarize_powers(element, chunks, runner("powers"), n_parts)
        state.powers[k] = merge_powers(state.powers[k], powers)
    if needs.order:
        state.kept[k].append(column)


def _merge(a: Statistics, b: Statistics) -> Statistics:
    _settle(a)
    _settle(b)
    return Statistics(
        a.spec,
        a.plan,
        a.n_rows + b.n_rows,
        [merge(x, y) for x, y in zip(a.moments, b.moments, strict=True)],
        [merge_powers(x, y) for x, y in zip(a.powers, b.powers, strict=True)],
        [[*x, *y] for x, y in zip(a.kept, b.kept, strict=True)],
        [],
    )


def _next(state: Statistics) -> Learnt:
    results: dict[int, Sequence[Any]] = {}
    for alike, many in state.many:
        rows = [AGGREGATES[name].of_many for name, _ in alike.functions]
        dtype = state.spec.program.outputs[alike.outputs[0]].dtype
        found = [
            of_many(many, dtype, params)
            for of_many, (_, params) in zip(rows, alike.functions, strict=True)
            if of_many is not None
        ]
        if len(found) == len(rows):
            results.update(zip(alike.outputs, zip(*found, strict=True), strict=True))
    if len(results) < sum(len(alike.outputs) for alike, _ in state.many):
        _settle(state)
    for k, functions in enumerate(state.spec.wanted):
        if k not in results:
            summary = _summary(state, k)
            results[k] = [AGGREGATES[f].finalize(summary, params) for f, params in functions]
    return Learnt(tuple(results[k] for k in range(len(state.spec.wanted))))


def _summary(state: Statistics, k: int) -> Summary:
    """Return the summary that the aggregates of an output are made from."""
    dtype, moments = state.spec.program.outputs[k].dtype, state.moments[k]
    order = dict[int, Number]()
    if state.plan.needs[k].order:
        chunks = [chunk for column in state.kept[k] for chunk in physical_chunks(column)]
        selected = _order(storage(dtype), chunks, state.spec.wanted[k], state.n_rows)
        order = selected.values
        if not state.plan.needs[k].moments:
            moments = moments_of_count(storage(dtype), state.n_rows, selected.count)
    return Summary(dtype, moments, order, state.powers[k])


def _pack(state: Statistics) -> Packed:
    _settle(state)
    numbers = {
        "n_rows": state.n_rows,
        "moments": [astuple(moments) for moments in state.moments],
        "powers": [astuple(powers) for powers in state.powers],
    }
    kept = {
        str(k): pa.table({"values": pa.chunked_array([c for some in kept for c in some.chunks])})
        for k, kept in enumerate(state.kept)
        if kept
    }
    return Packed(numbers, kept)


def _unpack(spec: Spec, hint: None, packed: Packed) -> Statistics:
    state = _start(spec, hint)
    state.n_rows = packed.numbers["n_rows"]
    state.moments = [Moments(*numbers) for numbers in packed.numbers["moments"]]
    state.powers = [
        PowerSums(count, n_infinite, (sums[0], sums[1], sums[2], sums[3]))
        for count, n_infinite, sums in packed.numbers["powers"]
    ]
    for k, table in packed.tables.items():
        state.kept[int(k)] = [table.column(0)]
    return state


def _size(state: Statistics) -> int:
    return sum(map(_size_of_sums, state.plan.needs)) + sum(
        column.nbytes for kept in state.kept for column in kept
    )


def _bound(spec: Spec, n_rows: int) -> int:
    needs = [_needs(functions) for functions in spec.wanted]
    return sum(_size_of_sums(one) + 8 * n_rows * one.order for one in needs)


def _size_of_sums(needs: Needs) -> int:
    return N_BYTES_OF_MOMENTS * needs.moments + N_BYTES_OF_POWERS * needs.powers


def _order(
    element: str, chunks: Sequence[Chunk], functions: Functions, n_rows: int
) -> OrderStatistics:
    """Return the values by rank that some aggregates read, and how many values there are."""
    wanted = [(AGGREGATES[name], params) for name, params in functions]

    def ranks(count: int) -> set[int] | range:
        return ranks_of(wanted, count, n_rows)

    return select(element, chunks, ranks, runner("selection"), n_parts(n_rows))


def _needs(functions: Functions) -> Needs:
    rows = [AGGREGATES[name] for name, _ in functions]
    return Needs(level_of(rows), needs_moments(rows), needs_powers(rows), needs_order(rows))


LEARNER = Learner("statistics", _start, _add, _merge, _next, _pack, _unpack, _size, _bound)
