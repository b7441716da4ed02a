"""`fastfeat report`: write an HTML page about a fitted plan, optionally with new rows."""

from __future__ import annotations

from typing import Annotated

import typer

from fastfeat.apps.cli.command_options import ReportOptions
from fastfeat.apps.cli.contracts import parse_clock
from fastfeat.apps.cli.options import (
    FittedFile,
    with_options_of,
)
from fastfeat.progress import show_progress


@with_options_of(ReportOptions)
def report(
    fitted_file: FittedFile,
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Rows to compare with the training rows."),
    ] = None,
    *,
    options: ReportOptions,
) -> None:
    """Write an HTML report on a fitted plan, and on DATA compared with its training rows."""
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables

    with show_progress("Reading the fitted plan", at_once=True):
        fitted = load(fitted_file)
        made = fitted.report(
            data,
            options.out,
            title=options.title or fitted_file.name,
            history=options.history,
            tables=parse_tables(options.tables),
            memory=options.memory,
            clock=parse_clock(options.clock),
            thresholds=options.thresholds,
        )
    typer.echo(f"{options.out}: {made.verdict}")
