"""Runs workloads in their own processes: checks, measures, and collects the results.

Each workload has a fresh process, because thread counts are read at import, memory left over by one
workload must not help or hurt the next, and a crash must end one workload only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import environment, results
from bench.results import Entry
from bench.worker import Request, Task
from bench.workload import Workload

SECONDS_EACH = 2.0
SMOKE_SECONDS_EACH = 0.05
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a run.

    Args:
        smoke: Small sizes and few repeats; outputs are still compared.
        rows: Number of rows instead of the workload's own.
        repeats: Samples of each contender.
    """

    smoke: bool = False
    rows: int | None = None
    repeats: int = 9


def run(workloads: Sequence[Workload], options: Options) -> Iterator[Entry]:
    """Yield one entry per workload, as soon as it is measured."""
    with_extras = workloads[:1] if options.smoke else workloads
    with tempfile.TemporaryDirectory(prefix="fastfeat-bench-") as folder:
        cache = Path(folder)
        for batch in _batches(workloads, options):
            requests = [_timing(workload, options) for workload in batch]
            answers = ask(requests, batch[0].threads, options, cache)
            for workload, answer in zip(batch, answers, strict=True):
                entry = _described(workload, options) | answer
                if workload in with_extras and not results.failed(entry):
                    entry |= _extras(workload, entry, options, cache)
                yield entry


def _batches(workloads: Sequence[Workload], options: Options) -> list[list[Workload]]:
    """Return the workloads that share a process: one, or in a smoke run all with one thread count.

    In a smoke run imports cost more than the work. For the same reason only its first workload gets
    the extra measurements (starts, memory).
    """
    if not options.smoke:
        return [[workload] for workload in workloads]
    by_threads = sorted(workloads, key=lambda one: -one.threads)
    return [list(same) for _, same in groupby(by_threads, key=lambda one: one.threads)]


def _rows(workload: Workload, options: Options) -> int:
    return options.rows or (workload.smoke_rows if options.smoke else workload.rows)


def _timing(workload: Workload, options: Options) -> Request:
    return Request(
        task="time",
        workload=workload.name,
        rows=_rows(workload, options),
        repeats=1 if options.smoke else options.repeats,
        seconds_each=SMOKE_SECONDS_EACH if options.smoke else SECONDS_EACH,
    )


def _described(workload: Workload, options: Options) -> Entry:
    return {
        "name": workload.name,
        "group": workload.group,
        "title": workload.title,
        "label": workload.label,
        "kind": workload.kind,
        "threads": workload.threads,
        "bandwidth_of": workload.bandwidth,
        "tolerance": workload.tolerance.reason,
        "targets": [asdict(target) for target in workload.targets],
        "smoke": options.smoke,
    }


def _extras(workload: Workload, entry: Entry, options: Options, cache: Path) -> Entry:
    """Return starts and peak memory, each measured in its own process, or the errors."""

    def alone(task: Task, contender: str, folder: Path) -> dict[str, Any]:
        request = Request(task, workload.name, entry["rows"], contender=contender)
        [answer] = ask([request], workload.threads, options, folder)
        if reason := results.failed(answer):
            raise _ExtraFailed(f"{task} of {contender}: {reason}")
        return answer

    found: Entry = {}
    try:
        if workload.starts:
            first = workload.contenders[0].name
            with tempfile.TemporaryDirectory(dir=cache) as empty:
                found["starts"] = {
                    "cold": alone("cold", first, Path(empty)),
                    "cached": alone("cached", first, Path(empty)),
                }
        if workload.memory:
            found["peak_bytes"] = {
                name: alone("memory", name, cache)["peak_bytes"]
                for name in _measured_for_memory(entry)
            }
    except _ExtraFailed as error:
        return {"failed": str(error)}
    return found


class _ExtraFailed(Exception):
    """A start or a peak could not be measured."""


def _measured_for_memory(entry: Entry) -> list[str]:
    """Return the contenders of fastfeat and the fastest of each other library."""
    ours = [name for name, one in entry["contenders"].items() if one["library"] == "fastfeat"]
    return ours + list(results.peers(entry).values())


def ask(
    requests: Sequence[Request], n_threads: int, options: Options, cache: Path
) -> list[dict[str, Any]]:
    """Return the answers of one worker process, in order; if it died, an answer says so."""
    with tempfile.TemporaryDirectory(prefix="fastfeat-bench-") as folder:
        request_path, answer_path = Path(folder, "request.json"), Path(folder, "answer.json")
        request_path.write_text(json.dumps([asdict(request) for request in requests]))
        done = subprocess.run(
            [sys.executable, "-m", "bench.worker", str(request_path), str(answer_path)],
            env=environment.for_measuring(n_threads, cache, options.smoke),
            cwd=ROOT,
            check=False,
        )
        answers = json.loads(answer_path.read_text()) if answer_path.exists() else []
    died = {"failed": f"the measuring process ended with status {done.returncode}"}
    answers += [died] * (len(requests) - len(answers))
    for answer in answers:
        answer.pop("request", None)
    return answers
