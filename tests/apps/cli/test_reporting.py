"""Commands that go wrong: one line, a hint, an exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastfeat.errors import BackendUnavailable
from fastfeat_tests.apps.cli.small_plan import Run
from fastfeat_tests.terminal import on_a_terminal

BROKEN_PLANS = {
    "1 / 0": "plan.py, line 2: ZeroDivisionError: division by zero",
    "plan = (": "plan.py, line 2: SyntaxError: '(' was never closed",
    "x = 1": "plan.py defines no `plan`",
    "plan = {}": "plan.py defines a `plan` of type dict",
}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("fit none.py data.parquet -o out", "no such file: none.py"),
        ("fit none.json data.parquet -o out", "no such file: none.json"),
        ("fit plan.py none.parquet -o out", "no such file: none.parquet"),
        ("fit plan.py data.parquet", "Missing option '-o' / '--out'."),
        ("fit plan.py data.parquet -o none/out", "none/out"),
        ("fit plan.py plan.py -o out", "plan.py"),
        ("transform plan.py data.parquet -o out.parquet", "plan.py"),
        ("transform none.fastfeat data.parquet -o out.parquet", "none.fastfeat"),
        ("explain plan.py --stage ptx", "'ptx'"),
        ("explain plan.py --stage cuda", "needs the column types"),
        ("explain plan.py --stage cpu", "needs the column types"),
        ("explain plan.py --stage bound", "needs the column types: add --data FILE"),
        ("explain data.parquet", "data.parquet"),
        ("verify none.fastfeat data.parquet", "none.fastfeat"),
        ("cache none", "No such command 'none'."),
        ("fitt", "No such command 'fitt'."),
    ],
)
def test_an_error_is_one_line_with_exit_code_2(run: Run, command: str, message: str) -> None:
    result = run(*command.split())
    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert result.stdout == ""


@pytest.mark.parametrize(("text", "message"), BROKEN_PLANS.items())
def test_a_broken_plan_file_names_its_line(run: Run, folder: Path, text: str, message: str) -> None:
    (folder / "plan.py").write_text(f"import math\n{text}\n")
    result = run("fit", "plan.py", "data.parquet", "-o", "out")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")


def test_a_missing_column_is_named(run: Run, folder: Path) -> None:
    (folder / "plan.py").write_text("from fastfeat import *\nplan = Plan({'y': col('none')})\n")
    result = run("fit", "plan.py", "data.parquet", "-o", "out")
    assert result.exit_code == 2
    assert "'none'" in result.stderr
    assert not (folder / "out").exists()


def test_an_unknown_backend_is_an_error(run: Run, folder: Path) -> None:
    result = run("fit", "plan.py", "data.parquet", "-o", "out", "--backend", "abacus")
    assert result.exit_code == 2
    assert "abacus" in result.stderr


def test_what_a_card_lacks_names_the_option_of_the_backend(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise BackendUnavailable(f"backend {name!r} needs a card, or use backend='cpu'")

    monkeypatch.setattr("fastfeat.learn.training_data.backend_named", refuse)
    result = run("fit", "plan.py", "data.parquet", "-o", "out", "--backend", "gpu")
    assert result.exit_code == 2
    assert result.stderr == "error: backend 'gpu' needs a card, or use --backend cpu\n"


def test_a_plan_without_rules_names_the_option_that_gives_it_some(run: Run) -> None:
    assert run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat").exit_code == 0
    result = run("check", "plan.fastfeat", "data.parquet")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: the plan has no contract. Fit it with one: fit PLAN.py DATA --contract RULES.json "
        "-o OUT. Or check by the rules alone: check RULES.json DATA\n"
    )


def test_a_failed_write_leaves_no_file(run: Run, folder: Path) -> None:
    assert run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat").exit_code == 0
    result = run("transform", "plan.fastfeat", "data.parquet", "-o", "out.xlsx")
    assert result.exit_code == 2
    assert "out.xlsx" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "data.parquet",
        "plan.fastfeat",
        "plan.py",
    ]


def test_a_pattern_that_the_shell_has_written_out_belongs_in_quotes(run: Run) -> None:
    result = run("infer-contract", "1.parquet", "2.parquet", "-o", "contract.json")
    told = "hint: to pass several files, put their pattern in quotes"
    assert result.stderr.splitlines()[1] == told


@pytest.mark.parametrize("place", [0, 4])
def test_debug_shows_the_traceback_wherever_it_stands(run: Run, place: int) -> None:
    args = ["fit", "none.py", "x", "-o", "y"]
    args.insert(place, "--debug")
    result = run(*args)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert "InvalidPlan" in result.stderr


def test_what_was_not_foreseen_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*args: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("fastfeat.apps.cli.plans.read_plan", explode)
    result = run("fit", "plan.py", "data.parquet", "-o", "y")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: RuntimeError: two lines",
        "hint: this error is unexpected; --debug shows its traceback",
    ]


def test_errors_are_red_unless_colour_is_unwanted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("fit", "none.py", "x", "-o", "y")
    assert "\x1b[31merror" in run(*args, color=True).stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(*args, color=True).stderr.startswith("error")


def test_an_interruption_exits_with_130(run: Run, folder: Path) -> None:
    (folder / "plan.py").write_text("raise KeyboardInterrupt\n")
    result = run("fit", "plan.py", "data.parquet", "-o", "out")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(run: Run, folder: Path) -> None:
    text = "import fastfeat as ff\nplan = ff.Plan({'y': (ff.col('x') * 0).standard_scale()})\n"
    (folder / "plan.py").write_text(text)
    result = run("fit", "plan.py", "data.parquet", "-o", "out")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ")
    assert len(result.stderr.splitlines()) == 1


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from fastfeat.apps.cli import main
sys.argv = ["fastfeat", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = {"numba", "llvmlite", "numpy", "pyarrow", "pandas", "polars"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "transform" in result.stdout


def test_without_typer_one_line_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['typer'] = None; from fastfeat.apps.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == "the command line needs typer: pip install 'fastfeat[cli]'\n"


def test_a_terminal_shows_progress(folder: Path) -> None:
    fitting = ("fit", "plan.py", "data.parquet", "-o", "out")
    seen = on_a_terminal("from fastfeat.apps.cli import main; main()", arguments=fitting)
    assert seen.code == 0, seen
    assert "Reading the plan" in seen.terminal
    assert seen.stdout.startswith("out: 3 features")
