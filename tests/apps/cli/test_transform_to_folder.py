"""`fastfeat transform` from many files, into a folder of parts."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat_tests.apps.cli.small_plan import TABLE, Run


@pytest.fixture
def many(run: Run, folder: Path) -> Path:
    """Return the current folder, with a fitted plan, and the data in four files of `days`."""
    assert run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat").exit_code == 0
    (folder / "days").mkdir()
    for k in range(4):
        pq.write_table(TABLE.slice(25 * k, 25), folder / "days" / f"day-{k}.parquet")
    return folder


@pytest.mark.parametrize("data", ["days", "days/*.parquet", "data.parquet"])
@pytest.mark.parametrize("out", ["out", "out.parquet"])
def test_files_are_one_data_set(run: Run, many: Path, data: str, out: str) -> None:
    result = run("transform", "plan.fastfeat", data, "-o", out)
    assert result.stdout.startswith(f"{out}: 4 columns, 100 rows in ")
    found = ds.dataset(many / out).to_table()
    assert found.equals(ff.load("plan.fastfeat").transform(TABLE))


def test_a_folder_has_parts_and_partitions(run: Run, many: Path) -> None:
    options = ("--partition-by", "kind", "--part-rows", "60", "--format", "ipc")
    result = run("transform", "plan.fastfeat", "days", "--out", "by.kind", *options)
    assert result.exit_code == 0, result.stderr
    files = sorted(path.relative_to(many / "by.kind").as_posix() for path in many.rglob("*.arrow"))
    assert files == [
        "kind=false/part-000000.arrow",
        "kind=false/part-000001.arrow",
        "kind=true/part-000000.arrow",
        "kind=true/part-000001.arrow",
    ]


def test_the_same_command_twice_does_nothing_the_second_time(run: Run, many: Path) -> None:
    command = ("transform", "plan.fastfeat", "days", "-o", "out")
    assert run(*command).exit_code == 0
    written = (many / "out" / "part-000000.parquet").stat().st_mtime_ns
    assert run(*command).exit_code == 0
    assert (many / "out" / "part-000000.parquet").stat().st_mtime_ns == written


def test_errors_name_options_and_leave_nothing(run: Run, many: Path) -> None:
    there = set(many.iterdir())
    command = ("transform", "plan.fastfeat", "days", "-o")
    for arguments, told in {
        ("out", "--partition-by", "size"): "error: --partition-by: 'size' is float. Partition by",
        (
            "out",
            "--format",
            "xls",
        ): "error: --format xls: must be one of parquet, ipc, csv, tsv, delta, lance",
        (
            "out.csv",
            "--part-rows",
            "5",
        ): "error: format=, --partition-by and --part-rows are for folders",
        ("days",): "error: days contains other files",
    }.items():
        result = run(*command, *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(told)
        assert set(many.iterdir()) == there


def test_windows_see_the_history(run: Run, many: Path) -> None:
    text = "plan = ff.Plan({'y': col('x').mean(over=ff.window(3, by='k', time='id'))})"
    (many / "plan.py").write_text(f"import fastfeat as ff\nfrom fastfeat import col\n{text}\n")
    assert run("fit", "plan.py", "data.parquet", "-o", "f", "--history", "batch").exit_code == 0
    pq.write_table(TABLE.slice(0, 50), many / "earlier.parquet")
    (many / "days" / "day-0.parquet").unlink()
    (many / "days" / "day-1.parquet").unlink()
    options = ("--history", "earlier.parquet")
    result = run("transform", "f", "days", "-o", "out", *options)
    assert result.exit_code == 0, result.stderr
    expected = ff.load("f").transform(TABLE.slice(50), history=TABLE.slice(0, 50))
    assert ds.dataset(many / "out").to_table().equals(expected)
    assert run("transform", "f", "days", "-o", "out.parquet", *options).exit_code == 0
    assert pq.read_table(many / "out.parquet").equals(expected)
    result = run("transform", "f", "days", "-o", "of.parquet", *options, "--memory", "64GiB")
    assert result.exit_code == 0, result.stderr
    assert pq.read_table(many / "of.parquet").equals(expected)
    for place in ("days/of.parquet", "earlier.parquet"):
        result = run("transform", "f", "days", "-o", place, *options)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"error: {place} is ")


@pytest.mark.parametrize("out", ["s3://bucket/out", "s3://bucket/out.parquet"])
def test_an_address_is_no_place(run: Run, many: Path, out: str) -> None:
    there = set(many.iterdir())
    result = run("transform", "plan.fastfeat", "days", "-o", out)
    assert result.exit_code == 2
    assert "features can be written to files on this machine" in result.stderr
    assert set(many.iterdir()) == there
