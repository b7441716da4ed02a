"""`fit_transform_to`: the artifact and the features of `fit_transform`, of files read in passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan
from fastfeat.io.sinks import output_folder
from fastfeat.keep.artifact import artifact_bytes

N_ROWS = 6_000
PLAN = ff.Plan(
    {
        "x": col("x").impute("median").standard_scale(),
        "shop": ff.cross("shop", "kind").target_encode("y", folds=5, smooth=3),
        "code": col("shop").ordinal_encode(),
        "deviation": col("x") - col("x").mean(by="kind"),
    },
    label="y",
    keep=["row"],
    dtype="float32",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with rows in several files of `data`."""
    drawn = np.random.default_rng(4)
    shops = np.array([*(f"s{k}" for k in range(30)), None])
    table = pa.table(
        {
            "row": np.arange(N_ROWS),
            "x": pa.array(drawn.standard_normal(N_ROWS), mask=drawn.random(N_ROWS) < 0.1),
            "shop": pa.array(shops[drawn.integers(0, 31, N_ROWS)].tolist(), pa.string()),
            "kind": drawn.integers(0, 3, N_ROWS),
            "y": drawn.integers(0, 2, N_ROWS),
        }
    )
    monkeypatch.chdir(tmp_path)
    ds.write_dataset(
        table, "data", format="parquet", max_rows_per_file=1_700, max_rows_per_group=500
    )
    return tmp_path


def test_artifact_and_features_are_those_of_fit_transform(folder: Path) -> None:
    data = ds.dataset("data").to_table()
    expected, features = PLAN.fit_transform(data)
    fitted, manifest = PLAN.fit_transform_to("data", "out", part_rows=2_500, memory=1 << 40)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert manifest.contents.training
    assert ds.dataset("out").to_table().equals(features)
    assert not features.equals(fitted.transform(data))
    _, alone = PLAN.fit_transform_to("data", "out.parquet")
    assert alone.n_rows == N_ROWS
    assert pq.read_table("out.parquet").equals(features)


def test_an_interrupted_call_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_part = output_folder.add_part

    def failing(*args: Any) -> Any:
        made = add_part(*args)
        if len(made.parts) == 2:
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patched:
        patched.setattr("fastfeat.execute.to_files.add_part", failing)
        with pytest.raises(KeyboardInterrupt):
            PLAN.fit_transform_to("data", "out", part_rows=2_000)
    kept = {path.name: path.stat().st_ino for path in Path(".out.unfinished").glob("part*")}
    assert len(kept) == 2
    fitted, _ = PLAN.fit_transform_to("data", "out", part_rows=2_000)
    there = {path.name: path.stat().st_ino for path in Path("out").glob("part*")}
    assert kept.items() < there.items()
    features = PLAN.fit_transform(ds.dataset("data").to_table())[1]
    assert ds.dataset("out").to_table().equals(features)
    fitted = fitted.select(list(PLAN.features))
    with (
        pytest.warns(ff.errors.EncodedInFold, match="fit has learnt from .*part-0"),
        pytest.raises(ff.errors.OutputError, match="has features of another fitted plan"),
    ):
        fitted.transform_to("data", "out", part_rows=2_000)


def test_windows_of_all_rows_are_refused_before_rows_are_read(folder: Path) -> None:
    plan = ff.Plan({"x": col("x").mean(over=ff.window(time="row"))})
    table = pa.table({"x": [1.0], "shop": ["a"], "row": [0]})

    def never() -> Any:
        yield table[:0]
        raise AssertionError("rows were read")

    with pytest.raises(InvalidPlan, match=r"'x' needs all rows at once: col\('x'\)\.mean\(over="):
        plan.fit_transform_to(never, "out")
    plan = ff.Plan({"x": col("x").mean(over=ff.window(7, by="shop", time="row"))})
    expected = plan.fit_transform("data", history="batch")[1]
    plan.fit("data").transform_to("data", "out", history="batch")
    assert ds.dataset("out").to_table().equals(expected)


def test_latest_rows_of_a_table_are_no_windows(folder: Path) -> None:
    known = ff.asof("prices", by="shop", time="row").col("price")
    plan = ff.Plan({"x": known.standard_scale()})
    tables = {"prices": pa.table({"shop": ["s1", "s2"], "row": [3, 9], "price": [1.0, 4.0]})}
    manifest = plan.fit_transform_to("data", "out", tables=tables)[1]
    assert ds.dataset("out").to_table().equals(plan.fit_transform("data", tables=tables)[1])
    assert repr(manifest).startswith("Manifest(6,000 rows in 1 file of parquet, ")


def test_later_rows_of_the_same_files_are_of_another_kind(folder: Path) -> None:
    fitted, _ = PLAN.fit_transform_to("data", "out")
    with (
        pytest.warns(ff.errors.EncodedInFold, match="fit has learnt from .*part-0"),
        pytest.raises(ff.errors.OutputError, match="has features of another kind"),
    ):
        fitted.transform_to("data", "out")
    again = PLAN.fit("data", memory="64GiB")
    with pytest.warns(ff.errors.EncodedInFold, match="Do not train a model on these features"):
        again.transform_batches("data")
    for rows, to in ((None, "numpy"), ([1, 2], "arrow")):
        again = PLAN.fit("data", memory="64GiB")
        with pytest.warns(ff.errors.EncodedInFold, match="fit has learnt from .*part-0"):
            again.transform("data", rows=rows, to=to)
    plain = ff.Plan({"x": col("x") * 2}, label="y").fit("data", memory="64GiB")
    assert plain.record.encoded is None


def test_odd_arguments_are_told_before_rows_are_read(folder: Path) -> None:
    with pytest.raises(ff.errors.InvalidPlan, match="no format has the suffix"):
        PLAN.fit_transform_to("data", "out.xyz")
    with pytest.raises(ff.errors.OutOfMemory, match="Give memory="):
        PLAN.fit_transform_to("data", "out", memory="1MiB")
    reader = ds.dataset("data").scanner().to_reader()
    with pytest.raises(ff.errors.InvalidData, match="can be read once"):
        PLAN.fit_transform_to(reader, "out")
    assert {path.name for path in folder.iterdir()} == {"data"}
