"""Runs a plan with the files of its kernels at each other's names, each run in a child of its own.

`python swapped_kernels.py PLAN WORK`: a first child keeps the plan's kernels in `WORK/whole`; it
takes from FASTFEAT_CACHE_DIR what is there. Then the files go round by one, two and so on, until
each was once at the name of each other, and a child runs the plan on each such folder. It leaves
`STEP.json`: the keys that it compiled, and whether the features have the bits of the first; none
where it died. To compile takes seconds: all but one run read the whole file in its stead.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fastfeat_kernels import objects

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu import cache
from fastfeat.engine.kernel_cache import cache_folder

X, Y, K = col("x"), col("y"), col("k")
WINDOW = ff.window(time="t", by="k", last=20)
PLANS: dict[str, dict[str, Any]] = {
    "rows": {"sum": X + Y, "difference": X - Y, "scaled": X.standard_scale()},
    "windows": {"mean": X.mean(over=WINDOW), "lag": Y.lag(1, over=WINDOW), "plus": X + Y},
    "keys": {"code": K.ordinal_encode(), "count": K.count_encode(), "mean": X.mean(by="k")},
}
N_ROWS = 200
COMPILED = ("rows", 1)
"""The run that compiles."""


def table() -> pa.Table:
    """Return rows with missing values, of few keys."""
    random = np.random.default_rng(5)
    x = pa.array(random.normal(size=N_ROWS), mask=random.random(N_ROWS) < 0.1)
    keys = pa.array([f"key {k}" for k in random.integers(0, 7, N_ROWS)])
    return pa.table({"x": x, "y": random.normal(size=N_ROWS), "k": keys, "t": np.arange(N_ROWS)})


def features(name: str) -> str:
    """Return what a plan gives, by its bits."""
    rows = table()
    found = ff.Plan(PLANS[name]).fit(rows).transform(rows).to_pydict()
    return json.dumps(found)


def in_child(folder: Path, work: Callable[[], object]) -> int:
    """Return the exit status of a child that works with a folder of kernels."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ["FASTFEAT_CACHE_DIR"] = str(folder)
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def rotate(whole: Path, folder: Path, step: int) -> None:
    """Make a folder whose files have the content of others of the whole one."""
    files = sorted(whole.glob("*.kernel"))
    folder.mkdir()
    for file, other in zip(files, [*files[step:], *files[:step]], strict=True):
        (folder / file.name).write_bytes(other.read_bytes())


def keep_kernels(name: str, whole: Path) -> str:
    """Return what a plan gives, and keep the kernels that it took."""
    found, folder = features(name), cache_folder()
    for key in cache._loaded:
        shutil.copy(folder / f"{key}.kernel", whole)
    return found


def count_compilations(whole: Path | None) -> list[str]:
    """Return the keys compiled from now on; with a folder, its files are read instead."""
    keys: list[str] = []
    original = cache._load_or_compile

    def counted(
        key: str, recipe: str, compile_kernel: cache.Compile, text: Callable[[], str] | None
    ) -> tuple[cache.LoadedKernel, bool]:
        def compile_or_read() -> Any:
            keys.append(key)
            return compile_kernel() if whole is None else cache._read(whole / f"{key}.kernel", key)

        return original(key, recipe, compile_or_read, text)

    cache._load_or_compile = counted
    return keys


def main(name: str, work: Path) -> None:
    """Run a plan on whole files, and on each rotation of them."""
    objects.FOLDER = Path("none")  # kernels of the package are in no folder
    whole, answer = work / "whole", work / "answer"
    whole.mkdir()
    start = Path(os.environ["FASTFEAT_CACHE_DIR"])
    assert in_child(start, lambda: answer.write_text(keep_kernels(name, whole))) == 0
    for step in range(1, len(list(whole.glob("*.kernel")))):
        folder = work / f"rotated by {step}"
        rotate(whole, folder, step)

        def run(step: int = step) -> None:
            compiled = count_compilations(None if (name, step) == COMPILED else whole)
            is_right = features(name) == answer.read_text()
            told = {"compiled": sorted(compiled), "is_right": is_right}
            (work / f"{step}.json").write_text(json.dumps(told))

        in_child(folder, run)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
