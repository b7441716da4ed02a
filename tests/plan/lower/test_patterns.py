"""Features of one pattern share their operations: nothing but the speed of planning may change."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.program import with_own_operations
from fastfeat.plan.lower.outputs import arrow_program
from fastfeat_tests.plan.plan_tables import differing

N_COLUMNS = 16
N_ROWS = 150


def table() -> pa.Table:
    """Return N_COLUMNS columns each of floats, integers, text and times, some missing."""
    rng = np.random.default_rng(0)
    columns: dict[str, pa.Array] = {}
    for k in range(N_COLUMNS):
        mask = rng.random(N_ROWS) < 0.1
        columns[f"x{k}"] = pa.array(rng.normal(k, 1 + k, N_ROWS), mask=mask)
        columns[f"i{k}"] = pa.array(rng.integers(-5, 5, N_ROWS), mask=mask)
        columns[f"s{k}"] = pa.array(rng.choice(["a", "b", "c"], N_ROWS), mask=mask)
        times = pa.timestamp("s", "Europe/Berlin" if k % 2 else "UTC")
        columns[f"d{k}"] = pa.array(rng.integers(0, 10**9, N_ROWS), type=times, mask=mask)
    return pa.table(columns)


def features() -> dict[str, ff.Expr]:
    """Return one feature of each pattern for each column."""
    found: dict[str, ff.Expr] = {}
    for k in range(N_COLUMNS):
        x, y, i = col(f"x{k}"), col(f"x{(k + 1) % N_COLUMNS}"), col(f"i{k}")
        s, other, d = col(f"s{k}"), col(f"s{k // 2}"), col(f"d{k}")
        found |= {
            f"scaled{k}": x.standard_scale(),
            f"ratio{k}": (x - y) / (x + y),
            f"same{k}": x - x,
            f"binned{k}": x.qcut(4),
            f"rank{k}": x.quantile_transform(),
            f"filled{k}": x.fill_null(x.median()),
            f"two_learnt{k}": x * x.mean() + i.max(),
            f"nested{k}": (x - x.min()).log1p().min_max_scale(),
            f"learnt{k}": x.mean(),
            f"literal{k}": i * (2 if k % 3 else 3) + 1,
            f"members{k}": i.is_in([1, 2, 3]),
            f"chosen{k}": ff.when(x > 0).then(y).otherwise(i),
            f"texts{k}": s.is_in(["a", "b"]),
            f"equal_texts{k}": s == other,
            f"no_text{k}": s.is_null(),
            f"hour{k}": d.dt.hour(),
        }
    return found


def test_features_of_one_pattern_are_lowered_as_each_alone():
    given = features()
    fitted = ff.Plan(given).fit(table())
    outputs = fitted.record.arrow_program.outputs
    assert sum(bool(output.leaves) for output in outputs) > 10 * N_COLUMNS
    for output in outputs:
        alone = ff.Plan({output.name: given[output.name]})
        assert (
            with_own_operations(output)
            == arrow_program(
                alone.declaration, alone.declaration.nodes, fitted.record.types
            ).outputs[0]
        )


def test_features_of_one_pattern_are_learnt_and_computed_as_each_alone():
    rows = table()
    fitted = ff.Plan(features()).fit(rows)
    whole = fitted.transform(rows)
    assert differing(whole, fitted.transform(rows, backend="reference")) == {}
    for name, feature in list(features().items())[-32:]:  # of the last two columns: copies
        alone = ff.Plan({name: feature}).fit(rows)
        assert differing(whole.select([name]), alone.transform(rows)) == {}


def test_a_failure_names_the_feature_that_shares_its_operations():
    rows = {f"i{k}": [1, 2, 2**62 if k == N_COLUMNS - 2 else 3] for k in range(N_COLUMNS)}
    fitted = ff.Plan({f"f{k}": col(f"i{k}") * 4 for k in range(N_COLUMNS)}).fit(rows)
    name, column = f"f{N_COLUMNS - 2}", f"i{N_COLUMNS - 2}"
    for backend in ("cpu", "reference"):
        with pytest.raises(ff.errors.Overflow, match=rf"'{name}', row 2 \({column}={2**62}\)"):
            fitted.transform(rows, backend=backend)


def test_a_constant_that_overflows_is_named_among_others_alike():
    rows = {f"i{k}": [1, 2**62 if k == N_COLUMNS - 2 else 3] for k in range(N_COLUMNS)}
    plan = ff.Plan({f"f{k}": col(f"i{k}") - col(f"i{k}").max() * 4 for k in range(N_COLUMNS)})
    with pytest.raises(ff.errors.Overflow, match=f"i{N_COLUMNS - 2}"):
        plan.fit(rows)
