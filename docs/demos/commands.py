"""Commands of the demos: each runs one, prints its results, and exits with 1 if it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastfeat.apps.cli.reporting import DEBUG, Commands
from fastfeat.progress import show_progress

Folder = Annotated[Path, typer.Option("--dir", help="Output folder.")]
app = typer.Typer(
    cls=Commands,
    help="The demos that live beside the package.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error.")] = False,
) -> None:
    """Declare the option of all commands; `Commands` handles it."""


@app.command()
def train(folder: Folder = Path("demo")) -> None:
    """Train five models on features of the flights, beside Polars and scikit-learn."""
    from docs.demos.train import run
    from docs.demos.train_summary import print_trained

    with show_progress("Starting", at_once=True, is_event=True) as step:
        trained = run(folder, step)
    print_trained(trained)
    if not (trained.leaks.ok and trained.same_in_mlflow):
        raise typer.Exit(1)


@app.command()
def live(
    folder: Folder = Path("demo"),
    flights: Annotated[
        int | None, typer.Option(min=1_000, help="So many, the first ones; all without it.")
    ] = None,
) -> None:
    """Stream the flights through a worker that is killed three times, with a server beside it."""
    from docs.demos.live import run
    from docs.demos.live_summary import print_live

    with show_progress("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder / "live", step, flights)
    print_live(outcome)
    if not outcome.ok:
        raise typer.Exit(1)


@app.command()
def large(
    folder: Folder = Path("demo"),
    size: Annotated[
        str, typer.Option(metavar="BYTES", help="Of the rows that are made, in memory.")
    ] = "2GiB",
    memory: Annotated[
        str, typer.Option(metavar="BYTES", help="The limit of the process, which is enforced.")
    ] = "600MiB",
    engine: Annotated[
        str | None, typer.Option(help="ray or spark: the same on two workers, too.")
    ] = None,
) -> None:
    """Fit and write features of data larger than the memory that the process may have."""
    from docs.demos.large import ENGINES, run
    from docs.demos.large_summary import print_large

    if engine is not None and engine not in ENGINES:
        raise typer.BadParameter(f"got {engine!r}: ray or spark", param_hint="'--engine'")
    with show_progress("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder / "large", step, size, memory, engine)
    print_large(outcome)
    if not outcome.ok:
        raise typer.Exit(1)


@app.command()
def trust(
    folder: Folder = Path("demo"),
    every: Annotated[
        int, typer.Option(min=1, max=20, help="Takes each so many-th flight: a short run.")
    ] = 1,
) -> None:
    """Break flights in eleven ways, let a month drift, refit, and write a report of it."""
    from docs.demos.trust import run
    from docs.demos.trust_summary import print_trust

    with show_progress("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder / "trust", step, every=every)
    print_trust(outcome)
    if not outcome.ok:
        raise typer.Exit(1)
