"""Results of the training demo, on one screen."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

if TYPE_CHECKING:
    from docs.demos.train import Compared, Trained


def print_trained(trained: Trained) -> None:
    """Print how well models learn from both features, the times, and the results of other tests."""
    console = Console(highlight=False)
    leaks, n_mlflow = trained.leaks, f"{trained.n_mlflow:,} flights"
    same = "[green]the same bits[/green]" if trained.same_in_mlflow else "[red]other bits[/red]"
    console.print("\n[bold]Will a flight land 15 minutes late? Five models learn it[/bold]\n")
    console.print(
        f"  {trained.n_folds} folds in the order of time, {trained.n_rows:,} flights tested; "
        f"{trained.n_purged:,} training rows left out,\n"
        "  since what became of them was not known when the tested flights began\n",
        soft_wrap=True,
    )
    for table in (_features(trained), _models(trained)):
        console.print(Padding(table, (0, 0, 1, 2), expand=False))
    console.print("[bold]Leaks[/bold]\n")
    console.print(indent(f"{leaks}\n", "  "), markup=False, soft_wrap=True)
    console.print("[bold]MLflow[/bold]\n")
    console.print(f"  plan and XGBoost loaded in another process: {same} for {n_mlflow}\n")


def _features(trained: Trained) -> Table:
    table = _table("", "fastfeat", "Polars and scikit-learn", "")
    table.add_row("features of all folds", *_beside(trained.features, trained.features_in_polars))
    return table


def _models(trained: Trained) -> Table:
    table = _table("model", "AUC", "theirs", "hand-over", "theirs", "training", "theirs")
    for model in trained.models:
        table.add_row(model.name, *_cells(model))
    return table


def _cells(model: Compared) -> list[str]:
    ours, theirs = model.ours, model.theirs
    areas = [f"{ours.area:.4f}", f"{theirs.area:.4f}"]
    seconds = (ours.handed, theirs.handed, ours.trained, theirs.trained)
    return [*areas, *(f"{of:.2f} s" for of in seconds)]


def _beside(ours: float, theirs: float) -> list[str]:
    return [f"{ours:.2f} s", f"{theirs:.2f} s", f"{theirs / ours:.1f}x"]


def _table(first: str, *heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, style="cyan")
    for head in heads:
        table.add_column(head, justify="right")
    return table
