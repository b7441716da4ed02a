"""A part of the learner of aggregates: the most likely power of a Box-Cox or Yeo-Johnson transform.

A round is one pass over all rows. The first finds the smallest and largest value. Each further
round tries a grid of powers: it computes exact sums of the values raised to each of them, with the
row programs that also transform later rows. The cost of a power is its negative log-likelihood, see
`aggregates.power`. In memory the logarithms are computed once, in eight bytes per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

from fastfeat.aggregates.function import key_element
from fastfeat.aggregates.power import (
    METHODS,
    Field,
    Grid,
    Method,
    Raised,
    cost_of,
    first_grid,
    likeliest,
    next_grid,
    settled_lambda,
)
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.cpu.part import (
    N_BYTES_OF_MOMENTS,
    OF_LIKELIHOOD,
    Asked,
    Found,
    Part,
    plain_moments,
)
from fastfeat.engine.cpu.run import ROWS_PER_TASK, compute
from fastfeat.engine.cpu.threads import num_threads
from fastfeat.engine.learner import Again, Packed, Rows
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.tasks import RowTask
from fastfeat.io.arrow import ChunkedArray, pa
from fastfeat.io.columns.column import physical_chunks
from fastfeat.ir.dtypes import FLOAT64, DType
from fastfeat.ir.node import Column
from fastfeat.scalars import op
from fastfeat.scalars.op import TRUE, Op
from fastfeat.scalars.power import raised_beside, raised_signed, size_to_raise
from fastfeat.scalars.value import NO_STATUS, InputSlot, Value, as_f64, column_slot

MOST_POWERS = 32
"""Largest number of powers in a grid."""


@dataclass(slots=True)
class Ends:
    """The state of the first round: the aggregates, and moments with the extremes but no sums."""

    asked: Asked
    moments: Moments


@dataclass(frozen=True, slots=True)
class Search:
    """The hint for a further round: what is known, and the grid to try.

    Args:
        field: The range of the values.
        count: Number of values.
        sizes: Sum of the logarithms of the values; None before it is known.
        costs: Costs of the powers tried so far.
        grid: The powers to try.
    """

    field: Field
    count: int
    sizes: int | None
    costs: dict[float, float]
    grid: Grid

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
    search: Search
    sizes: Moments
    raised: list[Moments]


State = Ends | Tried
_SLOT = column_slot("x", FLOAT64)


def _start(method: Method, asked: Asked, hint: Any) -> State:
    if hint is None:
        return Ends(asked, no_moments(asked.element))
    low, high, count, sizes, costs, grid = hint
    search = Search(Field(method, low, high), count, sizes, dict(costs), Grid(*grid))
    nothing = no_moments("float64")
    return Tried(asked, search, nothing, [nothing for _ in search.untried])


def _add(state: State, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    if isinstance(state, Ends):
        state.moments = merge(state.moments, _ends(state.asked, column, n_parts))
        return
    search = state.search
    for start in range(0, len(column), piece := ROWS_PER_TASK * num_threads()):
        some = column.slice(start, piece)
        sizes = _sizes(search.field, state.asked.dtype, some)
        if search.sizes is None:
            state.sizes = merge(state.sizes, _summarized(sizes, 1))
        found = [_raised(search.field, sizes, power) for power in search.untried]
        state.raised = [merge(a, b) for a, b in zip(state.raised, found, strict=True)]


def _ends(asked: Asked, column: ChunkedArray, n_parts: int) -> Moments:
    return summarize(asked.element, physical_chunks(column), 0, runner("moments"), n_parts)


def _sizes(field: Field, dtype: DType, column: ChunkedArray) -> ChunkedArray:
    """Return the logarithms that powers are computed from, one per value; NaN if missing."""
    is_positive = field.method == "box-cox"
    return _computed(_program_of_sizes(dtype, is_positive, field.is_mixed), column, {})


def _raised(field: Field, sizes: ChunkedArray, power: float) -> Moments:
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
    (array,) = compute(RowTask(program, {slot: column}, len(column), Constants(given, {})))
    return pa.chunked_array([array])


@cache
def _program_of_sizes(dtype: DType, is_positive: bool, is_signed: bool) -> Program:
    slot = column_slot("x", dtype)
    ok = TRUE if dtype.physical == "f64" else op.input_ok(slot)
    value = Value(dtype, op.input_value(slot, dtype.physical), ok, node=Column("x"))
    return _program(size_to_raise(as_f64(value), is_positive=is_positive, is_signed=is_signed))


@cache
def _program_of_signs() -> Program:
    return _program(raised_signed(op.input_value(_SLOT, "f64"), op.parameter("power", "f64")))


@cache
def _program_beside_an_end() -> Program:
    size = op.input_value(_SLOT, "f64")
    exponent, end = op.parameter("exponent", "f64"), op.parameter("end", "f64")
    return _program(raised_beside(size, exponent, end))


def _program(value: Op) -> Program:
    return program_of([Output("", FLOAT64, value, TRUE, NO_STATUS)])


def _merge(a: State, b: State) -> State:
    match a, b:
        case Ends(), Ends():
            return Ends(a.asked, merge(a.moments, b.moments))
        case Tried(), Tried():
            raised = [merge(x, y) for x, y in zip(a.raised, b.raised, strict=True)]
            return Tried(a.asked, a.search, merge(a.sizes, b.sizes), raised)
        case _:
            raise AssertionError("states of different rounds cannot be merged")


def _next(method: Method, state: State) -> Found | Again:
    if isinstance(state, Ends):
        begun = _begun(method, state.asked, state.moments)
        return _again(begun) if isinstance(begun, Search) else Found(begun)
    search = state.search
    sizes = state.sizes.sum if search.sizes is None else search.sizes
    costs = search.costs | _costs(search.field, search.count, sizes, search.untried, state.raised)
    found = next_grid(search.field, costs, search.grid)
    if isinstance(found, Grid):
        return _again(Search(search.field, search.count, sizes, costs, found))
    return Found(found)


def _begun(method: Method, asked: Asked, moments: Moments) -> Search | float | None:
    """Return the first search, or the power itself if the extremes of the values determine it.

    The result is None if there are no values.
    """
    if moments.count == 0:
        return None
    element = key_element(asked.dtype)
    low, high = (float(value_of_key(element, k)) for k in (moments.min_key, moments.max_key))
    field = Field(method, low, high)
    settled = settled_lambda(field)
    if settled is not None:
        return settled
    return Search(field, moments.count, None, {}, first_grid(field))


def _again(search: Search) -> Again:
    low, high = search.field.low, search.field.high
    costs = tuple(search.costs.items())
    return Again((low, high, search.count, search.sizes, costs, tuple(search.grid)))


def _costs(
    field: Field, count: int, sizes: int, powers: Sequence[float], raised: Sequence[Moments]
) -> dict[float, float]:
    """Return the cost of each power, from sums of the values raised to it."""
    sums = [
        Raised(not m.n_positive_infinite + m.n_negative_infinite, m.sum, m.sum_of_squares)
        for m in raised
    ]
    return {
        power: cost_of(field, power, count, sizes, one)
        for power, one in zip(powers, sums, strict=True)
    }


def _pack(state: State) -> Packed:
    if isinstance(state, Ends):
        return Packed({"ends": plain_moments(state.moments)})
    raised = [plain_moments(moments) for moments in state.raised]
    return Packed({"sizes": plain_moments(state.sizes), "raised": raised})


def _unpack(method: Method, asked: Asked, hint: Any, packed: Packed) -> State:
    state = _start(method, asked, hint)
    if isinstance(state, Ends):
        state.moments = Moments(*packed.numbers["ends"])
    else:
        state.sizes = Moments(*packed.numbers["sizes"])
        state.raised = [Moments(*numbers) for numbers in packed.numbers["raised"]]
    return state


def _size(state: State) -> int:
    return N_BYTES_OF_MOMENTS * (1 if isinstance(state, Ends) else 1 + len(state.raised))


def _bound(asked: Asked, n_rows: int) -> int:
    return N_BYTES_OF_MOMENTS * (1 + MOST_POWERS)


def _at_once(method: Method, asked: Asked, column: ChunkedArray, n_parts: int) -> float | None:
    begun = _begun(method, asked, _ends(asked, column, n_parts))
    if not isinstance(begun, Search):
        return begun
    field, piece = begun.field, ROWS_PER_TASK * num_threads()
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

    return likeliest(field, costs_of)


def _part(method: Method) -> Part[State]:
    return Part(
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


LIKELIHOODS: dict[Method, Part[State]] = {method: _part(method) for method in METHODS.values()}
