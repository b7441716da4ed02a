"""The benchmark of a card: everything but the card, and the libraries that need one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import features, frames, gpu
from bench.compare import OutputsDiffer, require_equal
from bench.gpu_features import array_12_features, cupy_library
from bench.workloads.row_features import SINGLE
from fastfeat.engine.gpu.compile.gcc import find_compiler
from fastfeat.engine.gpu.device.availability import missing
from fastfeat.engine.gpu.device.cupy_card import look
from fastfeat.errors import BackendUnavailable


def require_compiler() -> None:
    try:
        find_compiler()
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.emulator
def test_a_run_compares_and_reports_every_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_compiler()
    out = tmp_path / "gpu.json"
    options = ["--backend", "emulated", "--rows", "3000", "--repeats", "2", "--out", str(out)]
    assert gpu.main(options) == 0
    found = json.loads(out.read_text())
    assert list(found["sides"]) == ["fastfeat, on the device", "fastfeat, host to host"]
    assert found["copy_bytes_per_second"] > 0
    shown = capsys.readouterr().out
    assert "12 row features of 3,000 rows" in shown
    assert "host to host" in shown


@pytest.mark.emulator
def test_a_side_that_differs_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler()
    sides = gpu.fastfeat_sides("emulated", features.table(500))
    wrong = np.zeros((500, 12), np.float32)
    altered = [sides[0], gpu.Side("wrong", lambda: None, lambda: wrong, SINGLE)]
    monkeypatch.setattr(gpu, "sides_of", lambda *given: altered)
    with pytest.raises(OutputsDiffer, match="CPU and wrong"):
        gpu.measure("emulated", 500, 1)


def test_operation_by_operation_gives_the_same_features() -> None:
    table = features.table(5000)
    expected = features.fastfeat_plan(12).fit(table).transform(table, to="numpy")
    with np.errstate(all="ignore"):
        got = array_12_features(cupy_library(np), frames.to_arrays(table))
    assert all(column.dtype == np.float32 for column in got)
    require_equal(expected, got, SINGLE, "op by op")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "0"], "--rows: 0 is less than 1"),
        (["--repeats", "-1"], "--repeats: -1 is less than 1"),
        (["--backend", "cpu"], "--backend: invalid choice: 'cpu'"),
        (["--out", "nowhere/gpu.json"], "--out: there is no folder nowhere"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_runs(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        gpu.parse(options)
    assert message in capsys.readouterr().err


@pytest.mark.skipif(missing(look()) is None, reason="there is a card here")
def test_without_a_card_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    assert "error: backend 'gpu' needs " in capsys.readouterr().err
