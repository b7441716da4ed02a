"""Clocks: for each order, the unit of its times, and how long rows are kept.

A tick is the unit of an order's times: the unit of its timestamps or dates, or 1 for whole numbers.
Lengths are in "time" (nanoseconds) or in "steps" (whole numbers).
"""

from __future__ import annotations

from collections.abc import Sequence

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan
from fastfeat.io.columns.types import tick_ns
from fastfeat.ir.dtypes import DType
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Column
from fastfeat.ir.scope import order_of, query_of, window_of
from fastfeat.ir.show import show
from fastfeat.live.log.entities import NEVER
from fastfeat.live.log.retention import Retention, retention
from fastfeat.live.lower.live_plan import LivePlan, LogOrder
from fastfeat.live.state.changes import Settings
from fastfeat.operators.durations import resolve_duration

EVERYTHING = "everything"
ANY = "any"
"""Value of `max_ahead=` that sets no limit."""


@dataclass(frozen=True, slots=True)
class OrderClock:
    """The unit of the times of one order, and how long rows are kept.

    Args:
        order: The order.
        tick_ns: Nanoseconds per tick; None if times are whole numbers.
        held: How far back windows see, and how much longer rows are kept, in ticks.
        dtype: Type of the times.
    """

    order: LogOrder
    tick_ns: int | None
    held: Retention
    dtype: DType

    @property
    def is_timestamp(self) -> bool:
        """Whether the times are timestamps or dates, which `max_ahead` can limit."""
        return self.dtype.name in ("timestamp", "date32", "date64")

    @property
    def unit(self) -> str:
        """The unit of lengths between times: "time", or "steps" for whole numbers."""
        return "steps" if self.tick_ns is None else "time"

    @property
    def has_zone(self) -> bool:
        """Whether the times have a time zone, so that they are points in time."""
        return self.dtype.name == "timestamp" and self.dtype.tz is not None

    def text_of(self, ticks: int) -> str:
        """Return a length in ticks as Python source, such as "'2h'", or "5" for whole numbers."""
        return length_text(ticks * (self.tick_ns or 1), self.unit)


def clocks_of(lowered: LivePlan, settings: Settings) -> tuple[OrderClock, ...]:
    """Return one clock per order.

    Raises `InvalidPlan` for a setting that the plans cannot have, or for a window that sees all
    rows of an entity while rows are to be dropped.
    """
    _check_reach(lowered, settings)
    _check_kept(lowered, settings)
    kept = _kept_given(settings)
    clocks = tuple(_clock(lowered, order, settings, kept) for order in lowered.orders)
    if kept is not None and clocks and all(clock.unit != kept[1] for clock in clocks):
        other = "a duration such as '2d'" if kept[1] == "steps" else "a whole number"
        raise InvalidPlan(
            f"keep={settings.keep!r}: does not fit the times of any window. Write {other}"
        )
    if settings.max_ahead is not None and not any(clock.is_timestamp for clock in clocks):
        raise InvalidPlan(
            f"max_ahead={settings.max_ahead!r}: no window has timestamps or dates, which could be "
            "compared with this machine's clock. Leave max_ahead= out"
        )
    return clocks


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Limits on how far ahead the times of arriving rows may be; a later time is an error.

    Args:
        ahead_ns: Nanoseconds by which a time may be ahead of this machine's clock; None for no
            limit.
        jump: Length by which a time may be ahead of the latest row of the state, in nanoseconds, or
            in steps for integer clocks; None for no limit.
        jump_unit: Unit of `jump`, "time" or "steps".
    """

    ahead_ns: int | None = None
    jump: int | None = None
    jump_unit: str = "time"

    def jump_of(self, clock: OrderClock) -> int | None:
        """Return the limit `jump` in ticks of a clock; None if the clock has another unit."""
        if self.jump is None or clock.unit != self.jump_unit:
            return None
        return self.jump // (clock.tick_ns or 1)

    def latest(self, clock: OrderClock, now_ns: int, watermark: int) -> int | None:
        """Return the latest accepted time, in ticks; None for no limit.

        `watermark` is the latest time of rows that came before, in ticks, or `NEVER`.
        """
        found: list[int] = []
        if self.ahead_ns is not None and clock.is_timestamp and clock.tick_ns is not None:
            found.append((now_ns + self.ahead_ns) // clock.tick_ns)
        jump = self.jump_of(clock)
        if jump is not None and watermark != NEVER:
            found.append(watermark + jump)
        return min(found, default=None)


def time_limits(
    settings: Settings, clocks: Sequence[OrderClock], max_jump: str | int | None = None
) -> TimeLimits:
    """Return the limits on the times of rows, from `max_ahead` in the settings and `max_jump`.

    Raises `InvalidPlan` or `TypeMismatch` if `max_jump` is no length, or no clock has such lengths.
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
            f"{told}: does not fit the times of any window. Write {other}, or leave it out"
        )
    return TimeLimits(max_ahead_ns(settings), jump, unit)


