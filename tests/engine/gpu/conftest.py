"""Tests of the GPU backend without a card: skipped, with the reason, without their compiler."""

from __future__ import annotations

import pytest

from fastfeat.engine.gpu.compile import nvrtc
from fastfeat.engine.gpu.compile.gcc import find_compiler
from fastfeat.engine.gpu.device.current import current_runtime
from fastfeat.errors import BackendUnavailable


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose compiler is missing."""
    try:
        if item.get_closest_marker("emulator") or item.get_closest_marker("sanitizer"):
            find_compiler()
        if item.get_closest_marker("cuda_compile"):
            nvrtc.version()
        if item.get_closest_marker("gpu"):
            current_runtime()
    except BackendUnavailable as error:
        pytest.skip(str(error))
