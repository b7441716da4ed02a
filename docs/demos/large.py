"""The large demo: features of more rows than a process may hold, within a limit that is enforced.

Payments are drawn and written as files. One process fits and writes their features under the limit,
another one with all rows in memory; what both have made is compared.
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
"""In memory, fit and features take so many times the bytes of the rows."""
DISK_OF_ROWS = 2
"""Files of rows and of features take so many times the bytes of the rows in memory."""


@dataclass(frozen=True, slots=True)
class Run:
    """A process that has fitted and written features.

    Args:
        measured: by the process itself.
        features: a digest of the features, whatever the order of their rows, in hex digits.
        n_rows: rows of features that were written.
    """

    measured: Measured
    features: str
    n_rows: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the large demo.

    Args:
        n_rows: payments.
        n_bytes: of them in memory.
        has_made: whether the files were not there yet.
        limit: of memory.
        first_seconds: the first process, from its start to its end, over the first file.
        first: what it measured.
        within: the process under the limit.
        on_engine: two workers of an engine; None without one.
        in_memory: the process with all rows in memory; None where they have no room.
        engine: its name, or None.
        folder: where the files are.
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
        """Whether the limit held, and what was made is equal."""
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
        folder: made if it is not there.
        step: is told what is being done.
        size: of the payments in memory, as of `bytes_of`.
        memory: the limit.
        engine: "ray" or "spark", which does the same on two workers; None for neither.

    Raises:
        FastfeatError: a size is none, the disk is too small, another demo runs in the folder, or a
            process has failed.
        LibraryUnavailable: the engine is not installed.
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
    """Return the measures of a process that has ended, whose files are in an empty folder.

    Raises:
        FastfeatError: it has failed.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log, report = work / "log", work / "report"
    arguments = [how, str(rows), str(work), memory, str(report)]
    command = [sys.executable, "-m", "docs.demos.large_work", *arguments]
    # beside the rows, where there is room; the sockets of an engine need a short path
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
    """Raise where the disk has no room.

    Raises:
        FastfeatError: it says how much is needed.
    """
    free, needed = shutil.disk_usage(folder).free, DISK_OF_ROWS * n_bytes
    if free < needed:
        raise FastfeatError(
            f"{folder} has {as_bytes(free)} free, and the demo takes up to {as_bytes(needed)}: "
            "give --dir on a larger disk, or a smaller --size"
        )


@contextmanager
def _folder_of_its_own(folder: Path) -> Generator[None]:
    """Hold a folder for this process, and remove from it what is of no use afterwards.

    Raises:
        FastfeatError: it cannot be written, or another process holds it.
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
            end_tied()  # else it may write there while this is removed
            shutil.rmtree(folder / "work", ignore_errors=True)
            (folder / ".lock").unlink(missing_ok=True)
