"""Files found by paths, folders and patterns: links, names of any kind, and files given twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, UnknownColumn
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.read import read_table

ROWS: Any = pa.table({"x": [1.0, 2.0, 4.0]})

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights there")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which has one file in `data`."""
    (tmp_path / "data").mkdir()
    pq.write_table(ROWS, tmp_path / "data" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def n_rows(data: Any) -> int:
    found = dataset_of(data).n_rows
    assert found is not None
    return found


@pytest.mark.parametrize(
    "data",
    ["data", "data/*.parquet", "data/**/*.parquet", ["data/a.parquet", "data/b.parquet"]],
)
def test_a_link_beside_its_file_counts_rows_twice(folder: Path, data: Any) -> None:
    (folder / "data" / "b.parquet").symlink_to("a.parquet")
    with pytest.raises(InvalidData, match=r"would count twice: 'data/b\.parquet'$"):
        dataset_of(data)


def test_one_file_by_two_paths_counts_rows_twice(folder: Path) -> None:
    with pytest.raises(InvalidData, match=r"would count twice: './data/../data/a\.parquet'$"):
        dataset_of(["data/a.parquet", "./data/../data/a.parquet"])
    os.link("data/a.parquet", "data/b.parquet")  # equal files, as a store without copies has them
    assert n_rows("data") == 6


def test_links_are_followed(folder: Path) -> None:
    (folder / "linked").symlink_to("data")
    (folder / "of_links").mkdir()
    (folder / "of_links" / "year=2024").symlink_to(folder / "data")
    assert n_rows("linked") == n_rows("linked/*.parquet") == 3
    assert read_table("of_links").to_pydict() == {"x": [1, 2, 4], "year": [2024] * 3}


@pytest.mark.parametrize("data", ["data", "data/**/*.parquet"])
def test_links_that_lead_back_are_refused(folder: Path, data: str) -> None:
    for name in ("up", "again"):  # with two of them pyarrow would list for ever
        (folder / "data" / name).symlink_to(folder / "data")
    with pytest.raises(InvalidData, match=r"is a link to a folder that contains it, .*data, so"):
        dataset_of(data)
    assert n_rows("data/*.parquet") == 3


@pytest.mark.parametrize("data", ["data", "data/*.parquet", "data/**/*"])
def test_a_link_to_nothing_is_told(folder: Path, data: str) -> None:
    (folder / "data" / ".hidden.parquet").symlink_to("nowhere")
    assert n_rows(data) == 3
    (folder / "data" / "b.parquet").symlink_to("nowhere")
    with pytest.raises(
        InvalidData, match=r"^data/b\.parquet is a link to a file that does not exist"
    ):
        dataset_of(data)
    assert n_rows("data/a*") == 3


def test_a_pipe_is_told(folder: Path) -> None:
    os.mkfifo("pipe")
    for read in (dataset_of, ff.Plan({"x": col("x")}).fit):
        with pytest.raises(InvalidData, match="pipe is neither a file nor a folder"):
            read("pipe")


@pytest.mark.parametrize(
    "name", ["é", "日本 語", "a b", "a%20b", "a#b", "new\nline", "😀", "a=b", "quote'"]
)
def test_names_of_any_kind(folder: Path, name: str) -> None:
    part = folder / name / "part.parquet"
    part.parent.mkdir()
    pq.write_table(ROWS, part)
    fitted = ff.Plan({"x": col("x") + 1}).fit(part)
    manifest = fitted.transform_to(str(part), folder / f"out {name}")
    assert manifest.n_rows == n_rows(name) == n_rows(f"{name}/*") == 3
    assert n_rows(folder / f"out {name}") == 3
    assert fitted.transform_to(str(part), folder / f"out {name}") == manifest


def test_a_name_that_is_no_text_is_told(folder: Path) -> None:
    os.mkdir(b"bytes")
    with open(b"bytes/k\xe4se.parquet", "wb") as file:
        file.write((folder / "data" / "a.parquet").read_bytes())
    for data in ("bytes", "bytes/*", os.fsdecode(b"bytes/k\xe4se.parquet")):
        with pytest.raises(InvalidData, match="the name of a file is not valid UTF-8") as raised:
            dataset_of(data)
        assert str(raised.value).isprintable()


@pytest.mark.parametrize("data", ["logs/year=2024", "logs/year=2024/a.parquet", ["logs/year=2024"]])
def test_a_partition_that_is_above_is_told(folder: Path, data: Any) -> None:
    (folder / "logs" / "year=2024").mkdir(parents=True)
    pq.write_table(ROWS, "logs/year=2024/a.parquet")
    plan = ff.Plan({"x": col("x"), "year": col("year")})
    fitted = plan.fit("logs")
    told = r"^the data lacks the column 'year', which the plan reads\. Its value is in the name of "
    for call in (
        lambda: plan.fit(data),
        lambda: plan.fit(data, memory="64GiB"),
        lambda: plan.fit_transform_to(data, "out", memory="64GiB"),
        lambda: fitted.transform(data),
        lambda: fitted.transform_to(data, "out"),
    ):
        with pytest.raises(UnknownColumn, match=told + r".* or 'logs/year=\*'"):
            call()
    assert fitted.transform("logs/year=*").equals(fitted.transform("logs"))
