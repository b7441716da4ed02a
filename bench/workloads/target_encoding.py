"""Smoothed mean of a target per category, out of fold: each row from the rows of other folds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

N_FOLDS = 5
SMOOTH = 10.0


def generate(n_rows: int) -> pa.Table:
    """Return an int64 key with a hundredth as many values as rows, a target, and the fold of a row.

    Folds are runs of rows, as scikit-learn's KFold makes them without shuffling.
    """
    rng = np.random.default_rng(10)
    places = rng.integers(0, max(1, n_rows // 100), n_rows)
    effect = rng.normal(0, 1, max(1, n_rows // 100))
    sizes = np.full(N_FOLDS, n_rows // N_FOLDS) + (np.arange(N_FOLDS) < n_rows % N_FOLDS)
    return pa.table(
        {
            "k": places * 7_919_000_003 + 12_345,
            "y": effect[places] + rng.normal(0, 1, n_rows),
            "fold": np.repeat(np.arange(N_FOLDS), sizes),
        }
    )


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of fit_transform."""
    import fastfeat as ff

    encoded = ff.col("k").target_encode("y", smooth=SMOOTH, fold="fold")
    plan = ff.Plan({"k": encoded}, label="y")
    return lambda: plan.fit_transform(table)[1]


def polars_over(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of the formula with `over`."""
    import polars as pl

    y = pl.col("y")
    total, n = (
        one.over("k") - one.over("k", "fold") for one in (y.sum(), pl.len().cast(pl.Float64))
    )
    prior_total, prior_n = (
        one - one.over("fold") for one in (y.sum(), pl.len().cast(pl.Float64))
    )  # fmt: skip
    prior = prior_total / prior_n
    query = frames.to_polars(table).lazy().select((total + SMOOTH * prior) / (n + SMOOTH))
    return lambda: frames.collect(query, engine)


def polars_join(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of the formula on a table of keys and folds, which is joined back."""
    import polars as pl

    frame = frames.to_polars(table)

    def run() -> Any:
        cells = frame.lazy().group_by("k", "fold").agg(s=pl.col("y").sum(), n=pl.len())
        cells = frames.collect(cells, engine)
        folds = cells.group_by("fold").agg(pl.col("s", "n").sum())
        folds = folds.select("fold", prior=_outside(pl.col("s")) / _outside(pl.col("n")))
        keys = cells.group_by("k").agg(total=pl.col("s").sum(), count=pl.col("n").sum())
        known = cells.lazy().join(keys.lazy(), on="k").join(folds.lazy(), on="fold")
        total, n = pl.col("total") - pl.col("s"), pl.col("count") - pl.col("n")
        known = known.select(
            "k", "fold", encoded=(total + SMOOTH * pl.col("prior")) / (n + SMOOTH)
        )  # fmt: skip
        rows = frame.lazy().select("k", "fold")
        joined = rows.join(known, on=["k", "fold"], how="left", maintain_order="left")
        return frames.collect(joined.select("encoded"), engine)

    return run


def _outside(one: Any) -> Any:
    return one.sum() - one


def scikit_learn(table: pa.Table) -> Callable[[], Any]:
    """Return a call of TargetEncoder.fit_transform with the same folds."""
    from sklearn.preprocessing import TargetEncoder

    column, target = table["k"].to_numpy().reshape(-1, 1), table["y"].to_numpy()

    given: dict[str, Any] = {"smooth": SMOOTH, "cv": N_FOLDS, "shuffle": False}

    def run() -> Any:
        encoder = TargetEncoder(target_type="continuous", **given)
        return encoder.fit_transform(column, target)

    return run


TARGET_ENCODING = (
    Workload(
        name="target_encode",
        group="keyed",
        title=f"target_encode, 100k int64 keys, {N_FOLDS} folds, fit_transform",
        label="target_encode, 100k keys",
        generate=generate,
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat),
            *(
                Contender(f"Polars {engine} {name}", "polars", partial(query, engine))
                for engine in ("lazy", "streaming")
                for name, query in (("over", polars_over), ("join", polars_join))
            ),
            Contender("scikit-learn", "scikit-learn", scikit_learn),
        ),
        tolerance=Tolerance(
            1e-9, 1e-9, "fastfeat's sums are exact, peers' are rounded: 1e-9, + 1e-9"
        ),
        targets=(Target("ratio", 4, "polars"), Target("ratio", 25, "scikit-learn")),
        memory=True,
        starts=True,
    ),
)
