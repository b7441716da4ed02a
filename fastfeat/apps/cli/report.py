"""The command that writes an HTML report of a fitted plan, and of rows beside the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastfeat.apps.cli.contracts import time_of
from fastfeat.apps.cli.options import FittedFile, History, LookupTables, Memory, Thresholds
from fastfeat.progress import doing


def report(
    fitted_file: FittedFile,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="HTML", help="Where the page goes.")],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Rows to compare with those of training."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the page; else the file's name.")] = None,
    history: History = None,
    table: LookupTables = None,
    clock: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The time of the check, where rules read one: or now."),
    ] = None,
    thresholds: Thresholds = None,
    memory: Memory = None,
) -> None:
    """Write a page of a fitted plan, and of what is in DATA beside its training rows."""
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import tables_named

    with doing("Reading the fitted plan", at_once=True):
        fitted = load(fitted_file)
        made = fitted.report(
            data,
            out,
            title=title or fitted_file.name,
            history=history,
            tables=tables_named(table),
            memory=memory,
            clock=time_of(clock),
            thresholds=thresholds,
        )
    typer.echo(f"{out}: {made.verdict}")
