"""CPU of a fresh process up to a first result, beside Polars: `python -m bench.fresh [N_RUNS]`.

It measures with kernels and `.pyc` files kept by earlier processes, and without either, like in a
fresh container. Sides take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from bench import environment

_DATA = (
    "import numpy as np; x = np.arange(1000.0); k = (x % 7).astype('int64'); "
    "data = {'x': x, 'y': x, 'k': k, 't': x.astype('int64')}; "
)
_OURS = "import fastfeat as ff; from fastfeat import col; "
_THEIRS = "import polars as pl; frame = pl.DataFrame(data); "


def _learnt(feature: str) -> str:
    return f"{_OURS}_, found = ff.Plan({{'a': {feature}}}).fit_transform(data)"


def _selected(expression: str) -> str:
    return f"{_THEIRS}x = pl.col('x'); found = frame.lazy().select(a={expression}).collect()"


_PLAN = f"{_OURS}plan = ff.Plan(dict(a=col('x').log1p(), b=col('x') * 2 + col('y')))"
SIDES = {
    "Python, NumPy, pyarrow": "import numpy, pyarrow",
    "import fastfeat": "import fastfeat",
    "a first plan": _PLAN,
    "a first result": f"{_DATA}{_PLAN}; found = plan.fit(data).transform(data)",
    "a first result of Polars": (
        f"{_DATA}{_THEIRS}found = frame.lazy().select("
        "pl.col('x').log1p().alias('a'), (pl.col('x') * 2 + pl.col('y')).alias('b')).collect()"
    ),
    "a scaler": _DATA + _learnt("col('x').standard_scale()"),
    "a scaler of Polars": _DATA + _selected("(x - x.mean()) / x.std(ddof=0)"),
    "a mean by key": _DATA + _learnt("col('x').mean(by='k')"),
    "a mean by key of Polars": _DATA + _selected("x.mean().over('k')"),
    "a window": _DATA + _learnt("col('x').mean(over=ff.window(time='t', by='k', last=9))"),
    "a window of Polars": (
        _DATA + _selected("x.rolling_mean_by('t', '9i', closed='left').over('k')")
    ),
}


def cpu_ms(code: str, variables: Mapping[str, str]) -> float:
    """Return the CPU time of a process that runs some code, in milliseconds."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env={**os.environ, **variables})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


ENVIRONMENTS = {
    "kernels kept, .pyc": (True, True),
    "kernels kept, no .pyc": (True, False),
    "no kernels, .pyc": (False, True),
    "no kernels, no .pyc": (False, False),
}
"""Whether a process finds kernels that others have kept, and `.pyc` files, by the column."""


def cpu_ms_in(code: str, *, has_kernels: bool, has_bytecode: bool) -> float:
    """Return the CPU time of a process that finds kernels and `.pyc` files, or neither."""
    with tempfile.TemporaryDirectory() as bytecode, tempfile.TemporaryDirectory() as cache:
        variables = {"PYTHONDONTWRITEBYTECODE": ""}  # this process may have been told to write none
        if not has_bytecode:
            variables = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": bytecode}
        if not has_kernels:
            variables["FASTFEAT_CACHE_DIR"] = cache
        return cpu_ms(code, variables)


def measured(n_runs: int) -> dict[str, dict[str, float]]:
    """Return median CPU times, in milliseconds, by side and column.

    Sides and columns take turns. A first run is not counted. Other libraries have no cache of
    kernels, and run with and without `.pyc` files alone.
    """
    times: dict[str, dict[str, list[float]]] = {side: {} for side in SIDES}
    for number in range(n_runs + 1):
        for side, code in SIDES.items():
            for name, (has_kernels, has_bytecode) in ENVIRONMENTS.items():
                if not has_kernels and "ff." not in code:
                    continue
                time = cpu_ms_in(code, has_kernels=has_kernels, has_bytecode=has_bytecode)
                if number:
                    times[side].setdefault(name, []).append(time)
    return {
        side: {name: median(values) for name, values in of_side.items()}
        for side, of_side in times.items()
    }


def table(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the lines of a Markdown table of CPU times; a side that has none shows a dash."""
    names = list(ENVIRONMENTS)
    lines = [f"| CPU, ms | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for side, times in found.items():
        cells = [f"{times[name]:.0f}" if name in times else "–" for name in names]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.fresh", description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=5)
    parser.add_argument("--out", type=Path, help="a file that takes the table too")
    options = parser.parse_args(arguments)
    lines = table(measured(options.runs))
    print("\n".join(lines))
    if options.out is not None:
        machine = environment.describe()
        head = [
            "# A fresh process up to a first result",
            "",
            f"`python -m bench.fresh {options.runs}`: medians of {options.runs} processes, each of",
            f"1,000 rows, on {machine['cpu']},",
            f"commit {machine['revision']}. Kernels are kept on disk from one process to the next;",
            "without them each process compiles its row programs. Where `.pyc` files may not be",
            "written, each process compiles all imported lines.",
        ]
        options.out.write_text("\n".join([*head, "", *lines, ""]))


if __name__ == "__main__":
    main()
