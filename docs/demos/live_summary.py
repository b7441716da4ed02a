"""Results of the live demo, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from fastfeat.errors import counted

if TYPE_CHECKING:
    from docs.demos.live import Outcome
    from docs.demos.live_asking import Latency


def print_live(outcome: Outcome) -> None:
    """Print the results of stream, kills, comparison, asking and replay."""
    console = Console(highlight=False)
    same = "[bold]The same bits[/bold]" if outcome.ok else "[red]Not the same bits[/red]"
    console.print("\n[bold]A year of flights as a stream, each answered as it leaves[/bold]\n")
    console.print(Padding(_streamed(outcome), (0, 0, 1, 2), expand=False))
    console.print(f"{same}\n")
    console.print(Padding(_compared(outcome), (0, 0, 1, 2), expand=False))
    console.print("[bold]One row at a time[/bold]\n")
    console.print(Padding(_latencies(outcome), (0, 0, 1, 2), expand=False))


def _streamed(outcome: Outcome) -> Table:
    streamed, table = outcome.streamed, _grid()
    rate = outcome.n_flights / streamed.seconds
    table.add_row(
        "events",
        f"{outcome.n_flights:,} flights, {outcome.n_landings:,} landings and "
        f"{outcome.n_weather:,} hours of weather, of three topics",
    )
    table.add_row(
        "answered",
        f"{outcome.n_features} features each, in {streamed.seconds:.1f} s with all restarts: "
        f"{rate:,.0f} flights a second",
    )
    for number, kill in enumerate(streamed.kills, 1):
        table.add_row(
            f"kill -9, {number}",
            f"after offset {kill.answered - 1:,}; the next worker went on with {kill.went_on:,}",
        )
    table.add_row(
        "repeated", f"{counted(outcome.compared.n_repeated, 'answer')} came twice, by their offset"
    )
    table.add_row("store", f"{escape(outcome.stored.name)}: {outcome.stored.n_rows:,} planes")
    return table


def _compared(outcome: Outcome) -> Table:
    table, alone, stored = _grid(), outcome.alone, outcome.stored
    compared, audited = outcome.compared, outcome.audited
    table.add_row(
        "stream", f"{compared.n_rows:,} rows, {_bits(compared.n_bits)} differ from training"
    )
    n_asked = alone.in_process.n
    table.add_row(
        "server", f"{n_asked:,} rows, in process and over HTTP: {_bits(alone.n_bits)} differ"
    )
    table.add_row(
        "store",
        f"{stored.n_rows:,} planes, their last flight: {_bits(stored.n_bits)} differ, "
        f"{_time(stored.seconds)} a read",
    )
    table.add_row("replay", f"{escape(audited.told)} ({audited.seconds:.1f} s)")
    table.add_row("changed", escape(audited.changed))
    table.add_row("replay", escape(audited.found))
    return table


def _latencies(outcome: Outcome) -> Table:
    table = Table(box=None, padding=(0, 4, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("", style="cyan")
    for head in ("rows", "p50", "p99"):
        table.add_column(head, justify="right")
    _add_latency(table, "in process", outcome.alone.in_process)
    _add_latency(table, "over HTTP", outcome.alone.over_http)
    _add_latency(table, "over HTTP while the stream ran", outcome.streamed.meanwhile)
    return table


def _add_latency(table: Table, name: str, latency: Latency) -> None:
    table.add_row(name, f"{latency.n:,}", _time(latency.p50), _time(latency.p99))


def _bits(n_bits: int) -> str:
    return f"[green]{n_bits} bits[/green]" if n_bits == 0 else f"[red]{n_bits:,} bits[/red]"


def _grid() -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    return table


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"
