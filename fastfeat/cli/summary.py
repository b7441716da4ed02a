"""What the demo did, on one screen."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastfeat.demo.run import TOLERANCE, Outcome


def print_summary(outcome: Outcome) -> None:
    """Print what was done, how fast, where the files are, and what to try next."""
    console = Console(highlight=False)
    console.print("\n[bold]A flight has just left New York. Will it land 15 minutes late?[/bold]\n")
    console.print(_facts(outcome))
    console.print("\n[bold]Beside pandas[/bold], values compared first\n")
    console.print(_timings(outcome))
    console.print("\n[bold]Files[/bold]\n")
    console.print(_files(outcome))
    console.print("\n[bold]Next[/bold]\n")
    console.print(_next(outcome), soft_wrap=True, markup=False)


def _facts(outcome: Outcome) -> Table:
    n_new = outcome.n_flights - outcome.n_training
    report = outcome.report
    facts = {
        "data": f"{outcome.n_flights:,} flights of 2013; {outcome.n_missing:,} never left",
        "learnt": f"from {outcome.n_training:,} flights, January to October",
        "computed": f"{outcome.n_features} features of {n_new:,} flights, November and December",
        "first run": f"{_time(outcome.first_seconds)}, compiling included where no kernel was kept",
        "verified": "[green]the same bits[/green] in every way of computing"
        if report.ok
        else f"[red]{escape(str(report))}[/red]",
    }
    table = _grid()
    for name, fact in facts.items():
        table.add_row(name, fact)
    return table


def _timings(outcome: Outcome) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 2), header_style="dim")
    table.add_column("")
    for head in ("fastfeat", "pandas", "", "rows a second"):
        table.add_column(head, justify="right")
    works = {
        "fit, ten months": (outcome.ours.fit, outcome.pandas.fit, outcome.n_training),
        "transform, the year": (
            outcome.ours.transform,
            outcome.pandas.transform,
            outcome.n_flights,
        ),
    }
    for work, (ours, theirs, n_rows) in works.items():
        ratio = f"[green]{theirs / ours:.1f}x[/green]"
        table.add_row(work, _time(ours), _time(theirs), ratio, f"{n_rows / ours / 1e6:.1f} M")
    table.caption = f"medians; floats agree within {TOLERANCE:g}, all else exactly"
    table.caption_justify = "left"
    return table


def _files(outcome: Outcome) -> Table:
    files = {
        "flights.fastfeat": "the fitted plan: load it where you serve",
        "features.parquet": "the features of November and December",
        "plan.py": "the plan: edit it",
        "train.parquet": "January to October",
        "test.parquet": "November and December",
    }
    table = _grid()
    for name, meaning in files.items():
        table.add_row(escape(str(outcome.folder / name)), f"[dim]{meaning}[/dim]")
    return table


def _next(outcome: Outcome) -> str:
    folder = outcome.folder
    commands = [
        f"fastfeat explain {folder}/flights.fastfeat --stage cpu",
        f"fastfeat fit {folder}/plan.py {folder}/train.parquet -o {folder}/mine.fastfeat",
        f"fastfeat transform {folder}/mine.fastfeat {folder}/test.parquet -o {folder}/mine.parquet",
        f"fastfeat verify {folder}/mine.fastfeat {folder}/test.parquet",
    ]
    return "\n".join(f"  {command}" for command in commands)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
