"""Purging of cross-fitting: leave out training rows too close in time to test rows.

Two rows are too close if their labels may share time. The user and the plan say how far rows must
be apart, and by which clocks (time columns). A moment is a row's time by a clock, and a tick is the
unit of that time column. An embargo excludes training rows for longer after test rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, InvalidPlan, PurgeOff, counted, warn
from fastfeat.execute.batch import Batch
from fastfeat.execute.inputs import used_schema
from fastfeat.execute.steps import make
from fastfeat.execute.values import times_in_ticks, values_of
from fastfeat.io.columns.types import tick_of
from fastfeat.ir.dtypes import DType
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, Column, Node, postorder
from fastfeat.ir.scope import is_over, order_of, query_of
from fastfeat.ir.show import show
from fastfeat.learn.folds import Split
from fastfeat.plan.declare.arguments import resolve_delay
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.clocks import clock_of
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.late_columns import Delay, Length, delay_of
from fastfeat.plan.declare.source_columns import columns_of

if TYPE_CHECKING:
    from fastfeat.backends import Backend


@dataclass(frozen=True, slots=True)
class Purging:
    """The distances in time that training rows must keep from test rows.

    Args:
        delays: How long after its row a label is known; each delay applies.
        embargo: Further distance after the delay; empty without an embargo.
        times: Expressions of time that the plan's windows, encoders and label use, and the columns
            that delays name.
    """

    delays: tuple[Delay, ...]
    embargo: Delay
    times: tuple[Node, ...]

    def __bool__(self) -> bool:
        """Return whether any row is purged."""
        return any(self.delays) or bool(self.embargo)

    @property
    def columns(self) -> list[str]:
        """The data columns from which the times of rows are computed."""
        if not self:
            return []
        named = [name for delay in (*self.delays, self.embargo) for name in delay.by_clock]
        of_labels = [delay.time for delay in self.delays if delay.time is not None]
        return [*dict.fromkeys([*named, *columns_of([*of_labels, *self.times])])]


class PurgeReach(NamedTuple):
    """How far purging reaches by one clock: the label's delay and the embargo.

    Args:
        time: The expression for the time of a row by this clock.
        unit: Unit of the lengths: "time" for nanoseconds, or "steps".
        delay: How long after its row a label is known; None if this clock has no delay.
        embargo: Further distance after the delay.
        said_by: The option that sets them.
    """

    time: Node
    unit: str
    delay: int | None
    embargo: int = 0
    said_by: str = "embargo="

    @property
    def told(self) -> str:
        """The delay and the embargo as text for messages."""
        by = f"by {show(self.time)}"
        later = length_text(self.delay or 0, self.unit)
        known = f"a label is known {later} after its row ({self.said_by})"
        after = f"an embargo of {length_text(self.embargo, self.unit)}"
        said = [known if self.delay is not None else "", after if self.embargo else ""]
        return f"{by} {' and '.join(filter(None, said))}"


def resolve_purging(plan: Declaration, purge: Any, embargo: Any) -> Purging:
    """Return the distances from the user's options and the plan; warn if purging is turned off.

    `plan` has the delay of the label. `purge` and `embargo` are described in `Plan.cross_fit`.
    Raises InvalidPlan or TypeMismatch if they are not a duration or a mapping of clock to duration.
    """
    given = resolve_delay(f"cross_fit(purge={purge!r})", purge)
    after = resolve_delay(f"cross_fit(embargo={embargo!r})", embargo)
    asked = _without_zero(delay_of(given, "purge="))
    of_label = list(_delays_of_label(plan))
    if given is not None and not asked and of_label:
        told = ", ".join(sorted({delay.said_by for delay in of_label}))
        warn(
            f"cross_fit(purge={purge!r}): the label is known only after its row ({told}), but "
            "training rows are kept whose labels overlap in time with labels of test rows. Then "
            "even random labels seem predictable. Leave out purge=",
            PurgeOff,
        )
        of_label = []
    delays = tuple(delay for delay in [*of_label, asked] if delay)
    named = (Column(name) for delay in delays for name in delay.by_clock)
    times = tuple(dict.fromkeys([*_times_of(plan), *named]))
    return Purging(delays, _without_zero(delay_of(after, "embargo=")), times)


def _without_zero(delay: Delay) -> Delay:
    """Return a delay or embargo without the clocks for which its length is zero."""
    everywhere = delay.default_length if delay.default_length and delay.default_length[0] else None
    by_clock = {clock: length for clock, length in delay.by_clock.items() if length[0]}
    return replace(delay, default_length=everywhere, by_clock=by_clock)


def _delays_of_label(plan: Declaration) -> Iterable[Delay]:
    """Yield the delays of a plan's labels, except delays of zero."""
    for name in plan.label_nodes:
        for delay in plan.known_late.delays.get(name, ()):
            known = _without_zero(delay)
            if known:
                yield known


def _times_of(plan: Declaration) -> tuple[Node, ...]:
    """Return the time expressions that windows, folds by time and the label of a plan use."""
    found: dict[Node, None] = {}
    for node in postorder([*plan.nodes.values(), *plan.label_nodes.values()]):
        if is_over(node):
            found[query_of(order_of(node))[0]] = None
        elif isinstance(node, Call) and node.function == "time_fold":
            found[node.args[0]] = None
    return tuple(found)


