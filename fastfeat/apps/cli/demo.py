"""The command of the demo: runs it, prints what came of it, and ends with 1 where it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastfeat.progress import doing


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Where the files go.")] = Path("demo"),
) -> None:
    """Make features of 336,776 real flights, beside the same in pandas."""
    from fastfeat.apps.cli.summary import print_summary
    from fastfeat.demo.run import run

    with doing("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder, step)
    print_summary(outcome)
    if not outcome.report.ok:
        raise typer.Exit(1)
