"""A part of the learner of aggregates: the most likely power of a Box-Cox or Yeo-Johnson transform.

A round is one pass over all rows. The first finds the smallest and largest value. Each further
round tries a grid of powers: it computes exact sums of the values raised to each of them, with the
row programs that also transform later rows. The cost of a power is its negative log-likelihood, see
`aggregates.power`. In memory the logarithms are computed once, in eight bytes per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from fastfeat_kernels.column import value_of_key
from fastfeat_kernels.moments.state import (
    Level,
    Moments,
    merge,
    no_moments,
    summarize,
)
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates.function import key_element
from fastfeat.aggregates.power import (
    METHODS,
    LambdaMethod,
    PowerGrid,
    PowerRange,
    RaisedSums,
    cost_of,
    find_most_likely_power,
    first_grid,
    lambda_without_search,
    next_grid,
)
from fastfeat.engine.cpu import run, threads
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.cpu.part import (
    N_BYTES_OF_MOMENTS,
    OF_LIKELIHOOD,
    Asked,
    OutputLearner,
    OutputResult,
    plain_moments,
)
from fastfeat.engine.learner import NextRound, PackedState, Rows
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.tasks import RowTask
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.column import physical_chunks
from fastfeat.ir.dtypes import FLOAT64, DType
from fastfeat.ir.node import Column
from fastfeat.scalars import op
from fastfeat.scalars.op import TRUE, Op
from fastfeat.scalars.power import raise_relative_to_end, raise_signed, size_to_raise
from fastfeat.scalars.value import NO_STATUS, InputSlot, Value, as_f64, column_slot

MOST_POWERS = 32
"""Largest number of powers in a grid."""


@dataclass(slots=True)
class Ends:
    """The state of the first round: the aggregates, and moments with the extremes but no sums."""

    asked: Asked
    moments: Moments


@dataclass(frozen=True, slots=True)
class GridSearch:
    """The hint for a further round: what is known, and the grid to try.

    Args:
        field: The range of the values.
        count: Number of values.
        sizes: Sum of the logarithms of the values; None before it is known.
        costs: Costs of the powers tried so far.
        grid: The powers to try.
    """

    field: PowerRange
    count: int
    sizes: int | None
    costs: dict[float, float]
    grid: PowerGrid

    @property
    def untried(self) -> list[float]:
        """The powers of the grid that have no cost yet."""
        return [power for power in self.grid.powers if power not in self.costs]


@dataclass(slots=True)
class Tried:
    """The state of a further round: the sums from which the costs of its powers are computed.

    Args:
        asked: The aggregates.
        search: The hint for the round.
        sizes: Moments of the logarithms.
        raised: Moments of the values raised to each power.
    """

    asked: Asked
    search: GridSearch
    sizes: Moments
    raised: list[Moments]


LikelihoodState = Ends | Tried
_SLOT = column_slot("x", FLOAT64)


def _start(method: LambdaMethod, asked: Asked, hint: Any) -> LikelihoodState:
    if hint is None:
        return Ends(asked, no_moments(asked.element))
    low, high, count, sizes, costs, grid = hint
    search = GridSearch(PowerRange(method, low, high), count, sizes, dict(costs), PowerGrid(*grid))
    nothing = no_moments("float64")
    return Tried(asked, search, nothing, [nothing for _ in search.untried])


def _add(state: LikelihoodState, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    if isinstance(state, Ends):
        state.moments = merge(state.moments, _ends(state.asked, column, n_parts))
        return
    search = state.search
    for start in range(0, len(column), piece := run.ROWS_PER_TASK * threads.num_threads()):
        some = column.slice(start, piece)
        sizes = _sizes(search.field, state.asked.dtype, some)
        if search.sizes is None:
            state.sizes = merge(state.sizes, _summarized(sizes, 1))
        found = [_raised(search.field, sizes, power) for power in search.untried]
        state.raised = [merge(a, b) for a, b in zip(state.raised, found, strict=True)]


def _ends(asked: Asked, column: ChunkedArray, n_parts: int) -> Moments:
    return summarize(asked.element, physical_chunks(column), 0, runner("moments"), n_parts)


def _sizes(field: PowerRange, dtype: DType, column: ChunkedArray) -> ChunkedArray:
    """Return the logarithms that powers are computed from, one per value; NaN if missing."""
    is_positive = field.method == "box-cox"
    return _computed(_program_of_sizes(dtype, is_positive, field.is_mixed), column, {})


def _raised(field: PowerRange, sizes: ChunkedArray, power: float) -> Moments:
    """Return the moments (sums) of values raised to a power, from the values' logarithms."""
    if field.is_mixed:
        return _summarized(_computed(_program_of_signs(), sizes, {"power": power}), 2)
    given = {"exponent": field.exponent(power), "end": field.end(power)}
    return _summarized(_computed(_program_beside_an_end(), sizes, given), 2)


def _summarized(column: ChunkedArray, level: Level) -> Moments:
    chunks, parts = physical_chunks(column), n_parts(len(column))
    return summarize("float64", chunks, level, runner("moments"), parts)


def _computed(program: Program, column: ChunkedArray, given: dict[str, float]) -> ChunkedArray:
    slot: InputSlot = program.inputs[0]
    (array,) = run.compute(RowTask(program, {slot: column}, len(column), Constants(given, {})))
    return pa.chunked_array([array])


@cache
def _program_of_sizes(dtype: DType, is_positive: bool, is_signed: bool) -> Program:
    slot = column_slot("x", dtype)
    ok = TRUE if dtype.physical == "f64" else op.input_ok(slot)
    value = Value(dtype, op.input_value(slot, dtype.physical), ok, node=Column("x"))
    return _program(size_to_raise(as_f64(value), is_positive=is_positive, is_signed=is_signed))


