"""Every operator of the registry in CUDA, run by the emulator: the bits of the CPU backend."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from operator_features import families, plan_of
from operator_tables import bits_of, empty_table, extreme_table, missing_table, small_table

from fastfeat.backends import emulated
from fastfeat.backends.gpu.emulated import EmulatedRuntime

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
ORDERS = ("forward", "reverse", "random")


@cache
def runtime_in(order: Any) -> EmulatedRuntime:
    return EmulatedRuntime(order=order, resident=2)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("family", [*families(learnt=False), *families(learnt=True)])
def test_operators_have_the_bits_of_the_cpu(family: str, order: str, tmp_path: Path) -> None:
    for train, rows in [
        (small_table(), small_table()),
        (small_table(), extreme_table()),
        (missing_table(3), missing_table(70)),
        (small_table(), empty_table()),
    ]:
        fitted = plan_of(family).fit(train)
        with emulated.running_on(runtime_in(order)):
            on_device = plan_of(family).fit(train, backend="emulated")
            result = on_device.transform(rows, backend="emulated")
        for name, one in (("cpu", fitted), ("device", on_device)):
            one.save(tmp_path / name)
        assert (tmp_path / "cpu").read_bytes() == (tmp_path / "device").read_bytes()
        expected = fitted.transform(rows)
        assert result.schema == expected.schema
        for name in expected.column_names:
            assert bits_of(result[name]) == bits_of(expected[name]), name
