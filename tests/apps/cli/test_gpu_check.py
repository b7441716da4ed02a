"""`fastfeat gpu check`: what it prints, writes and exits with, on the emulated backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fastfeat.backends import emulated
from fastfeat.engine.gpu.compile.gcc import find_compiler
from fastfeat.engine.gpu.device.availability import missing
from fastfeat.engine.gpu.device.cupy_card import look
from fastfeat.engine.tasks import RowTask
from fastfeat.errors import BackendUnavailable, KernelFailed
from fastfeat.trust.selfcheck import bandwidth, check
from fastfeat.trust.selfcheck.digests import golden_digests
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat_tests.apps.cli.small_plan import Run

CHOSEN = ("calendar", "scaling")
COMMAND = ("gpu", "check", "--backend", "emulated", "--rows", "0")


@pytest.fixture
def few_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_compiler()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    plans = {name: plan for name, plan in contract_plans().items() if name in CHOSEN}
    monkeypatch.setattr(check, "contract_plans", lambda: plans)


def replace_compute(monkeypatch: pytest.MonkeyPatch, change: Callable[..., Any]) -> None:
    """Let the emulated backend give what `change` makes of each array, or raise."""
    functions = emulated.BACKEND.functions
    compute = functions[RowTask]

    def changed(task: RowTask) -> list[Any]:
        arrays = compute(task)
        return [change(o.name, a) for o, a in zip(task.program.outputs, arrays, strict=True)]

    monkeypatch.setitem(functions, RowTask, changed)


@pytest.mark.emulator
@pytest.mark.usefixtures("few_plans")
def test_a_check_that_goes_well_prints_and_writes_a_report(run: Run, folder: Path) -> None:
    result = run("gpu", "check", "--backend", "emulated", "--rows", "70000", "-o", "report.json")
    assert result.exit_code == 0, result.output
    assert "calendar" in result.stdout
    assert "G rows/s" in result.stdout
    report = json.loads((folder / "report.json").read_text())
    assert report["ok"] is True
    assert [plan["name"] for plan in report["plans"]] == [*CHOSEN]
    assert report["bandwidth"]["n_rows"] == 1 << 16
    assert report["versions"]["fastfeat"]


@pytest.mark.emulator
@pytest.mark.usefixtures("few_plans")
def test_a_wrong_bit_is_named_with_its_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(name: str, array: Any) -> Any:
        if name != "year UTC":
            return array
        values = array.to_pylist()
        values[13] = (values[13] or 0) + 1
        return pa.array(values, array.type)

    replace_compute(monkeypatch, wrong)
    result = run(*COMMAND)
    assert result.exit_code == 1
    assert "1 differ" in result.stdout
    assert "year UTC: row 13 is " in result.stdout
    assert "bits differ" in result.stdout


@pytest.mark.emulator
@pytest.mark.usefixtures("few_plans")
def test_a_plan_that_fails_does_not_hide_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, array: Any) -> Any:
        if name == "year UTC":
            raise KernelFailed("loop_0: an illegal address")
        return array

    replace_compute(monkeypatch, fail)
    result = run(*COMMAND)
    assert result.exit_code == 1
    assert "KernelFailed: loop_0: an illegal address" in result.stdout
    assert "as expected" in result.stdout


@pytest.mark.usefixtures("few_plans")
def test_a_digest_that_the_cpu_differs_from_too_says_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = {name: dict(digests) for name, digests in golden_digests().items()}
    altered["scaling"]["standard_scale 0 f64"] = "0" * 16
    monkeypatch.setattr(check, "golden_digests", lambda: altered)
    result = run("gpu", "check", "--backend", "cpu")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert "standard_scale 0 f64: equal to the result of this CPU; both differ from" in text


@pytest.mark.emulator
@pytest.mark.usefixtures("few_plans")
def test_a_wrong_bit_among_the_rows_that_are_timed_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = bandwidth.measure_bandwidth("emulated", 1 << 17, 1)
    assert right.difference is None
    assert (right.n_rows, right.bytes_per_row) == (1 << 17, 20 + 48)
    download = emulated.runtime().download

    def altered(buffer: Any, array: Any, offset: int = 0, after: Any = None) -> None:
        download(buffer, array, offset, after)
        if array.nbytes == 4 << 16:
            array[5] ^= 1

    monkeypatch.setattr(emulated.runtime(), "download", altered)
    wrong = bandwidth.measure_bandwidth("emulated", 1 << 17, 1)
    assert wrong.difference == f"filled, row {(1 << 16) + 5}"


@pytest.mark.usefixtures("few_plans")
def test_a_report_that_has_no_folder_is_refused_before_anything_runs(run: Run) -> None:
    result = run("gpu", "check", "--backend", "cpu", "-o", "nowhere/report.json")
    assert result.exit_code == 2
    assert "--out: there is no folder nowhere" in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(missing(look()) is None, reason="there is a card here")
def test_without_a_card_one_line_says_what_is_missing(run: Run) -> None:
    result = run("gpu", "check")
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: backend 'gpu' needs ")
