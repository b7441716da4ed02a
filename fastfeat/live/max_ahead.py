"""Default of `max_ahead=` for servers and streams, and the warning line when there is no limit.

A row is late if it is earlier than the latest row of its entity. So one wrong event with a time far
in the future makes all further rows of its entity late until that time. Servers and streams
therefore refuse such rows by default.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastfeat.execute.fitted import Fitted
from fastfeat.live.live import Live
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.state.order_clocks import ANY

DEFAULT_AHEAD = "1h"


def resolve_max_ahead(
    plans: Mapping[str, Fitted], late: str | None, given: str | None
) -> str | None:
    """Return the value of `max_ahead=` for a new state; None for no limit.

    It is `given`, unless that is None; then it is "1h" if the times of all windows have time zones,
    else None. With `late="insert"` a time far in the future does no harm, and `given` is returned
    as it is.
    """
    if given is not None or late == "insert":
        return given
    lowered = lower(plans)
    types = [lowered.plans[order.plan].types[order.time] for order in lowered.orders]
    has_zones = bool(types) and all(of.name == "timestamp" and of.tz is not None for of in types)
    return DEFAULT_AHEAD if has_zones else None


def describe_missing_limit(live: Live, given: str | None, max_jump: str | int | None) -> str:
    """Return a warning that a state accepts rows far in the future; "" if it has a limit.

    `given` is the `max_ahead=` that the user passed; "any" also silences the warning.
    """
    is_limited = live.max_ahead is not None or max_jump is not None or given == ANY
    if is_limited or live.late == "insert" or not live.clocks:
        return ""
    name, dtype = next(
        (one for one in live.clocks.items() if one[1].tz is None), next(iter(live.clocks.items()))
    )
    risk = "One row with a time far in the future makes all later rows of its entity late."
    if dtype.tz is not None:
        return (
            f"this state was created without a limit on times in the future. {risk} A new state "
            f"gets max_ahead = '{DEFAULT_AHEAD}'"
        )
    if dtype.name in ("timestamp", "date32", "date64"):
        return (
            f"the times of {name} have no time zone, so they are not compared with this machine's "
            f"clock. {risk} If they are UTC, create the state with max_ahead = '{DEFAULT_AHEAD}'; "
            "'any' sets no limit and silences this warning"
        )
    return (
        f"the times of {name} are {dtype} and cannot be compared with a clock. {risk} max_jump "
        "limits how far a row may be ahead of the row before it; max_ahead = 'any' sets no limit "
        "and silences this warning"
    )
