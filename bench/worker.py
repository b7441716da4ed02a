"""Worker process of the runner: checks and measures workloads, and writes the results.

`python -m bench.worker REQUEST.json ANSWER.json`. The parent sets the environment (threads, cache
folder), because every library reads it when it is imported.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench import bandwidth, environment, memory, start, timing
from bench.compare import OutputsDiffer, n_bytes, require_equal
from bench.workload import Contender, Workload

Task = Literal["time", "memory", "cold", "cached"]
ROWS_OF_A_START = 1000
ROWS_CHECKED_ONE_BY_ONE = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the parent.

    Args:
        task: "time" checks and times all contenders; the others run one contender once.
        workload: Name of the workload.
        rows: Number of rows.
        repeats: Samples of each contender.
        seconds_each: Time after which a contender stops taking samples.
        contender: Contender of all tasks but "time".
    """

    task: Task
    workload: str
    rows: int
    repeats: int = 1
    seconds_each: float = 1.0
    contender: str = ""


def answer(request: Request, workload: Workload) -> dict[str, Any]:
    """Return the answer to a request, as plain data."""
    match request.task:
        case "time":
            return check_and_time(request, workload)
        case "memory":
            return {
                "peak_bytes": peak_memory(_named(workload, request.contender), request, workload)
            }
        case "cold" | "cached":
            table = workload.generate(ROWS_OF_A_START)
            contender = _named(workload, request.contender)
            return dict(start.measure(contender, table, is_cold=request.task == "cold"))


def _named(workload: Workload, name: str) -> Contender:
    return next(contender for contender in workload.contenders if contender.name == name)


def check_and_time(request: Request, workload: Workload) -> dict[str, Any]:
    """Compare the outputs of all contenders, then time them; OutputsDiffer comes before timing."""
    table = workload.generate(request.rows)
    present = [contender for contender in workload.contenders if contender.is_installed]
    if present[0] is not workload.contenders[0]:
        raise ModuleNotFoundError(f"{workload.contenders[0].library} cannot be imported")
    calls = {contender.name: contender.prepare(table) for contender in present}
    if workload.kind == "latency":
        samples = _check_and_time_rows(request, workload, table.to_pylist(), calls)
        output_bytes = 0
    else:
        output_bytes = _check(workload, present, calls)
        samples = timing.interleave(calls, request.repeats, request.seconds_each)
    return {
        "rows": request.rows,
        "input_bytes": table.nbytes,
        "output_bytes": output_bytes,
        "machine": environment.describe(),
        "bandwidth": bandwidth.measure(workload.threads),
        "contenders": {
            contender.name: {
                "library": contender.library,
                "by_hand": contender.by_hand,
                **timing.summary(samples[contender.name]),
                **_percentiles(workload, samples[contender.name].wall),
            }
            for contender in present
        },
        "skipped": {
            contender.name: f"{contender.library} is not installed"
            for contender in workload.contenders
            if contender not in present
        },
    }


def _percentiles(workload: Workload, samples: list[float]) -> dict[str, float]:
    if workload.kind != "latency":
        return {}
    return {f"p{p}_seconds": timing.percentile(samples, p / 100) for p in (50, 99)}


def _check(
    workload: Workload, present: list[Contender], calls: dict[str, Callable[..., Any]]
) -> int:
    """Return the bytes of the output, if all outputs are equal."""
    first, *others = present
    raw = calls[first.name]()
    expected = first.result(raw)
    for other in others:
        got = other.result(calls[other.name]())
        require_equal(expected, got, workload.tolerance, f"{first.name} and {other.name}")
    return n_bytes(raw)


def _check_and_time_rows(
    request: Request,
    workload: Workload,
    rows: list[dict[str, Any]],
    calls: dict[str, Callable[..., Any]],
) -> dict[str, timing.Samples]:
    first, *others = calls
    for row in rows[:ROWS_CHECKED_ONE_BY_ONE]:
        expected = calls[first](row).reshape(1, -1)
        for other in others:
            got = calls[other](row).reshape(1, -1)
            require_equal(expected, got, workload.tolerance, f"{first} and {other}, {row}")
    return timing.interleave_rows(calls, rows, request.repeats, request.seconds_each)


def peak_memory(contender: Contender, request: Request, workload: Workload) -> int:
    """Return the peak of one call, after a call on few rows has loaded code and started threads."""
    contender.prepare(workload.generate(ROWS_OF_A_START))()
    return memory.peak_bytes(contender.prepare(workload.generate(request.rows)))


def main(request_path: str, answer_path: str) -> None:
    """Answer the requests in a file, in order; an error is an answer too."""
    from bench.workloads import WORKLOADS

    workloads = {workload.name: workload for workload in WORKLOADS}
    answers: list[dict[str, Any]] = []
    for asked in json.loads(Path(request_path).read_text()):
        request = Request(**asked)
        try:
            found = answer(request, workloads[request.workload])
        except OutputsDiffer as error:
            found = {"failed": f"outputs differ: {error}"}
        except Exception as error:
            traceback.print_exc()
            found = {"failed": f"{type(error).__name__}: {error}"}
        answers.append({"request": asdict(request)} | found)
        Path(answer_path).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
