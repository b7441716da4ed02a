"""Wall and CPU time of calls side by side, and a figure of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.timing import collector_off, freeze, percentile

Call = Callable[[int], object]
"""Does its part of the work: call number 0, 1, 2 and so on."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one contender.

    Args:
        group: the work, in words.
        name: of the contender.
        p50_seconds, p99_seconds: of one call; 0 where `note` says what was found.
        cpu_seconds: mean CPU time of one call, of all threads of the process.
        n_rows: that one call computes.
        note: what was found, where it is no time.
        target: what must hold, in words; "" for nothing.
        is_met: whether it holds.
        skipped: why it was not measured; "" where it was.
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
        wall: of each call.
        cpu: of all calls together.
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
    """Return the seconds of contenders that take turns, a share of their calls at a time.

    Args:
        calls: by the name of the contender.
        n_calls: of each.
        n_turns: how often each has its turn.
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
