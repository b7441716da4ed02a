"""Features as Delta tables and Lance datasets, which other libraries read."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.io.sinks import output_folder

N_ROWS = 5_000


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ff.FittedPlan:
    """Return a fitted plan; the current folder has its data in `data.parquet`."""
    drawn = np.random.default_rng(3)
    table = pa.table(
        {
            "id": pa.array(np.arange(N_ROWS), pa.uint32()),
            "x": pa.array(drawn.standard_normal(N_ROWS), mask=drawn.random(N_ROWS) < 0.2),
            "kind": pa.array(drawn.choice(np.array(["a/b", "c d", None, "ü%"]), N_ROWS)),
            "at": pa.array(drawn.integers(0, 10**9, N_ROWS), pa.timestamp("s", "Europe/Zurich")),
        }
    )
    monkeypatch.chdir(tmp_path)
    pq.write_table(table, "data.parquet", version="2.6")
    features = {
        "x": col("x").impute("mean").standard_scale(),
        "code": col("kind").ordinal_encode(),
        "is": col("kind").one_hot_encode(),
    }
    return ff.Plan(features, keep=["id", "kind", "at"], dtype="float32").fit(table)


def rows_of(library: Any) -> list[dict[str, Any]]:
    return library.sort_by("id").to_pylist()


def interrupted(fitted: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Begin an output, and interrupt it when two parts are done."""
    add_part = output_folder.add_part

    def failing(*args: Any) -> Any:
        made = add_part(*args)
        if len(made.parts) == 2:
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patched:
        patched.setattr("fastfeat.execute.to_files.add_part", failing)
        with pytest.raises(KeyboardInterrupt):
            fitted.transform_to("data.parquet", **options)


@pytest.mark.large
@pytest.mark.parametrize("partition_by", [(), ("kind",), ("code", "is_a/b")])
def test_a_delta_table_has_the_features(
    fitted: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch, partition_by: tuple[str, ...]
) -> None:
    delta = pytest.importorskip("deltalake")
    options: Any = {"out": "out", "format": "delta", "part_rows": 900}
    options["partition_by"] = partition_by
    interrupted(fitted, monkeypatch, **options)
    assert not Path("out").exists()
    manifest = fitted.transform_to("data.parquet", **options)
    assert manifest.n_rows == N_ROWS
    table = delta.DeltaTable("out")
    assert table.version() == 0
    expected = fitted.transform("data.parquet")
    at, utc = expected.schema.get_field_index("at"), pa.timestamp("us", "UTC")
    expected = expected.set_column(at, "at", expected["at"].cast(utc))
    found = table.to_pyarrow_table()
    assert rows_of(found.select(expected.column_names)) == rows_of(expected)
    assert found.schema.field("id").type == pa.int64()
    assert found.schema.field("code").metadata == {b"n_codes": b"5"} or partition_by
    assert fitted.transform_to("data.parquet", **options) == manifest


@pytest.mark.large
@pytest.mark.parametrize(("form", "library"), [("delta", "deltalake"), ("lance", "lance")])
@pytest.mark.parametrize("at", ["rename", "publish"])
def test_a_table_that_was_not_moved_is_moved(
    fitted: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch, form: str, library: str, at: str
) -> None:
    pytest.importorskip(library)
    options: Any = {"format": form, "part_rows": 2_000}
    name = "os.rename" if at == "rename" else "fastfeat.execute.to_files.publish"
    with monkeypatch.context() as patched:
        patched.setattr(name, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fitted.transform_to("data.parquet", "out", **options)
    assert not Path("out").exists()
    fitted.transform_to("data.parquet", "out", **options)
    if form == "delta":
        table = pytest.importorskip("deltalake").DeltaTable("out").to_pyarrow_table()
    else:
        table = pytest.importorskip("lance").dataset("out").to_table()
    assert table.num_rows == N_ROWS
    assert table["x"].to_pylist() == fitted.transform("data.parquet")["x"].to_pylist()


@pytest.mark.large
def test_delta_has_no_times_of_day(fitted: ff.FittedPlan) -> None:
    pytest.importorskip("deltalake")
    data = pa.table({"x": [1.0], "at": [datetime.time(1, 2)]})
    plan = ff.Plan({"y": col("x") * 2}, keep=["at"]).fit(data)
    with pytest.raises(ff.errors.TypeMismatch, match=r"'at' is time64\[us\], and Delta has no"):
        plan.transform_to(data, "out", format="delta")
    assert not Path("out").exists()


@pytest.mark.large
def test_a_lance_dataset_has_the_features(
    fitted: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    lance = pytest.importorskip("lance")
    options: Any = {"out": "out.lance", "part_rows": 900}
    interrupted(fitted, monkeypatch, **options)
    assert not Path("out.lance").exists()
    kept = set(Path(".out.lance.unfinished/data").iterdir())
    assert len(kept) == 2
    manifest = fitted.transform_to("data.parquet", **options)
    assert {path.name for path in kept} < {path.name for path in Path("out.lance/data").iterdir()}
    dataset = lance.dataset("out.lance")
    assert dataset.to_table().equals(fitted.transform("data.parquet"))
    assert dataset.schema.metadata[b"fastfeat.plan"].decode() == manifest.contents.plan
    assert len(dataset.get_fragments()) == len(manifest.parts) == 6
    assert fitted.transform_to("data.parquet", **options) == manifest


@pytest.mark.large
def test_a_row_that_fails_is_told_through_lance(fitted: ff.FittedPlan) -> None:
    pytest.importorskip("lance")
    numbers = np.ones(300_000, np.int64)
    numbers[200_001] = 2**62
    plan = ff.Plan({"y": col("x") * 4}).fit({"x": [1]})
    with pytest.raises(ff.errors.Overflow, match=r"row 200001\b"):
        plan.transform_to({"x": numbers}, "out.lance", part_rows=100_000)
    assert not Path("out.lance").exists()


def test_lance_has_no_partitions(fitted: ff.FittedPlan) -> None:
    pytest.importorskip("lance")
    with pytest.raises(ff.errors.InvalidPlan, match="format='lance' has no partitions"):
        fitted.transform_to("data.parquet", "out.lance", partition_by="kind")


@pytest.mark.parametrize(("form", "name"), [("delta", "deltalake"), ("lance", "pylance")])
def test_a_library_that_lacks_is_named(
    fitted: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch, form: str, name: str
) -> None:
    import sys

    module = {"delta": "deltalake", "lance": "lance"}[form]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ff.errors.LibraryUnavailable, match=f"the package {name}, .*pip install 'fastfeat"
    ):
        fitted.transform_to("data.parquet", "out", format=form)
