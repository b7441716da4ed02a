"""The runner: what differs is not timed, what is missing is skipped, smoke runs stay apart."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels import objects

from bench import __main__ as command
from bench import chart, console, markdown, results, targets
from bench.compare import EXACT, OutputsDiffer
from bench.runner import ROOT, Options, ask
from bench.worker import Request, check_and_time
from bench.workload import Contender, Target, Workload
from bench.workloads import WORKLOADS


def generate(n_rows: int) -> pa.Table:
    return pa.table({"x": np.arange(n_rows, dtype=np.float64)})


def adding(number: float, calls: list[float]) -> Callable[[pa.Table], Callable[[], Any]]:
    def prepare(table: pa.Table) -> Callable[[], Any]:
        values = table["x"].to_numpy()

        def run() -> Any:
            calls.append(number)
            return values + number

        return run

    return prepare


def workload(*contenders: Contender, **changes: Any) -> Workload:
    given: dict[str, Any] = {
        "name": "adding",
        "title": "adding one",
        "label": "adding",
        "generate": generate,
        "rows": 1000,
        "smoke_rows": 10,
        "contenders": contenders,
        "tolerance": EXACT,
    }
    return Workload(**(given | changes))


REQUEST = Request("time", "adding", rows=100, repeats=3, seconds_each=0.1)


def test_unequal_outputs_stop_a_workload_before_it_is_timed() -> None:
    calls: list[float] = []
    wrong = workload(
        Contender("ours", "numpy", adding(1, calls)), Contender("theirs", "numpy", adding(2, calls))
    )
    with pytest.raises(OutputsDiffer, match=r"ours and theirs, column 0, row 0: 1\.0 against 2\.0"):
        check_and_time(REQUEST, wrong)
    assert calls == [1, 2], "each ran once, to be compared"


def test_equal_outputs_are_timed_in_turns() -> None:
    calls: list[float] = []
    right = workload(
        Contender("ours", "numpy", adding(1, calls)), Contender("theirs", "numpy", adding(1, calls))
    )
    found = check_and_time(REQUEST, right)
    assert found["input_bytes"] == found["output_bytes"] == 800
    for one in found["contenders"].values():
        assert one["samples"] == 3
        assert 0 < one["min_seconds"] <= one["median_seconds"] <= one["max_seconds"]


def test_a_peer_that_is_not_installed_is_skipped_and_named() -> None:
    found = check_and_time(
        REQUEST,
        workload(
            Contender("ours", "numpy", adding(1, [])),
            Contender("theirs", "no_such_package", adding(2, [])),
        ),
    )
    assert list(found["contenders"]) == ["ours"]
    assert found["skipped"] == {"theirs": "no_such_package is not installed"}


def test_rows_one_by_one_are_compared_and_get_percentiles() -> None:
    def doubling(factor: float) -> Callable[[pa.Table], Callable[..., Any]]:
        return lambda table: lambda row: np.array([row["x"] * factor])

    ours = Contender("ours", "numpy", doubling(2))
    found = check_and_time(
        REQUEST, workload(ours, Contender("theirs", "numpy", doubling(2)), kind="latency")
    )
    assert found["contenders"]["ours"]["p50_seconds"] <= found["contenders"]["ours"]["p99_seconds"]
    with pytest.raises(OutputsDiffer, match=r"ours and theirs, \{'x': 1.0\}"):
        check_and_time(
            REQUEST, workload(ours, Contender("theirs", "numpy", doubling(3)), kind="latency")
        )


def test_a_worker_that_dies_or_fails_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Request("time", "no_such_workload", rows=1)
    failed = {"failed": "KeyError: 'no_such_workload'"}
    assert ask([unknown, unknown], 1, Options(smoke=True), tmp_path) == [failed, failed]
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    died = {"failed": "the measuring process ended with status 1"}
    assert ask([unknown, unknown], 1, Options(smoke=True), tmp_path) == [died, died]


@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore")  # of peers, in the process that measures
@pytest.mark.parametrize("chosen", WORKLOADS, ids=lambda one: one.name)
def test_the_outputs_of_a_workload_are_equal(chosen: Workload) -> None:
    if not chosen.is_possible:
        pytest.skip(f"{chosen.needs} is not installed")
    request = Request("time", chosen.name, chosen.smoke_rows, seconds_each=0.01)
    assert check_and_time(request, chosen)["contenders"]


SMOKED = ["row_features_12", "one_row"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run workloads through the command line; those of a thread count share a process."""
    folder = tmp_path_factory.mktemp("smoke")
    only = [option for name in SMOKED for option in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--smoke", "--out", str(folder), *only],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_smoke_run_writes_all_three_reports(smoke: Path) -> None:
    found = results.load(smoke)
    assert list(found["workloads"]) == SMOKED
    assert [name for name, one in found["workloads"].items() if results.failed(one)] == []
    entry = found["workloads"]["row_features_12"]
    assert {"fastfeat", "fastfeat out=", "Polars lazy", "pandas"} <= set(entry["contenders"])
    is_shipped = bool(objects.manifest_of(objects.FOLDER))
    assert entry["starts"]["cold"]["numba_imported"] == (not is_shipped)
    assert not entry["starts"]["cached"]["numba_imported"]
    assert entry["peak_bytes"]["fastfeat"] > 0
    page = (smoke / "results.md").read_text()
    assert "A smoke run" in page
    assert "≥ 15× pandas" in page
    ElementTree.fromstring((smoke / "results.svg").read_text())


def test_only_merges_into_what_exists(smoke: Path, tmp_path: Path) -> None:
    before = results.load(smoke)
    entry = before["workloads"]["one_row"] | {"rows": 7}
    after = results.merged(before, [entry], [one.name for one in WORKLOADS])
    assert after["workloads"]["one_row"]["rows"] == 7
    assert after["workloads"]["row_features_12"] == before["workloads"]["row_features_12"]
    results.save(after, tmp_path, {"results.md": "text"})
    assert results.load(tmp_path) == json.loads(json.dumps(after))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "results.md"]


