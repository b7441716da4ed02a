"""Definition of a workload: data, contenders that do the same work, and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

    from bench.compare import Tolerance

Prepare = Callable[["pa.Table"], Callable[..., Any]]
Quantity = Literal[
    "ratio", "share", "slowdown", "extra_memory", "memory_per_input", "compile_seconds",
    "median_seconds", "p50_seconds", "p99_seconds",
]  # fmt: skip

# Quantities for which more is better; for the others less is.
AT_LEAST: frozenset[str] = frozenset({"ratio", "share"})

# Modules with another name than their installed package.
MODULES = {"scikit-learn": "sklearn", "python": "math"}


def as_it_is(result: Any) -> Any:
    """Return the result unchanged: most contenders return the value to compare."""
    return result


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work.

    Args:
        name: Unique in its workload.
        library: Package that does the work; a contender with a missing package is skipped.
        prepare: Takes the data in Arrow, converts it to the library's favourite form (not timed),
            and returns the call to time.
        result: Makes the value to compare from the call's result (not timed).
        by_hand: Whether a person tuned the code for this one task, including blocks and threads. It
            is shown, but it is not a peer: "best peer" is among libraries in their intended use.
    """

    name: str
    library: str
    prepare: Prepare
    result: Callable[[Any], Any] = as_it_is
    by_hand: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the library can be imported here."""
        return find_spec(MODULES.get(self.library, self.library)) is not None


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach.

    Args:
        quantity: "ratio" is the speedup over the best contender of `library`; "share" is a share of
            the measured bandwidth; "slowdown" is the time relative to the workload's first
            contender; "extra_memory" is peak memory beyond the output, as a share of input and
            output, "memory_per_input" as a multiple of the input; the others are seconds.
        value: Required value.
        library: Peer of a ratio.
        contender: Contender of fastfeat that must reach it.
        aim: A further aim, if there is one.
    """

    quantity: Quantity
    value: float
    library: str | None = None
    contender: str = "fastfeat"
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A row of the benchmark.

    Args:
        name: Name for `--only`.
        group: Workloads that the report shows together; also a name for `--only`.
        title: One line for people, without sizes.
        label: The same in a few words, for the chart.
        generate: Makes the data for a number of rows; the seed is fixed.
        rows, smoke_rows: Number of rows, in a real run and in a smoke run.
        contenders: Contenders; the others must agree with the first.
        tolerance: Allowed difference of floats.
        targets: Figures to reach.
        kind: "throughput" times whole calls; "latency" times very many calls of one row each.
        bandwidth: Reference for the bytes per second.
        threads: Number of threads that each contender may use.
        starts: Whether a cold compile and a cached start are measured in fresh processes.
        memory: Whether peak memory is measured, in one process per contender.
        cause: Reason why a peer is faster, in a sentence, if one is.
        needs: Required library that is not in the extra; without it nothing is measured.
    """

    name: str
    title: str
    label: str
    generate: Callable[[int], pa.Table]
    rows: int
    smoke_rows: int
    contenders: tuple[Contender, ...]
    tolerance: Tolerance
    group: str = ""
    targets: tuple[Target, ...] = ()
    kind: Literal["throughput", "latency"] = "throughput"
    bandwidth: Literal["copy", "read"] = "copy"
    threads: int = 2
    starts: bool = False
    memory: bool = False
    cause: str = ""
    needs: str | None = None

    @property
    def is_possible(self) -> bool:
        """Whether the required library can be imported here."""
        return self.needs is None or find_spec(self.needs) is not None