def max_ahead_ns(settings: Settings) -> int | None:
    """Return how far a time may be ahead of this machine's clock, in nanoseconds.

    None for no limit. Raises `InvalidPlan` or `TypeMismatch` if the setting is no duration.
    """
    told = f"max_ahead={settings.max_ahead!r}"
    length, unit = resolve_duration(told, settings.max_ahead)
    if unit == "steps":
        raise InvalidPlan(f"{told}: takes a duration, such as '1h'")
    return length


def _kept_given(settings: Settings) -> tuple[int, str] | None:
    """Return the `keep` setting as a length and its unit; None if it is not set or "everything"."""
    if settings.keep in (None, EVERYTHING):
        return None
    length, unit = resolve_duration(f"keep={settings.keep!r}", settings.keep)
    assert length is not None
    assert unit is not None
    return length, unit


def _clock(
    lowered: LivePlan, order: LogOrder, settings: Settings, kept: tuple[int, str] | None
) -> OrderClock:
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
    return OrderClock(order, tick, held, dtype)


def _check_reach(lowered: LivePlan, settings: Settings) -> None:
    """Raise `InvalidPlan` if rows are to be dropped, but a window sees all rows of an entity."""
    if settings.keep == EVERYTHING:
        return
    for functions in lowered.functions.values():
        for function in functions:
            if function.reach.is_everything:
                raise InvalidPlan(
                    f"feature {function.features[0]!r}: {show(window_of(function.call))} sees all "
                    "rows of an entity, however old, so a live state could never drop a row. Give "
                    "the window a length, such as '90d', or keep all rows: "
                    "online(keep='everything')"
                )


def _check_kept(lowered: LivePlan, settings: Settings) -> None:
    if settings.late == "error" or not lowered.kept:
        return
    raise InvalidPlan(f"late={settings.late!r}: {describe_stored_window(lowered)}. Leave late= out")


def check_forgotten(lowered: LivePlan, column: str) -> None:
    """Raise `InvalidPlan` if rows that stay have stored window results over forgotten rows.

    That is so unless `column` is a key of every window that other windows read.
    """
    for kept in lowered.kept.values():
        keys = query_of(order_of(kept.call))[1:]
        if Column(column) not in keys:
            by = f"by {', '.join(map(show, keys))}" if keys else "without a key"
            raise InvalidPlan(
                f"forget({column!r}): feature {kept.feature!r} has a window over the results of "
                f"{show(kept.call)}, a window {by}. These results are stored with the rows that "
                "remain, and some were computed from the rows to be forgotten. Forget by a key of "
                "that window, or create a new state"
            )


def describe_stored_window(lowered: LivePlan) -> str:
    """Return the reason why a plan with windows over windows accepts no late row or correction."""
    kept = next(iter(lowered.kept.values()))
    return (
        f"feature {kept.feature!r} has a window over {show(kept.call)}, which is computed only "
        "once, when a row arrives, so it would not see later changes"
    )
