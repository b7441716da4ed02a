"""Results of the trust demo, on one screen: the verdict first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table

from docs.demos.trust import ARTIFACT, REPORT, RULES
from fastfeat.apps.cli.demo_summary import program_command

if TYPE_CHECKING:
    from pathlib import Path

    from docs.demos.trust import Caught, Month, Outcome
    from fastfeat.trust.quality.changes.record import Diff

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red", "none": "dim"}
_MOST_TOLD, _BEFORE = 3, 30
"""Largest number of findings printed for one subject; characters of a line before them."""


def print_trust(outcome: Outcome) -> None:
    """Print the verdict of the report, and the findings for faults, a month, and a refit."""
    console, report = Console(highlight=False), outcome.report
    width = console.width - 2
    colour = _COLOURS[report.level]
    verdict = f"[bold {colour}]{escape(report.verdict)}[/]"
    told = f"{verdict}\n[dim]{escape(str(outcome.folder / REPORT))}[/dim]"
    title = "[bold]December, with Newark closed from the 10th, beside nine months[/bold]"
    console.print()
    console.print(Panel(told, title=title, padding=(1, 2)))
    learnt = f"{outcome.n_rules} rules and a profile, learnt from {outcome.n_learnt:,} flights"
    for heading, table in (
        (f"{_found(outcome)} [dim]{learnt}[/dim]", _faults(outcome.caught, width)),
        (
            "A month like any other, and one without Newark, each beside the month before",
            _months(outcome.quiet, outcome.changed, width),
        ),
        (
            "The same plan, fitted on eleven months instead of nine",
            _refits(outcome.refitted, outcome.kept, width),
        ),
    ):
        console.print(f"\n[bold]{heading}[/bold]\n")
        console.print(Padding(table, (0, 0, 0, 2), expand=False))
    console.print("\n[bold]Next[/bold]\n")
    for command in _commands(outcome.folder):
        console.print(f"  {command}", soft_wrap=True, markup=False)
    console.print(f"\n[dim]{outcome.seconds:.1f} s[/dim]")


def _found(outcome: Outcome) -> str:
    n_faults = len(outcome.caught)
    colour = "green" if outcome.n_found == n_faults else "red"
    return f"[{colour}]{outcome.n_found} of {n_faults} faults found in October:[/{colour}]"


def _faults(caught: Sequence[Caught], width: int) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    n_told = max(len(one.fault.told) for one in caught)
    table.add_column("done to the flights", style="cyan", no_wrap=True)
    table.add_column("found by, and in how many flights", no_wrap=True)
    for one in caught:
        by = "[green]contract[/green]" if one.rules else "[yellow]profile [/yellow]"
        told = _cut(one.first, width - n_told - 15)
        table.add_row(
            one.fault.told, f"{by}  {told}" if one.is_found else "[red]nothing found it[/red]"
        )
    return table


def _months(quiet: Month, changed: Month, width: int) -> Table:
    table = _grid()
    for name, month, before in (
        ("October", quiet, "September"),
        ("December", changed, "November"),
    ):
        broken, drift = month.check.broken, month.drift
        rules = _listed(broken, width) if broken else "[green]no rule broken[/green]"
        table.add_row(name, f"{month.n_flights:,} flights", rules)
        drifted = [drift[of] for of in (*drift.drifted, *drift.drifted_inputs)]
        told = _listed([f"{one.name}: {one.reason}" for one in drifted], width)
        quietly = "[green]nothing drifted[/green]"
        table.add_row("", f"since {before}", told if drifted else quietly)
    return table


def _refits(refitted: Diff, kept: Diff, width: int) -> Table:
    table = _grid()
    for name, found in (("fit", refitted), ("refit", kept)):
        colour = "red" if found.verdict == "major" else "green"
        first = [of for of in found.changes if of.verdict in ("major", "minor")]
        told = [f"{change.kind} {change.name!r}: {change.told}" for change in first]
        others = len(found.changes) - len(first)
        told += [f"{others} changes of what is learnt"] if others else []
        keeps = "\ncodes stay" if found is kept else ""
        table.add_row(name, f"[bold {colour}]{found.verdict}[/]{keeps}", _listed(told, width))
    return table


def _commands(folder: Path) -> list[str]:
    """Return commands that continue with the files of the demo."""
    program, december = program_command(), folder / "december.parquet"
    return [
        f"{program} check {folder / RULES} {december}",
        f"{program} drift {folder / ARTIFACT} {december}",
        f"{program} report {folder / ARTIFACT} {december} -o {folder / REPORT}",
    ]


def _listed(told: Sequence[str], width: int) -> str:
    """Return the first of some findings, a line each, and the number of further ones."""
    lines = [_cut(text, width - _BEFORE) for text in told[:_MOST_TOLD]]
    more = len(told) - len(lines)
    return "\n".join([*lines, *([f"[dim]and {more} more[/dim]"] if more > 0 else [])])


def _cut(text: str, width: int) -> str:
    """Return text shortened to the width of a line."""
    return escape(text if len(text) <= width else f"{text[: width - 3]}...")


def _grid() -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="cyan", no_wrap=True, width=8)
    table.add_column(no_wrap=True, width=15)
    table.add_column(no_wrap=True)
    return table
