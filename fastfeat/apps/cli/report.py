"""`fastfeat report`: write an HTML page about a fitted plan, optionally with new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastfeat.apps.cli.contracts import parse_clock
from fastfeat.apps.cli.options import (
    FittedFile,
    History,
    LookupTablesOption,
    MemoryOption,
    Thresholds,
)
from fastfeat.progress import show_progress


def report(
    fitted_file: FittedFile,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="HTML", help="Output file for the page.")
    ],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Rows to compare with the training rows."),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the page. By default the file name.")
    ] = None,
    history: History = None,
    table: LookupTablesOption = None,
    clock: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help='Time of the check for rules that read the clock: ISO 8601, or "now".',
        ),
    ] = None,
    thresholds: Thresholds = None,
    memory: MemoryOption = None,
) -> None:
    """Write an HTML report on a fitted plan, and on DATA compared with its training rows."""
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables

    with show_progress("Reading the fitted plan", at_once=True):
        fitted = load(fitted_file)
        made = fitted.report(
            data,
            out,
            title=title or fitted_file.name,
            history=history,
            tables=parse_tables(table),
            memory=memory,
            clock=parse_clock(clock),
            thresholds=thresholds,
        )
    typer.echo(f"{out}: {made.verdict}")
