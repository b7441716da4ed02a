"""The contract: every backend gives the features, and learns the values, of the golden digests."""

from __future__ import annotations

import warnings
from functools import cache

import pyarrow as pa
import pytest

from fastfeat.backends.gpu.gcc import find_compiler
from fastfeat.contract.digests import column_digest, digests_of, golden_digests
from fastfeat.contract.plans import contract_plans
from fastfeat.contract.tables import N_ROWS, N_TRAINING_ROWS, check_table, training_table
from fastfeat.errors import BackendUnavailable, FastfeatWarning
from fastfeat.operators import OPERATORS

PLANS = contract_plans()


@cache
def tables() -> tuple[pa.Table, pa.Table]:
    return training_table(), check_table()


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("backend", ["cpu", pytest.param("emulated", marks=pytest.mark.emulator)])
def test_a_backend_gives_the_golden_digests(name: str, backend: str) -> None:
    if backend == "emulated":
        try:
            find_compiler()
        except BackendUnavailable as error:
            pytest.skip(str(error))
    train, rows = tables()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)  # of columns that are constant
        fitted = PLANS[name].fit(train, backend=backend)
    features = fitted.transform(rows, backend=backend)
    assert digests_of(fitted, features) == golden_digests()[name]


def test_the_plans_hold_every_operator() -> None:
    names = {feature.partition(" ")[0] for plan in PLANS.values() for feature in plan.features}
    assert set(OPERATORS) <= names
    assert set(PLANS) == set(golden_digests())


def test_the_tables_have_missing_and_special_values() -> None:
    train, rows = tables()
    assert (train.num_rows, rows.num_rows) == (N_TRAINING_ROWS, N_ROWS)
    assert all(0.03 < column.null_count / len(column) < 0.07 for column in rows.columns)
    doubles = set(map(str, rows["f64"].to_pylist()))
    assert {"nan", "inf", "-inf", "-0.0", "5e-324", "1e+300"} <= doubles
    assert max(x for x in rows["i64"].to_pylist() if x is not None) == 2**63 - 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([0.0], [-0.0]),
        ([1.0, None], [None, 1.0]),
        ([1.0, None], [1.0, 0.0]),
        ([1.0], [1.0000000000000002]),
    ],
)
def test_a_digest_tells_bits_apart(one: list[float], other: list[float]) -> None:
    assert column_digest(pa.chunked_array([one])) != column_digest(pa.chunked_array([other]))


def test_a_digest_does_not_depend_on_chunks_but_on_the_type() -> None:
    whole = pa.chunked_array([[1, None, 3]], pa.int32())
    parts = pa.chunked_array([[1], [None, 3]], pa.int32())
    assert column_digest(whole) == column_digest(parts)
    assert column_digest(whole) != column_digest(whole.cast(pa.float32()))
