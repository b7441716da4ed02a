"""Parts of the learner of aggregates over all rows: each computes one result of one output.

A result is an input of aggregate functions, such as moments or the values at some ranks. A part is
itself a learner, of one column; all parts go through the same rounds (passes over all rows).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from fastfeat_kernels.moments.state import (
    NO_ROW,
    Level,
    Moments,
    merge,
    moments_of_count,
    no_moments,
    summarize,
)
from fastfeat_kernels.powers import state as power_sums
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import AggregateFunction, level_of
from fastfeat.engine.cpu.kernels import runner
from fastfeat.engine.learner import NextRound, PackedState, Rows, number_of
from fastfeat.engine.program import Functions
from fastfeat.engine.storage import storage
from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.columns.column import physical_chunks
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params

PartStateT = TypeVar("PartStateT")


class Asked(NamedTuple):
    """The aggregates to learn from one output.

    Args:
        dtype: Type of the output.
        functions: Its aggregates.
    """

    dtype: DType
    functions: Functions

    @property
    def element(self) -> str:
        """The name by which kernels know the type of the output's values."""
        return storage(self.dtype)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the aggregates."""
        return tuple(name for name, _ in self.functions)

    def rows(self) -> list[tuple[AggregateFunction, Params]]:
        """Each aggregate's row in the table `AGGREGATES`, with the aggregate's parameters."""
        return [(AGGREGATES[name], params) for name, params in self.functions]


class OutputResult(NamedTuple):
    """The end of a part: no further round is needed, and this is its result."""

    value: Any


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class OutputLearner(Generic[PartStateT]):
    """A learner of one output; for states, hints and packed data see `Learner`.

    Args:
        name: Name of the part, stored in states.
        start: Returns the state of no rows, from the aggregates and the hint.
        add: Adds rows to a state, from a column in plain storage, the numbers of the rows, and the
            number of row ranges to split the work into.
        merge: Returns the state of the rows of two states.
        next: Returns the result, or the hint for the next round.
        pack: Returns a state in serializable form.
        unpack: Returns the state from the aggregates, the hint and the data.
        size: Returns the bytes of a state.
        bound: Returns the most bytes of a state, from the aggregates and the number of rows.
        spill: Writes the parts that can leave memory to a folder.
        plain: Returns the result in a form that a hint may contain.
        restored: Returns the result from that form.
        at_once: Returns the result from the aggregates, the column of all rows in memory, and the
            number of row ranges to split the work into; None if there is no such shortcut.
    """

    name: str
    start: Callable[[Asked, Any], PartStateT]
    add: Callable[[PartStateT, ChunkedArray, Rows, int], None]
    merge: Callable[[PartStateT, PartStateT], PartStateT]
    next: Callable[[PartStateT], OutputResult | NextRound]
    pack: Callable[[PartStateT], PackedState]
    unpack: Callable[[Asked, Any, PackedState], PartStateT]
    size: Callable[[PartStateT], int]
    bound: Callable[[Asked, int], int]
    spill: Callable[[PartStateT, Path], None] | None = None
    plain: Callable[[Any], Any] = _as_it_is
    restored: Callable[[Any], Any] = _as_it_is
    at_once: Callable[[Asked, ChunkedArray, int], Any] | None = None
    of_sample: Callable[[PartStateT, int], Any] | None = None


plain_moments: Callable[[Moments], tuple[int, ...]] = attrgetter(*[f.name for f in fields(Moments)])
"""Returns moments as a tuple of integers; `dataclasses.astuple` took a fifth of a small column."""

MANY = 32
"""Number of columns, alike in type and aggregates, from which they are learned together."""

OF_RANKS = "ranks"
OF_LIKELIHOOD = "likelihood of {}"
"""The names of parts in other modules; the second is formatted with a method."""

N_BYTES_OF_MOMENTS, N_BYTES_OF_POWERS = 1 << 10, 3 << 10  # of the widest floats


@dataclass(slots=True)
class _Sums:
    """The state of a part that sums up: moments, or sums of powers, with the aggregates."""

    asked: Asked
    sums: Any


def _no_moments(asked: Asked, hint: None) -> _Sums:
    return _Sums(asked, _nothing(asked.element))


_nothing = cache(no_moments)


def _add_moments(state: _Sums, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    level, element = _level(state.asked.names), state.asked.element
    if element == "bool":
        found = _moments_of_bools(column, level)
    else:
        chunks = physical_chunks(column)
        found = with_row_numbers(
            summarize(element, chunks, level, runner("moments"), n_parts), rows
        )
    state.sums = merge(state.sums, found) if state.sums.n_rows else found


def _moments_of_bools(column: ChunkedArray, level: Level) -> Moments:
    """Return the moments of bools, which Arrow counts: 2 us instead of 30 for a kernel call."""
    count = len(column) - column.null_count
    n_true: int = sum(column.chunk(at).true_count for at in range(column.num_chunks))
    found = moments_of_count("bool", len(column), count)
    if not count:
        return found
    ends = {"min_key": int(n_true == count), "max_key": int(n_true > 0)}
    return replace(found, **ends, sum=n_true * (level > 0), sum_of_squares=n_true * (level > 1))


@cache
def _level(names: tuple[str, ...]) -> Level:
    return level_of(AGGREGATES[name] for name in names)


def with_row_numbers(found: Moments, rows: Rows) -> Moments:
    """Return a batch's moments; the row of the first infinity gets its number among all rows."""
    if found.first_infinite == NO_ROW:
        return found
    return replace(found, first_infinite=number_of(rows, found.first_infinite))


