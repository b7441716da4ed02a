"""A process of the large demo, which fits and writes features, and measures itself.

`python -m docs.demos.large_work HOW ROWS OUT MEMORY REPORT` writes what it took to REPORT.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from docs.demos.large_plan import plan
from fastfeat.errors import FastfeatError
from fastfeat.io.host_memory import peak_memory
from fastfeat.keep.artifact import artifact_bytes

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan

FEATURES, FITTED = "features", "payments.fastfeat"


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of one process.

    Args:
        seconds: of fit and of the features of all rows, read and written, without the start.
        cpu_seconds: of all cores, of this process alone, with its start.
        peak: the most bytes that the process had in memory, or a worker of an engine; 0 where the
            system does not say.
        artifact: a digest of the bytes of the fitted plan, in hex digits.
        has_compiled: whether kernels were compiled, because none was kept.
    """

    seconds: float
    cpu_seconds: float
    peak: int
    artifact: str
    has_compiled: bool


def main(how: str, rows: str, folder: str, memory: str, report: str) -> None:
    """Do the work, and write its measures.

    Args:
        how: "within" a budget, "in memory", or the name of an engine.
        rows: a file or folder of payments.
        folder: one that is there, for features and the fitted plan.
        memory: the budget.
        report: the file of the measures.
    """
    out = Path(folder) / FEATURES
    match how:
        case "within":
            fitted, seconds, peak = _timed(lambda: within(rows, out, memory))
        case "in memory":
            fitted, seconds, peak = _timed(lambda: in_memory(rows, out))
        case engine:
            from docs.demos import large_engines

            run = large_engines.on_ray if engine == "ray" else large_engines.on_spark
            fitted, seconds, peak = run(rows, out)
    fitted.save(Path(folder) / FITTED)
    digest = sha256(artifact_bytes(fitted.record)).hexdigest()
    has_compiled = "fastfeat_kernels.llvm" in sys.modules
    found = Measured(seconds, time.process_time(), peak, digest, has_compiled)
    Path(report).write_text(json.dumps(asdict(found)), "utf-8")


def within(rows: str, out: Path, memory: str) -> FittedPlan:
    """Return the plan fitted in passes; the features of the rows are in a folder."""
    return plan.fit_transform_to(rows, out, memory=memory)[0]


def in_memory(rows: str, out: Path) -> FittedPlan:
    """Return the plan fitted on all rows in memory; features are written from there."""
    from fastfeat.io.sinks.write import write_table

    fitted, features = plan.fit_transform(rows)
    out.mkdir()
    write_table(features, out / "part-000000.parquet")
    return fitted


def _timed(work: Callable[[], FittedPlan]) -> tuple[FittedPlan, float, int]:
    """Return a fitted plan, the seconds that it took, and the peak of this process."""
    started = time.perf_counter()
    fitted = work()
    return fitted, time.perf_counter() - started, peak_memory() or 0


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FastfeatError as error:
        sys.exit(str(error))