def reaches_of(purging: Purging, types: Mapping[Node, DType]) -> list[PurgeReach]:
    """Return how far purging reaches, for each clock.

    `types` has the types of the time columns and of the plan's time expressions. Raises InvalidPlan
    if no clock of the data suits a length, or if an embargo has a different unit than the label's
    clock.
    """
    found: dict[Node, PurgeReach] = {}
    for delay in purging.delays:
        for reach in _of_delay(delay, purging.times, types):
            other = found.get(reach.time)
            if other is None or (other.delay or 0) < (reach.delay or 0):
                found[reach.time] = reach
    if purging.embargo:
        _add_embargo(found, purging, types)
    return list(found.values())


def _add_embargo(
    found: dict[Node, PurgeReach], purging: Purging, types: Mapping[Node, DType]
) -> None:
    """Add the embargo to the reach of the labels' clocks; without these, to a clock of its own."""
    for own in _of_delay(purging.embargo, purging.times, types):
        assert own.delay is not None
        column = _column_of(own.time, types)
        same = [r for r in found.values() if _column_of(r.time, types) == column]
        for reach in same or [PurgeReach(own.time, own.unit, None)]:
            if reach.unit != own.unit:
                raise _other_unit(purging.embargo, (own.delay, own.unit), [reach.time], types)
            found[reach.time] = reach._replace(embargo=own.delay)


def _column_of(time: Node, types: Mapping[Node, DType]) -> str | None:
    clock = clock_of(time, types)
    return None if clock is None else clock.column


def _of_delay(delay: Delay, times: Sequence[Node], types: Mapping[Node, DType]) -> list[PurgeReach]:
    """Return how far a delay reaches, for each clock that it applies to."""
    if delay.time is not None:
        assert delay.default_length is not None
        length, unit = delay.default_length
        return [PurgeReach(delay.time, unit, length + _wait(delay, unit, types), 0, delay.said_by)]
    found = [
        _by_clock(delay, name, length, times, types) for name, length in delay.by_clock.items()
    ]
    if delay.default_length is None:
        return found
    length, unit = delay.default_length
    others = [t for t in times if _column_of(t, types) not in delay.by_clock]
    of_unit = [r for t in others if (r := _by(t, length, unit, delay.said_by, types)) is not None]
    if not of_unit and not found:
        raise _other_unit(delay, delay.default_length, times, types)
    return [*found, *of_unit]


def _wait(delay: Delay, unit: str, types: Mapping[Node, DType]) -> int:
    """Return the time from the last row that a label sees until it is known, by its own clock."""
    assert delay.time is not None
    column, longest = _column_of(delay.time, types), 0
    for name, waits in delay.seen.items():
        for one in waits:
            found = (
                one.default_length
                if column is None
                else one.by_clock.get(column, one.default_length)
            )
            if found is None or found[1] != unit:
                raise InvalidPlan(
                    f"cross_fit: {one.said_by} has no delay of {name!r} for {show(delay.time)}, "
                    "the time by which the label reads later rows. Add a delay for that time, or "
                    "turn purging off: purge=0"
                )
            longest = max(longest, found[0])
    return longest


def _by_clock(
    delay: Delay, name: str, length: Length, times: Sequence[Node], types: Mapping[Node, DType]
) -> PurgeReach:
    """Return how far a delay reaches by the clock that it names."""
    of_name = [time for time in times if _column_of(time, types) == name]
    for time in (Column(name), *of_name):
        reach = _by(time, *length, delay.said_by, types)
        if reach is not None:
            return reach
    raise _other_unit(delay, length, [Column(name)], types)


def _by(
    time: Node, length: int, unit: str, said_by: str, types: Mapping[Node, DType]
) -> PurgeReach | None:
    """Return how far a delay reaches by one time expression; None if the delay has another unit.

    The time's column is preferred, since a rounded time is less exact. If only the rounded time has
    the delay's unit, the rounding is added to the delay.
    """
    clock = clock_of(time, types)
    column = None if clock is None else Column(clock.column)
    if column is not None and _unit_of(types[column]) == unit:
        return PurgeReach(column, unit, length, 0, said_by)
    if _unit_of(types[time]) != unit:
        return None
    return PurgeReach(time, unit, length + (0 if clock is None else clock.slack), 0, said_by)


def _unit_of(dtype: DType) -> str | None:
    if dtype.is_temporal:
        return "time"
    return "steps" if dtype.is_integer else None


