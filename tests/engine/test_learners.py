"""Learners: rows in any parts, merged in any order, through bytes or not, give the same values.

A new kind of learning task is one row of `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat import col
from fastfeat.engine.cpu import learn
from fastfeat.engine.cpu import ranks as part_of_ranks
from fastfeat.engine.learner import LearntResult, NextRound
from fastfeat.engine.program import RowFailed
from fastfeat.engine.state_bytes import hint_of_bytes, hint_to_bytes, of_bytes, to_bytes
from fastfeat.engine.tasks import LearnTask
from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.expr import Expr
from fastfeat.io.temporary_files import UnnamedFile
from fastfeat.steps.keys import cpu_group_states, cpu_learner, cpu_ordered, cpu_sorted_runs
from fastfeat.steps.targets import cpu_states, cpu_time_folds
from fastfeat_tests.engine.group_cases import (
    groups,
    shown,
    shown_folds,
    shown_target,
    targets,
    times,
)
from fastfeat_tests.engine.learner_cases import (
    Kind,
    exactly,
    keys_shown,
    learnt_at_once,
    learnt_in_parts,
    of_keys,
    of_rows,
    taken,
    task_of,
)


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


@pytest.fixture(scope="module", autouse=True)
def _few_rows_go_through_all_rounds() -> Iterator[None]:
    with patch.object(part_of_ranks, "N_SAMPLE", 8):
        yield


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_any_parts_in_any_order_give_the_same_values(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    case = data.draw(kind.cases)
    expected = outcome(kind, lambda: learnt_at_once(kind.learner, case))
    assert outcome(kind, lambda: learnt_in_parts(kind.learner, case, data.draw)) == expected


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
    expected = outcome(kind, lambda: learnt_at_once(kind.learner, case))
    assert outcome(kind, lambda: learn.learn(task)) == expected


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.learner.spill])
@given(data=st.data())
def test_rows_that_leave_memory_give_the_same_values(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    spill = kind.learner.spill
    assert spill is not None
    case = data.draw(kind.cases)
    expected = outcome(kind, lambda: learnt_at_once(kind.learner, case))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(cpu_ordered, "BLOCK_ROWS", data.draw(st.integers(1, 50)))
        patched.setattr(cpu_ordered, "RANGE_ROWS", data.draw(st.integers(1, 50)))
        patched.setattr(cpu_sorted_runs, "BLOCK_KEYS", data.draw(st.integers(1, 5)))
        patched.setattr(cpu_sorted_runs, "RANGE_KEYS", data.draw(st.integers(1, 20)))

        def add(state: Any, columns: Any, rows: Any) -> None:
            kind.learner.add(state, columns, rows)
            if data.draw(st.booleans()):
                spill(state, Path(folder))

        def end(state: Any) -> LearntResult | NextRound:
            spill(state, Path(folder))
            return kind.learner.next(state)

        spilling = kind._replace(learner=replace(kind.learner, add=add, next=end))
        assert outcome(kind, lambda: learnt_in_parts(spilling.learner, case, data.draw)) == expected


def test_a_row_that_fails_is_named_by_its_number() -> None:
    case = task_of({"y": (col("x") + 1).sum()}, pa.table({"x": [1, 2, 2**63 - 1, 3]}))
    state = learn.LEARNER.start(case.spec, None)
    with pytest.raises(RowFailed) as caught:
        learn.LEARNER.add(state, case.columns, range(1000, 1004))
    assert caught.value.args == (1002,)


def test_spilled_keys_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    values = np.concatenate([random.normal(size=400), random.integers(0, 3, 400), [np.nan] * 9])
    table = pa.table({"x": random.permutation(values)})
    probabilities = [k / 20 for k in range(21)]
    case = task_of({str(q): col("x").quantile(q) for q in probabilities}, table)
    expected, written = learnt_at_once(learn.LEARNER, case), list[int]()
    monkeypatch.setattr(UnnamedFile, "put", lambda *given: _noted(written, *given))
    learner, hint = learn.LEARNER, None
    assert learner.spill is not None
    while True:
        states: list[Any] = []
        for first in range(0, case.n_rows, 100):
            state, rows = learner.start(case.spec, hint), range(first, case.n_rows)[:100]
            learner.add(state, taken(case.columns, rows), rows)
            learner.spill(state, tmp_path)
            states.append(state)
        whole = states[0]
        for state in states[1:]:
            whole = learner.merge(whole, state)
        through_bytes = of_bytes(learner, case.spec, hint, to_bytes(learner, whole))
        found = learner.next(whole)
        assert exactly(_plain(learner.next(through_bytes))) == exactly(_plain(found))
        if isinstance(found, LearntResult):
            break
        hint = found.hint
    assert sum(written) > 8 * 100
    assert not list(tmp_path.iterdir())
    assert exactly(found.values) == exactly(expected)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.learner.spill])
@given(data=st.data())
def test_a_spill_that_fails_leaves_no_file_and_loses_no_row(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    spill = kind.learner.spill
    assert spill is not None
    case = data.draw(kind.cases)
    expected = outcome(kind, lambda: learnt_at_once(kind.learner, case))

    def end(state: Any) -> LearntResult | NextRound:
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
            patched.setattr(UnnamedFile, "put", _full_disk)
            with suppress(OSError):
                spill(state, Path(folder))
            assert not any(Path(folder).iterdir())
        return kind.learner.next(state)

    failing = replace(kind.learner, next=end)
    assert outcome(kind, lambda: learnt_in_parts(failing, case, data.draw)) == expected


_put = UnnamedFile.put


def _noted(written: list[int], file: UnnamedFile, first: int, content: Any) -> None:
    written.append(memoryview(content).nbytes)
    _put(file, first, content)


def _full_disk(self: UnnamedFile, first: int, content: Any) -> None:
    self.file.write(b"a part")
    raise OSError("no space left")


def _plain(found: LearntResult | NextRound) -> Any:
    """Return what a round gives; a hint as bytes."""
    return found.values if isinstance(found, LearntResult) else hint_to_bytes(found.hint)


def test_a_hint_is_no_state() -> None:
    hint = (1, -0.5, float("inf"), None, "a", {"k": (np.arange(3), True)})
    content = hint_to_bytes(hint)
    assert exactly(hint_of_bytes(content)) == exactly(hint)
    case = task_of({"y": col("x").mean()}, pa.table({"x": [1.0, 2.0]}))
    state = to_bytes(learn.LEARNER, learn.LEARNER.start(case.spec, None))
    with pytest.raises(InvalidData, match="not the hint that a round"):
        hint_of_bytes(state)
    with pytest.raises(InvalidData, match="of kind 'hint', but the task is of kind 'statistics'"):
        of_bytes(learn.LEARNER, case.spec, None, content)
    with pytest.raises(InvalidData, match="truncated or changed"):
        hint_of_bytes(content[:-1])


def test_states_of_other_kinds_and_damaged_ones_are_refused() -> None:
    case = task_of({"y": col("x").mean()}, pa.table({"x": [1.0, 2.0]}))
    content = to_bytes(learn.LEARNER, learn.LEARNER.start(case.spec, None))
    for damaged in (content[:-1], content[1:], content[:-1] + b"?", b""):
        with pytest.raises(InvalidData, match="truncated or changed"):
            of_bytes(learn.LEARNER, case.spec, None, damaged)
