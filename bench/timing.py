"""Time calls side by side: interleaved, with the garbage collector off."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A sample shorter than this is mostly clock and cache noise: take several calls together.
SHORTEST_SAMPLE_SECONDS = 0.002


@contextmanager
def collector_off() -> Iterator[None]:
    """Collect garbage, then keep the collector from running inside the block.

    What is frozen (see `freeze`) is not looked at again: with all peers imported, a collection
    takes 80 ms, and there is one before every sample.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def freeze() -> None:
    """Take everything that is alive now, imported libraries above all, out of later collections."""
    gc.collect()
    gc.freeze()


def interleave(
    calls: dict[str, Callable[[], Any]], repeats: int, seconds_each: float
) -> dict[str, list[float]]:
    """Return seconds per call of every contender, `repeats` samples each.

    Contenders take turns, and the first of a round changes, so that a slow spell of the machine
    falls on all of them.

    Args:
        calls: what to time.
        repeats: samples of each.
        seconds_each: a contender that has used more than this stops after at least three samples.
    """
    freeze()
    per_sample: dict[str, int] = {}
    samples: dict[str, list[float]] = {}
    for name, call in calls.items():
        seconds = _sample(call, 1)
        per_sample[name] = max(1, math.ceil(SHORTEST_SAMPLE_SECONDS / max(seconds, 1e-7)))
        samples[name] = [seconds] if per_sample[name] == 1 else []
    names = list(calls)
    for turn in range(repeats):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken = samples[name]
            has_used = sum(taken) * per_sample[name]
            if len(taken) >= repeats or (len(taken) >= 3 and has_used > seconds_each):
                continue
            taken.append(_sample(calls[name], per_sample[name]))
    return samples


def _sample(call: Callable[[], Any], n_calls: int) -> float:
    with collector_off():
        result = None
        begin = time.perf_counter()
        for _ in range(n_calls):
            result = call()  # the previous result is freed inside the time, as a user would see it
        seconds = time.perf_counter() - begin
        del result
    return seconds / n_calls


def interleave_rows(
    calls: dict[str, Callable[[Any], Any]], rows: Sequence[Any], repeats: int, seconds_each: float
) -> dict[str, list[float]]:
    """Return seconds of very many single calls, one row each, in rounds of all contenders.

    Args:
        calls: functions of one row.
        rows: taken in turn.
        repeats: rounds.
        seconds_each: how long a contender runs, all rounds together.
    """
    freeze()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            with collector_off():
                samples[name] += _row_samples(call, rows, seconds_each / repeats)
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


def summary(samples: list[float]) -> dict[str, float]:
    """Return median, extremes and quartiles of samples in seconds."""
    low, middle, high = (
        statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else samples * 3
    )
    return {
        "median_seconds": middle,
        "min_seconds": min(samples),
        "max_seconds": max(samples),
        "quartile1_seconds": low,
        "quartile3_seconds": high,
        "samples": len(samples),
    }


def percentile(samples: list[float], share: float) -> float:
    """Return a percentile of samples by the nearest rank."""
    return sorted(samples)[min(len(samples) - 1, int(share * len(samples)))]
