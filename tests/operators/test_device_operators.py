"""Every operator of the registry in CUDA, run by the emulator: the bits of the CPU backend."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.runtime import Geometry
from fastfeat_tests.operators.operator_features import families, plan_of
from fastfeat_tests.operators.operator_tables import (
    bits_of,
    empty_table,
    extreme_table,
    missing_table,
    small_table,
)
from fastfeat_tests.operators.sampling import first_always

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
RUNTIMES: dict[str, dict[str, Any]] = {
    "random": {
        "order": "random",
        "resident": 3,
        "geometry": Geometry(block=32, most_blocks=3, rows_per_thread=1),
    },
    "forward": {},
    "reverse": {
        "order": "reverse",
        "geometry": Geometry(block=64, most_blocks=1, rows_per_thread=1),
    },
    "deferred": {"deferred": True, "geometry": Geometry(block=128, rows_per_thread=1)},
}
"""Orders and shapes of launches. The deferred one runs them only when somebody waits."""


@cache
def runtime_named(name: str) -> EmulatedRuntime:
    return EmulatedRuntime(**RUNTIMES[name])


@pytest.mark.parametrize("name", first_always(RUNTIMES))
@pytest.mark.parametrize("family", [*families(learnt=False), *families(learnt=True)])
def test_operators_have_the_bits_of_the_cpu(family: str, name: str, tmp_path: Path) -> None:
    for train, rows in [
        (small_table(), small_table()),
        (small_table(), extreme_table()),
        (missing_table(3), missing_table(70)),
        (small_table(), empty_table()),
    ]:
        fitted = plan_of(family).fit(train)
        with emulated.use_runtime(runtime_named(name)):
            on_device = plan_of(family).fit(train, backend="emulated")
            result = on_device.transform(rows, backend="emulated")
        for place, one in (("cpu", fitted), ("device", on_device)):
            one.save(tmp_path / place)
        assert (tmp_path / "cpu").read_bytes() == (tmp_path / "device").read_bytes()
        expected = fitted.transform(rows)
        assert result.schema == expected.schema
        for feature in expected.column_names:
            assert bits_of(result[feature]) == bits_of(expected[feature]), feature
