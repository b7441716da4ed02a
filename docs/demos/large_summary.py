"""Results of the large demo, on one screen."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from docs.demos.large import ENGINES, Outcome, Run
from docs.demos.large_work import FITTED
from fastfeat.io.host_memory import as_bytes


def print_large(outcome: Outcome) -> None:
    """Print the memory, the speed, and whether the results are the same."""
    console = Console(highlight=False)
    size, limit = as_bytes(outcome.n_bytes), as_bytes(outcome.limit.n_bytes)
    console.print(f"\n[bold]Features of {size} of payments, by a process of {limit}[/bold]\n")
    for table in (_facts(outcome), _runs(outcome), _kept(outcome)):
        console.print(Padding(table, (0, 0, 1, 2), expand=False))


def _facts(outcome: Outcome) -> Table:
    first, table = outcome.first, Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    made = "made" if outcome.has_made else "kept from an earlier run"
    table.add_row("data", f"{outcome.n_rows:,} payments in Parquet files, {made}")
    how = f"enforced by {outcome.limit.how}" if outcome.limit.how else "measured, not enforced"
    table.add_row("limit", f"{as_bytes(outcome.limit.n_bytes)}, {how}")
    kernels = "with kernels compiled" if first.has_compiled else "kernels were kept"
    table.add_row(
        "first start",
        f"{outcome.first_seconds:.1f} s for the first file, {kernels}; "
        f"peak {as_bytes(first.peak)}. What follows is warm",
    )
    return table


def _runs(outcome: Outcome) -> Table:
    table = Table(box=None, padding=(0, 4, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("fit and features", style="cyan")
    names = [f"within {as_bytes(outcome.limit.n_bytes)}"]
    names += [] if outcome.engine is None else [f"{ENGINES[outcome.engine]}, two workers"]
    names += [] if outcome.in_memory is None else ["in memory"]
    for name in names:
        table.add_column(name, justify="right")
    for name, *cells in zip(
        _MEASURES, *(_cells(outcome, run) for run in outcome.runs), strict=True
    ):
        table.add_row(name, *cells)
    table.caption = _compared(outcome)
    table.caption_justify = "left"
    return table


def _cells(outcome: Outcome, run: Run) -> list[str]:
    measured = run.measured
    rates = [f"{total / measured.seconds:,.0f}" for total in (run.n_rows, outcome.n_bytes / 2**20)]
    seconds = f"{measured.seconds:.1f}"
    cpu = "" if run is outcome.on_engine else f"{measured.cpu_seconds:.1f}"
    peak = f"{as_bytes(measured.peak)}{' a worker' if run is outcome.on_engine else ''}"
    return [peak, seconds, cpu, *rates, measured.artifact[:_N_DIGITS], run.features]


def _compared(outcome: Outcome) -> str:
    if len(outcome.runs) == 1:
        return "all rows in memory have no room here: there is nothing to compare with"
    return "[green]the same bits[/green]" if outcome.is_same else "[red]other bits[/red]"


def _kept(outcome: Outcome) -> Table:
    folder, table = outcome.folder, Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_row(escape(str(folder / "rows")), "[dim]the payments, kept for the next run[/dim]")
    table.add_row(escape(str(folder / "plan.py")), "[dim]the plan: edit it[/dim]")
    table.add_row(escape(str(folder / FITTED)), "[dim]the fitted plan[/dim]")
    return table


_MEASURES = (
    "peak",
    "seconds",
    "CPU seconds",
    "rows a second",
    "MiB a second",
    "digest of plan",
    "of features",
)
_N_DIGITS = 16
