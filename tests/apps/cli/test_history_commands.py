"""Commands of plans with windows: earlier rows and tables come from files, as in the library."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat_tests.apps.cli.small_plan import Run

PLAN = """
import fastfeat as ff
from fastfeat import col

week = ff.window("7d", by="card", time="t")
rates = ff.asof("rates", time="t", tolerance="3d")
plan = ff.Plan(
    {
        "spent": col("x").sum(over=week),
        "late": col("y").mean(over=week),
        "rate": rates.col("rate"),
    },
    label="y",
)
"""
DAY = 86_400
TABLE = pa.table(
    {
        "t": pa.array([day * DAY for day in range(40)], pa.timestamp("s")),
        "card": ["ab"[day % 2] for day in range(40)],
        "x": [float(day) for day in range(40)],
        "y": [day % 3 for day in range(40)],
    }
)
RATES = pa.table({"t": pa.array([30 * DAY], pa.timestamp("s")), "rate": [1.5]})
TABLES = ("--table", "rates=rates.parquet")
EARLIER, LATER = TABLE.slice(0, 30), TABLE.slice(30)


@pytest.fixture
def files(run: Run, folder: Path) -> Path:
    """Return the folder, with a fitted plan, earlier and later rows, and a table."""
    (folder / "history.py").write_text(PLAN)
    for name, table in {"earlier": EARLIER, "later": LATER, "all": TABLE, "rates": RATES}.items():
        pq.write_table(table, folder / f"{name}.parquet")
    result = run("fit", "history.py", "earlier.parquet", "-o", "fitted", *TABLES)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return folder


def test_transform_sees_the_history(run: Run, files: Path) -> None:
    options = (*TABLES, "-o", "out.parquet")
    result = run("transform", "fitted", "later.parquet", "--history", "earlier.parquet", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    fitted, tables = ff.load(files / "fitted"), {"rates": RATES}
    expected = fitted.transform(LATER, history=EARLIER, tables=tables)
    assert pq.read_table(files / "out.parquet").equals(expected)
    assert expected["late"].null_count == 0
    whole = run("transform", "fitted", "all.parquet", "--history", "batch", *options)
    assert (whole.exit_code, whole.stderr) == (0, "")
    assert pq.read_table(files / "out.parquet").slice(30).equals(expected)


@pytest.mark.filterwarnings("default::fastfeat.errors.HistoryMissing")
def test_transform_without_history_warns(run: Run, files: Path) -> None:
    result = run("transform", "fitted", "later.parquet", *TABLES, "-o", "out.parquet")
    assert result.exit_code == 0
    assert "warning: windows begin before the data: 7 rows of" in result.stderr
    assert (
        "Pass the earlier rows, --history FILE, or --history batch if the data has them already"
        in result.stderr
    )


def test_fit_and_verify_see_the_history(run: Run, files: Path) -> None:
    history = ("--history", "earlier.parquet")
    fit = run("fit", "history.py", "later.parquet", *history, *TABLES, "-o", "late")
    assert fit.exit_code == 0, fit.stderr
    verify = run("verify", "fitted", "later.parquet", *history, *TABLES)
    assert verify.exit_code == 0, verify.output
    report = ff.load(files / "fitted").verify(LATER, history=EARLIER, tables={"rates": RATES})
    assert verify.stdout == f"{report}\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--history", "nowhere.parquet", *TABLES], "nowhere.parquet"),
        (["--history", "rates.parquet", *TABLES], "error: --history: the data lacks the columns"),
        (["--history", "later.parquet", *TABLES], "error: --history, row 0: col('t') = "),
        (["--history", "Batch", *TABLES], "--history: no such file: Batch. Did you mean 'batch'?"),
        (
            ["--history", "batch"],
            "the plan reads the table 'rates', which no --table names. Pass it with the data: "
            "--table rates=FILE",
        ),
        (["--history", "batch", "--table", "rate=rates.parquet"], "Did you mean 'rate'? Pass it"),
        (["--history", "batch", "--table", "rates"], "write NAME=FILE"),
        (["--history", "batch", *TABLES, "--table", "rates=x.parquet"], "'rates' is given twice"),
        (["--history", "batch", "--table", "rates=nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_what_lacks_beside_the_data_is_named(
    run: Run, files: Path, options: list[str], told: str
) -> None:
    data = "all.parquet" if "batch" in options else "earlier.parquet"
    result = run("transform", "fitted", data, *options, "-o", "out.parquet")
    assert result.exit_code == 2
    assert told in result.stderr
    assert "history=" not in result.stderr
    assert "tables=" not in result.stderr
    assert not (files / "out.parquet").exists()


AHEAD = """
import fastfeat as ff
from fastfeat import col

paid = ff.ahead("5d", by="card", time="t", table="payments")
plan = ff.Plan({"x": col("x").standard_scale()}, label={"paid": col("sum").sum(over=paid)})
"""


@pytest.mark.filterwarnings("default::fastfeat.errors.RowsWithoutLabel")
def test_fit_reads_the_table_that_a_label_looks_ahead_in(run: Run, folder: Path) -> None:
    days = pa.array([day * DAY for day in (3, 20)], pa.timestamp("s"))
    payments = pa.table({"t": days, "card": ["a", "b"], "sum": [1.5, 2.5]})
    (folder / "ahead.py").write_text(AHEAD)
    pq.write_table(TABLE, folder / "all.parquet")
    pq.write_table(payments, folder / "payments.parquet")
    result = run(
        "fit", "ahead.py", "all.parquet", "-o", "fitted", "--table", "payments=payments.parquet"
    )
    assert result.exit_code == 0, result.stderr
    assert "fitted on 16 rows" in result.stdout
    assert "warning: 24 of 40 training rows have no label" in result.stderr
    assert ff.load(folder / "fitted").label(TABLE, tables={"payments": payments})[0].as_py() == 1.5
    assert run("transform", "fitted", "all.parquet", "-o", "out.parquet").exit_code == 0
    lacking = run("fit", "ahead.py", "all.parquet", "-o", "fitted")
    assert lacking.exit_code != 0
    assert "payments" in lacking.stderr
