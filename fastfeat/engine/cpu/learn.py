"""The learner of aggregates over all rows on the CPU: kernels over batches, on all threads.

The columns to learn from are outputs of a program. An output that is an unchanged input column is
read in place. Others are computed, some rows at a time, and freed; but if all rows are in memory
and an output is read again, one copy is kept. Aggregates of an output are computed from the results
of parts, such as moments or values by rank; see `part`. A round is one pass over all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.moments.state import moments_of_count
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import AGGREGATES, power
from fastfeat.aggregates.function import (
    AggregateFunction,
    AggregateNumber,
    ColumnSummary,
    needs_moments,
    needs_order,
    needs_powers,
)
from fastfeat.engine.cpu import likelihood, ranks, run, shared_learning, threads
from fastfeat.engine.cpu.kernels import PARTS_PER_THREAD, n_parts
from fastfeat.engine.cpu.part import (
    MANY,
    MOMENTS,
    OF_LIKELIHOOD,
    OF_RANKS,
    POWERS,
    Asked,
    OutputLearner,
    OutputResult,
)
from fastfeat.engine.learner import (
    Learner,
    LearntResult,
    NextRound,
    PackedState,
    Rows,
    TaskLearner,
    number_of,
)
from fastfeat.engine.program import Constants, Functions, Program, RowFailed, program_of
from fastfeat.engine.storage import column_of, storage
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.io.columns.types import storage_type
from fastfeat.scalars.value import InputSlot

if TYPE_CHECKING:
    from fastfeat_kernels.powers.state import PowerSums

    from fastfeat.aggregates.power import LambdaMethod

ROWS_PER_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class StatisticsSpec:
    """The aggregates to learn, of the outputs of a program.

    Args:
        program: Computes the values to learn from.
        wanted: The aggregates of each output, by name and parameters.
        constants: Constants that the program reads.
    """

    program: Program
    wanted: Sequence[Functions]
    constants: Constants


@dataclass(slots=True)
class OfOutput:
    """The learner's state for one output.

    Args:
        asked: The aggregates of the output.
        found: Results of the parts that finished in earlier rounds, by the part's name.
        parts: The parts that still need this round, with their states.
        kept: Its values, if all rows are in memory and will be read again; else None.
    """

    asked: Asked
    found: dict[str, Any]
    parts: list[tuple[OutputLearner[Any], Any]]
    kept: list[ChunkedArray] | None = None


@dataclass(slots=True)
class StatisticsState:
    """The learner's state for all outputs.

    Args:
        spec: The aggregates.
        n_rows: Number of rows added in this round.
        outputs: State of each output.
    """

    spec: StatisticsSpec
    n_rows: int
    outputs: list[OfOutput]


def learn(task: LearnTask) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; None if missing."""
    together = shared_learning.learn_together(task) if len(task.wanted) >= MANY else {}
    others = [k for k in range(len(task.wanted)) if k not in together]
    program = task.program if not together else _part(task.program, tuple(others))
    wanted = [task.wanted[k] for k in others]
    state = _start(StatisticsSpec(program, wanted, task.constants), None)
    for output in state.outputs:
        output.kept = []
    _add(state, task.columns, range(task.n_rows))
    learnt = _next(state)
    assert isinstance(learnt, LearntResult)  # rows in memory never need another round
    values = {**together, **dict(zip(others, learnt.values, strict=True))}
    return [list(values[k]) for k in range(len(task.wanted))]


def _start(spec: StatisticsSpec, hint: Any) -> StatisticsState:
    outputs: list[OfOutput] = []
    for k, (output, functions) in enumerate(zip(spec.program.outputs, spec.wanted, strict=True)):
        asked = Asked(output.dtype, functions)
        parts = _parts(asked.names)
        found: dict[str, Any] = {}
        hints: dict[str, Any] = {part.name: None for part in parts}
        if hint is not None:
            plain, hints = hint[k]
            found = {
                part.name: part.restored(plain[part.name]) for part in parts if part.name in plain
            }
        begun = [
            (part, part.start(asked, hints[part.name])) for part in parts if part.name in hints
        ]
        outputs.append(OfOutput(asked, found, begun))
    return StatisticsState(spec, 0, outputs)


@cache
def _parts(names: tuple[str, ...]) -> tuple[OutputLearner[Any], ...]:
    """Return the parts that aggregates with these names are computed from."""
    rows = [AGGREGATES[name] for name in names]
    return (
        *([MOMENTS] if needs_moments(rows) else ()),
        *([POWERS] if needs_powers(rows) else ()),
        *([ranks.RANKS] if needs_order(rows) else ()),
        *(likelihood.LIKELIHOODS[method] for method in _methods(rows)),
    )


