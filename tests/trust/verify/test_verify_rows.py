"""`verify(memory=)`: the rows that it takes of data larger than memory, and what it compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.cli.commands import app
from fastfeat.errors import InvalidConfig, InvalidData, OutOfMemory, UnknownColumn
from fastfeat.execute import pieces
from fastfeat.execute.call_rows import CallRows
from fastfeat.io.budget import Budget
from fastfeat.trust.verify import rows

ROOM = "8GiB"
PIECES = "all rows = pieces of the data"


def table(n_rows: int, begins: int = 0) -> pa.Table:
    random = np.random.default_rng(abs(begins))
    return pa.table(
        {
            "n": np.arange(n_rows),
            "t": begins + np.arange(n_rows),
            "card": random.integers(0, 40, n_rows),
            "shop": random.integers(0, 5, n_rows),
            "x": random.normal(size=n_rows),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder of three files of 1,000 rows in all."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for k, (first, n) in enumerate([(0, 500), (500, 1), (501, 499)]):
        pq.write_table(table(1000).slice(first, n), folder / f"{k}.parquet", row_group_size=130)
    return folder


OF_ROWS = ff.Plan({"log": col("x").abs().log1p(), "scaled": col("x").standard_scale()}, keep=["n"])
CARD = ff.window(100, by="card", time="t")
OF_CARDS = ff.Plan({"sum": col("x").sum(over=CARD), "n": ff.count(over=CARD)})
OF_SHOPS = ff.Plan(
    {
        "sum": col("x").sum(over=CARD),
        "shop": col("x").mean(over=ff.window(100, by="shop", time="t")).lag(1, over=CARD),
    }
)


def test_data_in_files_is_verified_in_pieces_too(files: Path) -> None:
    fitted = OF_ROWS.fit(files)
    report = fitted.verify(files, n_rows=50, memory=ROOM)
    assert report.ok, report
    whole = fitted.verify(files, n_rows=50)
    assert [check.name for check in report.checks] == [*(c.name for c in whole.checks), PIECES]
    assert [check.n_rows for check in report.checks] == [50, 1000, 1000, 1000, 50, 1000]
    readers: list[Any] = [
        lambda: iter([table(700), table(300)]),
        pa.RecordBatchReader.from_batches(table(1).schema, table(1000).to_batches(90)),
        table(1000),
        str(files / "*.parquet"),
    ]
    for data in readers:
        other = fitted.verify(data, n_rows=50, memory=ROOM)
        assert [check.n_rows for check in other.checks] == [50, 1000, 1000, 1000, 50, 1000]
        assert other.ok


def taken(plan: ff.Plan, data: Any, n_rows: int, history: Any = None) -> rows.VerifiedRows:
    fitted = plan.fit(table(1000), history="batch").record
    columns = [*fitted.declaration.row_columns, "n"]
    past = fitted.declaration.past_columns
    given = CallRows(data, history=history)
    return rows.rows_of_parts(fitted, given, columns, past, n_rows, Budget(1 << 33))


@pytest.mark.parametrize("n_rows", [1, 7, 60, 5000])
def test_a_sample_is_of_all_rows_and_the_first_have_room(
    n_rows: int, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 130)
    found = taken(OF_ROWS, files, n_rows)
    assert found.many["n"].to_pylist() == list(range(130))
    numbers = found.sample["n"].to_pylist()
    assert len(numbers) == min(n_rows, 1000)
    assert numbers == sorted(set(numbers))
    if n_rows > 1:
        steps = np.diff(numbers)
        assert numbers[0] == 0
        assert numbers[-1] + steps.max() >= 1000
        assert steps.max() <= 2 * steps.min() + 2


def test_entities_have_all_their_rows_and_their_history(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 400)
    before = table(600, begins=-600)
    found = taken(OF_CARDS, files, 50, before)
    cards = set(found.many["card"].to_pylist())
    assert 0 < len(cards) < 40
    for of, every in ((found.many, table(1000)), (found.earlier, before)):
        own = [card in cards for card in every["card"].to_pylist()]
        assert of["x"].equals(every["x"].filter(pa.array(own)))
    report = OF_CARDS.fit(files, history="batch").verify(
        files, history=lambda: iter([before]), n_rows=50, memory=ROOM
    )
    assert report.ok, report
    assert not any(check.skipped for check in report.checks)
    assert report.checks[-1].name == PIECES
    assert report.checks[-1].n_rows == found.many.num_rows


def test_without_a_key_in_common_the_first_rows_are_taken(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 300)
    found = taken(OF_SHOPS, files, 50)
    assert found.many["n"].to_pylist() == list(range(300))
    report = OF_SHOPS.fit(files, history="batch").verify(files, n_rows=30, memory=ROOM)
    assert report.ok, report


def test_a_path_that_differs_in_pieces_is_found(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = OF_ROWS.fit(files)
    of_all = pieces.FeaturePieces.of_all

    def wrong(self: Any, start: int = 0) -> Iterator[pa.Table]:
        for features in of_all(self, start):
            yield features.set_column(0, "log", pa.nulls(features.num_rows, pa.float64()))

    monkeypatch.setattr(pieces.FeaturePieces, "of_all", wrong)
    report = fitted.verify(files, n_rows=50, memory=ROOM)
    assert [check.name for check in report.checks if check.difference] == [PIECES]


def test_what_cannot_be_verified_is_told(files: Path) -> None:
    fitted = OF_ROWS.fit(files)
    with pytest.raises(OutOfMemory, match="Give memory="):
        fitted.verify(files, memory="1MiB")
    with pytest.raises(InvalidConfig, match="memory='some'"):
        fitted.verify(files, memory="some")
    with pytest.raises(UnknownColumn, match="the data lacks the column 'x', which the plan reads"):
        fitted.verify(table(9).drop_columns("x"), memory=ROOM)
    with pytest.raises(UnknownColumn, match=r"^history=.*lacks the column 'card'"):
        OF_CARDS.fit(files, history="batch").verify(
            files, history=table(9).drop_columns("card"), memory=ROOM
        )
    with pytest.raises(InvalidData, match="no rows, so there is nothing to verify"):
        fitted.verify(table(0), memory=ROOM)


def test_the_command_takes_a_data_set_and_a_budget(files: Path, tmp_path: Path) -> None:
    OF_ROWS.fit(files).save(tmp_path / "fitted")
    command = ["verify", str(tmp_path / "fitted"), str(files), "--rows", "20"]
    result = CliRunner().invoke(app, [*command, "--memory", ROOM])
    assert result.exit_code == 0, result.output
    assert f"ok   {PIECES} (1,000 rows)" in result.stdout
    result = CliRunner().invoke(app, [*command, "--memory", "1MiB"])
    assert result.exit_code == 3  # the command is well written: this process is too large
    assert "error: --memory 1 MiB is too small: processing even a few" in result.stderr
