"""`python -m bench.shipped`: kernels of the package beside the same ones of this processor.

Plans that together run most hand-written kernels are fitted and transformed on one thread, in turns
with kernels of each target, which take turns in being the first. Time is added up for each kernel
and run; the median of the ratios of the runs counts. Features must be equal, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from fastfeat_kernels import objects, processor
from fastfeat_kernels.load import load_object

import fastfeat as ff
from bench import environment
from fastfeat import col
from fastfeat.engine.cpu import kernels, ship
from fastfeat.engine.cpu.kernels import written_object
from fastfeat.errors import FastfeatWarning
from fastfeat.execute.step_costs import measure_steps

LEAST_SECONDS = 0.002
"""A kernel that takes less in a run is not judged: its time is that of its calls."""
MOST = 1.05
N_DRAWN = 3
"""Kernels that `--compare` compiles for this processor."""
Kernels = dict[str, Any]


def tables(n: int) -> dict[str, Any]:
    """Return data of n rows: keys of integers and texts, times, numbers, lists, a label."""
    random = np.random.default_rng(0)
    words = np.array(["Alpha beta", "gamma  Delta", "épsilon", "zeta-7", "42", "1e3 x", ""], object)
    x = random.normal(size=n) * 1e3
    x[random.random(n) < 0.1] = np.nan
    lists = pa.array([[float(v)] * (k % 5) for k, v in enumerate(random.normal(size=n // 4))])
    return {
        "x": x,
        "i": random.integers(-1000, 1000, n),
        "b": random.random(n) < 0.5,
        "k": random.integers(0, max(n // 20, 1), n),
        "c": pa.array([f"{words[j % 7]} {j}" for j in random.integers(0, 300, n)]),
        "t": np.sort(random.integers(0, n * 60, n)).astype("M8[s]"),
        "l": pa.chunked_array([lists] * 4),
        "y": (random.random(n) < 0.3).astype(np.int64),
    }


def plans() -> dict[str, ff.Plan]:
    """Return the plans, by subject."""
    x, i, c, k = col("x"), col("i"), col("c"), col("k")
    day, last = ff.window("1d", by="k", time="t"), ff.window(by="k", time="t", rows=20)
    windows = {f: getattr(x, f)(over=day) for f in ("sum", "mean", "std", "min", "max", "last")}
    windows |= {"median": x.median(over=day), "lag": i.lag(2, over=last)}
    windows |= {
        "n_unique": i.n_unique(over=day),
        "ewm": x.ewm_mean(half_life="6h", over=ff.window(by="k", time="t")),
    }
    grouped = {f: getattr(x, f)(by="c") for f in ("mean", "std", "min", "max", "median")}
    grouped |= {"n": i.n_unique(by="k"), "sum": i.sum(by=["k", "c"])}
    text = {
        "lower": c.str.to_lowercase().str.len_chars(),
        "find": c.str.find("a"),
        "count": c.str.count_matches("a"),
        "strip": c.str.strip_chars().str.len_bytes(),
        "number": c.str.to_float(strict=False),
        "tokens": c.str.token_count(),
        "hash": c.hash(64),
    }
    learnt = {
        "scaled": x.standard_scale(),
        "robust": x.robust_scale(),
        "bins": x.qcut(20),
        "quantiles": x.quantile_transform(),
        "power": x.power_transform(),
        "code": c.ordinal_encode(),
        "pair": ff.cross(c, k).count_encode(),
        "many": k.count_encode(),
    }
    target = {"c": c.target_encode("y", folds=5), "k": k.target_encode("y", folds=5)}
    rows = {f"r{j}": (x * float(j) + i).log1p() for j in range(12)}
    plain = {"windows": windows, "grouped": grouped, "text": text, "learnt": learnt, "rows": rows}
    made = {name: ff.Plan(features) for name, features in plain.items()}
    lists = {"sum": col("l").list.sum(), "max": col("l").list.max(), "std": col("l").list.std()}
    return {**made, "target": ff.Plan(target, label="y"), "lists": ff.Plan(lists)}


class Timed:
    """Kernels of several targets, one of them in use; it adds up their time.

    `targets` has the kernels of each target, by folder and entry.
    """

    def __init__(self, targets: dict[str, Kernels]) -> None:
        self.targets = targets
        self.used = targets["native"]
        self.seconds: dict[str, float] = defaultdict(float)

    def use(self, target: str) -> None:
        """Use the kernels of a target from now on, and reset the times."""
        self.used = self.targets[target]
        self.seconds.clear()

    def kernel(self, folder: str, entry: str) -> Callable[[int, int, int], int]:
        """Return a timed kernel, which always runs the kernel of the target in use."""
        name, clock = f"{folder}.{entry}", time.perf_counter

        def timed(table: int, first: int, n: int) -> int:
            run = self.used[name]
            begin = clock()
            status = run(table, first, n)
            self.seconds[name] += clock() - begin
            return status

        return timed


def loaded_from(folder: Path, target: str | None = None) -> Kernels:
    """Return the kernels of a folder of objects, for a target.

    Args:
        folder: The folder.
        target: None for the first target of each kernel, which a processor that can run it gets.
    """
    found: Kernels = {}
    for name, one in objects.manifest_of(folder).items():
        taken = target or next(t for t in objects.targets() if t in one["targets"])
        code = objects.read(name, taken, one["targets"][taken], folder)
        assert code is not None, name
        found[name] = load_object(*code)
    return found


def natively() -> Kernels:
    """Return the kernels compiled for this processor."""
    names = objects.manifest_of(objects.FOLDER)
    return {name: load_object(*written_object(*name.split("."))) for name in names}


def compiled_for(target: str) -> Kernels:
    """Return the kernels compiled for another target, in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="fastfeat-objects-"))
    names = "\n".join(objects.manifest_of(objects.FOLDER))
    command = [sys.executable, "-m", ship.__name__, target, str(folder)]
    environment = {**os.environ, "NUMBA_CPU_NAME": target, "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        command, env=environment, input=names, text=True, stdout=subprocess.PIPE, check=True
    )
    return {
        name: load_object(objects.file_of(name, target, folder).read_bytes(), one["symbol"])
        for name, one in json.loads(done.stdout).items()
    }