def _methods(rows: Sequence[AggregateFunction]) -> list[LambdaMethod]:
    """Return the power transforms whose most likely power some aggregates need."""
    return [power.METHODS[row.name] for row in rows if "likelihood" in row.primitives]


def _add(state: StatisticsState, columns: Mapping[InputSlot, Any], rows: Rows) -> None:
    slots = [column_of(output) for output in state.spec.program.outputs]
    wanted = [k for k, output in enumerate(state.outputs) if output.parts]
    _add_computed(state, [k for k in wanted if slots[k] is None], columns, rows)
    in_place = {k: columns[slot] for k in wanted if (slot := slots[k]) is not None}
    _add_in_place(state, in_place, rows)
    state.n_rows += len(rows)


def _add_in_place(state: StatisticsState, columns: Mapping[int, ChunkedArray], rows: Rows) -> None:
    """Add rows to the states of outputs that are input columns.

    `columns` is by index of the output. If there are many columns, each is a task for one thread:
    splitting each of 8 columns between two threads cost 0.1 ms more per column than it saved.
    """
    many = len(columns) >= PARTS_PER_THREAD * threads.num_threads()
    parts = 1 if many else n_parts(len(rows))
    tasks = [
        partial(_add_output, state.outputs[k], column, rows, parts) for k, column in columns.items()
    ]
    if many and n_parts(len(rows)) > 1:
        threads.run_tasks(tasks)
    else:
        for task in tasks:
            task()


def _add_computed(
    state: StatisticsState, computed: Sequence[int], columns: Mapping[InputSlot, Any], rows: Rows
) -> None:
    """Add rows to the states of outputs that must be computed; `computed` has their indices."""
    if not computed:
        return
    outputs = state.spec.program.outputs
    part = _part(state.spec.program, tuple(computed))
    for start in range(0, len(rows), ROWS_PER_PIECE):
        some = rows[start : start + ROWS_PER_PIECE]
        piece = {slot: columns[slot].slice(start, len(some)) for slot in part.inputs}
        try:
            arrays = run.compute(RowTask(part, piece, len(some), state.spec.constants))
        except RowFailed as failure:
            raise RowFailed(number_of(some, failure.args[0])) from None
        for k, array in zip(computed, arrays, strict=True):
            plain = pa.chunked_array([array.view(storage_type(outputs[k].dtype))])
            _add_output(state.outputs[k], plain, some, n_parts(len(some)))


@lru_cache(maxsize=64)
def _part(program: Program, numbers: tuple[int, ...]) -> Program:
    """Return the program that computes only the outputs with these indices."""
    return program_of([program.outputs[k] for k in numbers])


