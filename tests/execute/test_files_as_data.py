"""Plans over files: a folder, a pattern, a list or a function is the table of all of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat.errors import UnknownColumn
from fastfeat.keep.artifact import artifact_bytes

ROWS: Any = pa.table(
    {"x": [1.0, None, 4.0, 8.0, 2.5], "k": ["a", "b", "a", None, "b"], "y": [0, 1, 0, 1, 1]}
)


def plan() -> ff.Plan:
    return ff.Plan(
        {
            "x": ff.col("x").standard_scale(),
            "k": ff.col("k").target_encode("y", folds=2),
            "year": ff.col("year").ordinal_encode(),
        },
        label="y",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for year, part in ((2024, ROWS.slice(0, 2)), (2025, ROWS.slice(2))):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(part, tmp_path / f"year={year}" / "rows.parquet", row_group_size=2)
    return tmp_path


def test_files_are_one_table(folder: Path) -> None:
    whole = ROWS.append_column("year", pa.array([2024, 2024, 2025, 2025, 2025]))
    fitted, features = plan().fit_transform(whole)
    paths = [folder / "year=2024", f"{folder}/year=2025/*.parquet"]
    for data in (folder, str(folder), f"{folder}/*/*.parquet", lambda: whole.to_batches(2)):
        again, of_files = plan().fit_transform(data)
        assert artifact_bytes(again.record) == artifact_bytes(fitted.record)
        assert of_files.equals(features)
    scaled = ff.Plan({"x": ff.col("x").standard_scale()})
    assert scaled.fit(paths).transform(folder).equals(scaled.fit(ROWS).transform(ROWS))
    assert plan().schema(folder) == plan().schema(whole)
    assert artifact_bytes(scaled.fit(paths).record) == artifact_bytes(scaled.fit(ROWS).record)
    with pytest.raises(UnknownColumn, match=r"the data lacks the column 'year'.* are: 'x', "):
        plan().fit(paths)
