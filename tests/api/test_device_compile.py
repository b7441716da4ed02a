"""`compile` for a device: its modules are on disk, and nothing is compiled when they first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.kernel_cache import observe_kernels

ROWS = pa.table({"x": [1.0, None, 3.0], "k": [1, 1, 2]})
BACKENDS = [
    pytest.param("emulated", marks=pytest.mark.emulator),
    pytest.param("gpu", marks=pytest.mark.gpu),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_runs_on_a_device_is_made_ready(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path))
    plan = ff.Plan({"scaled": col("x").standard_scale(), "k": col("k") * 3.0625})
    made = plan.compile(ROWS.schema, backend=backend)
    assert "device" in made.kernels
    assert made.n_not_kept == 0
    (note,) = made.notes
    assert "kernels for more rows or keys" in note

    def use() -> Any:
        return plan.fit_transform(ROWS, backend=backend)[0].transform(ROWS, backend=backend)

    with observe_kernels() as used:
        use()
    assert not any(kernel.is_compiled for kernel in used.values())
