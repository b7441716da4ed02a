"""540 features of many kinds by a fitted plan, on few rows: the cost of each feature in a call.

Peers have learnt the same before the clock starts: means, medians, and the codes of categories.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

if TYPE_CHECKING:
    import polars as pl

    import fastfeat as ff

N_TRAINING = 20_000
N_NUMBERS, N_KEYS, N_TEXTS, N_HOT, N_SENTENCES, N_LISTS, N_TIMES = 60, 20, 10, 5, 5, 5, 5
N_CATEGORIES, N_WORDS = 50, 20
FIRST_CODE = 2
NUMBERS = [f"x{k}" for k in range(N_NUMBERS)]
KEYS = [f"k{k}" for k in range(N_KEYS)]
TEXTS = [f"t{k}" for k in range(N_TEXTS)]
SENTENCES = [f"s{k}" for k in range(N_SENTENCES)]
LISTS = [f"l{k}" for k in range(N_LISTS)]
TIMES = [f"d{k}" for k in range(N_TIMES)]
WORDS = [f"word {k:02d}" for k in range(N_WORDS)]
PARTS = ("hour", "weekday", "month", "day")
SUMS = Tolerance(1e-9, 1e-9, "sums in another order: 1e-9, + 1e-9")


def generate(n_rows: int) -> pa.Table:
    """Return numbers with one of 20 missing, keys, texts, lists, and times."""
    rng = np.random.default_rng(5)
    words, columns = pa.array(WORDS), dict[str, Any]()
    for name in NUMBERS:
        columns[name] = pa.array(rng.normal(1, 2, n_rows), mask=rng.random(n_rows) < 0.05)
    for name in KEYS:
        columns[name] = rng.integers(0, N_CATEGORIES, n_rows)
    for name in TEXTS:
        columns[name] = words.take(pa.array(rng.integers(0, N_WORDS, n_rows)))
    for name in SENTENCES:
        parts = (words.take(pa.array(rng.integers(0, N_WORDS, n_rows))) for _ in range(3))
        columns[name] = pa.array(
            [" ".join(row) for row in zip(*(p.to_pylist() for p in parts), strict=True)]
        )
    for name in LISTS:
        ends = np.concatenate([[0], np.cumsum(rng.integers(1, 9, n_rows))]).astype(np.int32)
        columns[name] = pa.ListArray.from_arrays(ends, rng.normal(0, 1, ends[-1]))
    begin = int(datetime(2024, 1, 1).timestamp())
    for name in TIMES:
        seconds = begin + rng.integers(0, 366 * 86_400, n_rows)
        columns[name] = pa.array(seconds * 1_000_000, pa.timestamp("us"))
    return pa.table(columns)


def plan() -> ff.Plan:
    """Return the plan."""
    import fastfeat as ff
    from fastfeat import col

    features: dict[str, Any] = {}
    for k, name in enumerate(NUMBERS):
        x, other = col(name), col(NUMBERS[(k + 1) % N_NUMBERS])
        features[f"{name}_scaled"] = x.standard_scale()
        features[f"{name}_log"] = x.abs().log1p()
        features[f"{name}_missing"] = x.is_null()
        features[f"{name}_ratio"] = (x / other).fill_null(0)
        features[f"{name}_clipped"] = x.fill_null(0).clip(-2, 2)
    for name in NUMBERS[:20]:
        features[f"{name}_imputed"] = col(name).impute("median")
    for name in KEYS:
        features[f"{name}_code"] = col(name).ordinal_encode()
        features[f"{name}_mean"] = col("x0").mean(by=name)
    for name in TEXTS:
        features[f"{name}_code"] = col(name).ordinal_encode()
        features[f"{name}_first"] = col(name) == WORDS[0]
        features[f"{name}_bytes"] = col(name).str.len_bytes()
    for name in TEXTS[:N_HOT]:
        features[name] = col(name).one_hot_encode()
    for name in SENTENCES:
        features[f"{name}_length"] = col(name).str.len_chars()
        features[f"{name}_has"] = col(name).str.contains("word 07", literal=True)
    for name in LISTS:
        items = col(name).list
        features[f"{name}_n"], features[f"{name}_sum"] = items.len(), items.sum()
        features[f"{name}_mean"], features[f"{name}_max"] = items.mean(), items.max()
    for name in TIMES:
        for part in PARTS:
            features[f"{name}_{part}"] = getattr(col(name).dt, part)()
    return ff.Plan(features)


def fastfeat(to: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of a fitted plan."""
    fitted = plan().fit(generate(N_TRAINING))
    return lambda: fitted.transform(table, to=to)


