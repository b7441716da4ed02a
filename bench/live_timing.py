"""Wall and CPU time of calls side by side, and a figure of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.timing import collector_off, freeze, percentile

Call = Callable[[int], object]
"""Does its part of the work, given the call's number: 0, 1, 2 and so on."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The measurement of one contender.

    Args:
        group: The work, in words.
        name: The contender.
        p50_seconds, p99_seconds: Time of one call; 0 if `note` has the result instead.
        cpu_seconds: Mean CPU time of one call, of all threads of the process.
        n_rows: Rows that one call computes.
        note: The result, if it is not a time.
        target: The requirement, in words; "" for none.
        is_met: Whether it is met.
        skipped: Reason why it was not measured; "" if it was.
    """

    group: str
    name: str
    p50_seconds: float = 0.0
    p99_seconds: float = 0.0
    cpu_seconds: float = 0.0
    n_rows: int = 1
    note: str = ""
    target: str = ""
    is_met: bool = True
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of the calls of one contender.

    Args:
        wall: Wall time of each call.
        cpu: CPU time of all calls together.
    """

    wall: list[float]
    cpu: float

    def figure(self, group: str, name: str, n_rows: int = 1) -> Figure:
        """Return the figure of these calls."""
        p50, p99 = percentile(self.wall, 0.5), percentile(self.wall, 0.99)
        return Figure(group, name, p50, p99, self.cpu / len(self.wall), n_rows)


def in_turns(
    calls: Mapping[str, Call], n_calls: int | Mapping[str, int], n_turns: int = 10
) -> dict[str, Taken]:
    """Return the seconds of contenders that take turns, each time with a share of their calls.

    Args:
        calls: Calls by contender.
        n_calls: Number of calls of each.
        n_turns: Number of turns of each.
    """
    freeze()
    counts = dict.fromkeys(calls, n_calls) if isinstance(n_calls, int) else dict(n_calls)
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu = dict.fromkeys(calls, 0.0)
    names = list(calls)
    for turn in range(n_turns):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            numbers = range(counts[name] * turn // n_turns, counts[name] * (turn + 1) // n_turns)
            with collector_off():
                cpu[name] += _timed(calls[name], numbers, wall[name])
    return {name: Taken(wall[name], cpu[name]) for name in names}


def _timed(call: Call, numbers: Sequence[int], wall: list[float]) -> float:
    """Append the seconds of each call, and return the CPU seconds of all."""
    clock = time.perf_counter
    begin_cpu = time.process_time()
    for number in numbers:
        begin = clock()
        call(number)
        wall.append(clock() - begin)
    return time.process_time() - begin_cpu