def computed(
    given: dict[str, ff.Plan], data: dict[str, Any], *, backend: str = "cpu"
) -> list[pa.Table]:
    """Return the features of all plans, of training rows and of rows later.

    Rows run step by step: a prepared call would run the package's own kernels, not the timed ones.
    """
    found: list[pa.Table] = []
    for plan in given.values():
        with measure_steps():
            fitted, features = plan.fit_transform(data, backend=backend)
            found += [features, fitted.transform(data, history="batch", backend=backend)]
    return found


def compare(rows: int) -> None:
    """Compare the bits of all targets that this processor runs with those of the reference.

    Some kernels are drawn, and compared as they are compiled for this processor, too.

    Raises:
        SystemExit: A target gives other bits.
    """
    data, given = tables(rows), plans()
    least = loaded_from(objects.FOLDER, "x86-64-v3")
    drawn = np.random.default_rng().choice(sorted(least), N_DRAWN, replace=False).tolist()
    native = {name: load_object(*written_object(*name.split("."))) for name in drawn}
    targets = {"native": least | native, "x86-64-v3": least}
    if processor.flags() >= processor.V4:
        targets[ship.V4] = loaded_from(objects.FOLDER)
    timed = Timed(targets)
    kernels._kernel_of = timed.kernel  # type: ignore[assignment]  # for all hand-written ones
    expected = computed(given, data, backend="reference")
    for target in targets:
        timed.use(target)
        if computed(given, data) != expected:
            raise SystemExit(f"{target} gives other bits, native of {', '.join(drawn)}")
        print(f"{target}: the bits of the reference, by {len(timed.seconds)} kernels")


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.shipped", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--out", type=Path, help="a file that takes the table too")
    parser.add_argument(
        "--target", action="append", default=[], help="another one, such as x86-64-v4"
    )
    parser.add_argument("--compare", action="store_true", help="compare bits alone; time nothing")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", FastfeatWarning)
    if options.compare:
        compare(options.rows)
        return
    targets = {"native": natively(), "the package": loaded_from(objects.FOLDER)}
    targets["x86-64-v3"] = loaded_from(objects.FOLDER, "x86-64-v3")
    targets |= {target: compiled_for(target) for target in options.target}
    timed = Timed(targets)
    kernels._kernel_of = timed.kernel  # type: ignore[assignment]  # for all hand-written ones
    data, given = tables(options.rows), plans()
    expected = computed(given, data)
    taken: dict[str, list[dict[str, float]]] = {target: [] for target in targets}
    for k in range(options.runs):
        order = list(targets)
        for target in order[k % len(order) :] + order[: k % len(order)]:
            timed.use(target)
            if computed(given, data) != expected:
                raise SystemExit(f"{target} gives other bits")
            taken[target].append(dict(timed.seconds))
    others = [target for target in targets if target != "native"]
    lines = [
        f"| kernel | native, ms | {' | '.join(others)} |",
        f"|---|---:|{'---:|' * len(others)}",
    ]
    native = {name: median(run[name] for run in taken["native"]) for name in taken["native"][0]}
    for name, seconds in sorted(native.items(), key=lambda item: -item[1]):
        if seconds >= LEAST_SECONDS:
            runs = {target: [run[name] for run in of] for target, of in taken.items()}
            ratios = [median(map(truediv, runs[other], runs["native"])) for other in others]
            cells = [f"**{r:.2f}**" if r > MOST else f"{r:.2f}" for r in ratios]
            lines.append(f"| {name} | {seconds * 1e3:.1f} | {' | '.join(cells)} |")
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join([*_about(options), "", *lines, ""]))


def _about(options: argparse.Namespace) -> list[str]:
    """Return the lines above the table of a file."""
    machine = environment.describe()
    return [
        "# Kernels of the package beside natively compiled ones",
        "",
        f"`python -m bench.shipped`, {options.runs} runs of {options.rows:,} rows, one thread, on",
        f"{machine['cpu']}, commit {machine['revision']}. Native is in milliseconds, the other",
        "columns are medians of the ratios of the runs; what takes more than 1.05 times as long is",
        f"bold. Kernels that take less than {LEAST_SECONDS * 1e3:g} ms are left out.",
    ]


if __name__ == "__main__":
    main()
