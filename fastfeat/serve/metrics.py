"""What a server has counted, as the text that Prometheus reads."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds up to which answers are counted."""
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What a server has counted; of one event loop."""

    def __init__(self) -> None:
        self.started = time.time()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.rows_by_call: Counter[str] = Counter()
        self.swaps: Counter[str] = Counter()
        self.seconds: dict[str, list[int]] = {}
        self.sums: dict[str, float] = {}

    def observed(self, route: str, status: int, seconds: float, error: str) -> None:
        """Count an answer."""
        self.answers[route, status] += 1
        if error:
            self.errors[route, error] += 1
        counts = self.seconds.get(route)
        if counts is None:
            counts = self.seconds[route] = [0] * (len(BOUNDS) + 1)
            self.sums[route] = 0.0
        counts[bisect_left(BOUNDS, seconds)] += 1
        self.sums[route] += seconds

    def rows(self, call: str, n_rows: int) -> None:
        """Count rows that were computed, or taken."""
        self.rows_by_call[call] += n_rows


def family(name: str, kind: str, told: str, samples: Iterable[tuple[Labels, float]]) -> str:
    """Return the lines of one metric.

    Args:
        name: of it.
        kind: "counter" or "gauge".
        told: what it is.
        samples: values by labels.
    """
    lines = [f"# HELP {name} {_help(told)}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def histogram(
    name: str, told: str, counts: Mapping[str, Sequence[int]], sums: Mapping[str, float]
) -> str:
    """Return the lines of the seconds that answers took, by route."""
    lines = [f"# HELP {name} {_help(told)}", f"# TYPE {name} histogram"]
    for route, found in counts.items():
        total = 0
        for bound, n in zip([*map(_number, BOUNDS), "+Inf"], found, strict=True):
            total += n
            lines.append(f"{name}_bucket{_labels((('route', route), ('le', bound)))} {total}")
        lines.append(f"{name}_sum{_labels((('route', route),))} {_number(sums[route])}")
        lines.append(f"{name}_count{_labels((('route', route),))} {total}")
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _help(told: str) -> str:
    return told.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
