"""A first result in a fresh process: the cost of compiling, and of a cached start."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from bench.workload import Contender


def measure(contender: Contender, table: pa.Table, is_cold: bool) -> dict[str, float | bool]:
    """Return the seconds of each stage of a first result; runs once in a process.

    Args:
        contender: Builds its plan in `prepare`, so that the time includes building.
        table: A few rows.
        is_cold: Whether the cache is empty; the import of the compiler is then timed separately.
    """
    clock = time.perf_counter
    begin = clock()
    import fastfeat  # noqa: F401  # the import is what is timed

    imported = clock()
    if is_cold:
        import llvmlite.binding  # noqa: F401  # as above
    compiler = clock()
    contender.prepare(table)()
    first = clock()
    contender.prepare(table)()
    second = clock()
    return {
        "import_seconds": imported - begin,
        "compiler_import_seconds": compiler - imported,
        "first_seconds": first - compiler,
        "compile_seconds": max(0.0, (first - compiler) - (second - first)),
        "total_seconds": first - begin,
        "numba_imported": "numba" in sys.modules,
    }
