"""`python -m bench.live`: rows that arrive, answered with their past, beside solutions by hand.

Outputs are compared first. Contenders take turns. Each figure has wall time and the CPU time of all
threads of the process, since other work on the machine disturbs wall time. Parts that need a
server, or Valkey, start it on loopback and end it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import (
    environment,
    live_batches,
    live_callers,
    live_figures,
    live_memory,
    live_opening,
    live_rows,
    live_wire,
    units,
)
from bench.live_timing import Figure

FOLDER = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Amounts to measure.

    Args:
        n_entities: Entities in the state.
        n_rows_each: Rows of each entity, in the 7 days that the windows see.
        n_events: Events processed in micro-batches.
        n_calls: Calls for single rows, of each contender.
        n_requests: Requests over the wire, of each form.
        n_opened: Entities of a state that is opened from its file.
        memory_seconds: Seconds to watch the memory at full load; 0 for not at all.
    """

    n_entities: int
    n_rows_each: int
    n_events: int
    n_calls: int
    n_requests: int
    n_opened: int
    memory_seconds: float


FULL = Sizes(1_000, 200, 200_000, 2_000, 5_000, 1_000_000, 0.0)
SMOKE = Sizes(20, 30, 2_000, 20, 50, 500, 0.0)

PARTS: Mapping[str, Callable[[Any, Path], list[Figure]]] = {
    "rows": live_rows.measure,
    "plain": live_rows.measure_without_windows,
    "batches": live_batches.measure,
    "wire": live_wire.measure,
    "callers": live_callers.measure,
    "opening": live_opening.measure,
    "memory": live_memory.measure,
}
"""The measurements, by their name for `--only`."""


def measure(sizes: Sizes, parts: Sequence[str]) -> dict[str, Any]:
    """Return the results of a run, as plain data.

    Raises:
        OutputsDiffer: A contender computes another result.
    """
    figures: list[Figure] = []
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="fastfeat-bench-live-") as folder:
        for name in parts:
            figures += PARTS[name](sizes, Path(folder))
    return {
        "environment": environment.describe(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "figures": [figure.as_dict() for figure in figures],
    }


def render(found: Mapping[str, Any]) -> str:
    """Return the lines for the console."""
    loads = f"{found['load_before']:.1f} before and {found['load_after']:.1f} after"
    lines = [f"{found['environment']['cpu']}; load average {loads}"]
    group = None
    for figure in found["figures"]:
        if figure["group"] != group:
            group = figure["group"]
            lines += ["", group]
        told = figure["skipped"] or (
            f"{units.seconds(figure['p50_seconds']):>10} p50"
            f"{units.seconds(figure['p99_seconds']):>10} p99"
            f"{units.seconds(figure['cpu_seconds']):>10} CPU{_rate(figure)}{_target(figure)}"
            if figure["p50_seconds"]
            else f"{figure['note']}{_target(figure)}"
        )
        lines.append(f"  {figure['name']:44}{told}")
    return "\n".join(lines)


def _rate(figure: Mapping[str, Any]) -> str:
    if figure["n_rows"] == 1:
        return ""
    return f"  {units.three_digits(figure['n_rows'] / figure['p50_seconds'] / 1e3)} k rows/s"


def _target(figure: Mapping[str, Any]) -> str:
    if not figure["target"]:
        return ""
    return f"  target {figure['target']}: {'met' if figure['is_met'] else 'MISSED'}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="may be repeated")
    parser.add_argument(
        "--smoke",
        action="store_true",
        default=bool(os.environ.get("SMOKE")),
        help="small sizes: compares outputs, times mean nothing; SMOKE=1 is the same",
    )
    parser.add_argument(
        "--memory-minutes", type=float, default=0.0, help="watch the memory so long (default 0)"
    )
    parser.add_argument(
        "--out", type=Path, help=f"file of the results (default {FOLDER}/live.json)"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write the table of docs/speed.md again, and measure nothing",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 if a target is missed."""
    options = parse(arguments)
    if options.report:
        found = json.loads((FOLDER / "live.json").read_text("utf-8"))
        PAGE.write_text(live_figures.refreshed(PAGE.read_text("utf-8"), found), "utf-8")
        return 0
    chosen = SMOKE if options.smoke else FULL
    seconds = 60 * options.memory_minutes
    sizes = Sizes(
        **{name: getattr(chosen, name) for name in chosen.__slots__} | {"memory_seconds": seconds}
    )
    found = measure(sizes, options.only or list(PARTS))
    print(render(found))
    if not options.smoke and (options.out is not None or options.only is None):
        out = options.out or FOLDER / "live.json"
        out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    missed = [figure for figure in found["figures"] if figure["target"] and not figure["is_met"]]
    return 1 if missed and not options.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
