"""Rows that fail: told by their number in the data, or in the history, and by their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, Overflow

GOOD: Any = pa.table({"t": [1, 2, 3, 4], "k": ["a", "b", "a", "b"], "x": [1.0, 2.0, 3.0, 5.0]})
LATE: Any = pa.table({"t": [5, 400], "k": ["a", "b"], "x": [1.0, float("inf")]})
WINDOW = ff.window(7, time="t", by="k")
EIGHT_BITS = col("t").cast("int8")


@pytest.fixture(params=["parquet", "csv"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the suffix of files; the current folder has good ones, and `bad` with a bad row 5."""
    suffix = request.param
    write: Callable[..., Any] = pq.write_table if suffix == "parquet" else csv.write_csv
    for folder, tables in {"bad": (GOOD, LATE), "good": (GOOD, GOOD.slice(0, 0))}.items():
        (tmp_path / folder).mkdir()
        for number, table in enumerate(tables):
            if suffix == "parquet" or table.num_rows:
                write(table, tmp_path / folder / f"{number}.{suffix}")
    monkeypatch.chdir(tmp_path)
    return suffix


def test_a_row_is_told_with_its_file(files: str) -> None:
    fitted = ff.Plan({"z": EIGHT_BITS}).fit(GOOD)
    place = rf"row 5 \(t=400\): .*\(that is bad/1\.{files}, row 1\)$"
    for call in (
        lambda: fitted.transform("bad"),
        lambda: fitted.transform(data=f"bad/*.{files}"),
        lambda: fitted.transform_to("bad", "out"),
        lambda: list(fitted.transform_batches("bad")),
        lambda: ff.Plan({"z": EIGHT_BITS.mean()}).fit("bad"),
        lambda: ff.Plan({"z": EIGHT_BITS.mean()}).fit("bad", memory="8GiB"),
        lambda: ff.Plan({"z": EIGHT_BITS}).fit_transform("bad"),
        lambda: ff.Plan({"z": EIGHT_BITS}).fit_transform_to("bad", "out"),
    ):
        with pytest.raises(Overflow, match=place):
            call()
    with pytest.raises(Overflow, match=r"row 1 \(t=400\): .* makes it missing$"):
        fitted.transform(f"bad/1.{files}")  # one file needs no name
    with pytest.raises(Overflow, match=r"row 1 \(t=400\): .* makes it missing$"):
        fitted.transform(LATE)


def test_the_file_stands_behind_the_row_and_not_behind_what_to_do(files: str) -> None:
    contract = ff.Contract({"all": col("t").max() < 0, "early": col("t") < 400})
    with pytest.raises(ff.errors.ContractBroken) as error:
        ff.Plan({"z": col("t") + 1}).fit("bad", contract=contract)
    of_all, early, hint = str(error.value).split("\n")
    assert "that is" not in of_all
    assert f" (that is bad/1.{files}, row 1)" in early
    assert hint == "fix the rows, or pass other rules with contract="


def test_an_infinite_value_is_told_with_its_file(files: str) -> None:
    for memory in (None, "8GiB"):
        with pytest.raises(InvalidData, match=rf"inf in row 5\. .*\(that is bad/1\.{files}, row 1"):
            ff.Plan({"x": col("x").standard_scale()}).fit("bad", memory=memory)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated")
def test_a_row_that_windows_see_is_told_where_it_stands(files: str) -> None:
    fitted = ff.Plan({"z": EIGHT_BITS.sum(over=WINDOW)}).fit(GOOD, history="batch")
    for data, history, told in (
        ("bad", "batch", rf"row 5 \(t=400\): .*\(that is bad/1\.{files}, row 1\)$"),
        ("bad", "good", rf"row 5 \(t=400\): .*\(that is bad/1\.{files}, row 1\)$"),
        ("good", "bad", rf"row 5 of history= \(t=400\): .*\(that is bad/1\.{files}, row 1\)$"),
        (LATE, GOOD, r"row 1 \(t=400\): .* missing$"),
        (GOOD, LATE, r"row 1 of history= \(t=400\): .* missing$"),
    ):
        with pytest.raises(Overflow, match=told):
            fitted.transform(data, history=history)
        to_files = f"^history=: .*{told.replace(' of history=', '')}" if "of h" in told else told
        with pytest.raises(Overflow, match=to_files.replace(" missing$", " missing")):
            fitted.transform_to(data, "out", history=history)


def test_rows_that_are_one_by_their_id_are_told_where_they_stand() -> None:
    plan = ff.Plan({"z": EIGHT_BITS.sum(over=WINDOW)}, row_id="id")
    past = GOOD.append_column("id", pa.array([10, 11, 12, 13]))
    late = LATE.append_column("id", pa.array([12, 20]))
    fitted = plan.fit(past, history="batch")
    with pytest.raises(Overflow, match=r"row 1 \(t=400\)"):
        fitted.transform(late, history=past)
    with pytest.raises(Overflow, match=r"row 1 of history= \(t=400\)"):
        fitted.transform(past.slice(0, 1), history=late)