def _other_unit(
    delay: Delay, length: Length, times: Sequence[Node], types: Mapping[Node, DType]
) -> InvalidPlan:
    """Return the error for a length (duration or whole number) that does not suit any clock."""
    text, is_time = length_text(*length), length[1] == "time"
    told = f"cross_fit: {delay.said_by}{text} is {'a duration' if is_time else 'a whole number'}"
    if not times:
        or_off = "" if delay.said_by == "embargo=" else ", or turn purging off: purge=0"
        return InvalidPlan(
            f"{told}, but no window of the plan has a time to count it by. Name the column: "
            f"{_option(delay)}{{'ts': {text}}}{or_off}"
        )
    shown = ", ".join(f"{show(time)} is {types[time]}" for time in times)
    needed = "a timestamp or a date" if is_time else "whole numbers"
    return InvalidPlan(
        f"{told}, which needs {needed}, but {shown}. Write it in the unit of that time, or name "
        f"another column: {_option(delay)}{{'ts': {text}}}"
    )


def _option(delay: Delay) -> str:
    return delay.said_by if delay.said_by == "embargo=" else "purge="


_MOST = (1 << 64) - 1

_OFF = "If the labels of rows at such close times are independent, purge=0 keeps these rows"


class RowMoments(NamedTuple):
    """The times of all rows by one clock, and the distances to purge in ticks.

    Args:
        places: Index of each row's time in `ticks`, -1 if it is missing, shape (n_rows,).
        ticks: The distinct times, ascending, shape (n_moments,).
        before: Rows up to so many ticks before a test row are purged, including its own moment;
            None to purge no such rows.
        after: Rows up to so many ticks after a test row are purged.
        reach: The delay and embargo behind these distances.
    """

    places: NDArray[np.int64]
    ticks: NDArray[np.int64]
    before: int | None
    after: int
    reach: PurgeReach


def moments_of(
    purging: Purging, table: Any, splits: Sequence[Split], backend: Backend
) -> list[RowMoments]:
    """Return, for each clock, the times of all rows and the distances to purge.

    `table` has the columns with moments. `backend` computes times that are expressions. Raises
    InvalidPlan like `reaches_of`, and InvalidData if a row of a fold has no moment.
    """
    if not purging:
        return []
    names = purging.columns
    of_labels = [delay.time for delay in purging.delays if delay.time is not None]
    roots = [*purging.times, *of_labels, *map(Column, names)]
    types = bind(roots, used_schema(table, names))
    reaches = reaches_of(purging, types)
    batch = Batch(table, types, backend, {}, {})
    make(batch, [reach.time for reach in reaches])
    return [_moments(batch, reach, splits) for reach in reaches]


def _moments(batch: Batch, reach: PurgeReach, splits: Sequence[Split]) -> RowMoments:
    """Return the times of rows by one clock; raise InvalidData if a row of a fold has none."""
    ticks, present, dtype = times_in_ticks(batch, *values_of(batch, reach.time))
    for numbers in (numbers for split in splits for numbers in split):
        lacking = numbers[~present[numbers]]
        if len(lacking):
            raise InvalidData(
                f"cross_fit: {show(reach.time)} is missing in {counted(len(lacking), 'row')} of a "
                f"fold, first row {lacking[0]}, so it is unknown which labels overlap in time. "
                f"Fill in the time, or leave such rows out of the folds. {_OFF}"
            )
    distinct, places = np.unique(ticks, return_inverse=True)
    tick = tick_of(dtype)
    before = None if reach.delay is None else min(reach.delay // tick, _MOST)
    after = min(((reach.delay or 0) + reach.embargo) // tick, _MOST)
    return RowMoments(np.where(present, places, -1), distinct, before, after, reach)


def purge_training_rows(moments: Sequence[RowMoments], split: Split) -> Int64Array:
    """Return the training rows of a fold that are far enough from its test rows.

    The result has row numbers in the order of `split.train`.
    """
    train = split.train
    for one in moments:
        train = train[~_near(one, split.test)[one.places[train]]]
    return train


def _near(moments: RowMoments, test: Int64Array) -> BoolArray:
    """Return flags of the distinct times that are too close to a test row, shape (n_moments,)."""
    ticks = moments.ticks.view(np.uint64)  # unsigned differences do not overflow
    numbers = np.arange(len(ticks))
    is_tested = np.zeros(len(ticks), np.bool_)
    is_tested[moments.places[test]] = True
    last = np.maximum.accumulate(np.where(is_tested, numbers, -1))
    if moments.before is None:  # the test rows before this moment, not those at it
        last = np.concatenate([[-1], last[:-1]])
    near = (last >= 0) & (ticks - ticks[last] <= np.uint64(moments.after))
    if moments.before is not None:
        following = np.where(is_tested, numbers, len(ticks) - 1)[::-1]
        first = np.minimum.accumulate(following)[::-1]
        near |= is_tested[first] & (ticks[first] - ticks <= np.uint64(moments.before))
    return near


def check_left(told: str, split: Split, left: Int64Array, moments: Sequence[RowMoments]) -> None:
    """Raise InvalidData, with the reason, if purging leaves a fold without training rows.

    `told` names the fold. `left` are its remaining training rows.
    """
    if len(left):
        return
    why = ", and ".join(one.reach.told for one in moments)
    raise InvalidData(
        f"cross_fit: {told} loses all of its {counted(len(split.train), 'training row')}: {why}, "
        "and no row is that far from all test rows. Let each fold test a block of time, as "
        f"scikit-learn's TimeSeriesSplit does, or use fewer folds. {_OFF}"
    )
