"""The clock of each order of rows: what its ticks are, and how long rows are kept by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastfeat.errors import InvalidPlan
from fastfeat.io.columns.conversions import tick_ns
from fastfeat.ir.dtypes import DType
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Column
from fastfeat.ir.scope import order_of, query_of, window_of
from fastfeat.ir.show import show
from fastfeat.live.log.entities import NEVER
from fastfeat.live.log.retention import Retention, retention
from fastfeat.live.lower.live_plan import LivePlan, Order
from fastfeat.live.state.changes import Settings
from fastfeat.operators.durations import resolve_duration

EVERYTHING = "everything"
ANY = "any"
"""For `max_ahead=`: no limit."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The times of one order of the rows.

    Args:
        order: the order.
        tick_ns: nanoseconds of a tick; None where times are whole numbers.
        held: how far back windows see, and how much longer rows are kept, in ticks.
        dtype: the type of the times.
    """

    order: Order
    tick_ns: int | None
    held: Retention
    dtype: DType

    @property
    def is_timestamp(self) -> bool:
        """Whether it can be compared with the clock of this machine."""
        return self.dtype.name in ("timestamp", "date32", "date64")

    @property
    def unit(self) -> str:
        """The unit in which its lengths are written."""
        return "steps" if self.tick_ns is None else "time"

    @property
    def has_zone(self) -> bool:
        """Whether its times are instants, which no zone has to be guessed for."""
        return self.dtype.name == "timestamp" and self.dtype.tz is not None

    def text_of(self, ticks: int) -> str:
        """Return a length as it is written."""
        return length_text(ticks * (self.tick_ns or 1), self.unit)


def clocks_of(lowered: LivePlan, settings: Settings) -> tuple[Clock, ...]:
    """Return the clock of each order, with what is kept by it.

    Args:
        lowered: the plans.
        settings: of the state.

    Raises:
        InvalidPlan: a setting that the plans cannot have, or windows that see everything of an
            entity while rows are to be dropped.
    """
    _check_reach(lowered, settings)
    _check_kept(lowered, settings)
    kept = _kept_given(settings)
    clocks = tuple(_clock(lowered, order, settings, kept) for order in lowered.orders)
    if kept is not None and clocks and all(clock.unit != kept[1] for clock in clocks):
        other = "a duration such as '2d'" if kept[1] == "steps" else "a whole number"
        raise InvalidPlan(
            f"keep={settings.keep!r}: no window has such a time. Write {other}, as the times are"
        )
    if settings.max_ahead is not None and not any(clock.is_timestamp for clock in clocks):
        raise InvalidPlan(
            f"max_ahead={settings.max_ahead!r}: no window has a time that can be compared with a "
            "clock: timestamps or dates. Leave it out"
        )
    return clocks


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Limits to the times of rows that arrive: a later one is an error.

    Args:
        ahead_ns: how far a time may be ahead of this machine's clock, in nanoseconds; None for any.
        jump: how far it may be ahead of the latest row of the state, in nanoseconds or, of clocks
            of integers, in steps; None for any.
        jump_unit: "time" or "steps".
    """

    ahead_ns: int | None = None
    jump: int | None = None
    jump_unit: str = "time"

    def jump_of(self, clock: Clock) -> int | None:
        """Return how far a time may be ahead of the latest one, in ticks of a clock."""
        if self.jump is None or clock.unit != self.jump_unit:
            return None
        return self.jump // (clock.tick_ns or 1)

    def latest(self, clock: Clock, now_ns: int, watermark: int) -> int | None:
        """Return the latest time that is taken, in ticks; None for any.

        Args:
            clock: of an order.
            now_ns: the time by this machine's clock, in nanoseconds since 1970.
            watermark: the latest time of rows that came before, in ticks; `NEVER` for none.
        """
        found: list[int] = []
        if self.ahead_ns is not None and clock.is_timestamp and clock.tick_ns is not None:
            found.append((now_ns + self.ahead_ns) // clock.tick_ns)
        jump = self.jump_of(clock)
        if jump is not None and watermark != NEVER:
            found.append(watermark + jump)
        return min(found, default=None)


def time_limits(
    settings: Settings, clocks: Sequence[Clock], max_jump: str | int | None = None
) -> TimeLimits:
    """Return the limits to the times of rows.

    Args:
        settings: of the state.
        clocks: of its orders.
        max_jump: how far a time may be ahead of the latest row of the state.

    Raises:
        InvalidPlan, TypeMismatch: `max_jump` is no length, or no clock has such lengths.
    """
    if max_jump is None:
        return TimeLimits(max_ahead_ns(settings))
    told = f"max_jump={max_jump!r}"
    jump, unit = resolve_duration(told, max_jump)
    assert jump is not None
    assert unit is not None
    if all(clock.unit != unit for clock in clocks):
        other = "a duration such as '1d'" if unit == "steps" else "a whole number"
        raise InvalidPlan(
            f"{told}: no window has such a time. Write {other}, as the times are; or leave it out"
        )
    return TimeLimits(max_ahead_ns(settings), jump, unit)


def max_ahead_ns(settings: Settings) -> int | None:
    """Return the longest time ahead of this machine's clock that is taken, in nanoseconds.

    Raises:
        InvalidPlan, TypeMismatch: it is no duration.
    """
    told = f"max_ahead={settings.max_ahead!r}"
    length, unit = resolve_duration(told, settings.max_ahead)
    if unit == "steps":
        raise InvalidPlan(f"{told}: takes a duration, such as '1h'")
    return length


def _kept_given(settings: Settings) -> tuple[int, str] | None:
    """Return the further time that rows are to stay, and its unit; None where it is not said."""
    if settings.keep in (None, EVERYTHING):
        return None
    length, unit = resolve_duration(f"keep={settings.keep!r}", settings.keep)
    assert length is not None
    assert unit is not None
    return length, unit


def _clock(
    lowered: LivePlan, order: Order, settings: Settings, kept: tuple[int, str] | None
) -> Clock:
    dtype = lowered.plans[order.plan].types[order.time]
    tick = tick_ns(dtype) if dtype.is_temporal else None
    unit = "steps" if tick is None else "time"
    if settings.keep == EVERYTHING:
        keep = None
    elif kept is not None and kept[1] == unit:
        keep = kept[0]
    else:
        keep = 0 if settings.late == "error" else order.reach.span or 0
    held = retention(order.reach, keep, tick or 1, has_tie=order.tie is not None)
    return Clock(order, tick, held, dtype)


def _check_reach(lowered: LivePlan, settings: Settings) -> None:
    """Raise where rows are to be dropped that windows see for ever."""
    if settings.keep == EVERYTHING:
        return
    for functions in lowered.functions.values():
        for function in functions:
            if function.reach.is_everything:
                raise InvalidPlan(
                    f"feature {function.features[0]!r}: {show(window_of(function.call))} sees all "
                    "rows of an entity, however old, so that a live state could never drop one. "
                    "Give the window a length, such as '90d', or keep all rows: "
                    "online(keep='everything')"
                )


def _check_kept(lowered: LivePlan, settings: Settings) -> None:
    if settings.late == "error" or not lowered.kept:
        return
    raise InvalidPlan(f"late={settings.late!r}: {of_kept(lowered)}. Leave late= out")


def check_forgotten(lowered: LivePlan, column: str) -> None:
    """Raise where what stands beside rows that stay would still know of those that are forgotten.

    Args:
        lowered: the plans.
        column: by which rows are forgotten.

    Raises:
        InvalidPlan: a window that others read is not by this column.
    """
    for kept in lowered.kept.values():
        keys = query_of(order_of(kept.call))[1:]
        if Column(column) not in keys:
            shown = ", ".join(map(show, keys)) or "no key"
            raise InvalidPlan(
                f"forget({column!r}): feature {kept.feature!r} has a window over "
                f"{show(kept.call)}, by {shown}, which stands beside rows that stay, and has seen "
                "those to be forgotten. Forget by a key of that window, or begin a new state"
            )


def of_kept(lowered: LivePlan) -> str:
    """Return the reason why a plan with windows in windows takes no late row or correction."""
    kept = next(iter(lowered.kept.values()))
    return (
        f"feature {kept.feature!r} has a window over {show(kept.call)}, which is computed for each "
        "row as it arrives, and stands: it would not see what changes later"
    )
