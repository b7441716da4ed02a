"""Rules of a contract counted, 42 over 21 columns, against Polars by hand and two validators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

N_FLOATS, N_INTEGERS = 16, 4
FLOATS, INTEGERS = (20.0, 80.0), (0, 990)
KNOWN = ("AA", "UA", "DL", "9E", "B6")
BOUNDS = {
    **{f"f{k}": FLOATS for k in range(N_FLOATS)},
    **{f"i{k}": INTEGERS for k in range(N_INTEGERS)},
}


def generate(n_rows: int) -> pa.Table:
    """Return 16 float columns, 2 % missing, 4 of integers, and one of six texts."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        f"f{k}": pa.array(rng.normal(50, 10, n_rows), mask=rng.random(n_rows) < 0.02)
        for k in range(N_FLOATS)
    }
    columns |= {f"i{k}": rng.integers(0, 1000, n_rows) for k in range(N_INTEGERS)}
    texts = np.array([*KNOWN, "WN"])
    return pa.table({**columns, "c": texts[rng.integers(0, len(texts), n_rows)]})


def as_table(counts: Any) -> pa.Table:
    """Return the rows that break each rule, in the order of the rules."""
    return pa.table({"broken": pa.array([int(n) for n in counts], pa.int64())})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call that counts the rows that break each rule."""
    import fastfeat as ff
    from fastfeat import col

    rules: dict[str, Any] = {}
    for name, (low, high) in BOUNDS.items():
        rules[f"{name} range"] = col(name).is_between(low, high) | col(name).is_null()
        rules[f"{name} missing"] = col(name).is_not_null()
    rules["c values"] = col("c").is_in(KNOWN) | col("c").is_null()
    rules["c missing"] = col("c").is_not_null()
    contract = ff.Contract(rules)
    return lambda: contract.check(table).counts.values()


def polars(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of the same counts, written by hand."""
    import polars as pl

    frame, counts = frames.to_polars(table), list[Any]()
    for name, (low, high) in BOUNDS.items():
        counts += [(~pl.col(name).is_between(low, high)).sum().alias(f"{name} range")]
        counts += [pl.col(name).is_null().sum().alias(f"{name} missing")]
    counts += [(~pl.col("c").is_in(KNOWN)).sum().alias("c values")]
    counts += [pl.col("c").is_null().sum().alias("c missing")]
    return lambda: frames.collect(frame.lazy().select(counts), engine).row(0)


def pandera(table: pa.Table) -> Callable[[], Any]:
    """Return a call of pandera on Polars; it reports the first failures of each check."""
    pandera: Any = import_module("pandera.polars")
    frame = frames.to_polars(table)
    columns = {
        name: pandera.Column(
            float if name.startswith("f") else int, pandera.Check.in_range(*bounds)
        )
        for name, bounds in BOUNDS.items()
    }
    columns["c"] = pandera.Column(str, pandera.Check.isin(list(KNOWN)))
    schema = pandera.DataFrameSchema(columns)

    def validate() -> Any:
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as error:
            found = error.failure_cases.group_by("column", "check").len().rows()
        else:
            found = []
        broken = {(column, check.partition("(")[0]): n for column, check, n in found}
        of = [(name, check) for name in BOUNDS for check in ("in_range", "not_nullable")]
        return [broken.get(key, 0) for key in [*of, ("c", "isin"), ("c", "not_nullable")]]

    return validate


def dataframely(table: pa.Table) -> Callable[[], Any]:
    """Return a call of dataframely, which splits the rows as well."""
    dy: Any = import_module("dataframely")
    frame = frames.to_polars(table)
    columns: dict[str, Any] = {
        name: (dy.Float64 if name.startswith("f") else dy.Int64)(
            nullable=False, min=bounds[0], max=bounds[1]
        )
        for name, bounds in BOUNDS.items()
    }
    columns["c"] = dy.String(nullable=False, check=lambda c: c.is_in(KNOWN))
    schema: Any = type("Rules", (dy.Schema,), columns)

    def validate() -> Any:
        _, failures = schema.filter(frame)
        broken = failures.counts()
        counts = list[int]()
        for name in BOUNDS:
            ends = broken.get(f"{name}|min", 0) + broken.get(f"{name}|max", 0)
            counts += [ends, broken.get(f"{name}|nullability", 0)]
        return [*counts, broken.get("c|check", 0), broken.get("c|nullability", 0)]

    return validate


CONTRACTS = (
    Workload(
        name="contract",
        title="42 rules of 21 columns counted",
        label="42 rules",
        generate=generate,
        rows=2_000_000,
        smoke_rows=2_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat, as_table),
            Contender("Polars in memory, by hand", "polars", partial(polars, "lazy"), as_table),
            Contender(
                "Polars streaming, by hand", "polars", partial(polars, "streaming"), as_table
            ),
            Contender("pandera on Polars", "pandera", pandera, as_table),
            Contender("dataframely", "dataframely", dataframely, as_table),
        ),
        tolerance=Tolerance(),
        targets=(
            Target("ratio", 0.91, "polars"),
            Target("ratio", 3.0, "pandera"),
            Target("ratio", 3.0, "dataframely"),
        ),
        bandwidth="read",
    ),
)