@cache
def _program_of_signs() -> Program:
    return _program(raise_signed(op.input_value(_SLOT, "f64"), op.parameter("power", "f64")))


@cache
def _program_beside_an_end() -> Program:
    size = op.input_value(_SLOT, "f64")
    exponent, end = op.parameter("exponent", "f64"), op.parameter("end", "f64")
    return _program(raise_relative_to_end(size, exponent, end))


def _program(value: Op) -> Program:
    return program_of([Output("", FLOAT64, value, TRUE, NO_STATUS)])


def _merge(a: LikelihoodState, b: LikelihoodState) -> LikelihoodState:
    match a, b:
        case Ends(), Ends():
            return Ends(a.asked, merge(a.moments, b.moments))
        case Tried(), Tried():
            raised = [merge(x, y) for x, y in zip(a.raised, b.raised, strict=True)]
            return Tried(a.asked, a.search, merge(a.sizes, b.sizes), raised)
        case _:
            raise AssertionError("states of different rounds cannot be merged")


def _next(method: LambdaMethod, state: LikelihoodState) -> OutputResult | NextRound:
    if isinstance(state, Ends):
        begun = _begun(method, state.asked, state.moments)
        return _again(begun) if isinstance(begun, GridSearch) else OutputResult(begun)
    search = state.search
    sizes = state.sizes.sum if search.sizes is None else search.sizes
    costs = search.costs | _costs(search.field, search.count, sizes, search.untried, state.raised)
    found = next_grid(search.field, costs, search.grid)
    if isinstance(found, PowerGrid):
        return _again(GridSearch(search.field, search.count, sizes, costs, found))
    return OutputResult(found)


def _begun(method: LambdaMethod, asked: Asked, moments: Moments) -> GridSearch | float | None:
    """Return the first search, or the power itself if the extremes of the values determine it.

    The result is None if there are no values.
    """
    if moments.count == 0:
        return None
    element = key_element(asked.dtype)
    low, high = (float(value_of_key(element, k)) for k in (moments.min_key, moments.max_key))
    field = PowerRange(method, low, high)
    settled = lambda_without_search(field)
    if settled is not None:
        return settled
    return GridSearch(field, moments.count, None, {}, first_grid(field))


def _again(search: GridSearch) -> NextRound:
    low, high = search.field.low, search.field.high
    costs = tuple(search.costs.items())
    return NextRound((low, high, search.count, search.sizes, costs, tuple(search.grid)))


def _costs(
    field: PowerRange, count: int, sizes: int, powers: Sequence[float], raised: Sequence[Moments]
) -> dict[float, float]:
    """Return the cost of each power, from sums of the values raised to it."""
    sums = [
        RaisedSums(not m.n_positive_infinite + m.n_negative_infinite, m.sum, m.sum_of_squares)
        for m in raised
    ]
    return {
        power: cost_of(field, power, count, sizes, one)
        for power, one in zip(powers, sums, strict=True)
    }


def _pack(state: LikelihoodState) -> PackedState:
    if isinstance(state, Ends):
        return PackedState({"ends": plain_moments(state.moments)})
    raised = [plain_moments(moments) for moments in state.raised]
    return PackedState({"sizes": plain_moments(state.sizes), "raised": raised})


def _unpack(method: LambdaMethod, asked: Asked, hint: Any, packed: PackedState) -> LikelihoodState:
    state = _start(method, asked, hint)
    if isinstance(state, Ends):
        state.moments = Moments(*packed.numbers["ends"])
    else:
        state.sizes = Moments(*packed.numbers["sizes"])
        state.raised = [Moments(*numbers) for numbers in packed.numbers["raised"]]
    return state


def _size(state: LikelihoodState) -> int:
    return N_BYTES_OF_MOMENTS * (1 if isinstance(state, Ends) else 1 + len(state.raised))


def _bound(asked: Asked, n_rows: int) -> int:
    return N_BYTES_OF_MOMENTS * (1 + MOST_POWERS)


def _at_once(
    method: LambdaMethod, asked: Asked, column: ChunkedArray, n_parts: int
) -> float | None:
    begun = _begun(method, asked, _ends(asked, column, n_parts))
    if not isinstance(begun, GridSearch):
        return begun
    field, piece = begun.field, run.ROWS_PER_TASK * threads.num_threads()
    kept = [
        _sizes(field, asked.dtype, column.slice(start, piece))
        for start in range(0, len(column), piece)
    ]
    total = sum(_summarized(sizes, 1).sum for sizes in kept)

    def costs_of(powers: Sequence[float]) -> list[float]:
        raised = [no_moments("float64") for _ in powers]
        for sizes in kept:
            found = [_raised(field, sizes, power) for power in powers]
            raised = [merge(a, b) for a, b in zip(raised, found, strict=True)]
        return list(_costs(field, begun.count, total, powers, raised).values())

    return find_most_likely_power(field, costs_of)


def _part(method: LambdaMethod) -> OutputLearner[LikelihoodState]:
    return OutputLearner(
        OF_LIKELIHOOD.format(method),
        start=partial(_start, method),
        add=_add,
        merge=_merge,
        next=partial(_next, method),
        pack=_pack,
        unpack=partial(_unpack, method),
        size=_size,
        bound=_bound,
        at_once=partial(_at_once, method),
    )


LIKELIHOODS: dict[LambdaMethod, OutputLearner[LikelihoodState]] = {
    method: _part(method) for method in METHODS.values()
}
