"""The card through CuPy: over a stand-in everywhere; over CuPy itself its names, without a card."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.gpu.compile import nvrtc
from fastfeat.engine.gpu.compile.cache import cached_file, key_of
from fastfeat.engine.gpu.device import cupy_card
from fastfeat.engine.gpu.device import current as device
from fastfeat.engine.gpu.device.availability import missing
from fastfeat.errors import InvalidData, KernelFailed, OutOfDeviceMemory
from fastfeat_tests.engine.gpu import stand_in_cupy
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL, run_kernel

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
ROWS = {"x": [1.0, None, 4.0, -3.0, 9.5], "k": [1, 2, None, 4, 5]}
NOTHING = f"{KERNEL} kernel{ARGUMENTS} {{}}"


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the stand-in, which is then imported as CuPy."""

    def text_file(text: str, architecture: int) -> Path:
        assert architecture == 90
        return cached_file(key_of(text, "stand-in"), ".cu", text.encode)

    module = stand_in_cupy.new_module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cupy_card, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(cupy_card, "cubin_file", text_file)
    monkeypatch.setattr(nvrtc, "version", lambda: "13.0")
    monkeypatch.setattr(device, "_runtimes", {})
    return module


def fitted_on(backend: str) -> ff.FittedPlan:
    scaled = col("x").standard_scale()
    plan = ff.Plan({"scaled": scaled, "bin": col("k").qcut(3).fill_null(-1), "log": col("k").log()})
    return plan.fit(ROWS, backend=backend)


@pytest.mark.emulator
def test_a_card_is_found_and_named(cupy: Any) -> None:
    assert missing(cupy_card.look()) is None
    assert device.current_runtime().name == "stand-in (device 0, sm_90)"


@pytest.mark.emulator
@pytest.mark.usefixtures("cupy")
def test_fit_and_transform_have_the_bits_of_the_cpu() -> None:
    expected, fitted = fitted_on("cpu"), fitted_on("gpu")
    assert fitted.learnt() == expected.learnt()
    assert fitted.transform(ROWS, backend="gpu").equals(expected.transform(ROWS))
    assert fitted.verify(ROWS, backends=("cpu", "gpu")).ok


@pytest.mark.emulator
def test_arrays_of_cupy_go_in_and_come_out(cupy: Any) -> None:
    fitted = fitted_on("cpu")
    expected = fitted.transform(ROWS, to="numpy")
    matrix = fitted.transform(ROWS, to="cupy", backend="gpu")
    assert isinstance(matrix, cupy.ndarray)
    assert matrix.get().tobytes("F") == expected.tobytes("F")
    assert fitted.transform(ROWS, to="cupy", out=matrix, backend="gpu") is matrix
    columns = fitted.transform(ROWS, to="cupy_columns", backend="gpu")
    again = ff.Plan({"next": col("scaled") + 1}).fit({"scaled": [1.0]})
    values = again.transform({"scaled": columns["scaled"]}, to="cupy", backend="gpu").get()[:, 0]
    np.testing.assert_array_equal(values, expected[:, 0] + 1)


@pytest.mark.emulator
def test_memory_that_is_not_there_is_named(cupy: Any) -> None:
    runtime = device.current_runtime()
    with pytest.raises(OutOfDeviceMemory, match="no room for 134,217,728 bytes on stand-in"):
        runtime.allocate(1 << 27)
    with pytest.raises(OutOfDeviceMemory, match="134,217,728 bytes of page-locked host memory"):
        cupy_card.CupyCard().allocate_pinned(1 << 27)


@pytest.mark.emulator
@pytest.mark.usefixtures("cupy")
def test_memory_of_the_host_is_refused() -> None:
    values = np.zeros(8)
    with pytest.raises(InvalidData, match=r"64 bytes at address .* in host memory, not on stand"):
        device.current_runtime().adopt(values.ctypes.data, values.nbytes, values)


@pytest.mark.emulator
@pytest.mark.usefixtures("cupy")
def test_a_kernel_that_is_not_there_is_named() -> None:
    with pytest.raises(KernelFailed, match="'other'"):
        run_kernel(device.current_runtime(), NOTHING, [np.zeros(1)], kernel="other")


def parameters_of(function: Any) -> list[str]:
    """Return the names of parameters, from the signature that Cython puts before the docstring."""
    text = re.search(r"\w\((.*)\)", (function.__doc__ or "").strip().partition("\n")[0])
    if text is None:
        return [name for name in inspect.signature(function).parameters if name != "self"]
    words = [part.partition("=")[0].split() for part in text[1].split(",")]
    return [word[-1] for word in words if word and word[-1] not in ("self", "*", "/")]


@pytest.mark.parametrize("name", stand_in_cupy.NAMES)
def test_the_stand_in_takes_what_cupy_takes(name: str, request: pytest.FixtureRequest) -> None:
    real = attrgetter(name)(pytest.importorskip("cupy"))
    stand_in = attrgetter(name)(request.getfixturevalue("cupy"))
    theirs = parameters_of(real)
    ours = [p for p in inspect.signature(stand_in).parameters if p != "self"]
    assert ours == theirs[: len(ours)]


def test_extras_bring_what_cupy_compiles_its_own_kernels_with() -> None:
    extras = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    for extra, suffix in (("gpu", ""), ("gpu-cuda12", "-cu12")):
        names = {re.split("[<>=]", requirement)[0] for requirement in extras[extra]}
        assert {f"nvidia-cuda-nvrtc{suffix}", f"nvidia-cuda-runtime{suffix}"} < names
