"""What a workload is: data, contenders that do the same work, and figures to reach."""

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

# Quantities of which more is better; of the others less is.
AT_LEAST: frozenset[str] = frozenset({"ratio", "share"})

# Where the module that is imported is not called as the package that is installed.
MODULES = {"scikit-learn": "sklearn", "python": "math"}


def as_it_is(result: Any) -> Any:
    """Return the result unchanged: most contenders return what is compared."""
    return result


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work.

    Args:
        name: unique in its workload.
        library: the package whose work this is; a contender whose package is missing is skipped.
        prepare: takes the data in Arrow, converts it to what the library likes best (not timed),
            and returns the call that is timed.
        result: what is compared, made from what the call returned (not timed).
        by_hand: code that a person tuned for this one task, blocks and threads included. It is
            shown, but it is not a peer: "best peer" is among libraries used as they are meant.
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
        quantity: "ratio" is how many times faster than the best contender of `library`; "share" is
            of the measured bandwidth; "slowdown" is how many times slower than the workload's first
            contender; "extra_memory" is peak memory beyond the output, as a share
            of input and output, "memory_per_input" as a multiple of the input; the others are
            seconds.
        value: what must hold.
        library: the peer of a ratio.
        contender: which of fastfeat's contenders must reach it.
        aim: what we would like to reach, where that is more.
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
        name: what `--only` takes.
        group: workloads that the report shows together; `--only` takes it too.
        title: one line for people, sizes aside.
        label: the same in a few words, for the chart.
        generate: makes the data from a number of rows; the seed is fixed.
        rows, smoke_rows: how many, in a real run and in a smoke run.
        contenders: the first is the one that the others must agree with.
        tolerance: how far floats may differ.
        targets: figures to reach.
        kind: "throughput" times whole calls; "latency" times very many calls of one row each.
        bandwidth: what the bytes per second are a share of.
        threads: how many each contender may use.
        starts: whether a cold compile and a cached start are measured in fresh processes.
        memory: whether peak memory is measured, in one process per contender.
        cause: why a peer is faster, in a sentence, where one is.
        needs: a library without which there is nothing to measure, and which is not in the extra.
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
        """Whether what it needs can be imported here."""
        return self.needs is None or find_spec(self.needs) is not None
