"""The environment of measuring processes, and its description in the results."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "fastfeat", "numba", "llvmlite", "numpy", "pyarrow", "pandas", "polars", "scikit-learn",
    "duckdb", "category_encoders", "coreforecast", "xgboost", "xgboost-cpu", "lightgbm", "catboost",
)  # fmt: skip
_THREAD_VARIABLES = (
    "FASTFEAT_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip
# They pin OpenBLAS to old kernels, which would make NumPy and scikit-learn look slow.
_BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# An installed package has bytecode; a source tree without it is compiled in every new process.
_BYTECODE = "PYTHONDONTWRITEBYTECODE"


def for_measuring(n_threads: int, cache: Path, is_smoke: bool) -> dict[str, str]:
    """Return the environment of a measuring process; every library reads it when it is imported.

    Args:
        n_threads: Threads of each library.
        cache: Folder of compiled plans, so that a run begins cold and leaves nothing behind.
        is_smoke: Keep the settings of OpenBLAS, since nothing is measured.
    """
    ignored = (_BYTECODE,) if is_smoke else (_BYTECODE, *_BLAS_OVERRIDES)
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    threads = {name: str(n_threads) for name in _THREAD_VARIABLES}
    return kept | threads | {"FASTFEAT_CACHE_DIR": str(cache), "PYTHONWARNINGS": "ignore"}


def describe() -> dict[str, object]:
    """Return the machine and the versions of a measurement."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "revision": _revision(),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def _revision() -> str | None:
    """Return the measured commit, with a "+" if the sources differ from it."""
    folder = Path(__file__).parent.parent
    sources = ("fastfeat", "kernels", "bench/*.py", "bench/workloads")
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", *sources)
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None
    return f"{commit}+" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _cpu_name() -> str:
    """Return the CPU model, with its family and number if known, since a name can be vague."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in info.read_text().splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name", platform.machine())
    if "cpu family" in facts and "model" in facts:
        name += f" (family {facts['cpu family']}, model {facts['model']})"
    return name


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