def categories_of(training: pl.DataFrame, name: str) -> list[Any]:
    """Return the values of a column by count, then by value."""
    counts = training[name].value_counts()
    return counts.sort(["count", name], descending=[True, False])[name].to_list()


def polars_features(training: pl.DataFrame) -> list[pl.Expr]:
    """Return the same features as expressions, with values learnt from training rows."""
    import polars as pl

    found: list[pl.Expr] = []
    for k, name in enumerate(NUMBERS):
        x, other = pl.col(name), pl.col(NUMBERS[(k + 1) % N_NUMBERS])
        mean, deviation = training[name].mean(), training[name].std(ddof=0)
        found += [
            (x - mean) / deviation,
            x.abs().log1p(),
            x.is_null(),
            (x / other).fill_null(0.0),
            x.fill_null(0.0).clip(-2.0, 2.0),
        ]
    found += [pl.col(name).fill_null(training[name].median()) for name in NUMBERS[:20]]
    for name in KEYS:
        known, by_key = categories_of(training, name), training.group_by(name).agg(pl.mean("x0"))
        codes, means = np.zeros(N_CATEGORIES, np.int32), np.zeros(N_CATEGORIES)
        codes[known] = np.arange(FIRST_CODE, FIRST_CODE + len(known))
        means[by_key[name].to_numpy()] = by_key["x0"].to_numpy()
        found += [pl.lit(pl.Series(of_key)).gather(pl.col(name)) for of_key in (codes, means)]
    orders = {name: categories_of(training, name) for name in TEXTS}
    for name in TEXTS:
        code = pl.col(name).cast(pl.Enum(orders[name]), strict=False).to_physical()
        found += [
            (code.cast(pl.Int32) + FIRST_CODE).fill_null(1),
            pl.col(name) == WORDS[0],
            pl.col(name).str.len_bytes(),
        ]
    for name in TEXTS[:N_HOT]:
        found += [(pl.col(name) == word).cast(pl.UInt8) for word in orders[name]]
    for name in SENTENCES:
        found += [
            pl.col(name).str.len_chars(),
            pl.col(name).str.contains("word 07", literal=True),
        ]
    for name in LISTS:
        items = pl.col(name).list
        found += [items.len(), items.sum(), items.mean(), items.max()]
    found += [getattr(pl.col(name).dt, part)() for name in TIMES for part in PARTS]
    return [feature.alias(str(k)) for k, feature in enumerate(found)]


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of prepared expressions."""
    frame = frames.to_polars(table)
    wanted = polars_features(frames.to_polars(generate(N_TRAINING)))
    if engine == "eager":
        return lambda: frame.select(wanted)
    return lambda: frame.lazy().select(wanted).collect()


MIXED = (
    Workload(
        name="mixed_540",
        title="540 features of numbers, keys, texts, lists and times, by a plan that is fitted",
        label="540 mixed features, 100 rows",
        generate=generate,
        rows=100,
        smoke_rows=10,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat, "arrow")),
            Contender("fastfeat matrix", "fastfeat", partial(fastfeat, "numpy")),
            *(
                Contender(f"Polars {engine}", "polars", partial(polars, engine))
                for engine in ("eager", "lazy")
            ),
        ),
        tolerance=SUMS,
        targets=tuple(
            Target("ratio", 1.5, "polars", contender=contender, aim=3)
            for contender in ("fastfeat", "fastfeat matrix")
        ),
    ),
)
