"""Which outputs share a kernel on a device: all of them once, each column in as few as can be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.gpu.programs import program as output_groups
from fastfeat.engine.gpu.programs.program import MOST_INPUTS, MOST_OUTPUTS, device_program
from fastfeat.engine.layout import Loop, lay_out
from fastfeat.ir.show import names_of


def rows_of(n_columns: int) -> dict[str, Any]:
    return {f"x{k}": np.arange(3.0) + k for k in range(n_columns)}


def loops_of(features: dict[str, ff.Expr], n_columns: int) -> tuple[Loop, ...]:
    program = ff.Plan(features).fit(rows_of(n_columns)).record.arrow_program
    device_program.cache_clear()
    loops = device_program(program).loops
    computed = [k for loop in loops for one in loop.instances for k in one.outputs]
    assert sorted(computed) == list(range(len(program.outputs)))
    return loops


def readers(loops: tuple[Loop, ...]) -> Counter[str]:
    """Return how many runs of kernels read each column."""
    instances = [instance for loop in loops for instance in loop.instances]
    return Counter(
        name for one in instances for slot in one.inputs for name in names_of(slot.sources)
    )


def test_features_of_one_column_share_a_kernel() -> None:
    features: dict[str, Any] = {}
    for k in range(10):
        features |= {f"a{k}": col(f"x{k}") + (k + 1), f"b{k}": col(f"x{k}").abs()}
    (loop,) = loops_of(features, 10)
    assert set(readers((loop,)).values()) == {1}


def test_thousands_of_columns_of_one_shape_share_a_kernel() -> None:
    n = 2000
    loops = loops_of({f"s{k}": col(f"x{k}").standard_scale() for k in range(n)}, n)
    assert len(loops) == 1
    assert readers(loops) == {f"x{k}": 1 for k in range(n)}


def test_a_chain_of_columns_is_cut_where_kernels_are_full() -> None:
    n = 40
    chain = {f"d{k}": (col(f"x{k}") - col(f"x{k - 1}")) * k for k in range(1, n)}
    loops = loops_of(chain, n)
    assert sum(readers(loops).values()) < n + 4
    for loop in loops:
        assert len(loop.shape.inputs) <= MOST_INPUTS
        assert len(loop.shape.stores) <= MOST_OUTPUTS


def test_many_features_of_one_column_take_several_kernels() -> None:
    loops = loops_of({f"a{k}": col("x0") * k + (k % 3) for k in range(100)}, 1)
    assert readers(loops)["x0"] == -(-100 // MOST_OUTPUTS)


def test_a_feature_of_more_columns_than_a_kernel_takes_has_one_of_its_own() -> None:
    n = MOST_INPUTS + 4
    columns = [col(f"x{k}") for k in range(n)]
    loops = loops_of({"sum": ff.sum_horizontal(*columns), "first": columns[0].abs()}, n)
    assert sorted(len(loop.shape.inputs) for loop in loops) == [1, n]


def test_features_that_read_no_column_are_computed_too() -> None:
    assert readers(loops_of({"one": ff.lit(1.0), "two": ff.lit(2)}, 1)) == {}


def test_columns_so_entangled_that_kernels_would_be_many_share_code_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = {f"p{j} {k}": col(f"x{j}") * col(f"x{k}") + j for j in range(12) for k in range(j)} | {
        f"s{k}": col(f"x{k}").abs() for k in range(40)
    }
    by_columns = loops_of(pairs, 40)
    monkeypatch.setattr(output_groups, "MOST_KERNELS", len(by_columns) - 1)
    by_code = loops_of(pairs, 40)
    device_program.cache_clear()
    assert sum(readers(by_columns).values()) < sum(readers(by_code).values())
    assert by_code == lay_out(ff.Plan(pairs).fit(rows_of(40)).record.arrow_program)
