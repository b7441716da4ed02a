"""A process of the large demo, which fits and writes features, and measures itself.

`python -m fastfeat.demo.large_work HOW ROWS OUT MEMORY REPORT` writes what it took to REPORT.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastfeat.demo.large_plan import plan
from fastfeat.io.host_memory import peak_memory
from fastfeat.plan.keep.artifact import artifact_bytes

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan

FEATURES, FITTED = "features", "payments.fastfeat"


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of one process.

    Args:
        seconds: of fit and of the features of all rows, read and written, without the start.
        peak: the most bytes that the process had in memory; 0 where the system does not say.
        artifact: a digest of the bytes of the fitted plan, in hex digits.
        has_compiled: whether kernels were compiled, because none was kept.
    """

    seconds: float
    peak: int
    artifact: str
    has_compiled: bool


def within(rows: str, out: Path, memory: str) -> FittedPlan:
    """Return the plan fitted in passes; the features of the rows are in a folder."""
    fitted, _ = plan.fit_transform_to(rows, out / FEATURES, memory=memory)
    return fitted


def in_memory(rows: str, out: Path, memory: str) -> FittedPlan:
    """Return the plan fitted on all rows in memory; features are written from there."""
    from fastfeat.io.sinks.write import write_table

    fitted, features = plan.fit_transform(rows)
    (out / FEATURES).mkdir()
    write_table(features, out / FEATURES / "part-000000.parquet")
    return fitted


HOW: dict[str, Callable[[str, Path, str], Any]] = {"within": within, "in_memory": in_memory}


def main(how: str, rows: str, out: str, memory: str, report: str) -> None:
    """Do the work, and write its measures.

    Args:
        how: a name of `HOW`.
        rows: a file or folder of payments.
        out: a folder that is there, for features and the fitted plan.
        memory: the budget.
        report: the file of the measures.
    """
    started = time.perf_counter()
    fitted = HOW[how](rows, Path(out), memory)
    seconds = time.perf_counter() - started
    fitted.save(Path(out) / FITTED)
    digest = sha256(artifact_bytes(fitted.record)).hexdigest()
    found = Measured(seconds, peak_memory() or 0, digest, "numba" in sys.modules)
    Path(report).write_text(json.dumps(asdict(found)), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
