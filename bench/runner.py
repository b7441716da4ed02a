"""Run workloads in processes of their own, check, measure, and keep what was found.

A fresh process per workload: thread counts are read at import, memory left over by one workload
does not help or hurt the next, and a crash ends one workload only.
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
from bench.worker import Request
from bench.workload import Workload

SECONDS_EACH = 4.0
SMOKE_SECONDS_EACH = 0.05
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Args:
        smoke: small sizes and few repeats; outputs are compared all the same.
        rows: instead of the workload's own number.
        repeats: samples of each contender.
    """

    smoke: bool = False
    rows: int | None = None
    repeats: int = 9


def run(workloads: Sequence[Workload], options: Options) -> Iterator[Entry]:
    """Yield one entry per workload, as soon as it is measured."""
    with tempfile.TemporaryDirectory(prefix="fastfeat-bench-") as folder:
        # A smoke run shares one process among all workloads of a thread count: imports cost more
        # than the work. It takes the extra measurements (starts, memory) for the first one alone.
        batches = (
            [list(same) for _, same in groupby(workloads, key=lambda one: one.threads)]
            if options.smoke
            else [[workload] for workload in workloads]
        )
        for index, batch in enumerate(batches):
            answers = ask([_timing(workload, options) for workload in batch], batch[0].threads,
                          options, Path(folder))  # fmt: skip
            for workload, answer in zip(batch, answers, strict=True):
                entry = _described(workload, options) | answer
                if not results.failed(entry) and (not options.smoke or index == 0):
                    entry |= _extras(workload, entry, options, Path(folder))
                yield entry


def _rows(workload: Workload, options: Options) -> int:
    return options.rows or (workload.smoke_rows if options.smoke else workload.rows)


def _timing(workload: Workload, options: Options) -> Request:
    return Request(
        task="time",
        workload=workload.name,
        rows=_rows(workload, options),
        repeats=2 if options.smoke else options.repeats,
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


def _extras(workload: Workload, entry: Entry, options: Options, folder: Path) -> Entry:
    """Return starts and peak memory, each measured in a process of its own."""
    found: Entry = {}
    if workload.starts:
        found["starts"] = _starts(workload, options, folder)
    if workload.memory:
        found["peak_bytes"] = {
            name: _one(Request("memory", workload.name, entry["rows"], contender=name), workload,
                       options, folder)["peak_bytes"]
            for name in _measured_for_memory(entry)
        }  # fmt: skip
    return found


def _measured_for_memory(entry: Entry) -> list[str]:
    ours = [name for name, one in entry["contenders"].items() if one["library"] == "fastfeat"]
    return ours + list(results.peers(entry).values())


def _starts(workload: Workload, options: Options, folder: Path) -> dict[str, Any]:
    first = workload.contenders[0].name
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        return {
            task: _one(Request(task, workload.name, 0, contender=first), workload, options,
                       Path(empty))
            for task in ("cold", "cached")
        }  # fmt: skip


def _one(request: Request, workload: Workload, options: Options, cache: Path) -> dict[str, Any]:
    [answer] = ask([request], workload.threads, options, cache)
    if "failed" in answer:
        raise RuntimeError(f"{request.task} of {workload.name}: {answer['failed']}")
    return answer


def ask(
    requests: Sequence[Request], n_threads: int, options: Options, cache: Path
) -> list[dict[str, Any]]:
    """Return the answers of one worker process, in order; where it died, that is the answer."""
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
