"""The large demo: features of more rows than a process may hold, within an enforced limit.

Payments are generated and written as files. One process fits and writes their features under the
limit, another one with all rows in memory; their results are compared.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import docs.demos.large_plan as plan_module
from docs.demos.large_digest import digest_of_features
from docs.demos.large_rows import rows_of, write_rows
from docs.demos.large_work import FEATURES, FITTED, Measured
from docs.demos.memory_limit import MemoryLimit, memory_limit
from docs.demos.services import end, end_tied, last_lines, started
from fastfeat.errors import FastfeatError, LibraryUnavailable
from fastfeat.io.host_memory import as_bytes, bytes_of, free_memory

ROWS, PLAN = "rows", "plan.py"
ENGINES = {"ray": "Ray", "spark": "Spark"}
_MODULES = {"ray": "ray", "spark": "pyspark"}
MEMORY_OF_ROWS = 3
"""Memory of fit and features in memory, as a multiple of the bytes of the rows."""
DISK_OF_ROWS = 2
"""Disk space of the files of rows and features, as a multiple of the bytes of the rows in memory.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A process that has fitted and written features.

    Args:
        measured: Measures by the process itself.
        features: Digest of the features in hex digits; it does not depend on the order of rows.
        n_rows: Number of written rows of features.
    """

    measured: Measured
    features: str
    n_rows: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the large demo.

    Args:
        n_rows: Number of payments.
        n_bytes: Their size in memory.
        has_made: Whether the files had to be written.
        limit: Memory limit.
        first_seconds: Time of the first process, from its start to its end, over the first file.
        first: Its measures.
        within: The process under the limit.
        on_engine: Two workers of an engine; None without one.
        in_memory: The process with all rows in memory; None if there is not enough memory.
        engine: Name of the engine, or None.
        folder: Folder of the files.
    """

    n_rows: int
    n_bytes: int
    has_made: bool
    limit: MemoryLimit
    first_seconds: float
    first: Measured
    within: Run
    on_engine: Run | None
    in_memory: Run | None
    engine: str | None
    folder: Path

    @property
    def ok(self) -> bool:
        """Whether the limit held, and the results are equal."""
        return self.within.measured.peak <= self.limit.n_bytes and self.is_same

    @property
    def runs(self) -> list[Run]:
        """The processes that have made features of all rows, the one under the limit first."""
        return [run for run in (self.within, self.on_engine, self.in_memory) if run is not None]

    @property
    def is_same(self) -> bool:
        """Whether all of them have made the same plan and the same features, bit for bit."""
        return len({(run.measured.artifact, run.features) for run in self.runs}) == 1


def run(
    folder: Path, step: Callable[[str], None], size: str, memory: str, engine: str | None = None
) -> Outcome:
    """Run the demo; payments and the fitted plan stay in a folder, features do not.

    Args:
        folder: Folder of the files; created if missing.
        step: Function that receives a line about each step.
        size: Size of the payments in memory, such as "2GiB".
        memory: Memory limit, such as "600MiB".
        engine: "ray" or "spark", which does the same on two workers; None for neither.

    Raises:
        FastfeatError: A size is invalid, the disk is too small, another demo runs in the folder, or
            a process has failed.
        LibraryUnavailable: The engine is not installed.
    """
    if engine is not None and find_spec(_MODULES[engine]) is None:
        install = f"pip install 'fastfeat[{engine}]', or make demo-large ENGINE={engine}"
        raise LibraryUnavailable(f"{_MODULES[engine]} is not installed: {install}")
    n_bytes, limited = bytes_of(size, "--size"), bytes_of(memory)
    with _folder_of_its_own(folder):
        work = folder / "work"
        n_rows = rows_of(n_bytes)
        _check_disk(folder, n_bytes)
        step(f"Making {n_rows:,} payments")
        has_made = write_rows(folder / ROWS, n_rows, step)
        with memory_limit(limited) as limit:
            step("Starting for the first time, on the first file")
            before = time.monotonic()
            first = _measured(work, "within", folder / ROWS / "part-000.parquet", memory, limit)
            first_seconds = time.monotonic() - before
            step(f"Fitting and writing features within {as_bytes(limited)}")
            within = _run(work, "within", folder / ROWS, memory, limit)
        shutil.copyfile(str(plan_module.__file__), folder / PLAN)
        (work / FITTED).replace(folder / FITTED)
        on_engine = in_memory = None
        none, free = MemoryLimit(limited, ""), free_memory()
        if engine is not None:
            step(f"The same on two workers of {ENGINES[engine]}")
            on_engine = _run(work, engine, folder / ROWS, memory, none)
        if free is None or free > MEMORY_OF_ROWS * n_bytes:
            step("The same, with all rows in memory")
            in_memory = _run(work, "in memory", folder / ROWS, memory, none)
    return Outcome(
        n_rows=n_rows,
        n_bytes=n_bytes,
        has_made=has_made,
        limit=limit,
        first_seconds=first_seconds,
        first=first,
        within=within,
        on_engine=on_engine,
        in_memory=in_memory,
        engine=engine,
        folder=folder,
    )


def _run(work: Path, how: str, rows: Path, memory: str, limit: MemoryLimit) -> Run:
    measured = _measured(work, how, rows, memory, limit)
    n_rows, digest = digest_of_features(work / FEATURES)
    return Run(measured, digest, n_rows)


def _measured(work: Path, how: str, rows: Path, memory: str, limit: MemoryLimit) -> Measured:
    """Return the measures of a finished process, with files in an empty folder.

    FastfeatError if it has failed.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log, report = work / "log", work / "report"
    arguments = [how, str(rows), str(work), memory, str(report)]
    command = [sys.executable, "-m", "docs.demos.large_work", *arguments]
    # beside the rows, if there is room; the sockets of an engine need a short path
    parent = None if how in ENGINES else work
    with TemporaryDirectory(
        prefix="fastfeat-demo-", dir=parent, ignore_cleanup_errors=True
    ) as temporary:
        environment = {"TMPDIR": str(Path(temporary).resolve())}
        process = started(limit.command(command), log, environment, is_tied=True)
        try:
            code = process.wait()
        finally:
            end(process)
    if code != 0:
        raise FastfeatError(f"{_ended(code, limit)}: {last_lines(log)}")
    return Measured(**json.loads(report.read_text("utf-8")))


def _ended(code: int, limit: MemoryLimit) -> str:
    if limit.has_killed():
        at = as_bytes(limit.n_bytes)
        return f"the system has killed the process at its limit of {at}: give more --memory"
    return f"the process has ended with {code}"


def _check_disk(folder: Path, n_bytes: int) -> None:
    """Raise FastfeatError, with the required bytes, if the disk has no room."""
    free, needed = shutil.disk_usage(folder).free, DISK_OF_ROWS * n_bytes
    if free < needed:
        raise FastfeatError(
            f"{folder} has {as_bytes(free)} free, and the demo takes up to {as_bytes(needed)}: "
            "give --dir on a larger disk, or a smaller --size"
        )


@contextmanager
def _folder_of_its_own(folder: Path) -> Generator[None]:
    """Lock a folder for this process, and remove temporary files from it afterwards.

    FastfeatError if the folder cannot be written, or another process has locked it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise FastfeatError(f"cannot write {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FastfeatError(f"another demo runs in {folder}") from None
        try:
            yield
        finally:
            end_tied()  # or it may still write there during the removal
            shutil.rmtree(folder / "work", ignore_errors=True)
            (folder / ".lock").unlink(missing_ok=True)
