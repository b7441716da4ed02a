"""Kernels of the package give the same bits for each processor that they are compiled for."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from fastfeat_kernels import processor

from fastfeat.engine.cpu import ship

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="kernels are compiled before on x86-64 Linux alone",
)


def test_kernels_of_each_target_give_the_bits_of_the_reference_and_of_native_ones() -> None:
    command = [sys.executable, "-m", "bench.shipped", "--compare", "--rows", "1000"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    named = [line.partition(":")[0] for line in done.stdout.splitlines()]
    has_v4 = processor.flags() >= processor.V4
    assert named == ["native", "x86-64-v3", *(["x86-64-v4"] if has_v4 else [])], done.stderr
    n_run = [int(line.split()[-2]) for line in done.stdout.splitlines()]
    assert min(n_run) > 25, done.stdout


def test_kernels_that_are_compiled_twice_are_kernels() -> None:
    names = {f"{folder}.{entry}" for folder, entry in ship._entries()}  # pyright: ignore[reportPrivateUsage]
    assert names >= ship.FASTER_BY_V4
    assert [ship.targets_of(name) for name in ("moments.floats", "hashing.text")] == [
        ["x86-64-v4", "x86-64-v3"],
        ["x86-64-v3"],
    ]