def test_a_failed_workload_is_loud_and_has_no_figures() -> None:
    entry = {"name": "adding", "failed": "outputs differ: row 3", "smoke": False, "group": ""}
    found = results.merged(results.empty(), [entry], ["adding"])
    assert "adding: FAILED, not timed" in console.render(entry)
    assert "**adding failed and was not timed:** outputs differ: row 3" in markdown.render(found)
    assert "adding" not in chart.render(found)


@pytest.mark.parametrize("arguments", [["--smoke"], ["--rows", "10"]])
def test_what_is_no_full_run_never_overwrites_the_committed_results(arguments: list[str]) -> None:
    options = command.parse([*arguments, "--out", str(results.FOLDER)])
    with pytest.raises(SystemExit, match="does not overwrite the committed results"):
        command.folder_for(options)
    assert command.folder_for(command.parse(arguments)) != results.FOLDER


def test_an_unknown_workload_is_named_with_those_that_exist() -> None:
    with pytest.raises(SystemExit, match=r"no workload nothing; there are .*one_row"):
        command.selected(["nothing"])
    assert {one.group for one in command.selected(["scalers"])} == {"scalers"}


def entry_of(**medians: float) -> dict[str, Any]:
    libraries = {"hand": "numpy"}
    return {
        "bandwidth_of": "copy",
        "bandwidth": {"copy_bytes_per_second": 100.0},
        "input_bytes": 30,
        "output_bytes": 20,
        "contenders": {
            name: {
                "library": libraries.get(name, name),
                "by_hand": name == "hand",
                "median_seconds": seconds,
            }
            for name, seconds in medians.items()
        },
    }


def test_targets_are_judged_against_the_best_of_a_library() -> None:
    entry = entry_of(fastfeat=1.0, polars=4.0, pandas=9.0, hand=0.5)
    entry["contenders"]["polars lazy"] = entry["contenders"]["polars"] | {"median_seconds": 3.0}
    wanted = (
        Target("ratio", 3, "polars", aim=4),
        Target("ratio", 10, "pandas"),
        Target("share", 0.5),
        Target("extra_memory", 0.1),
        Target("memory_per_input", 3),
        Target("compile_seconds", 1),  # no start was measured: not judged
    )
    entry["targets"] = [asdict(target) for target in wanted]
    entry["peak_bytes"] = {"fastfeat": 30}
    assert results.best_peer(entry) == "polars lazy", "what is written by hand is no peer"
    assert [(one.asked, one.reached, one.is_met) for one in targets.judge(entry)] == [
        ("≥ 3× Polars", "3.00×", True),
        ("≥ 10× pandas", "9.00×", False),
        ("≥ 50 % of bandwidth", "50 %", True),
        ("memory beyond the output ≤ 10 % of input + output", "20 %", False),
        ("memory beyond the output ≤ 3× the input", "0.333×", True),
    ]
