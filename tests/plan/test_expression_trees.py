"""Random expressions of many operators: both backends give the same bytes, or the same error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.api.plan import fitted_of
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.plan.expression_trees import KINDS, expressions
from fastfeat_tests.plan.plan_tables import differing, table_of

# One example compiles about twenty features of up to a hundred operations, which takes seconds.
EXAMPLES = 3 + settings().max_examples // 20
features = st.lists(
    st.sampled_from(KINDS).flatmap(lambda kind: expressions(kind, 4)), min_size=8, max_size=16
)


def outcome(compute: Any) -> Any:
    """Return a result, or the error that took its place as text."""
    try:
        return compute()
    except ff.FastfeatError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
@settings(max_examples=EXAMPLES)
@given(features, st.integers(0, 2**31))
def test_both_backends_agree_on_any_expression(features, seed):
    train, rows = table_of(60, seed, finite=True), table_of(90, seed + 1)
    plan = ff.Plan({f"f{k}": feature for k, feature in enumerate(features)})
    fitted = outcome(lambda: plan.fit(train))
    by_reference = outcome(lambda: plan.fit(train, backend="reference"))
    if isinstance(fitted, str) or isinstance(by_reference, str):
        assert fitted == by_reference
        return
    content = artifact_bytes(fitted.record)
    assert content == artifact_bytes(by_reference.record)
    assert artifact_bytes(fitted_of(content).record) == content
    on_cpu = outcome(lambda: fitted.transform(rows))
    reference = outcome(lambda: fitted.transform(rows, backend="reference"))
    if isinstance(on_cpu, str) or isinstance(reference, str):
        assert on_cpu == reference
        return
    assert differing(on_cpu, reference) == {}
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