def _no_powers(asked: Asked, hint: None) -> _Sums:
    return _Sums(asked, power_sums.NO_POWERS)


def _add_powers(state: _Sums, column: ChunkedArray, rows: Rows, n_parts: int) -> None:
    chunks = physical_chunks(column)
    found = power_sums.summarize(state.asked.element, chunks, runner("powers"), n_parts)
    state.sums = power_sums.merge(state.sums, found)


def _powers_of(numbers: Sequence[Any]) -> power_sums.PowerSums:
    count, n_infinite, (first, second, third, fourth) = numbers
    return power_sums.PowerSums(count, n_infinite, (first, second, third, fourth))


def _sums(
    name: str,
    start: Callable[[Asked, None], _Sums],
    add: Callable[[_Sums, ChunkedArray, Rows, int], None],
    merge: Callable[[Any, Any], Any],
    plain: Callable[[Any], tuple[Any, ...]],
    restored: Callable[[Sequence[Any]], Any],
    n_bytes: int,
) -> OutputLearner[_Sums]:
    """Return a part that needs one round and computes exact sums.

    The arguments are its name, the functions for its sums, and the bytes of its state.
    """
    return OutputLearner(
        name,
        start=start,
        add=add,
        merge=lambda a, b: _Sums(a.asked, merge(a.sums, b.sums)),
        next=lambda state: OutputResult(state.sums),
        pack=lambda state: PackedState({"sums": plain(state.sums)}),
        unpack=lambda asked, hint, packed: _Sums(asked, restored(packed.numbers["sums"])),
        size=lambda state: n_bytes,
        bound=lambda asked, n_rows: n_bytes,
        plain=plain,
        restored=restored,
    )


MOMENTS = _sums(
    "moments",
    _no_moments,
    _add_moments,
    merge,
    plain_moments,
    lambda numbers: Moments(*numbers),
    N_BYTES_OF_MOMENTS,
)
POWERS = _sums(
    "powers",
    _no_powers,
    _add_powers,
    lambda a, b: power_sums.merge(a, b),  # imports the kernel only when called
    attrgetter("count", "n_infinite", "sums"),
    _powers_of,
    N_BYTES_OF_POWERS,
)
