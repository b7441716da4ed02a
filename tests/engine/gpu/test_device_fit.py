"""Fit on a device: each column goes there once where it fits, and the pieces give the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated
from fastfeat.engine.gpu.columns import kernels
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.learn import learn, scan
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat.errors import FastfeatError, OutOfDeviceMemory, Overflow

pytestmark = pytest.mark.emulator

N_ROWS = 3000
RANDOM = np.random.default_rng(0)
DATA: dict[str, Any] = {
    "x": np.where(RANDOM.random(N_ROWS) < 0.1, np.nan, RANDOM.normal(size=N_ROWS) * 1e10),
    "y": RANDOM.normal(size=N_ROWS).astype(np.float32),
    "k": RANDOM.integers(-(2**40), 2**40, N_ROWS),
    "flag": RANDOM.random(N_ROWS) < 0.3,
}
PLAN = ff.Plan(
    {
        "x": col("x").standard_scale(),
        "robust": col("x").robust_scale(),
        "y": col("y") - col("y").quantile(0.9) + col("y").std(),
        "k": col("k") - col("k").median(),
        "computed": (col("x") * col("y")).standard_scale() + (col("x") * col("y")).quantile(0.1),
        "integer": col("k") // 3 - (col("k") // 3).max() + (col("k") // 3).quantile(0.25),
        "shape": (col("x") * 2).skew() + col("k").kurtosis(bias=False) + col("y").skew(),
        "share": col("flag").mean() + (~col("flag")).sum(),
        "nested": (col("x") - col("x").mean()).abs().quantile(0.5),
    }
)


class Counting(EmulatedRuntime):
    """A device that notes how many bytes of columns go to it, and when memory is given back."""

    n_uploaded = 0
    n_given_back = 0

    def upload(self, array: Any, buffer: Any, offset: int = 0) -> None:
        self.n_uploaded += array.nbytes if array.nbytes >= 300 and array.dtype == np.uint8 else 0
        super().upload(array, buffer, offset)

    def give_back(self) -> None:
        self.n_given_back += 1


def artifact(runtime: EmulatedRuntime | None, path: Path, data: Any = DATA) -> bytes:
    """Return the content of the artifact of the plan, fitted on a device or on the CPU."""
    if runtime is None:
        PLAN.fit(data).save(path / "cpu")
        return (path / "cpu").read_bytes()
    with emulated.use_runtime(runtime):
        PLAN.fit(data, backend="emulated").save(path / "device")
    return (path / "device").read_bytes()


@pytest.mark.parametrize("n_bytes", [25_000, 40_000, 80_000, 300_000, 10_000_000])
@pytest.mark.parametrize("deferred", [False, True])
def test_pieces_learn_what_the_whole_learns(n_bytes: int, deferred: bool, tmp_path: Path) -> None:
    runtime = EmulatedRuntime(n_bytes=n_bytes, deferred=deferred)
    assert artifact(runtime, tmp_path) == artifact(None, tmp_path)
    runtime.synchronize()
    assert runtime.memory() == (n_bytes, n_bytes)


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(block=32, most_blocks=1, rows_per_thread=1),
        Geometry(block=64, most_blocks=3, rows_per_thread=1),
        Geometry(block=128, most_blocks=7, rows_per_thread=2),
        Geometry(block=256, rows_per_thread=1),
    ],
)
@pytest.mark.parametrize("order", ["reverse", "random"])
def test_every_geometry_learns_and_computes_the_same(
    geometry: Geometry, order: Any, tmp_path: Path
) -> None:
    runtime = EmulatedRuntime(order, resident=3, geometry=geometry)
    assert artifact(runtime, tmp_path) == artifact(None, tmp_path)
    with emulated.use_runtime(runtime):
        rows = PLAN.fit(DATA).transform(DATA, backend="emulated")
    assert rows.equals(PLAN.fit(DATA).transform(DATA))


def test_a_column_that_fits_goes_to_the_device_once() -> None:
    runtime = Counting()
    plan = ff.Plan({"x": col("x").robust_scale() + col("x").mean() + (col("x") * 2).quantile(0.5)})
    with emulated.use_runtime(runtime):
        plan.fit(DATA, backend="emulated")
    values, bitmap = 8 * N_ROWS, N_ROWS / 8
    assert values <= runtime.n_uploaded <= values + bitmap + 1


def test_what_has_no_kernel_takes_nothing_else_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt_in_host: list[Any] = []
    in_host = learn.learn_on_host
    monkeypatch.setattr(
        learn, "learn_on_host", lambda task: (learnt_in_host.extend(task.wanted), in_host(task))[1]
    )
    plan = ff.Plan({"x": col("x").skew() + col("x").quantile(0.1), "k": col("k").median()})
    fitted = plan.fit(DATA, backend="emulated")
    assert fitted.learnt() == plan.fit(DATA).learnt()
    assert [[name for name, _ in functions] for functions in learnt_in_host] == [["skew"]]
    told = fitted.explain("cuda")
    assert "// learnt from all rows, not supported on a device:\n//   on the host: col('x')" in told


def test_columns_that_fit_one_by_one_go_to_the_device_once_each() -> None:
    names = [f"c{k}" for k in range(6)]
    data = {name: RANDOM.integers(0, 9, N_ROWS) for name in names}
    plan = ff.Plan({name: col(name).robust_scale() for name in names})
    runtime = Counting(n_bytes=100_000)  # two columns of 24 kB have room, not six
    with emulated.use_runtime(runtime):
        fitted = plan.fit(data, backend="emulated")
    assert fitted.learnt() == plan.fit(data).learnt()
    assert runtime.n_uploaded == 6 * 8 * N_ROWS


def test_a_column_that_does_not_fit_goes_to_the_device_once_a_round() -> None:
    runtime = Counting(n_bytes=20_000)
    plan = ff.Plan({"k": col("k").median()})
    with emulated.use_runtime(runtime):
        fitted = plan.fit(DATA, backend="emulated")
    assert fitted.learnt() == plan.fit(DATA).learnt()
    assert runtime.n_uploaded == 9 * 8 * N_ROWS  # the moments, and eight digits


@pytest.mark.parametrize("most", [None, 2])
def test_all_columns_of_a_round_are_one_launch(
    most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(EmulatedRuntime):
        def __init__(self) -> None:
            super().__init__()
            self.launched: list[tuple[str, int]] = []

        def launch(self, *arguments: Any, **named: Any) -> None:
            _, kernel, grid, *_ = arguments
            self.launched.append((kernel, grid[1]))
            super().launch(*arguments, **named)

    if most is not None:
        monkeypatch.setattr(kernels, "MOST_INSTANCES", most)
    runtime, names = Noting(), ("x", "y", "k")
    plan = ff.Plan({name: col(name).robust_scale() - col(name).mean() for name in names})
    with emulated.use_runtime(runtime):
        fitted = plan.fit(DATA, backend="emulated")
    assert fitted.learnt() == plan.fit(DATA).learnt()
    counts = [("count_digits", 3)] if most is None else [("count_digits", 2), ("count_digits", 1)]
    assert runtime.launched == [("moments_floats", 2), ("moments_integers", 1), *(8 * counts)]


@pytest.mark.parametrize("work", ["fit", "transform"])
def test_no_room_for_64_rows_says_what_is_needed_and_free(work: str) -> None:
    plan = ff.Plan({f"{k}": (col("k") + k).quantile(0.5) + col("k") for k in range(30)})
    fitted = plan.fit(DATA)
    small = Counting(n_bytes=900 if work == "fit" else 20_000)
    run = plan.fit if work == "fit" else fitted.transform
    with emulated.use_runtime(small), pytest.raises(OutOfDeviceMemory) as caught:
        run(DATA, backend="emulated")
    message = str(caught.value)
    assert "64 rows need" in message or "bytes of device memory" in message
    assert "are free" in message
    small.synchronize()
    assert small.memory()[0] == small.memory()[1]


def test_no_room_for_the_rows_of_a_piece_gives_back_what_is_kept_first() -> None:
    plan = ff.Plan({"k": col("k") * 2})
    runtime = Counting(n_bytes=1000)
    with (
        emulated.use_runtime(runtime),
        pytest.raises(
            OutOfDeviceMemory, match=r"64 rows need 1,0\d\d bytes .* [0-9,]+ bytes are free"
        ),
    ):
        plan.fit(DATA).transform(DATA, backend="emulated")
    assert runtime.n_given_back == 1


@pytest.mark.parametrize("n_bytes", [30_000, 60_000, 10_000_000])
def test_the_row_that_fails_is_the_first_of_all_in_any_memory(n_bytes: int) -> None:
    big = {name: np.ones(N_ROWS, np.int64) for name in ("a", "b", "c")}
    big["a"][2900] = big["b"][1700] = big["c"][1701] = 2**62
    plan = ff.Plan({name: (col(name) * 2).median() for name in big})
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with (
            emulated.use_runtime(EmulatedRuntime(n_bytes=n_bytes)),
            pytest.raises(Overflow) as caught,
        ):
            plan.fit(big, backend=backend)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "feature 'b', row 1700" in told[0]


def test_what_cannot_be_learnt_is_the_same_error() -> None:
    infinite = {"x": np.where(np.arange(N_ROWS) == 77, np.inf, 1.0)}
    plan = ff.Plan({"x": col("x").standard_scale()})
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(FastfeatError) as caught:
            plan.fit(infinite, backend=backend)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "row 77" in told[0]


def test_many_ranks_are_found_some_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ff.Plan(
        {
            "power": col("y").power_transform(),
            "rank": col("x").quantile_transform(n_quantiles=40),
            "median": col("k") - col("k").median(),
        }
    )
    data = {name: DATA[name][:500] for name in ("x", "y", "k")}
    monkeypatch.setattr(scan, "MOST_RANKS", 99)
    learnt = plan.fit(data, backend="emulated").learnt()
    assert learnt == plan.fit(data).learnt()
