"""Commands of the demos: each runs one, prints what came of it, and ends with 1 where it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastfeat.progress import doing

Folder = Annotated[Path, typer.Option("--dir", help="Where the files go.")]


def demo(folder: Folder = Path("demo")) -> None:
    """Make features of 336,776 real flights, beside the same in pandas."""
    from fastfeat.apps.cli.summary import print_summary
    from fastfeat.demo.run import run

    with doing("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder, step)
    print_summary(outcome)
    if not outcome.report.ok:
        raise typer.Exit(1)


def demo_train(folder: Folder = Path("demo")) -> None:
    """Train five models on features of the flights, beside Polars and scikit-learn."""
    from fastfeat.apps.cli.summary import print_trained
    from fastfeat.demo.train import run

    with doing("Starting", at_once=True, is_event=True) as step:
        trained = run(folder, step)
    print_trained(trained)
    if not (trained.leaks.ok and trained.same_in_mlflow):
        raise typer.Exit(1)


def demo_live(
    folder: Folder = Path("demo"),
    flights: Annotated[
        int | None, typer.Option(min=1_000, help="So many, the first ones; all without it.")
    ] = None,
) -> None:
    """Stream the flights through a worker that is killed three times, with a server beside it."""
    from fastfeat.apps.cli.live_demo import print_live
    from fastfeat.demo.live import run

    with doing("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder / "live", step, flights)
    print_live(outcome)
    if not outcome.ok:
        raise typer.Exit(1)


def demo_large(
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
    from fastfeat.apps.cli.large_demo import print_large
    from fastfeat.demo.large import ENGINES, run

    if engine is not None and engine not in ENGINES:
        raise typer.BadParameter(f"got {engine!r}: ray or spark", param_hint="'--engine'")
    with doing("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder / "large", step, size, memory, engine)
    print_large(outcome)
    if not outcome.ok:
        raise typer.Exit(1)


def demo_trust(
    folder: Folder = Path("demo"),
    every: Annotated[
        int, typer.Option(min=1, max=20, help="Takes each so many-th flight: a short run.")
    ] = 1,
) -> None:
    """Break flights in eleven ways, let a month drift, refit, and write a report of it."""
    from fastfeat.apps.cli.trust_demo import print_trust
    from fastfeat.demo.trust import run

    with doing("Starting", at_once=True, is_event=True) as step:
        outcome = run(folder / "trust", step, every=every)
    print_trust(outcome)
    if not outcome.ok:
        raise typer.Exit(1)


DEMOS = (demo, demo_train, demo_live, demo_large, demo_trust)
"""In the order in which help lists them."""
