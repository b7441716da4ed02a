"""Learners: rows in any parts, merged in any order, through bytes or not, give the same values.

A new kind of learning task is one row of `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from group_cases import groups, shown, shown_folds, shown_target, targets, times
from hypothesis import given
from hypothesis import strategies as st
from learner_cases import (
    Case,
    Kind,
    Split,
    exactly,
    keys_shown,
    of_keys,
    of_rows,
    splits,
    taken,
    task_of,
)

from fastfeat import col
from fastfeat.engine.cpu import learn
from fastfeat.engine.cpu import ranks as part_of_ranks
from fastfeat.engine.learner import Again, Learnt, of_bytes, to_bytes
from fastfeat.engine.program import RowFailed
from fastfeat.engine.tasks import LearnTask
from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.expr import Expr
from fastfeat.steps.keys import cpu_group_states, cpu_learner, cpu_ordered
from fastfeat.steps.targets import cpu_states, cpu_time_folds

MOST_ROUNDS = 20


def moments(kind: str) -> Sequence[Expr]:
    """Return features of the exact sums, of a column and of what is computed from one."""
    x = col("x")
    found = [x.count(), x.null_count()]
    if kind == "text":
        return found
    found += [x.min(), x.max()]
    if kind == "duration":
        return [*found, x.mean()]
    if kind in ("date32", "timestamp"):
        return found
    found += [x.mean(), x.var(), x.std(), x.skew(), x.kurtosis()]
    if kind in ("tame", "float32", "bool", "int8"):
        found += [x.sum(), (x * 3 + 1).sum(), (x * 0.5).fill_null(2.0).kurtosis(bias=False)]
    return found


def ranks(kind: str) -> Sequence[Expr]:
    """Return features of the order of the values of a column, and of what is computed from one."""
    x = col("x")
    found = [x.quantile(q, interpolation="lower") for q in (0, 0.3, 0.5, 1)]
    if kind in ("float64", "tame", "float32", "int8", "int64", "uint64"):
        found += [x.quantile(0.7), x.robust_scale(), x.quantile_transform(), x.max() * x.count()]
        found += [(x.cast("float64") * 0.5 + 1).quantile(0.9)]
    return found


def powers(kind: str) -> Sequence[Expr]:
    """Return features of the likeliest power of a column."""
    x = col("x")
    given = [x, x.cast("float64").abs() + 0.5, -1 - x.cast("float64").abs()]
    found = [one.power_transform(standardize=False) for one in given]
    return [*found, given[1].power_transform(method="box-cox", standardize=False)]


NUMBERS = ["float64", "tame", "float32", "bool", "int8", "int64", "uint64"]
TIMES = ["date32", "timestamp", "duration"]
KINDS = {
    "moments": Kind(learn.LEARNER, of_rows(moments, [*NUMBERS, *TIMES, "text"]), exactly),
    "ranks": Kind(learn.LEARNER, of_rows(ranks, [*NUMBERS, *TIMES]), exactly),
    "powers": Kind(learn.LEARNER, of_rows(powers, ["tame", "float64", "bool", "int8"]), exactly),
    "keys": Kind(cpu_learner.LEARNER, of_keys(), keys_shown),
    "groups": Kind(cpu_group_states.LEARNER, groups(), shown),
    "target": Kind(cpu_states.LEARNER, targets(), shown_target),
    "time_folds": Kind(cpu_time_folds.LEARNER, times(), shown_folds),
}


def learnt_at_once(kind: Kind, case: Case) -> Sequence[Any]:
    """Return the values, all rows added at once in each round."""
    hint = None
    for _ in range(MOST_ROUNDS):
        state = kind.learner.start(case.spec, hint)
        kind.learner.add(state, case.columns, range(case.n_rows))
        match kind.learner.next(state):
            case Learnt(values):
                return values
            case Again(hint):
                pass
    raise AssertionError("too many rounds")


def learnt_in_parts(kind: Kind, case: Case, draw: Callable[..., Any]) -> Sequence[Any]:
    """Return the values, the rows split anew in each round."""
    hint = None
    for _ in range(MOST_ROUNDS):
        state = _state_of(kind, case, hint, draw(splits(case.n_rows)))
        assert kind.learner.size(state) <= kind.learner.bound(case.spec, case.n_rows)
        match kind.learner.next(state):
            case Learnt(values):
                return values
            case Again(hint):
                pass
    raise AssertionError("too many rounds")


def _state_of(kind: Kind, case: Case, hint: Any, split: Split) -> Any:
    learner = kind.learner
    states: list[Any] = []
    for part, batches in zip(split.parts, split.batches, strict=True):
        state, columns = learner.start(case.spec, hint), taken(case.columns, part)
        for first, stop in batches:
            learner.add(state, taken(columns, range(first, stop)), part[first:stop])
        states.append(state)
    for first, second, through_bytes in split.order:
        a, b = states[first], states[second]
        if through_bytes:
            a = of_bytes(learner, case.spec, hint, to_bytes(learner, a))
        states = [s for k, s in enumerate(states) if k not in (first, second)]
        states.append(learner.merge(a, b))
    return of_bytes(learner, case.spec, hint, to_bytes(learner, states[0]))


@pytest.fixture(scope="module", autouse=True)
def _few_rows_go_through_all_rounds() -> Iterator[None]:
    with patch.object(part_of_ranks, "N_SAMPLE", 8):
        yield


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_any_parts_in_any_order_give_the_same_values(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    case = data.draw(kind.cases)
    expected = outcome(kind, lambda: learnt_at_once(kind, case))
    assert outcome(kind, lambda: learnt_in_parts(kind, case, data.draw)) == expected


def outcome(kind: Kind, learnt: Callable[[], Sequence[Any]]) -> Any:
    """Return what of the values must be equal, or the error of one that cannot be learnt."""
    try:
        values = learnt()
    except (FastfeatError, RowFailed) as error:
        return type(error), error.args
    return kind.shown(values)


@pytest.mark.parametrize("name", ["moments", "ranks", "powers"])
@given(data=st.data())
def test_all_rows_in_memory_give_the_values_of_the_rounds(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    case = data.draw(kind.cases)
    spec = case.spec
    task = LearnTask(spec.program, spec.wanted, case.columns, case.n_rows, spec.constants)
    expected = outcome(kind, lambda: learnt_at_once(kind, case))
    assert outcome(kind, lambda: learn.learn(task)) == expected


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.learner.spill])
@given(data=st.data())
def test_rows_that_leave_memory_give_the_same_values(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    spill = kind.learner.spill
    assert spill is not None
    case = data.draw(kind.cases)
    expected = outcome(kind, lambda: learnt_at_once(kind, case))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(cpu_ordered, "BLOCK_ROWS", data.draw(st.integers(1, 50)))
        patched.setattr(cpu_ordered, "RANGE_ROWS", data.draw(st.integers(1, 50)))

        def add(state: Any, columns: Any, rows: Any) -> None:
            kind.learner.add(state, columns, rows)
            if data.draw(st.booleans()):
                spill(state, Path(folder))

        def end(state: Any) -> Learnt | Again:
            spill(state, Path(folder))
            return kind.learner.next(state)

        spilling = kind._replace(learner=replace(kind.learner, add=add, next=end))
        assert outcome(kind, lambda: learnt_in_parts(spilling, case, data.draw)) == expected


def test_a_row_that_fails_is_named_by_its_number() -> None:
    case = task_of({"y": (col("x") + 1).sum()}, pa.table({"x": [1, 2, 2**63 - 1, 3]}))
    state = learn.LEARNER.start(case.spec, None)
    with pytest.raises(RowFailed) as caught:
        learn.LEARNER.add(state, case.columns, range(1000, 1004))
    assert caught.value.args == (1002,)


def test_states_of_other_kinds_and_damaged_ones_are_refused() -> None:
    case = task_of({"y": col("x").mean()}, pa.table({"x": [1.0, 2.0]}))
    content = to_bytes(learn.LEARNER, learn.LEARNER.start(case.spec, None))
    for damaged in (content[:-1], content[1:], content[:-1] + b"?", b""):
        with pytest.raises(InvalidData, match="cut or changed"):
            of_bytes(learn.LEARNER, case.spec, None, damaged)
