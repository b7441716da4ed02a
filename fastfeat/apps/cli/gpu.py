"""`fastfeat gpu`: checks that the GPU gives the promised bits, and measures its speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from fastfeat.apps.cli.command_options import GpuCheckOptions
from fastfeat.apps.cli.options import with_options_of
from fastfeat.errors import counted
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.selfcheck.check import SelfCheckReport

app = typer.Typer(help="Check the GPU of this machine.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Make `fastfeat gpu` a group of commands; typer would merge a group with its only command."""


@app.command()
@with_options_of(GpuCheckOptions)
def check(*, options: GpuCheckOptions) -> None:
    """Check that the GPU computes the expected bits, and measure its speed.

    The exit code is 1 if a bit differs.
    """
    from fastfeat.trust.selfcheck.check import check as check_contract

    # fail early: a check takes minutes
    if options.out is not None and not options.out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {options.out.parent}", param_hint="--out")
    with show_progress("Looking for a GPU", at_once=True) as step:
        report = check_contract(options.backend, step, n_rows=options.rows)
    _print(report)
    if options.out is not None:
        options.out.write_text(report.to_json(), "utf-8")
        typer.echo(f"{options.out}: the report")
    if not report.ok:
        raise typer.Exit(1)


def _print(report: SelfCheckReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fastfeat.trust.selfcheck.check import MOST_SHOWN

    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for title in ("plan", "features", "seconds", "bits"):
        table.add_column(title, justify="right" if title in ("features", "seconds") else "left")
    for plan in report.plans:
        n = len(plan.differences)
        result = f"[red]{n} differ[/red]" if n else "[green]as expected[/green]"
        table.add_row(plan.name, f"{plan.n_features}", f"{plan.seconds:.2f}", result)
        for difference in plan.differences[:MOST_SHOWN]:
            table.add_row("", "", "", escape(difference))
    console.print(f"{report.device} (backend {report.backend!r}), {counted(report.n_rows, 'row')}")
    console.print(table)
    speed = report.bandwidth
    if speed is not None:
        console.print(
            f"12 features of {speed.n_rows:,} rows on the device: "
            f"{speed.rows_per_second / 1e9:.3g} G rows/s, {speed.share_of_copy:.0%} of a copy's "
            "speed "
            f"({speed.copy_bytes_per_second / 1e9:,.0f} GB/s)"
        )
        if speed.difference is not None:
            console.print(f"[red]differs from the CPU: {escape(speed.difference)}[/red]")
    n_features = sum(plan.n_features for plan in report.plans)
    verdict = "[green]ok[/green]" if report.ok else "[red]bits differ[/red]"
    console.print(f"{verdict}: {n_features:,} features compared with the golden digests")
