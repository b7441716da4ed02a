"""Places where features may not be written: among what is read, and where no place is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import FastfeatError, InvalidPlan, OutputError, TypeMismatch
from fastfeat.io.sources.dataset import dataset_of

ROWS: Any = pa.table({"x": [1.0, 2.0, 4.0], "k": ["a", "b", "a"], "t": [1, 2, 3]})


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ff.FittedPlan:
    """Return a fitted plan; the current folder has a file in `data` and one in `logs/day1`."""
    for folder in ("data", "logs/day1"):
        (tmp_path / folder).mkdir(parents=True)
        pq.write_table(ROWS, tmp_path / folder / "a.parquet")
    monkeypatch.chdir(tmp_path)
    return ff.Plan({"x": col("x") + 1}).fit(ROWS)


@pytest.mark.parametrize(
    ("data", "out"),
    [
        ("data/*.parquet", "data/out.parquet"),
        ("data/*", "data/out"),
        ("data/**/*.parquet", "data/deeper/out"),
        ("**/*.parquet", "out.parquet"),
        ("./data/*", "data/../data/out.arrow"),
        (["data"], "data/out"),
        (("data/a.parquet", "logs"), "logs/out"),
        ("file://{here}/data", "data/out"),
        ("logs/*", "logs/day2"),
        ("logs/*/part-*.parquet", "logs/out"),
        ("link", "data/out.parquet"),
        ("data", "link/out.parquet"),
    ],
)
def test_an_output_that_would_be_data_is_refused(
    fitted: ff.FittedPlan, tmp_path: Path, data: Any, out: str
) -> None:
    if "link" in f"{data}{out}":
        (tmp_path / "link").symlink_to("data")
    if data == "logs/*/part-*.parquet":
        (tmp_path / "logs" / "day1" / "a.parquet").rename("logs/day1/part-a.parquet")
    if isinstance(data, str):
        data = data.format(here=tmp_path)
    n_files = len(list(tmp_path.rglob("*")))
    for write in (fitted.transform_to, ff.Plan({"x": col("x")}).fit_transform_to):
        with pytest.raises(OutputError, match="is in the folder of the data"):
            write(data, out)
    assert len(list(tmp_path.rglob("*"))) == n_files


@pytest.mark.parametrize(
    ("data", "out"),
    [
        ("data/*.parquet", "data/out.arrow"),
        ("data/*.parquet", "out.parquet"),
        ("data/*", "data/_out"),
        ("data/*.parquet", "data/out"),
        ("logs/*/a.parquet", "logs/out"),
        ("data/[a-c].parquet", "data/d.parquet"),
        ("data/a.parquet", "data/b.parquet"),
    ],
)
def test_an_output_beside_the_data_is_written(fitted: ff.FittedPlan, data: str, out: str) -> None:
    assert fitted.transform_to(data, out).n_rows == 3
    assert dataset_of(data).n_rows == 3


def test_an_output_among_the_history_or_tables_is_refused(fitted: ff.FittedPlan) -> None:
    window = ff.window(7, time="t", by="k")
    windowed = ff.Plan({"m": col("x").mean(over=window)}).fit(ROWS)
    for history, out in (("data", "data/out.parquet"), ("data/*.parquet", "data/b.parquet")):
        with pytest.raises(OutputError, match="is in the folder of the data"):
            windowed.transform_to(ROWS, out, history=history)
    with pytest.raises(OutputError, match="is a file of the data"):
        windowed.transform_to(ROWS, "data/a.parquet", history="data/a.parquet")
    plan = ff.Plan({"y": ff.lookup("names", by="k").col("x")})
    names = {"names": "data/a.parquet"}
    pq.write_table(ROWS.slice(1), "data/a.parquet")
    for write in (plan.fit(ROWS, tables=names).transform_to, plan.fit_transform_to):
        with pytest.raises(OutputError, match="is a file of the data"):
            write(ROWS, "data/a.parquet", tables=names)


@pytest.mark.parametrize(
    ("out", "options", "kind", "told"),
    [
        (None, {}, TypeMismatch, r"^out=None: must be the path of a file"),
        (3, {}, TypeMismatch, r"^out=3: must be the path of a file"),
        (b"out", {}, TypeMismatch, r"^out=b'out': must be the path of a file"),
        ("", {}, InvalidPlan, r"^out='': the path is empty"),
        ("s3://key:secret@bucket/out", {}, InvalidPlan, r"^out='s3://bucket/out': .*an address"),
        ("out", {"format": 3}, InvalidPlan, r"^format=3: must be one of parquet"),
        ("out", {"format": ["ipc"]}, InvalidPlan, r"^format=\['ipc'\]: must be one of parquet"),
        ("out", {"partition_by": 3}, TypeMismatch, r"^partition_by=3: must be a column"),
        ("out", {"partition_by": None}, TypeMismatch, r"^partition_by=None: must be a column"),
        (
            *("out", {"partition_by": ["k", 3]}, TypeMismatch),
            r"^partition_by=\['k', 3\]: must be a column name, or a list of column names",
        ),
        ("out", {"part_rows": True}, InvalidPlan, r"^part_rows=True: must be a number"),
    ],
)
def test_what_names_no_place_is_told(
    fitted: ff.FittedPlan, out: Any, options: dict[str, Any], kind: type[FastfeatError], told: str
) -> None:
    for write in (fitted.transform_to, ff.Plan({"x": col("x")}).fit_transform_to):
        with pytest.raises(kind, match=told):
            write("data", out, **options)
    assert sorted(path.name for path in Path().iterdir()) == ["data", "logs"]
