"""Folders that are tables with a log: their files alone would bring deleted rows back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData

LOGS = {
    "Delta": ("_delta_log/00000000000000000000.json", "deltalake.DeltaTable"),
    "Hudi": (".hoodie/hoodie.properties", "hudi.HudiTable"),
    "Lance": ("_versions/1.manifest", "lance.dataset"),
    "Iceberg": ("metadata/v1.metadata.json", "to_arrow_batch_reader"),
}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        *((kind, "") for kind in LOGS),
        *(
            (k, given)
            for k in LOGS
            if k != "Iceberg"
            for given in ("day=1", "day=*", "**/*.parquet")
        ),
    ],
)
def test_a_table_with_a_log_is_refused(kind: str, given: str, tmp_path: Path):
    log, instead = LOGS[kind]
    (tmp_path / "day=1").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "day=1" / "a.parquet")
    data: Any = str(tmp_path / given)
    plan = ff.Plan({"x": col("x") + 1})
    assert plan.fit(data).transform(data)["x"].to_pylist() == [2.0]
    (tmp_path / log).parent.mkdir()
    (tmp_path / log).write_text("{}")
    for call in (plan.fit, plan.schema, lambda d: plan.fit(d, memory="64GiB")):
        with pytest.raises(InvalidData, match=rf"is a table of {kind}: only its log .*{instead}"):
            call(data)


@pytest.mark.parametrize(
    "given", ["data", "data/day=1", "data/*/*.parquet", "data/day=1/*.parquet"]
)
def test_data_files_of_iceberg_are_refused(given: str, tmp_path: Path):
    log, instead = LOGS["Iceberg"]
    (tmp_path / "data" / "day=1").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "data" / "day=1" / "a.parquet")
    data = str(tmp_path / given)
    plan = ff.Plan({"x": col("x") + 1})
    plan.fit(data)
    (tmp_path / log).parent.mkdir()
    (tmp_path / log).write_text("{}")
    with pytest.raises(InvalidData, match=rf"is a table of Iceberg: only its log .*{instead}"):
        plan.fit(data)


@pytest.mark.parametrize("kind", ["Delta", "Hudi", "Lance"])
def test_a_pattern_in_a_partition_is_refused(kind: str, tmp_path: Path):
    (tmp_path / "day=1").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "day=1" / "a.parquet")
    (tmp_path / LOGS[kind][0]).parent.mkdir()
    with pytest.raises(InvalidData, match=f"is a table of {kind}: only its log"):
        ff.Plan({"x": col("x") + 1}).fit(str(tmp_path / "day=1" / "*.parquet"))
