"""Executors of one schedule: whole tables, chunks, one row, a live state, and other backends.

Each runs the tasks of the schedule that a fitted plan holds, and gives the same bits.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest

from fastfeat.api.plan import FittedPlan
from fastfeat.engine.gpu.compile.gcc import find_compiler
from fastfeat.errors import BackendUnavailable, FastfeatWarning
from fastfeat.trust.selfcheck.past_plans import live_plan, past_plans
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import check_table, past_tables, training_table

PLANS = contract_plans()
PAST = {**past_plans(), "live": live_plan()}
N_ROWS = 24
"""Of a sample, which the reference and single rows compute."""

BACKENDS = pytest.mark.parametrize(
    "backend", ["reference", pytest.param("emulated", marks=pytest.mark.emulator)]
)


@cache
def fitted_on_rows(name: str) -> FittedPlan:
    return PLANS[name].fit(training_table())


def skip_without_compiler(backend: str) -> None:
    if backend == "emulated":
        try:
            find_compiler()
        except BackendUnavailable as error:
            pytest.skip(str(error))


def told(plan: FittedPlan, rows: Any, backend: str, **given: Any) -> str:
    """Return what differs between the executors of a plan; empty for nothing."""
    report = plan.verify(rows, n_rows=N_ROWS, backends=("cpu", backend), **given)
    return "" if report.ok else str(report)


@pytest.mark.sampled
@pytest.mark.parametrize("name", PLANS)
@BACKENDS
def test_executors_of_one_schedule_give_the_same_bits(name: str, backend: str) -> None:
    skip_without_compiler(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        assert not told(fitted_on_rows(name), check_table(), backend)


@pytest.mark.sampled
@pytest.mark.parametrize("name", PAST)
@BACKENDS
def test_executors_of_one_schedule_give_the_same_bits_of_a_past(name: str, backend: str) -> None:
    skip_without_compiler(backend)
    rows = past_tables()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        fitted = PAST[name].fit(rows.train, history="batch", tables=rows.tables)
        assert not told(fitted, rows.later, backend, history=rows.train, tables=rows.tables)
