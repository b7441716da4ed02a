"""CPU of a fresh process up to a first result, beside Polars: `python -m bench.fresh [N_RUNS]`.

Once with the `.pyc` files that earlier runs have written, and once without any, as where
`PYTHONDONTWRITEBYTECODE` is set: then each imported line is compiled again. The cache of kernels is
warm. Sides take turns, and the median counts.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from statistics import median

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


def cpu_ms(code: str, environment: Mapping[str, str]) -> float:
    """Return the CPU time of a process that runs some code, in milliseconds."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env={**os.environ, **environment})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measured(n_runs: int, environment: Mapping[str, str]) -> dict[str, float]:
    """Return the median CPU time of each side, in milliseconds, after a run that is not counted."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(n_runs + 1):
        for side, code in SIDES.items():
            time = cpu_ms(code, environment)
            if number:
                times[side].append(time)
    return {side: median(of_side) for side, of_side in times.items()}


def main(n_runs: int) -> None:
    """Print a table of all sides, with and without `.pyc` files."""
    with tempfile.TemporaryDirectory() as empty:
        without = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": empty}
        kept = {"PYTHONDONTWRITEBYTECODE": ""}  # this process may have been told to write none
        columns = measured(n_runs, kept), measured(n_runs, without)
    print(f"{'CPU, ms':28}{'with .pyc':>12}{'without':>12}")
    for side in SIDES:
        print(f"{side:28}{columns[0][side]:12.0f}{columns[1][side]:12.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
