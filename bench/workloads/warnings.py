"""Warnings about tied or repeated rows: a fit with each beside the same fit without it.

One thread computes, so that the time of a fit is about its CPU time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.compare import Tolerance
from bench.workload import Contender, Prepare, Target, Workload

if TYPE_CHECKING:
    import pyarrow as pa

WITH = "fastfeat, with the warning"


def events(n_rows: int) -> pa.Table:
    """Return events of 50 a key; one in 20 has the time of another event of its key."""
    import pyarrow as pa

    rng = np.random.default_rng(31)
    times = np.sort(rng.integers(0, 1_000, n_rows))
    keys = rng.integers(0, max(1, n_rows // 50), n_rows)
    return pa.table({"t": times, "k": keys, "x": rng.normal(size=n_rows)})


def codes(n_rows: int) -> pa.Table:
    """Return eight columns of codes and a label."""
    import pyarrow as pa

    rng = np.random.default_rng(32)
    n_values = [300, 50, 9, 2_000, 12, 300, 50, 9]
    columns = {f"c{k}": rng.integers(0, n, n_rows) for k, n in enumerate(n_values)}
    return pa.table({**columns, "y": rng.integers(0, 2, n_rows)})


def copies(n_rows: int) -> pa.Table:
    """Return a bootstrap sample of the codes."""
    rows = np.random.default_rng(33).integers(0, n_rows, n_rows)
    return codes(n_rows).take(rows)


def windows_plan() -> Any:
    """Return a plan that learns from a window with possibly tied rows."""
    import fastfeat as ff

    week = ff.window(7, by="k", time="t", closed="right")
    return ff.Plan({"scaled": ff.col("x").sum(over=week).standard_scale()})


def targets_plan() -> Any:
    """Return a plan of eight target encodings with default folds."""
    import fastfeat as ff

    names = [f"c{k}" for k in range(8)]
    return ff.Plan({name: ff.col(name).target_encode("y") for name in names}, label="y")


def fit(plan: Callable[[], Any], warning: str | None) -> Prepare:
    """Return a function that prepares a fit.

    `plan` makes the plan. `warning` is the "module:function" to leave out, such as
    "execute.order_warnings:warn_ties"; None leaves nothing out.
    """

    def prepare(table: pa.Table) -> Callable[[], Any]:
        import warnings
        from importlib import import_module

        made = plan()

        def run() -> int:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return made.fit(table, profile=False).n_rows

        def run_without() -> int:
            assert warning is not None
            module, _, name = warning.partition(":")
            home = import_module(f"fastfeat.{module}")
            original = getattr(home, name)
            setattr(home, name, lambda *_: None)
            try:
                return run()
            finally:
                setattr(home, name, original)

        return run if warning is None else run_without

    return prepare


def as_table(n_rows: int) -> pa.Table:
    """Return the number of rows as a table."""
    import pyarrow as pa

    return pa.table({"n_rows": [n_rows]})


def _beside(
    name: str,
    of: str,
    generate: Callable[[int], pa.Table],
    plan: Callable[[], Any],
    warning: str,
    rows: int,
) -> Workload:
    """Return a fit with a warning beside the same fit without it."""
    return Workload(
        name=f"warnings_{name}",
        group="warnings",
        title=f"fit with a warning beside the fit without it, {of}",
        label=f"warning, {of}",
        generate=generate,
        rows=rows,
        smoke_rows=5_000,
        contenders=(
            Contender("fastfeat, without it", "fastfeat", fit(plan, warning), as_table),
            Contender(WITH, "fastfeat", fit(plan, None), as_table),
        ),
        tolerance=Tolerance(),
        targets=(Target("slowdown", 1.05, contender=WITH),),
        bandwidth="read",
        threads=1,
    )


_TIES, _TWINS = "execute.order_warnings:warn_ties", "learn.duplicate_rows:warn_of_twins"
WARNINGS = (
    _beside("ties", "windows with ties", events, windows_plan, _TIES, 1_000_000),
    _beside("codes", "encodings of codes", codes, targets_plan, _TWINS, 100_000),
    _beside("copies", "encodings of copies", copies, targets_plan, _TWINS, 100_000),
)
