"""The CPU of fresh processes: sides run, compute the same, and one that fails is an error."""

from __future__ import annotations

import subprocess
from typing import Any

import numpy as np
import pytest

from bench import fresh


@pytest.mark.parametrize("side", fresh.SIDES)
def test_each_side_runs_and_takes_time(side: str) -> None:
    if "Polars" in side:
        pytest.importorskip("polars")
    assert fresh.cpu_ms(fresh.SIDES[side], {}) > 0


def test_a_side_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        fresh.cpu_ms("raise SystemExit(3)", {})


@pytest.mark.parametrize(
    "side", [side for side in fresh.SIDES if f"{side} of Polars" in fresh.SIDES]
)
def test_sides_compute_the_same(side: str) -> None:
    pytest.importorskip("polars")
    ours, theirs = dict[str, Any](), dict[str, Any]()
    exec(fresh.SIDES[side], ours)
    exec(fresh.SIDES[f"{side} of Polars"], theirs)
    expected = theirs["found"].to_arrow()
    assert ours["found"].column_names == expected.column_names
    for name in expected.column_names:
        found, wanted = (np.array(of[name].to_pylist(), float) for of in (ours["found"], expected))
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_the_table_has_a_dash_where_a_library_keeps_no_kernels() -> None:
    times = {"kernels kept, .pyc": 123.4, "kernels kept, no .pyc": 200.0}
    lines = fresh.table({"a first result of Polars": times})
    assert lines[2] == "| a first result of Polars | 123 | 200 | – | – |"
    assert list(fresh.ENVIRONMENTS) == lines[0].strip("| ").split(" | ")[1:]


def test_a_process_without_kernels_compiles_its_own() -> None:
    code = (
        "import os; from pathlib import Path; import fastfeat as ff; from fastfeat import col; "
        "plan = ff.Plan({'a': col('x') + 1}).fit({'x': [1.0]}); plan.transform({'x': [1.0]}); "
        "assert len([*Path(os.environ['FASTFEAT_CACHE_DIR']).rglob('*')]) > 0"
    )
    assert fresh.cpu_ms_in(code, has_kernels=False, has_bytecode=True) > 0
    seen = "import os; assert not os.listdir(os.environ['FASTFEAT_CACHE_DIR'])"
    assert fresh.cpu_ms_in(seen, has_kernels=False, has_bytecode=True) > 0
