"""Every primitive in CUDA gives the bits of its reference, on the emulator."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.programs.render import CUDA
from fastfeat.scalars.primitives import PRIMITIVES
from fastfeat_tests.engine.gpu.device_kernels import primitive_kernels, run_kernel
from fastfeat_tests.scalars.primitive_arguments import (
    SPECIAL_FLOATS,
    SPECIAL_INTEGERS,
    arguments,
    is_same,
    word,
)

pytestmark = pytest.mark.emulator

N_ROWS = 64


@cache
def _runtime() -> EmulatedRuntime:
    return EmulatedRuntime()


def _computed(name: str, rows: list[tuple[Any, ...]]) -> list[int]:
    args = PRIMITIVES[name].args
    columns = [
        np.array([word(row[k], kind) for row in rows], np.int64) for k, kind in enumerate(args)
    ]
    out = np.empty(N_ROWS, np.int64)
    text = primitive_kernels()
    return run_kernel(_runtime(), text, [*columns, out], kernel=f"of_{name}", n=N_ROWS)[-1].tolist()


def test_every_primitive_has_an_expression() -> None:
    assert set(CUDA) == set(PRIMITIVES)


@pytest.mark.parametrize("name", [name for name in CUDA if not PRIMITIVES[name].reads_memory])
# one example is N_ROWS rows of arguments
@settings(max_examples=8 + settings().max_examples // 10)
@given(data=st.data())
def test_an_expression_gives_the_bits_of_the_reference(name: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(arguments(name), min_size=N_ROWS, max_size=N_ROWS))
    row = PRIMITIVES[name]
    for operands, found in zip(rows, _computed(name, rows), strict=True):
        assert is_same(found, row.python(*operands), row.result), (name, operands, found)


@pytest.mark.parametrize("name", ["load_f64", "load_i64"])
def test_a_load_reads_an_element(name: str) -> None:
    kind = PRIMITIVES[name].result
    values = SPECIAL_FLOATS if kind == "f64" else SPECIAL_INTEGERS
    content = np.array([word(value, kind) for value in values], np.int64)
    k = np.arange(N_ROWS) % len(content)
    runtime = _runtime()
    held = runtime.allocate(content.nbytes)
    runtime.upload(content, held)
    address = np.full(N_ROWS, held.address)
    out = np.empty(N_ROWS, np.int64)
    columns = [address, k, out]
    result = run_kernel(runtime, primitive_kernels(), columns, kernel=f"of_{name}", n=N_ROWS)[-1]
    assert result.tolist() == content[k].tolist()
