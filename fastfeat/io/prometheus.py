"""Tables of metrics, and their values in the text format that Prometheus reads."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Generic, Literal, TypeVar

from fastfeat_kernels.records import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds, in seconds, of the buckets of durations."""
Source = TypeVar("Source")
Samples = Sequence[tuple[Sequence[str], Any]]
"""Pairs of the labels' values and the value of a metric."""
MetricLabels = tuple[tuple[str, str], ...]
"""Names and values of the labels of one sample."""


@dataclass(slots=True)
class Durations:
    """A histogram of durations with the buckets in `BOUNDS`.

    Args:
        counts: Number of durations per bucket; the last bucket has durations above all bounds.
        total_s: Sum in seconds.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total_s: float = 0.0

    def note(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total_s += seconds

    def add(self, other: Durations) -> None:
        """Add all durations of another histogram."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total_s += other.total_s


@dataclass(frozen=True, slots=True)
class Metric(Generic[Source]):
    """A row of a table of metrics, which the answer to Prometheus and the docs read.

    Args:
        name: Name of the metric.
        kind: Type of the metric.
        about: Description, a sentence.
        read: Returns pairs of the labels' values and the value (`Durations` for a histogram); None
            leaves the metric out.
        labels: Names of the labels.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    read: Callable[[Source], Samples | None]
    labels: tuple[str, ...] = ()


def text_of(metrics: Iterable[Metric[Source]], source: Source, prefix: str = "") -> str:
    """Return the values of metrics in Prometheus text format; `prefix` begins their names."""
    found: list[str] = []
    for one in metrics:
        read = one.read(source)
        if read is None:
            continue
        name = prefix + one.name
        samples = [(tuple(zip(one.labels, values, strict=True)), value) for values, value in read]
        if one.kind == "histogram":
            found.append(histogram(name, one.about, samples))
        else:
            found.append(family(name, one.kind, one.about, samples))
    return "".join(found)


def by_label(counts: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    """Return counts by the value of their only label, as `Metric.read` returns them."""
    return [((name,), n) for name, n in counts.items()]


def alone(value: float) -> list[tuple[tuple[str, ...], float]]:
    """Return a value without labels, as `Metric.read` returns it."""
    return [((), value)]


def family(name: str, kind: str, told: str, samples: Iterable[tuple[MetricLabels, float]]) -> str:
    """Return the lines of one metric (counter or gauge) in Prometheus text format.

    Args:
        name: Name of the metric.
        kind: "counter" or "gauge".
        told: Description.
        samples: Labels and value of each sample.
    """
    lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return "\n".join([*_head(name, kind, told), *lines]) + "\n"


def histogram(name: str, told: str, samples: Iterable[tuple[MetricLabels, Durations]]) -> str:
    """Return the lines of one metric of durations in Prometheus text format."""
    lines = _head(name, "histogram", told)
    for labels, durations in samples:
        total = 0
        for bound, n in zip([*map(_number, BOUNDS), "+Inf"], durations.counts, strict=True):
            total += n
            lines.append(f"{name}_bucket{_labels((*labels, ('le', bound)))} {total}")
        lines.append(f"{name}_sum{_labels(labels)} {_number(durations.total_s)}")
        lines.append(f"{name}_count{_labels(labels)} {total}")
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, told: str) -> list[str]:
    text = told.replace("\\", r"\\").replace("\n", r"\n")
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(labels: MetricLabels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value) or math.isnan(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
