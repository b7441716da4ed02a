"""Time calls side by side: interleaved, with the garbage collector off."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Samples:
    """The times of one contender.

    Args:
        wall: Wall seconds per call, of each sample.
        cpu: CPU seconds per call, of all threads of this process.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


# A shorter sample is mostly clock and cache noise: several calls are timed together.
SHORTEST_SAMPLE_SECONDS = 0.002


@contextmanager
def collector_off() -> Iterator[None]:
    """Collect garbage, then keep the collector from running inside the block.

    Frozen objects (see `freeze`) are not scanned again: with all peers imported, a collection takes
    80 ms, and there is one before every sample.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def freeze() -> None:
    """Exclude all live objects, mostly imported libraries, from later collections."""
    gc.collect()
    gc.freeze()


def interleave(
    calls: dict[str, Callable[[], Any]], repeats: int, seconds_each: float
) -> dict[str, Samples]:
    """Return seconds per call of every contender, `repeats` samples each.

    Contenders take turns, and a different one starts each round, so that a slow spell of the
    machine affects all of them.

    Args:
        calls: Calls to time.
        repeats: Samples of each.
        seconds_each: After this time a contender stops, but not before three samples.
    """
    freeze()
    per_sample: dict[str, int] = {}
    samples: dict[str, Samples] = {}
    for name, call in calls.items():
        seconds, cpu = _sample(call, 1)
        per_sample[name] = max(1, math.ceil(SHORTEST_SAMPLE_SECONDS / max(seconds, 1e-7)))
        samples[name] = Samples([seconds], [cpu]) if per_sample[name] == 1 else Samples()
    names = list(calls)
    for turn in range(repeats):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken = samples[name]
            has_used = sum(taken.wall) * per_sample[name]
            n_taken = len(taken.wall)
            if n_taken >= repeats or (n_taken >= 3 and has_used > seconds_each):
                continue
            seconds, cpu = _sample(calls[name], per_sample[name])
            taken.wall.append(seconds)
            taken.cpu.append(cpu)
    return samples


def _sample(call: Callable[[], Any], n_calls: int) -> tuple[float, float]:
    """Return the wall and CPU seconds of a call."""
    with collector_off():
        result = None
        begin, begin_cpu = time.perf_counter(), time.process_time()
        for _ in range(n_calls):
            result = call()  # the previous result is freed inside the time, like for a user
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        del result
    return seconds / n_calls, cpu / n_calls


def interleave_rows(
    calls: dict[str, Callable[[Any], Any]], rows: Sequence[Any], repeats: int, seconds_each: float
) -> dict[str, Samples]:
    """Return seconds of very many single calls, one row each, in rounds of all contenders.

    Args:
        calls: Functions of one row.
        rows: Rows to use in turn.
        repeats: Rounds.
        seconds_each: Total time of a contender in all rounds.
    """
    freeze()
    samples = {name: Samples() for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            with collector_off():
                begin = time.process_time()
                taken = _row_samples(call, rows, seconds_each / repeats)
                samples[name].wall += taken
                samples[name].cpu.append((time.process_time() - begin) / len(taken))
    return samples


def _row_samples(call: Callable[[Any], Any], rows: Sequence[Any], seconds: float) -> list[float]:
    clock, taken = time.perf_counter_ns, []
    end = clock() + int(seconds * 1e9)
    while clock() < end:
        for row in rows:
            begin = clock()
            call(row)
            taken.append(clock() - begin)
    return [nanoseconds / 1e9 for nanoseconds in taken]


def summary(samples: Samples) -> dict[str, float]:
    """Return median, extremes and quartiles in seconds, and the median of CPU seconds."""
    wall = samples.wall
    low, middle, high = (
        statistics.quantiles(wall, n=4, method="inclusive") if len(wall) > 1 else wall * 3
    )
    return {
        "median_seconds": middle,
        "cpu_seconds": statistics.median(samples.cpu),
        "min_seconds": min(wall),
        "max_seconds": max(wall),
        "quartile1_seconds": low,
        "quartile3_seconds": high,
        "samples": len(wall),
    }


def percentile(samples: list[float], share: float) -> float:
    """Return a percentile of samples by the nearest rank."""
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]
