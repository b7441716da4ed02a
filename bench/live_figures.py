"""The table of live figures in docs/speed.md, written from the committed results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import units

BEGIN, END = "<!-- live figures: written by", "<!-- live figures: end -->"


def table(found: Mapping[str, Any]) -> str:
    """Return the figures as a Markdown table, with the machine's other load."""
    lines = ["| | p50 | p99 | CPU | |", "|---|---:|---:|---:|---|"]
    group = None
    for figure in found["figures"]:
        if figure["skipped"]:
            continue
        if figure["group"] != group:
            group = figure["group"]
            lines.append(f"| *{group}* | | | | |")
        lines.append(f"| {figure['name']} | {_times(figure)} | {_judged(figure)} |")
    machine = found["environment"]
    loads = f"{found['load_before']:.0f} to {found['load_after']:.0f}"
    lines += [
        "",
        f"On {machine['cpu']}, {machine['cores']} cores, of which other work had its share (load "
        f"average {loads}): CPU is the time that a call takes there, of all threads. "
        "`make bench-live` measures it on your machine.",
    ]
    return "\n".join(lines)


def _times(figure: Mapping[str, Any]) -> str:
    if not figure["p50_seconds"]:
        return f"{figure['note']} | | "
    cpu = units.seconds(figure["cpu_seconds"]) if figure["cpu_seconds"] else ""
    return (
        f"{units.seconds(figure['p50_seconds'])} | {units.seconds(figure['p99_seconds'])} | {cpu}"
    )


def _judged(figure: Mapping[str, Any]) -> str:
    told: list[str] = []
    if figure["n_rows"] > 1 and figure["cpu_seconds"]:
        rate = figure["n_rows"] / figure["p50_seconds"] / 1e3
        told.append(f"{units.three_digits(rate)}k rows/s")
    if figure["target"]:
        told.append(f"{figure['target']}: {'met' if figure['is_met'] else 'missed'}")
    return "; ".join(told)


def refreshed(text: str, found: Mapping[str, Any]) -> str:
    """Return the text of the page with the figures of some results."""
    before, _, rest = text.partition(BEGIN)
    how, _, rest = rest.partition("\n")
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{how}\n\n{table(found)}\n\n{END}{after}"
