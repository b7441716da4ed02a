"""`fastfeat bench`: time a plan, and the same features written in pandas and Polars.

Each contestant (fastfeat, pandas or Polars) runs in its own process; see `contestant`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from fastfeat_kernels.records import dataclass

from fastfeat.apps.cli.command_options import BenchOptions
from fastfeat.apps.cli.contestant import STAGES, BenchRequest, StageTimes
from fastfeat.apps.cli.options import AnyPlanFile, JudgedDataFile, with_options_of
from fastfeat.errors import InvalidPlan, counted
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan
    from fastfeat.tell.peers.agreement import Agreement
    from fastfeat.tell.peers.code_writer import ExportRefusal

_DIFFERS = 1
"""Exit code if outputs differ."""


@dataclass(slots=True)
class BenchPeer:
    """A library compared with fastfeat (pandas or Polars): its agreement, and the times of both.

    Args:
        name: "pandas" or "polars".
        refused: Features that the library cannot compute.
        agreements: For each other feature, whether its values equal fastfeat's.
        own: Times of this library, by stage.
        ours: Times of fastfeat for the same features, by stage.
    """

    name: str
    refused: Sequence[ExportRefusal] = ()
    agreements: Sequence[Agreement] = ()
    own: Mapping[str, StageTimes] = field(default_factory=dict[str, StageTimes])
    ours: Mapping[str, StageTimes] = field(default_factory=dict[str, StageTimes])

    @property
    def differing(self) -> list[Agreement]:
        """Features with values that differ from fastfeat's; they are not timed."""
        return [one for one in self.agreements if not one.ok]


@with_options_of(BenchOptions)
def bench(file: AnyPlanFile, data: JudgedDataFile, *, options: BenchOptions) -> None:
    """Time a plan and the same features in pandas and Polars, after comparing their outputs.

    The exit code is 1 if outputs differ; features that differ are not timed.
    """
    from fastfeat.tell.peers.code import PEERS

    names = list(dict.fromkeys(name.strip() for name in options.against.split(",") if name.strip()))
    if unknown := [name for name in names if name not in PEERS]:
        raise typer.BadParameter(
            f"got {unknown[0]!r}: write {' or '.join(PEERS)}", param_hint="'--against'"
        )
    with (
        show_progress("Reading the plan", at_once=True) as step,
        tempfile.TemporaryDirectory() as folder,
    ):
        work = _prepare(Path(folder), file, data, options)
        step("Computing the features")
        expected = work.features(work.plan_file, "fastfeat", "expected.arrow")
        peers: list[BenchPeer] = []
        for name in names:
            step(f"Comparing with {name}")
            peers.append(compare_with(work, name, expected))
        for peer in peers:
            step(f"Timing {peer.name}")
            _time(work, peer)
    if options.picture is not None:
        options.picture.write_text(_picture(peers, work.n_rows, options.threads), encoding="utf-8")
    typer.echo(_json(peers, work) if options.as_json else _table(peers, work))
    if any(peer.differing for peer in peers):
        raise typer.Exit(_DIFFERS)


