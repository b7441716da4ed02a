"""Plans of unusual size: thousands of columns, chains of thousands of operators, tiny chunks."""

from __future__ import annotations

import gc

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.engine.layout import lay_out
from fastfeat.ir.node import _POOL
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.plan.plan_tables import differing

N_OPERATORS = 5000
N_COLUMNS = 10_000


def chain(n_operators: int) -> ff.Expr:
    """Return a chain of operators that stays within bounds."""
    expression = col("x")
    for k in range(n_operators):
        match k % 4:
            case 0:
                expression = expression + 1.5
            case 1:
                expression = expression * 0.5
            case 2:
                expression = expression.fill_null(2.0)
            case _:
                expression = expression.abs()
    return expression


def test_a_chain_of_thousands_of_operators_works_everywhere():
    rows = pa.table({"x": [1.0, None, -3.25]})
    plan = ff.Plan({"a": chain(N_OPERATORS)})
    fitted = plan.fit(rows)
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    for stage in ("plan", "bound", "optimized", "leakage", "live", "physical", "cpu", "cuda"):
        assert fitted.explain(stage)
    assert len(repr(plan)) < 10_000
    again = fitted_of(artifact_bytes(fitted.record))
    by_reference = again.transform(rows, backend="reference")
    assert differing(again.transform(rows), by_reference) == {}
    assert fitted.transform_row({"x": None}).tolist() == [by_reference["a"][1].as_py()]


def test_a_long_chain_that_fails_says_so_briefly():
    with pytest.raises(ff.errors.TypeMismatch) as caught:
        ff.Plan({"a": chain(N_OPERATORS).dt.hour()}).fit({"x": [1.0]})
    assert len(str(caught.value)) < 1000


def test_a_long_chain_is_freed():
    gc.collect()
    before = len(_POOL)
    expression = chain(N_OPERATORS)
    assert len(_POOL) >= before + N_OPERATORS
    del expression
    gc.collect()
    assert len(_POOL) <= before


def test_thousands_of_columns_of_one_shape_share_their_code():
    names = [f"c{k}" for k in range(N_COLUMNS)]
    rng = np.random.default_rng(0)
    rows = pa.table({name: rng.normal(k, 1, 50) for k, name in enumerate(names)})
    plan = ff.Plan({f"{name} scaled": col(name).standard_scale() for name in names})
    fitted = plan.fit(rows)
    features = fitted.transform(rows)
    loops = lay_out(fitted.record.arrow_program)
    assert len(loops) == 1
    assert sum(len(instance.outputs) for instance in loops[0].instances) == N_COLUMNS
    assert features.num_columns == N_COLUMNS
    some = [f"c{k} scaled" for k in (0, 1, 4095, 4096, 9999)]
    by_reference = fitted.select(some).transform(rows, backend="reference")
    assert differing(features.select(some), by_reference) == {}
    assert all(abs(np.mean(features[name])) < 1e-9 for name in some)


def test_thousands_of_different_features_share_one_column():
    plan = ff.Plan({f"above {k}": col("x") > k for k in range(2000)} | {"x": col("x")})
    features = plan.fit({"x": [0.5, 1000.5]}).transform({"x": [0.5, 1000.5]})
    assert sum(features[f"above {k}"][1].as_py() for k in range(2000)) == 1001
    assert sum(features[f"above {k}"][0].as_py() for k in range(2000)) == 1


def test_a_table_in_a_thousand_chunks_gives_the_same_bits():
    values = np.random.default_rng(0).normal(size=10_007)
    whole = pa.table({"x": values, "flag": values > 0})
    pieces = pa.concat_tables([whole.slice(start, 10) for start in range(0, len(values), 10)])
    plan = ff.Plan({"a": col("x").exp().standard_scale(), "b": ~col("flag")})
    fitted = plan.fit(whole)
    assert artifact_bytes(plan.fit(pieces).record) == artifact_bytes(fitted.record)
    assert differing(fitted.transform(pieces), fitted.transform(whole)) == {}
