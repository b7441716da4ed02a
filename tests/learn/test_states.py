"""Plans whose aggregates are learnt from rows in parts give the same artifact, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import cpu
from fastfeat.engine.cpu import learn, ranks
from fastfeat.engine.tasks import LearnTask
from fastfeat.errors import FastfeatError
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import training_table
from fastfeat_tests.engine.learner_cases import Case, learnt_in_parts

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

TRAINING = training_table(150)
X = col("f64")
PLANS = {
    **contract_plans(),
    "levels": ff.Plan(
        {
            "twice": X.clip(X.quantile(0.1), X.quantile(0.9)).robust_scale().standard_scale(),
            "within": ((X - X.mean()) / X.std()).power_transform(),
            "counted": X / X.count() + col("i64").is_null().mean() * col("f32").skew(),
            "imputed": col("f32").impute("median").quantile_transform(),
        }
    ),
}


def in_parts(draw: Callable[..., Any]) -> Callable[[LearnTask], Any]:
    """Return what learns a task of all rows as several machines would."""

    def run(task: LearnTask) -> list[Any]:
        spec = learn.StatisticsSpec(task.program, task.wanted, task.constants)
        case = Case(spec, task.columns, task.n_rows)
        return list(learnt_in_parts(learn.LEARNER, case, draw))

    return run


EXAMPLES = max(settings().max_examples // 5, 1)  # each learns a dozen aggregates in parts


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_parts_in_any_order_give_the_same_artifact(name: str, data: st.DataObject) -> None:
    plan = PLANS[name]
    expected = artifact_bytes(plan.fit(TRAINING, profile=False).record)
    functions = {**cpu.BACKEND.functions, LearnTask: in_parts(data.draw)}
    with patch.object(ranks, "N_SAMPLE", 8), patch.dict(cpu.BACKEND.functions, functions):
        assert artifact_bytes(plan.fit(TRAINING, profile=False).record) == expected


@given(data=st.data())
def test_a_row_that_fails_in_a_part_is_told_alike(data: st.DataObject) -> None:
    rows = {"i": [1, 2, 2**63 - 1, 4, 5, 2**63 - 2, 7]}
    plan = ff.Plan({"y": (col("i") + 1).mean() + col("i")})
    told: list[str] = []
    for functions in ({}, {LearnTask: in_parts(data.draw)}):
        with patch.dict(cpu.BACKEND.functions, functions), pytest.raises(FastfeatError) as caught:
            plan.fit(rows)
        told.append(str(caught.value))
    assert "row 2" in told[0]
    assert len(set(told)) == 1