def _add_output(output: OfOutput, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    """Add rows to the state of an output; `column` has its values in plain storage."""
    if output.kept is not None and any(part.at_once for part, _ in output.parts):
        output.kept.append(column)
    for part, state in output.parts:
        if output.kept is None or part.at_once is None:
            part.add(state, column, rows, n_parts)


def _merge(a: StatisticsState, b: StatisticsState) -> StatisticsState:
    outputs = [
        OfOutput(
            x.asked,
            x.found,
            [(part, part.merge(s, t)) for (part, s), (_, t) in zip(x.parts, y.parts, strict=True)],
        )
        for x, y in zip(a.outputs, b.outputs, strict=True)
    ]
    return StatisticsState(a.spec, a.n_rows + b.n_rows, outputs)


def _next(state: StatisticsState) -> LearntResult | NextRound:
    found: list[dict[str, Any]] = []
    hints: list[dict[str, Any]] = []
    for output in state.outputs:
        found.append(dict(output.found))
        hints.append({})
        for part, own in output.parts:
            match _end_of_round(output, part, own):
                case OutputResult(value):
                    found[-1][part.name] = value
                case NextRound(hint):
                    hints[-1][part.name] = hint
    if any(hints):
        return NextRound(tuple(zip(map(_plain, state.outputs, found), hints, strict=True)))
    results: list[list[Any]] = []
    for output, of_parts in zip(state.outputs, found, strict=True):
        summary = _summary(output.asked, of_parts, state.n_rows)
        functions = output.asked.functions
        results.append([AGGREGATES[f].finalize(summary, params) for f, params in functions])
    return LearntResult(tuple(results))


def _plain(output: OfOutput, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of an output's finished parts in the form that a hint may contain."""
    parts = {part.name: part for part in _parts(output.asked.names)}
    return {name: parts[name].plain(value) for name, value in found.items()}


def _end_of_round(
    output: OfOutput, part: OutputLearner[Any], state: Any
) -> OutputResult | NextRound:
    if output.kept is None or part.at_once is None:
        return part.next(state)
    chunks = [chunk for column in output.kept for chunk in column.chunks]
    column = pa.chunked_array(chunks, storage_type(output.asked.dtype))
    return OutputResult(part.at_once(output.asked, column, n_parts(len(column))))


def _summary(asked: Asked, found: Mapping[str, Any], n_rows: int) -> ColumnSummary:
    """Return the input of an output's aggregate functions, from the results of its parts."""
    order, count = dict[int, AggregateNumber](), 0
    powers: PowerSums | None = found.get(POWERS.name)
    if OF_RANKS in found:
        count, places, values = found[OF_RANKS]
        order = dict(zip(places, values, strict=True))
    if powers is not None:
        count = powers.count
    if MOMENTS.name in found:
        moments = found[MOMENTS.name]
    else:
        moments = moments_of_count(storage(asked.dtype), n_rows, count)
    likeliest = {
        method: found[OF_LIKELIHOOD.format(method)]
        for method in _methods([AGGREGATES[name] for name in asked.names])
    }
    return ColumnSummary(asked.dtype, moments, order, powers, likeliest)


def _each(state: StatisticsState) -> list[tuple[str, OutputLearner[Any], Any]]:
    """Return all parts of this round, of all outputs, as (name, part, state).

    The state has this name in packed data.
    """
    return [
        (f"{k} {part.name}", part, own)
        for k, output in enumerate(state.outputs)
        for part, own in output.parts
    ]


def _pack(state: StatisticsState) -> PackedState:
    packed = {name: part.pack(own) for name, part, own in _each(state)}
    numbers = {name: one.numbers for name, one in packed.items()}
    tables = {
        f"{name}/{own}": table for name, one in packed.items() for own, table in one.tables.items()
    }
    return PackedState({"n_rows": state.n_rows, "parts": numbers}, tables)


def _unpack(spec: StatisticsSpec, hint: Any, packed: PackedState) -> StatisticsState:
    state = _start(spec, hint)
    state.n_rows = packed.numbers["n_rows"]
    tables: dict[str, dict[str, Table]] = {}
    for key, table in packed.tables.items():
        name, _, own = key.partition("/")
        tables.setdefault(name, {})[own] = table
    for k, output in enumerate(state.outputs):
        hints: dict[str, Any] = {} if hint is None else hint[k][1]
        for place, (part, _) in enumerate(output.parts):
            name = f"{k} {part.name}"
            own = PackedState(packed.numbers["parts"][name], tables.get(name, {}))
            output.parts[place] = part, part.unpack(output.asked, hints.get(part.name), own)
    return state


def _size(state: StatisticsState) -> int:
    return sum(part.size(own) for _, part, own in _each(state))


def _bound(spec: StatisticsSpec, n_rows: int) -> int:
    asked = [
        Asked(output.dtype, functions)
        for output, functions in zip(spec.program.outputs, spec.wanted, strict=True)
    ]
    return sum(part.bound(one, n_rows) for one in asked for part in _parts(one.names))


def _spill(state: StatisticsState, folder: Path) -> None:
    for _, part, own in _each(state):
        if part.spill is not None:
            part.spill(own, folder)


def _of_sample(state: StatisticsState, n_rows: int) -> Any:
    """Return a hint, from a sample, with which the first round can do more than take a sample.

    It is None if no part can use such a hint. `n_rows` is the number of all rows.
    """
    hints = [
        {p.name: None if p.of_sample is None else p.of_sample(own, n_rows) for p, own in of.parts}
        for of in state.outputs
    ]
    is_told = any(hint is not None for own in hints for hint in own.values())
    return tuple((dict[str, Any](), own) for own in hints) if is_told else None


def _failed(state: StatisticsState) -> tuple[int, int, FastfeatError] | None:
    """Return the first aggregate that fails: output index, index in its aggregates, error."""
    for k, output in enumerate(state.outputs):
        for j, function in enumerate(output.asked.functions):
            spec = StatisticsSpec(
                _part(state.spec.program, (k,)), [[function]], state.spec.constants
            )
            one = replace(output, asked=output.asked._replace(functions=[function]))
            try:
                _next(StatisticsState(spec, state.n_rows, [one]))
            except FastfeatError as error:
                return k, j, error
    return None


def learner_input(task: LearnTask) -> tuple[StatisticsSpec, Mapping[InputSlot, Any]]:
    """Return a task's settings as `StatisticsSpec`, and the columns that it reads by input slot."""
    return StatisticsSpec(task.program, task.wanted, task.constants), task.columns


LEARNER = Learner(
    "statistics",
    start=_start,
    add=_add,
    merge=_merge,
    next=_next,
    pack=_pack,
    unpack=_unpack,
    size=_size,
    bound=_bound,
    spill=_spill,
    of_sample=_of_sample,
    takes="at most 1 MiB per quantile, plus 8 bytes per row near it, on disk if they do not fit "
    "in memory; at most 3 KiB for sums, least and greatest values",
)
OF_TASKS = TaskLearner(LEARNER, learner_input, _failed)
