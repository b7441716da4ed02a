"""The README is true: its code and commands run, its figures are those of the benchmark."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import fastfeat as ff
import fastfeat.demo.plan
from fastfeat.backends.gpu.gcc import find_compiler
from fastfeat.cli.commands import app
from fastfeat.demo.flights import read_flights, read_weather, split
from fastfeat.errors import BackendUnavailable, Leakage
from fastfeat.operators import OPERATORS
from fastfeat.operators.operator import Operator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def has_compiler() -> bool:
    """Whether the emulated backend can run here."""
    try:
        find_compiler()
    except BackendUnavailable:
        return False
    return True


@pytest.fixture
def demo_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a hundredth of what the demo leaves in demo/."""
    flights = read_flights()
    thinned = flights.take(pa.array(range(0, flights.num_rows, 100)))
    folder = tmp_path / "demo"
    folder.mkdir()
    tables = *split(thinned), read_weather()
    for name, table in zip(("train", "test", "weather"), tables, strict=True):
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "plan.py").write_text(Path(fastfeat.demo.plan.__file__).read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*too few values in the training data")
@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsWithoutLabel")  # flights that never left
def test_every_python_block_runs(demo_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[str] = blocks("python")
    names: dict[str, Any] = {"__name__": "readme"}
    assert len(found) >= 4
    for block in found:
        if '"emulated"' in block and not has_compiler():
            continue
        exec(compile(block, "README.md", "exec"), names)
    assert "air_time" in capsys.readouterr().out  # what the leak says
    _check_operator(names["OPERATORS"]["center"])


@pytest.mark.large
@pytest.mark.filterwarnings("ignore")
def test_the_blocks_of_large_libraries_run(demo_folder: Path) -> None:
    for library in ("torch", "xgboost", "lightgbm", "catboost", "mlflow"):
        pytest.importorskip(library)
    every = re.findall(r"^```py(?:thon)?\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (last,) = (k for k, block in enumerate(every) if block in blocks("py"))
    names: dict[str, Any] = {"__name__": "readme"}
    for block in every[: last + 1]:
        exec(compile(block, "README.md", "exec"), names)
    assert names["batch"]["codes"].shape[1] == 1
    assert (demo_folder / "late_flights").is_dir()


def _check_operator(operator: Operator) -> None:
    """Check the operator of the README against its reference."""
    for train in ([0.1, 0.2, None, 7.0], [None, None]):
        rows = [1.1, None, -3.0]
        fitted = ff.Plan({"y": operator.define(ff.col("x"))}).fit({"x": pa.array(train, "double")})
        found = fitted.transform({"x": rows})["y"].to_pylist()
        assert found == operator.reference((train,), (rows,))


def test_every_fastfeat_command_runs(demo_folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("fastfeat ")]
    assert len(commands) >= 4
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}: {result.output}"


def test_every_make_target_exists() -> None:
    rules = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)
    assert {"demo", "test"} <= set(named) <= set(rules)


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_operator_is_named() -> None:
    words = set(re.findall(r"[a-z_0-9]+", README))
    assert [name for name in OPERATORS if name.rpartition(".")[2] not in words] == []


def test_every_function_of_a_row_that_is_named_exists() -> None:
    section = README.partition("## What a row computes")[2].partition("##")[0]
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", section, re.MULTILINE)
    assert len(rows) >= 6
    for title, names in rows:
        of = ff.col("x").list if title == "`.list`" else ff.col("x")
        for name in names.split():
            assert hasattr(*((ff, name[3:]) if name.startswith("ff.") else (of, name))), name


def test_the_picture_of_a_window_shows_the_rows_that_belong() -> None:
    (picture,) = [block for block in blocks("text") if "t' = t - offset" in block]
    line, marks = picture.splitlines()[:2]
    places = {name: line.index(f" {name} ") + 1 for name in "abcde"}
    begins, row = places["b"], marks.index("◉")
    assert [marks[place] for place in places.values()] == ["●"] * 5
    offset = row - places["e"]
    shown = [line for line in picture.splitlines() if "closed=" in line]
    assert len(shown) == 4
    for line in shown:
        closed: Any = line.split('"')[1]
        window = ff.window(row - offset - begins, time="t", offset=offset, closed=closed)
        rows = {"t": [*places.values(), row], "bit": [1, 2, 4, 8, 16, 0]}
        plan = ff.Plan({"seen": ff.col("bit").sum(over=window)})
        seen = plan.fit_transform(rows)[1]["seen"].to_pylist()[-1]
        drawn = [name for name, place in places.items() if line[place : place + 1] == name]
        assert seen == sum(1 << "abcde".index(name) for name in drawn), closed


def test_the_table_of_leaks_says_what_builds() -> None:
    section = README.partition("**Leakage.**")[2].partition("\n\n| with")[2].partition("\n\n")[0]
    rows = [line.split(" | ") for line in section.splitlines()[2:]]
    assert len(rows) == 10
    week = ff.window("7d", by="card", time="t")
    names = {"ff": ff, "col": ff.col, "week": week, "plane": ff.window(by="card", time="t")}
    names |= {name: ff.col(name) for name in ("x", "y", "carrier")}
    for codes, told in rows:
        options: dict[str, Any] = dict(re.findall(r'`(label_delay)="(\w+)"`', codes))
        for feature in re.findall(r"`(\w+\.[^`]+)`", codes):
            if told.endswith("builds |"):
                ff.Plan({"f": eval(feature, names)}, label="y", **options)
            else:
                assert "refused" in told
                with pytest.raises(Leakage):
                    ff.Plan({"f": eval(feature, names)}, label="y", **options)


def test_benchmark_section_is_that_of_the_committed_results() -> None:
    from bench import readme, results

    assert readme.refreshed(README, results.load(results.FOLDER)) == README


def test_benchmark_section_is_written_between_its_marks() -> None:
    from bench import readme

    entry = {
        "name": "w", "group": "w", "title": "twelve features", "rows": 1000, "threads": 2,
        "machine": {"cpu": "a CPU", "versions": {"polars": "1"}},
        "contenders": {
            "fastfeat": {"library": "fastfeat", "by_hand": False, "median_seconds": 0.001},
            "polars lazy": {"library": "polars", "by_hand": False, "median_seconds": 0.004},
            "pandas": {"library": "pandas", "by_hand": False, "median_seconds": 0.01},
        },
    }  # fmt: skip
    found = {"format": 1, "workloads": {"w": entry}}
    text = f"before\n{readme.BEGIN} how -->\nold\n{readme.END}\nafter\n"
    new = readme.refreshed(text, found)
    row = "| twelve features | 1,000 | 1.00 ms | 4.00 ms (polars lazy) | **4.00×** | 10.0× |"
    assert row in new.splitlines()
    assert "old" not in new
    assert new.startswith(f"before\n{readme.BEGIN} how -->\n")
    assert new.endswith(f"{readme.END}\nafter\n")
    assert readme.refreshed(new, found) == new
