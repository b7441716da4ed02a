"""Without a card: precisely what is missing, and what to do; the other backends go on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import DEVICE_NAMES, NAMES, backend_named
from fastfeat.engine.gpu.device.availability import Surroundings, missing
from fastfeat.engine.gpu.device.cupy_card import look
from fastfeat.engine.tasks import RowTask
from fastfeat.errors import BackendUnavailable

COMPLETE = Surroundings(
    platform="linux",
    cupy="14.2.0",
    cupy_cuda=(13, 0),
    driver=(13, 1),
    n_devices=2,
    device="NVIDIA H100",
    architecture=90,
)
TABLE = {"x": [1.0, 2.0], "y": [0.0, 1.0]}
has_card = missing(look()) is None
without_a_card = pytest.mark.skipif(has_card, reason="there is a card here")


def test_nothing_is_missing_where_everything_is_there() -> None:
    assert missing(COMPLETE) is None
    assert missing(replace(COMPLETE, architecture=75, driver=(13, 0))) is None


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ({"platform": "darwin"}, r"runs on Linux .* this is darwin"),
        (
            {"cupy": ""},
            r"package cupy, .* not installed. Install it with pip install 'fastfeat\[gpu\]'",
        ),
        ({"cupy_error": "libcudart.so.13"}, r"cannot be imported: libcudart.so.13. Install"),
        ({"cupy": "13.6.0"}, r"CuPy 14 or later, but 13.6.0 is installed"),
        ({"driver": None}, r"NVIDIA's driver, but libcuda.so.1 .* --gpus all"),
        ({"driver": (12, 4)}, r"driver for CUDA 13.* driver is for CUDA 12.4. Update .*cuda12"),
        (
            {"driver": (11, 8), "cupy_cuda": (12, 9)},
            r"driver for CUDA 12.* for CUDA 11.8. Update the driver, or use backend='cpu'",
        ),
        ({"cupy": "", "driver": None}, r"libcuda.so.1 .* the package cupy, .* --gpus all"),
        ({"n_devices": 0}, r"driver finds none. Check the list that nvidia-smi prints"),
        ({"n_devices": 0, "visible": "7"}, r"CUDA_VISIBLE_DEVICES is '7'; unset it"),
        (
            {"device_error": "cudaErrorInitializationError: initialization error"},
            r"none \(cudaErrorInit.*\). If CUDA was in use before .* spawn",
        ),
        ({"device": "Tesla P100", "architecture": 60}, r"sm_75 .* Tesla P100 is sm_60. Choose"),
    ],
)
def test_each_thing_that_is_missing_is_named(lacking: dict[str, Any], message: str) -> None:
    reason = missing(replace(COMPLETE, **lacking))
    assert reason is not None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(reason)
    assert reason.startswith("backend 'gpu' ")
    assert reason.endswith("or use backend='cpu', which gives the same bits")


def test_the_first_thing_that_is_missing_is_named_first() -> None:
    nothing = Surroundings("linux")
    reason = missing(nothing)
    assert reason is not None
    assert "the package cupy" in reason


@without_a_card
@pytest.mark.parametrize(
    "use",
    [
        lambda plan, fitted: plan.fit(TABLE, backend="gpu"),
        lambda plan, fitted: plan.fit_transform(TABLE, backend="gpu"),
        lambda plan, fitted: fitted.transform(TABLE, backend="gpu"),
        lambda plan, fitted: fitted.transform({"x": []}, backend="gpu"),
        lambda plan, fitted: fitted.transform(TABLE, to="numpy", backend="gpu"),
        lambda plan, fitted: fitted.label(TABLE, backend="gpu"),
        lambda plan, fitted: fitted.verify(TABLE, backends=("cpu", "gpu")),
    ],
)
def test_every_call_says_what_is_missing_and_falls_back_to_nothing(use: Any) -> None:
    plan = ff.Plan({"z": col("x") + 1}, label={"late": col("y") > 0})  # nothing to learn
    fitted = plan.fit(TABLE)
    with pytest.raises(BackendUnavailable, match=r"backend 'gpu' .*, or use backend='cpu'"):
        use(plan, fitted)


def test_an_unknown_backend_names_those_that_there_are() -> None:
    with pytest.raises(BackendUnavailable, match=r"'tpu' .* cpu, gpu, reference, emulated"):
        backend_named("tpu")
    assert all(RowTask in backend_named(name).functions for name in set(NAMES) - {*DEVICE_NAMES})


def test_nothing_of_cuda_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, fastfeat as ff\n"
        "from fastfeat.backends import gpu\n"
        "ff.Plan({'y': ff.col('x') + 1}).fit({'x': [1.0]}).transform({'x': [2.0]})\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('cupy', 'cupy_backends')])\n"
        "maps = open('/proc/self/maps') if sys.platform == 'linux' else []\n"
        "print([line for line in maps if 'libcuda' in line or 'libnvrtc' in line])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
