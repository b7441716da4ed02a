"""The command that infers a plan: its file is a plan that `fit` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastfeat_tests.apps.cli.small_plan import Run


def test_the_written_plan_is_fitted(run: Run, folder: Path) -> None:
    rng = np.random.default_rng(3)
    left = rng.integers(0, 2, 200)
    table = pa.table(
        {
            "row": np.arange(200),
            "x": rng.normal(size=200),
            "k": rng.choice(list("abc"), 200),
            "left_at": left * 2.0,
            "left": left,
        }
    )
    pq.write_table(table, folder / "raw.parquet")
    result = run("infer-plan", "raw.parquet", "-o", "first.py", "--label", "left")
    assert result.stdout == ("first.py: 2 features, 1 column left out, 1 column that may leak\n")
    assert "# 'left_at'" in (folder / "first.py").read_text("utf-8")
    assert run("fit", "first.py", "raw.parquet", "-o", "first.fastfeat").exit_code == 0
    refused = run("infer-plan", "raw.parquet", "-o", "other.py", "--label", "y")
    assert refused.exit_code == 2
    assert "no column 'y'" in refused.stderr
    assert not (folder / "other.py").exists()
