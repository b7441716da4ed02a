"""The printed results of `fastfeat demo`, on one screen."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fastfeat.demo.run import TOLERANCE, DemoOutcome


def print_summary(outcome: DemoOutcome) -> None:
    """Print the results, times, file locations, and commands to try next."""
    console = Console(highlight=False)
    console.print("\n[bold]A flight has just left New York. Will it land 15 minutes late?[/bold]\n")
    for title, table in {
        "": _facts(outcome),
        "The same bits" if outcome.report.ok else "[red]Not the same bits[/red]": _checks(outcome),
        "Compared with pandas": _timings(outcome),
        "Files": _files(outcome),
    }.items():
        if title:
            console.print(f"\n[bold]{title}[/bold]\n")
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print("\n[bold]Next[/bold]\n")
    for command in _commands(str(outcome.folder)):
        console.print(f"  {command}", soft_wrap=True, markup=False)
    console.print()


def _facts(outcome: DemoOutcome) -> Table:
    n_new = outcome.n_flights - outcome.n_training
    how = (
        "kernels were compiled, and cached for the next run"
        if outcome.has_compiled
        else "kernels were in the cache"
    )
    table = _grid()
    table.add_row(
        "data", f"{outcome.n_flights:,} flights of 2013; {outcome.n_missing:,} never left"
    )
    table.add_row("learnt", f"from {outcome.n_training:,} flights, January to October")
    table.add_row(
        "computed", f"{outcome.n_features} features of {n_new:,} flights, November and December,"
    )
    table.add_row("", "nine of them from the plane's last week and the weather")
    table.add_row("first run", f"{_time(outcome.first_seconds)}; {how}")
    return table


def _checks(outcome: DemoOutcome) -> Table:
    table = _grid()
    for check in outcome.report.checks:
        mark = "[green]ok[/green]" if check.difference is None else "[red]differs[/red]"
        detail = escape(check.difference or check.skipped)
        mark = "[dim]not compared:[/dim]" if check.skipped else mark
        table.add_row(check.name, f"{check.n_rows:,} flights", f"{mark} {detail}")
    return table


def _timings(outcome: DemoOutcome) -> Table:
    ours, theirs = outcome.ours, outcome.pandas
    table = Table(box=None, padding=(0, 4, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", style="cyan")
    for head in ("fastfeat", "pandas", "", "rows per second"):
        table.add_column(head, justify="right")
    _add_timing(table, "fit ten months", ours.fit, theirs.fit, outcome.n_training)
    _add_timing(table, "transform the year", ours.transform, theirs.transform, outcome.n_flights)
    table.caption = f"medians; floats agree within {TOLERANCE:g}, everything else exactly"
    table.caption_justify = "left"
    return table


def _add_timing(table: Table, work: str, ours: float, theirs: float, n_rows: int) -> None:
    ratio = Text(f"{theirs / ours:.1f}x", style="bold green" if ours < theirs else "bold red")
    table.add_row(work, _time(ours), _time(theirs), ratio, f"{n_rows / ours / 1e6:.1f} M")


def _files(outcome: DemoOutcome) -> Table:
    files = {
        "flights.fastfeat": "the fitted plan: load it where you serve",
        "features.parquet": "the features of November and December",
        "plan.py": "the plan: edit it",
        "train.parquet": "the flights of January to October",
        "test.parquet": "the flights of November and December",
        "weather.parquet": "the weather of each airport and hour",
    }
    table = _grid()
    for name, meaning in files.items():
        table.add_row(escape(str(outcome.folder / name)), f"[dim]{meaning}[/dim]")
    return table


def _commands(folder: str) -> list[str]:
    """Return command lines that the user can try next on the files of the demo."""
    program = program_command()
    mine, train, test = (f"{folder}/{name}" for name in ("mine", "train.parquet", "test.parquet"))
    weather = f"--table weather={folder}/weather.parquet"
    beside = f"--history {train} {weather}"
    return [
        f"{program} explain {folder}/flights.fastfeat --stage leakage",
        f"{program} fit {folder}/plan.py {train} {weather} -o {mine}.fastfeat",
        f"{program} transform {mine}.fastfeat {test} {beside} -o {mine}.parquet",
        f"{program} verify {mine}.fastfeat {test} {beside}",
    ]


def program_command() -> str:
    """Return the command line that runs this program: by name, by path, or as a Python module."""
    if shutil.which("fastfeat"):
        return "fastfeat"
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return f"{sys.executable} -m fastfeat" if is_module else sys.argv[0]


def _grid() -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