@dataclass(frozen=True, slots=True)
class BenchSetup:
    """The plan, and the files that all contestants read.

    Args:
        folder: Folder for files exchanged between processes.
        fitted: The fitted plan.
        plan_file: File of the fitted plan.
        request: Entries of the JSON request that are the same for all contestants.
        n_rows: Number of rows.
        fit: Times of `fit`; None if the plan was already fitted.
    """

    folder: Path
    fitted: FittedPlan
    plan_file: Path
    request: BenchRequest
    n_rows: int
    fit: StageTimes | None

    def ask(self, peer: str, code: Path, out: Path | None) -> dict[str, Any]:
        """Run a contestant in its own process, and return its JSON answer.

        Raises:
            InvalidPlan: The process failed; the message has the last line that it printed.
        """
        request = {**self.request, "peer": peer, "code": str(code), "out": out and str(out)}
        n = str(self.request["threads"])
        names = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        done = subprocess.run(
            [sys.executable, "-m", "fastfeat.apps.cli.contestant"],
            input=json.dumps(request),
            env={**os.environ, **dict.fromkeys(names, n)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            told = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise InvalidPlan(f"{peer} failed: {told[-1]}")
        return json.loads(done.stdout)

    def features(self, code: Path, peer: str, name: str) -> Any:
        """Return the table of features that a contestant computes, read from the file `name`."""
        from fastfeat.io.arrow import pa

        self.ask(peer, code, self.folder / name)
        with pa.OSFile(str(self.folder / name)) as file:
            return pa.ipc.open_file(file).read_all()


def _prepare(folder: Path, file: Path, data: str, options: BenchOptions) -> BenchSetup:
    """Read the rows, fit the plan if needed, and write both to files for the contestants."""
    import time

    from fastfeat.api.plan import Plan
    from fastfeat.apps.cli.plans import parse_tables, read_plan_or_fitted
    from fastfeat.io.sources.read import read_table

    plan, history = read_plan_or_fitted(file), options.history
    rows, tables = read_table(data), parse_tables(options.tables)
    given = {"data": rows} | ({} if history is None else {"history": read_table(history)})
    others = {name: read_table(path) for name, path in (tables or {}).items()}
    fit: StageTimes | None = None
    if isinstance(plan, Plan):
        wall, cpu = time.perf_counter(), time.process_time()
        fitted = plan.fit(rows, history=given.get("history"), tables=others or None)
        fit = StageTimes(
            wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu, peak_bytes=None
        )
    else:
        fitted = plan
    paths = {name: _write_arrow(folder / f"{name}.arrow", one) for name, one in given.items()}
    of_tables = {
        name: _write_arrow(folder / f"table_{k}.arrow", one)
        for k, (name, one) in enumerate(others.items())
    }
    request = BenchRequest(
        peer="",
        code="",
        data=paths["data"],
        history=paths.get("history"),
        tables=of_tables,
        out=None,
        threads=options.threads,
        runs=options.runs,
    )
    fitted.save(folder / "plan.fastfeat")
    return BenchSetup(folder, fitted, folder / "plan.fastfeat", request, rows.num_rows, fit)


def _write_arrow(path: Path, table: Any) -> str:
    from fastfeat.io.arrow import pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return str(path)


def compare_with(work: BenchSetup, name: str, expected: Any) -> BenchPeer:
    """Compute the features with a library, and return a `BenchPeer` with the compared values."""
    from fastfeat.tell.peers.agreement import compare_features
    from fastfeat.tell.peers.code import code_of_supported_features

    text, refused = code_of_supported_features(work.fitted.record, name)
    if len(refused) == len(work.fitted.feature_names):
        return BenchPeer(name, refused)
    module = work.folder / f"in_{name}.py"
    module.write_text(text, encoding="utf-8")
    found = work.features(module, name, f"{name}.arrow")
    return BenchPeer(name, refused, compare_features(expected.select(found.column_names), found))


def _time(work: BenchSetup, peer: BenchPeer) -> None:
    """Time another library and fastfeat on the features with equal values; store both times."""
    from fastfeat.tell.peers.code import code_of_supported_features

    alike = [one.feature for one in peer.agreements if one.ok]
    if not alike:
        return
    chosen = work.fitted.select(alike)
    text, _ = code_of_supported_features(chosen.record, peer.name)
    module = work.folder / f"timed_in_{peer.name}.py"
    module.write_text(text, encoding="utf-8")
    plan = work.folder / f"timed_for_{peer.name}.fastfeat"
    chosen.save(plan)
    peer.own = work.ask(peer.name, module, None)
    peer.ours = work.ask("fastfeat", plan, None)


def _table(peers: Sequence[BenchPeer], work: BenchSetup) -> str:
    """Return a table of times as text, then the features that were not timed."""
    lines = [
        f"{counted(work.n_rows, 'row')}, {counted(len(work.fitted.feature_names), 'feature')}, "
        f"{counted(work.request['threads'], 'thread')}, medians of "
        f"{counted(work.request['runs'], 'run')}; ratio: how many times faster fastfeat is",
        "",
        _row("stage", "library", "wall", "CPU", "peak", "ratio", "CPU ratio"),
    ]
    if work.fit is not None:
        lines.append(_row("fit", "fastfeat", *_figures(work.fit)))
    for peer in peers:
        for stage, own in peer.own.items():
            ours = peer.ours[stage]
            lines.append(_row(stage, "fastfeat", *_figures(ours)))
            lines.append(_row(stage, peer.name, *_figures(own), *_ratios(ours, own)))
    for peer in peers:
        alike = [one for one in peer.agreements if one.ok]
        ulp = max((one.max_ulp for one in alike), default=0.0)
        lines += [
            "",
            f"{peer.name}: {counted(len(alike), 'feature')} timed, equal within {ceil(ulp):,} ulp",
        ]
        lines += [f"  differs, not timed: {one}" for one in peer.differing]
        lines += [f"  not compared: {r.feature!r}: {r.function}: {r.reason}" for r in peer.refused]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    stage, library, *figures = cells
    return f"{stage:<11} {library:<9}" + "".join(f"{figure:>11}" for figure in figures)


def _figures(times: StageTimes) -> tuple[str, str, str]:
    peak = times["peak_bytes"]
    shown = "" if peak is None else f"{peak / 2**20:.1f} MiB"
    return _seconds(times["wall_s"]), _seconds(times["cpu_s"]), shown


def _ratios(ours: StageTimes, own: StageTimes) -> tuple[str, str]:
    return f"{_ratio(ours, own):.2f}x", f"{own['cpu_s'] / max(ours['cpu_s'], 1e-9):.2f}x"


def _ratio(ours: StageTimes, own: StageTimes) -> float:
    return own["wall_s"] / max(ours["wall_s"], 1e-9)


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"


def _picture(peers: Sequence[BenchPeer], n_rows: int, threads: int) -> str:
    from fastfeat.markup.bars import Bar, bars_svg

    bars = [
        Bar(
            f"{stage}, {peer.name}",
            _ratio(peer.ours[stage], own),
            f"{_ratio(peer.ours[stage], own):.2f}x: {_seconds(own['wall_s'])}, "
            f"{_seconds(peer.ours[stage]['wall_s'])}",
        )
        for stage in STAGES
        for peer in peers
        if (own := peer.own.get(stage)) is not None
    ]
    told = f"same outputs, {counted(n_rows, 'row')}, {counted(threads, 'thread')} each, wall time"
    return bars_svg("How many times faster fastfeat is", told, bars)


def _json(peers: Sequence[BenchPeer], work: BenchSetup) -> str:
    found = {
        "n_rows": work.n_rows,
        "threads": work.request["threads"],
        "runs": work.request["runs"],
        "fit": work.fit,
        "peers": [
            {
                "name": peer.name,
                "timed": [one.feature for one in peer.agreements if one.ok],
                "times": peer.own,
                "times_of_fastfeat": peer.ours,
                "compared": [asdict(one) for one in peer.agreements],
                "refused": [asdict(one) for one in peer.refused],
            }
            for peer in peers
        ],
    }
    return json.dumps(found, indent=1, default=str)
