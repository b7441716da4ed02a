"""`python -m bench`: check and time the workloads, and write JSON, Markdown and a chart."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import chart, console, markdown, results
from bench.runner import Options, run
from bench.workload import Workload
from bench.workloads import WORKLOADS


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help="a workload or a group; may be repeated; results are merged into those that exist",
    )  # fmt: skip
    parser.add_argument(
        "--smoke", action="store_true",
        help="small sizes, one sample each: compares outputs, times mean nothing",
    )  # fmt: skip
    parser.add_argument("--rows", type=int, help="instead of each workload's own number of rows")
    parser.add_argument("--repeats", type=int, default=9, help="samples of each (default 9)")
    parser.add_argument("--out", type=Path, help=f"folder of the results (default {_DEFAULT})")
    parser.add_argument("--list", action="store_true", help="print the workloads and stop")
    parser.add_argument(
        "--report", action="store_true", help="only render results.json again, measure nothing"
    )
    return parser.parse_args(arguments)


_DEFAULT = "bench/results; a new temporary folder with --smoke or --rows"


def selected(names: Sequence[str]) -> list[Workload]:
    """Return the workloads with the given names or groups; all workloads if there are none."""
    known = {name for workload in WORKLOADS for name in (workload.name, workload.group) if name}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [
        workload
        for workload in WORKLOADS
        if not names or workload.name in names or workload.group in names
    ]


def folder_for(options: argparse.Namespace) -> Path:
    """Return the folder for results; a partial run never writes beside the committed ones."""
    is_full = not options.smoke and options.rows is None
    if options.out is None:
        return results.FOLDER if is_full else Path(tempfile.mkdtemp(prefix="fastfeat-bench-"))
    if not is_full and options.out.resolve() == results.FOLDER.resolve():
        raise SystemExit("a run with --smoke or --rows does not overwrite the committed results")
    return options.out


def write(found: results.Results, folder: Path) -> None:
    """Write the results and the reports made from them."""
    reports = {"results.md": markdown.render(found), "results.svg": chart.render(found)}
    results.save(found, folder, reports)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 if a workload failed or its outputs differ."""
    options = parse(arguments)
    chosen = selected(options.only)
    if options.list:
        print("\n".join(f"{workload.name:28} {workload.title}" for workload in chosen))
        return 0
    folder = folder_for(options)
    found, order = results.load(folder), [workload.name for workload in WORKLOADS]
    if options.report:
        write(found, folder)
        return 0
    n_failed = 0
    for workload in chosen:
        if not workload.is_possible:
            print(f"{workload.name}: {workload.needs} is not installed, and it is not measured")
    chosen = [workload for workload in chosen if workload.is_possible]
    settings = Options(smoke=options.smoke, rows=options.rows, repeats=options.repeats)
    for entry in run(chosen, settings):
        print(console.render(entry), flush=True)
        n_failed += results.failed(entry) is not None
        found = results.merged(found, [entry], order)
        write(found, folder)
    print(f"{len(chosen) - n_failed} workloads measured, {n_failed} failed: {folder}")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
