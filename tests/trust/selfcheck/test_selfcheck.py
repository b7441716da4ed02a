"""The contract: every backend gives the features, and learns the values, of the golden digests."""

from __future__ import annotations

import inspect
import warnings
from functools import cache

import pyarrow as pa
import pytest

from fastfeat.engine.gpu.compile.gcc import find_compiler
from fastfeat.errors import BackendUnavailable, FastfeatWarning
from fastfeat.ir.node import Call, postorder
from fastfeat.operators import OPERATORS
from fastfeat.steps.windows.rows import OVER_FUNCTIONS
from fastfeat.trust.selfcheck.digests import (
    FILE_OF_PAST,
    column_digest,
    digests_of,
    digests_of_live,
    digests_of_past,
    golden_digests,
)
from fastfeat.trust.selfcheck.past_plans import live_plan, past_plans
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import (
    N_ROWS,
    N_TRAINING_ROWS,
    PastTables,
    check_table,
    past_tables,
    training_table,
)

PLANS = contract_plans()
PAST_PLANS = past_plans()


@cache
def tables() -> tuple[pa.Table, pa.Table]:
    return training_table(), check_table()


@cache
def rows_with_a_past() -> PastTables:
    return past_tables()


BACKENDS = pytest.mark.parametrize(
    "backend", ["cpu", pytest.param("emulated", marks=pytest.mark.emulator)]
)


def skip_without_compiler(backend: str) -> None:
    if backend == "emulated":
        try:
            find_compiler()
        except BackendUnavailable as error:
            pytest.skip(str(error))


@pytest.mark.parametrize("name", PLANS)
@BACKENDS
def test_a_backend_gives_the_golden_digests(name: str, backend: str) -> None:
    skip_without_compiler(backend)
    train, rows = tables()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)  # of columns that are constant
        fitted = PLANS[name].fit(train, backend=backend)
    features = fitted.transform(rows, backend=backend)
    assert digests_of(fitted, features) == golden_digests()[name]


@pytest.mark.parametrize("name", PAST_PLANS)
@BACKENDS
def test_a_backend_gives_the_golden_digests_of_the_past(name: str, backend: str) -> None:
    skip_without_compiler(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        found = digests_of_past(PAST_PLANS[name], rows_with_a_past(), backend)
    assert found == golden_digests(FILE_OF_PAST)[name]


def test_a_state_gives_the_golden_digests() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        found = digests_of_live(live_plan(), rows_with_a_past())
    assert found == golden_digests(FILE_OF_PAST)["live"]


def test_the_plans_of_the_past_hold_every_window_key_and_fold() -> None:
    assert {*PAST_PLANS, "live"} == set(golden_digests(FILE_OF_PAST))
    nodes = postorder(
        [node for plan in PAST_PLANS.values() for node in plan.declaration.nodes.values()]
    )
    seen = {node.function for node in nodes if isinstance(node, Call)}
    assert {f"over.{name}" for name in OVER_FUNCTIONS} <= seen
    for plan, parameters in (("by", {"by", "min_rows"}), ("folds", {"folds"})):
        names = {feature.partition(" ")[0] for feature in PAST_PLANS[plan].features}
        assert {
            name
            for name, operator in OPERATORS.items()
            if parameters <= inspect.signature(operator.define).parameters.keys()
        } <= names


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
