"""A process of the large demo, which fits and writes features, and measures itself.

`python -m docs.demos.large_work HOW ROWS OUT MEMORY REPORT` writes its measures to REPORT.
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
        seconds: Time of fit and of the features of all rows, with reading and writing, without the
            start.
        cpu_seconds: CPU time of all cores, of this process alone, with its start.
        peak: Peak memory in bytes of the process, or of an engine's worker; 0 if the system does
            not report it.
        artifact: Digest of the bytes of the fitted plan, in hex digits.
        has_compiled: Whether kernels were compiled, because none was cached.
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
        rows: File or folder of payments.
        folder: Existing folder for features and the fitted plan.
        memory: Memory budget.
        report: File of the measures.
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
    """Return the plan fitted in passes, after writing the features of the rows to a folder."""
    return plan.fit_transform_to(rows, out, memory=memory)[0]


def in_memory(rows: str, out: Path) -> FittedPlan:
    """Return the plan fitted on all rows in memory, after writing their features."""
    from fastfeat.io.sinks.write import write_table

    fitted, features = plan.fit_transform(rows)
    out.mkdir()
    write_table(features, out / "part-000000.parquet")
    return fitted


def _timed(work: Callable[[], FittedPlan]) -> tuple[FittedPlan, float, int]:
    """Return a fitted plan, its time in seconds, and the peak memory of this process."""
    started = time.perf_counter()
    fitted = work()
    return fitted, time.perf_counter() - started, peak_memory() or 0


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FastfeatError as error:
        sys.exit(str(error))
