"""Learning in rounds: any parts of the rows, merged in any order, give the artifact of `fit`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.learning import Learning, State
from fastfeat.errors import FastfeatError, InvalidData, InvalidPlan, TypeMismatch
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.learn.part_state import PartState, learner_of
from fastfeat.plan.lower import scheduling, typed
from fastfeat.plan.lower.passes import PASSES, learn_together
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import training_table
from fastfeat_tests.engine.learner_cases import Split, exactly, splits
from fastfeat_tests.plan.scheduled_plans import CASES, rows, tables

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

TRAINING, SCHEDULED, TABLES = training_table(150), rows(), tables()
OF_WINDOWS = ("nested_windows", "window_of_codes")
"""Plans that learn from windows."""
EXAMPLES = max(settings().max_examples // 5, 1)  # each learns some dozen aggregates in parts


def fits() -> Mapping[str, tuple[ff.Plan, pa.Table, Mapping[str, pa.Table] | None]]:
    """Return plans by name, with the rows and tables that they are fitted on."""
    found: dict[str, Any] = {
        name: (plan, TRAINING, None) for name, plan in contract_plans().items()
    }
    for name, case in CASES.items():
        plan, read = case()
        found[name] = plan, SCHEDULED, {table: TABLES[table] for table in read} or None
    return found


FITS = fits()


def learnt(
    plan: ff.Plan, table: pa.Table, tables: Any, split: Callable[[int], Split], draw: Any
) -> tuple[bytes, pa.Table | None]:
    """Return the artifact of a plan that is fitted on parts, which come anew in each round.

    So do the features of the rows, where windows do not need all of them at once.
    """
    learning = plan.learning(table.schema, tables=tables, profile=False)
    while learning.round is not None:
        assert learning.round < 20
        if draw(st.booleans()):
            learning = Learning.from_bytes(learning.to_bytes())
        states = _states(learning, table, split(table.num_rows), draw(st.booleans()))
        if draw(st.booleans()):
            back = draw(st.sampled_from([State.from_bytes, learning.state_of_bytes]))
            states = [back(state.to_bytes()) for state in states]
        learning = learning.next(_merged(states, draw))
    fitted, features = learning.finish().record, None
    if not any(task.kind == "windows" for task in fitted.training_schedule.tasks):
        if draw(st.booleans()):
            learning = Learning.from_bytes(learning.to_bytes())
        features = _features(learning, table, split(table.num_rows))
    return artifact_bytes(fitted), features


def _features(learning: Learning[ff.FittedPlan], table: pa.Table, split: Split) -> pa.Table:
    """Return the features of the rows, computed part by part, in the order of the rows."""
    numbers = [np.asarray(part, np.int64) for part in split.parts]
    pieces = [learning.training_features(table.take(pa.array(part)), part) for part in numbers]
    order = np.argsort(np.concatenate(numbers))
    return pa.concat_tables(pieces).take(pa.array(order))


def shown(features: pa.Table) -> dict[str, Any]:
    """Return the bits of features by name, whatever stands where one is missing."""
    return {
        name: (str(features.schema.field(name).type), exactly(features.column(name).to_pylist()))
        for name in features.column_names
    }


def _states(
    learning: Learning[ff.FittedPlan], table: pa.Table, split: Split, through_bytes: bool
) -> list[State]:
    """Return the state of each part, to which its batches are added, through bytes or not."""
    states: list[State] = []
    for part, batches in zip(split.parts, split.batches, strict=True):
        state = None
        for first, stop in batches:
            numbers = part[first:stop]
            piece = table.take(pa.array(np.asarray(numbers, np.int64)))
            state = learning.partial(piece, numbers, into=state)
        assert state is not None
        states.append(state)
    return states


def _merged(states: list[State], draw: Any) -> State:
    while len(states) > 1:
        a, b = (states.pop(draw(st.integers(0, len(states) - 1))) for _ in range(2))
        if draw(st.booleans()):
            a = State.from_bytes(a.to_bytes())
        states.append(a.merge(b))
    return states[0]


@cache  # for all examples
def of_all_rows(name: str) -> tuple[bytes, dict[str, Any]]:
    """Return the artifact of a plan that is fitted on all rows at once, and their features."""
    plan, table, read = FITS[name]
    fitted, features = plan.fit_transform(table, tables=read, profile=False)
    return artifact_bytes(fitted.record), shown(features)


@pytest.mark.parametrize("name", [name for name in FITS if name not in OF_WINDOWS])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_parts_give_the_artifact_of_all_rows(name: str, data: st.DataObject) -> None:
    plan, table, read = FITS[name]

    def split(n_rows: int) -> Split:
        return data.draw(splits(n_rows))

    found, own = learnt(plan, table, read, split, data.draw)
    artifact, features = of_all_rows(name)
    assert found == artifact
    assert own is None or shown(own) == features


@pytest.mark.parametrize("name", OF_WINDOWS)
def test_windows_are_learnt_from_in_one_part(name: str) -> None:
    plan, table, _ = FITS[name]
    learning = plan.learning(table.schema, profile=False)
    while learning.round is not None:
        learning = learning.next(learning.partial(table, range(table.num_rows)))
    expected = artifact_bytes(plan.fit(table, profile=False).record)
    assert artifact_bytes(learning.finish().record) == expected


@pytest.mark.parametrize("through_bytes", [False, True])
def test_windows_in_several_parts_are_refused(through_bytes: bool) -> None:
    plan, table, _ = FITS["window_of_codes"]
    learning = plan.learning(table.schema)
    parts = [learning.partial(table[k : k + 150], range(k, k + 150)) for k in (0, 150)]
    if through_bytes:
        parts = [State.from_bytes(part.to_bytes()) for part in parts]
    with pytest.raises(InvalidData, match="which reads earlier rows of an entity"):
        parts[0].merge(parts[1])


def test_a_round_reads_the_columns_that_it_learns_from() -> None:
    plan, table, _ = FITS["codes"]
    learning, read = plan.learning(table.schema, profile=False), list[list[str]]()
    while learning.round is not None:
        read.append(sorted(learning.columns))
        part = table.select(learning.columns)
        learning = learning.next(learning.partial(part, range(table.num_rows)))
    assert read == [["shop"], ["amount", "shop"]]
    assert len(read) <= learning.most_rounds
    own = learning.training_features(table.select(learning.columns), range(table.num_rows))
    assert shown(own) == shown(plan.fit_transform(table)[1])


@pytest.mark.parametrize("name", ["codes", "levels", "scaled"])
def test_rows_without_numbers_are_learnt_from(name: str) -> None:
    plan, table, _ = FITS[name]
    learning = plan.learning(table.schema)
    while learning.round is not None:
        state = learning.partial(table[200:], None, into=learning.partial(table[:100], None))
        other = State.from_bytes(learning.partial(table[100:200], None).to_bytes())
        learning = learning.next(other.merge(state))
    assert artifact_bytes(learning.finish().record) == artifact_bytes(plan.fit(table).record)
    whole = learning.training_features(table, None)
    assert shown(whole) == shown(plan.fit_transform(table)[1])


def test_rows_without_numbers_are_in_no_fold_by_number() -> None:
    plan = ff.Plan({"a": col("k").target_encode("y", folds=2)}, label="y")
    table = pa.table({"k": ["a", "b"] * 5, "y": [1.0, 2.0] * 5})
    learning = plan.learning(table.schema)
    with pytest.raises(InvalidPlan, match="rows=None says that they have no "):  # noqa: PT012  # in one of the rounds
        while learning.round is not None:
            learning = learning.next(learning.partial(table, None))
    total = ff.Plan({"n": (col("x") + (2**63 - 20)).max()}).learning({"x": "int64"})
    before = total.partial({"x": [1, 2]}, None)
    with pytest.raises(FastfeatError, match="row 3"):
        total.partial({"x": [3, 40]}, None, into=before)


def test_a_round_that_learns_nothing_counts_rows() -> None:
    plan, table = ff.Plan({"y": col("x") * 2}), pa.table({"k": ["a", "b"], "x": [1.0, 2.0]})
    learning = plan.learning(table.schema, profile=False)
    assert len(learning.columns) == 1
    learning = learning.next(learning.partial(table.select(learning.columns), range(2)))
    expected = plan.fit(table, profile=False)
    assert artifact_bytes(learning.finish().record) == artifact_bytes(expected.record)


@pytest.mark.parametrize("name", ["codes", "levels", "out_of_fold", "scaled"])
def test_states_that_leave_memory_learn_the_same(name: str, tmp_path: Path) -> None:
    plan, table, _ = FITS[name]
    learning = plan.learning(table.schema, profile=False)
    while learning.round is not None:
        state = learning.partial(table[:0], range(0))
        for first in range(0, table.num_rows, 70):
            part = table[first : first + 70]
            state = learning.partial(part, range(first, first + part.num_rows), into=state)
            assert isinstance(state.record, PartState)
            for task, own in state.record.states.items():
                spill = learner_of(task).spill
                if spill is not None:
                    spill(own, tmp_path)
        learning = learning.next(state)
    expected = plan.fit(table, profile=False)
    assert artifact_bytes(learning.finish().record) == artifact_bytes(expected.record)


def test_a_row_that_fails_is_named_by_its_number() -> None:
    table = pa.table({"x": [1, 2**63 - 1, 3]})
    plan = ff.Plan({"y": (col("x") + 1).max()})
    learning = plan.learning(table.schema)
    with pytest.raises(FastfeatError, match="row 1001"):
        learning.partial(table, range(1000, 1003))
    with pytest.raises(FastfeatError, match="row 70"):
        learning.partial(table, [5, 70, 900])


INTEGERS = pa.array([2**62, 1, 2**62, None, 2**62, -3], pa.int64())
FLOATS = pa.array([1.0, None, -2.5, float("inf"), 3.0, float("inf")])
KEYS = pa.array(["a", "b", "a", "b", "a", "b"])
FAULTS: dict[str, tuple[dict[str, ff.Expr], dict[str, pa.Array]]] = {
    "a sum": ({"a": col("i").max(), "b": col("i").sum() * 0}, {"i": INTEGERS}),
    "a sum of a group": ({"b": col("i").sum(by="k")}, {"i": INTEGERS, "k": KEYS}),
    "a row": ({"b": (col("i") * 2).min()}, {"i": INTEGERS}),
    "a row of a group": ({"b": (col("i") * 2).min(by="k")}, {"i": INTEGERS, "k": KEYS}),
    "a mean": ({"a": col("i").max(), "b": col("f").mean()}, {"i": INTEGERS, "f": FLOATS}),
    "a greatest value": ({"b": (col("f") * 2).quantile(1.0)}, {"f": FLOATS}),
    "too large": ({"b": (col("i") * 1e290 * 1e290).mean()}, {"i": INTEGERS}),
    "a target": ({"b": col("k").target_encode("f", folds=2)}, {"k": KEYS, "f": FLOATS}),
    "a target of order": (
        {"b": col("k").target_encode("f", folds=2, stat="quantile", q=0.9, smooth=1)},
        {"k": KEYS, "f": FLOATS},
    ),
    "classes": ({"b": col("k").woe_encode("f", folds=2)}, {"k": KEYS, "f": FLOATS}),
    "a text": ({"b": col("s").str.to_integer().mean()}, {"s": KEYS}),
}
"""Plans that cannot be fitted, and rows."""


@pytest.mark.parametrize("through_bytes", [False, True])
@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_learnt_is_told_as_fit_tells_it(name: str, through_bytes: bool) -> None:
    features, columns = FAULTS[name]
    plan, table = ff.Plan(features, outcomes=["f"] if "k" in columns else []), pa.table(columns)
    with pytest.raises(FastfeatError) as expected:
        plan.fit(table)
    learning = plan.learning(table.schema)
    with pytest.raises(FastfeatError) as found:  # noqa: PT012  # whichever of them tells it
        while learning.round is not None:
            if through_bytes:
                learning = Learning.from_bytes(learning.to_bytes())
            states = [learning.partial(table[k : k + 2], range(k, k + 2)) for k in (0, 2, 4)]
            if through_bytes:
                states = [State.from_bytes(state.to_bytes()) for state in states]
            learning = learning.next(states[2].merge(states[0]).merge(states[1]))
        learning.finish()
    assert (type(found.value), str(found.value)) == (type(expected.value), str(expected.value))


@pytest.mark.parametrize("feature", [col("x").mean(), col("x").n_unique()])
def test_values_of_another_type_are_told_by_the_number_of_their_row(feature: ff.Expr) -> None:
    learning = ff.Plan({"a": feature}).learning({"x": "int64"})
    exact = learning.partial({"x": [1.0, 2.0]}, range(2))
    with pytest.raises(InvalidData, match=r"0\.5 in row 1003 is not exactly a value of type"):
        learning.partial({"x": [1.0, 2.0, 3.0, 0.5]}, [10, 11, 1002, 1003], into=exact)


def test_states_of_other_rounds_and_damaged_ones_are_refused() -> None:
    plan = ff.Plan({"a": col("x").robust_scale(), "b": col("k").ordinal_encode()})
    table = pa.table({"x": np.arange(50_000.0), "k": ["a", "b"] * 25_000})
    first = plan.learning(table.schema, profile=False)
    state = first.partial(table, range(50_000))
    content = state.to_bytes()
    second = first.next(state)
    with pytest.raises(InvalidData, match="another plan, schema, or round"):
        second.next(State.from_bytes(content))
    with pytest.raises(InvalidData, match="another plan, schema, or round"):
        State.from_bytes(content).merge(second.partial(table, range(50_000)))
    other = ff.Plan({"a": col("x").robust_scale()}).learning(table.schema, profile=False)
    with pytest.raises(InvalidData, match="another plan, schema, or round"):
        other.next(State.from_bytes(content))
    for damaged in (content[:-1], content[1:], content[:-1] + b"?", b""):
        with pytest.raises(InvalidData, match="truncated or changed"):
            State.from_bytes(damaged)


def test_states_that_began_from_other_data_are_refused() -> None:
    plan = ff.Plan({"m": col("x").mean(by="k")})
    first = plan.learning({"x": "float64", "k": "utf8"}, profile=False)
    begun = [
        first.next(first.partial({"x": [1.0, 2.0], "k": keys}, range(2)))
        for keys in (["a", "b"], ["a", "c"])
    ]
    states = [one.partial({"x": [1.0, 2.0], "k": ["a", "b"]}, range(2)) for one in begun]
    with pytest.raises(InvalidData, match="another plan, schema, or round"):
        states[0].merge(states[1])


def test_a_learning_and_a_state_are_told_apart() -> None:
    learning = ff.Plan({"a": col("x").mean()}).learning({"x": "float64"}, profile=False)
    state = learning.partial({"x": [1.0]}, range(1)).to_bytes()
    with pytest.raises(InvalidData, match="not a learning: pass the bytes"):
        Learning.from_bytes(state)
    with pytest.raises(InvalidData, match="not the state of a round"):
        State.from_bytes(learning.to_bytes())
    with pytest.raises(InvalidData, match="truncated or changed"):
        Learning.from_bytes(learning.to_bytes()[:-1])


@pytest.mark.filterwarnings("error")
def test_a_learning_of_bytes_does_not_warn_again_of_columns() -> None:
    plan = ff.Plan({"a": col("x") - col("x").mean()}, outcomes=["y"], keep=["k"])
    learning = plan.learning(
        {"x": "float64", "y": "float64", "k": "utf8", "z": "int64"}, profile=False
    )
    for _ in range(2):
        learning = Learning.from_bytes(learning.to_bytes())
    learning = learning.next(learning.partial({"x": [1.0, 2.0]}, range(2)))
    own = Learning.from_bytes(learning.to_bytes())
    assert own.columns == ["x", "k"]
    kept = own.training_features({"x": [4.0], "k": ["b"]}, range(1, 2))
    assert kept.to_pydict() == {"a": [2.5], "k": ["b"]}


def test_rounds_that_see_other_rows_are_refused() -> None:
    table = pa.table({"x": np.arange(50_000.0)})
    first = ff.Plan({"a": col("x").robust_scale()}).learning(table.schema, profile=False)
    second = first.next(first.partial(table, range(50_000)))
    with pytest.raises(InvalidData, match="has 49,999 rows, but earlier rounds have read 50,000"):
        second.next(second.partial(table[1:], range(1, 50_000)))


def test_parts_that_lack_or_are_there_twice_are_told() -> None:
    table = pa.table({"x": np.arange(9.0)})
    learning = ff.Plan({"a": col("x").mean()}).learning(table.schema, profile=False)

    def part(*rows: int) -> State:
        return learning.partial(table.take(pa.array(rows)), rows)

    with pytest.raises(InvalidData, match=r"12 rows, but not each of rows 0 to 11.* merged twice"):
        learning.next(part(*range(9)).merge(part(3, 4, 5)))
    with pytest.raises(InvalidData, match=r"6 rows, but not each of rows 0 to 5.*part is missing"):
        learning.next(part(0, 1, 2).merge(part(6, 7, 8)))
    twice = State.from_bytes(part(0, 1, 2).to_bytes()).merge(part(0, 1, 2)).merge(part(6, 7, 8))
    with pytest.raises(InvalidData, match="9 rows, but not each of rows 0 to 8"):
        learning.next(State.from_bytes(twice.to_bytes()))
    again = learning.next(part(0, 2, 7, 8).merge(part(1, 3, 4, 5, 6))).finish().learnt()
    assert again == ff.Plan({"a": col("x").mean()}).fit(table).learnt()


def test_states_are_used_once() -> None:
    learning = ff.Plan({"a": col("x").mean(), "b": col("k").woe_encode("y")}, label="y").learning(
        {"x": "float64", "k": "utf8", "y": "int64"}
    )

    def part(first: int, y: int = 1) -> State:
        return learning.partial({"x": [1.0], "k": ["a"], "y": [y]}, range(first, first + 1))

    a, b = part(0), part(1)
    with pytest.raises(InvalidData, match="merged with itself"):
        a.merge(a)
    both = a.merge(b)
    for used in (a, b):
        for use in (both.merge, learning.next, State.to_bytes):
            with pytest.raises(InvalidData, match="is used up"):
                use(used)
        with pytest.raises(InvalidData, match="is used up"):
            learning.partial({"x": [1.0], "k": ["a"], "y": [0]}, range(2, 3), into=used)
    closed = State.from_bytes(both.to_bytes())
    for_next = State.from_bytes(closed.to_bytes()).merge(part(2))
    closed.merge(State.from_bytes(part(2).to_bytes()))
    with pytest.raises(InvalidData, match="is used up"):
        closed.merge(part(2))
    second = learning.next(for_next)
    with pytest.raises(InvalidData, match="is used up"):
        learning.next(for_next)
    row = {"x": [1.0], "k": ["a"], "y": [1]}
    begun = second.partial(row, range(1))
    with pytest.raises(InvalidData, match=r"classes|0 and 1"):
        second.partial({**row, "y": [2]}, range(1, 2), into=begun)
    with pytest.raises(InvalidData, match="is used up"):  # some of its tasks have seen the row
        second.partial(row, range(1, 2), into=begun)
    with pytest.raises(InvalidData, match="another plan, schema, or round"):
        second.partial(row, range(2, 3), into=both)


@pytest.mark.parametrize("odd", [None, b"?", 1])
def test_what_is_no_state_is_told(odd: Any) -> None:
    learning = ff.Plan({"a": col("x").mean()}).learning({"x": "float64"}, profile=False)
    state = learning.partial({"x": [1.0]}, range(1))
    for use in (state.merge, learning.next):
        with pytest.raises(TypeMismatch, match="expected a state"):
            use(odd)
    for read in (State.from_bytes, Learning.from_bytes, learning.state_of_bytes):
        with pytest.raises(FastfeatError, match=r"truncated or changed|all the bytes"):
            read(odd)
    read = learning.state_of_bytes(memoryview(state.to_bytes()))  # pyright: ignore[reportArgumentType]
    assert learning.next(read).finish().learnt()


def test_a_round_that_counts_the_rows_asks_for_a_column_of_them() -> None:
    table = pa.table({"x": [1.0, 2.0], "y": [True, False]})
    learning = ff.Plan({"a": col("x") + 1}).learning(table.schema, profile=False)
    part = table.select(learning.columns)
    assert part.num_columns == 1
    learning = learning.next(learning.partial(part, range(2)))
    assert learning.columns == ["x"]
    assert learning.finish().transform(table).to_pydict() == {"a": [2.0, 3.0]}


def test_no_rows_and_no_rounds_are_told() -> None:
    learning = ff.Plan({"a": col("x").mean()}).learning({"x": "float64"}, profile=False)
    with pytest.raises(InvalidData, match="fit has no rows to learn"):
        learning.next(learning.partial({"x": np.zeros(0)}, range(0)))
    with pytest.raises(InvalidPlan, match="round 1 is not finished"):
        learning.finish()
    over = learning.next(learning.partial({"x": [1.0]}, range(1)))
    assert over.round is None
    with pytest.raises(InvalidPlan, match="all is learnt"):
        over.partial({"x": [1.0]}, range(1))


def test_numbers_of_rows_are_checked() -> None:
    learning = ff.Plan({"a": col("x").mean()}).learning({"x": "float64"}, profile=False)
    two = {"x": [1.0, 2.0]}
    with pytest.raises(InvalidData, match="has 1 row number, but the part has 2 rows"):
        learning.partial(two, range(1))
    for odd in ([1, 0], [3, 3], [-1, 4], [0.0, 1.0]):
        with pytest.raises(TypeMismatch, match="rows= takes"):
            learning.partial(two, odd)  # pyright: ignore[reportArgumentType]


def test_a_label_that_looks_ahead_is_refused() -> None:
    ahead = ff.ahead("30d", by="user", time="ts")
    plan = ff.Plan({"x": col("x").mean()}, label={"y": ff.count(over=ahead) == 0})
    with pytest.raises(InvalidPlan, match="the label is computed from later rows"):
        plan.learning({"x": "float64", "user": "int64", "ts": "timestamp[us]"})


def test_states_of_tasks_that_are_joined_otherwise_are_refused() -> None:
    table = pa.table({"x": [1.0, 2.0, 5.0], "y": [1, 2, 3]})
    plan = ff.Plan({"x": col("x").standard_scale(), "y": col("y").standard_scale()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduling, "PASSES", [p for p in PASSES if p is not learn_together])
        patch.setattr(typed, "_HELD", WeakValueDictionary())  # or the other plan finds this one
        apart = ff.Plan.from_json(plan.to_json()).learning(table.schema, profile=False)
        state = apart.partial(table, range(3))
    with pytest.raises(InvalidData, match="of another plan, schema, or round"):
        plan.learning(table.schema, profile=False).next(state)
    assert apart.next(state).finish() == plan.fit(table)


@pytest.mark.parametrize("n_folds", [2, 200])
@pytest.mark.parametrize("merges", [False, True])
def test_folds_are_as_large_as_all_parts_make_them(n_folds: int, merges: bool) -> None:
    table = pa.table({"k": [*"ab"] * 200, "y": [0, 1, 1, 0] * 100, "f": np.arange(400) % n_folds})
    plan = ff.Plan({"e": col("k").target_encode("y", fold="f")}, label="y")
    learning = plan.learning(table.schema)
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        plan.fit(table)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        while learning.round is not None:
            state = learning.partial(table[:396], range(396))
            into = None if merges else state
            last = learning.partial(table[396:], range(396, 400), into=into)
            learning = learning.next(state.merge(last) if merges else last)
        learning.finish()
    assert [str(one.message) for one in told] == [str(one.message) for one in expected]
    assert bool(expected) == (n_folds == 200)


CARD_WINDOW = ff.window(rows=3, by=["card", "shop"], time="t")
BY_CARD = ff.Plan(
    {
        "mean": col("x").mean(over=ff.window(20, by="card", time="t")).standard_scale(),
        "last": col("x").lag(1, over=CARD_WINDOW).impute("median"),
        "code": col("card").target_encode("y", folds=3),
        "n": ff.count(over=ff.window(by="card", time="t", closed="right")).standard_scale(),
        "later": ff.count(
            over=ff.window(by="card", time=col("t") * 2, closed="right")
        ).standard_scale(),
    },
    label="y",
)


def card_rows(n_rows: int = 200) -> pa.Table:
    drawn = np.random.default_rng(3)
    return pa.table(
        {
            "card": [None if k == 7 else f"c{k}" for k in drawn.integers(0, 8, n_rows)],
            "shop": drawn.integers(0, 3, n_rows),
            "t": np.sort(drawn.integers(0, 100, n_rows)),
            "x": drawn.standard_normal(n_rows),
            "y": drawn.integers(0, 2, n_rows),
        }
    )


@given(n_shares=st.integers(1, 5), through_bytes=st.booleans(), n_earlier=st.sampled_from([0, 60]))
def test_whole_entities_in_parts_give_the_artifact_of_all_rows(
    n_shares: int, through_bytes: bool, n_earlier: int
) -> None:
    table = card_rows()
    earlier, table = table.slice(0, n_earlier), table.slice(n_earlier)
    expected, features = BY_CARD.fit_transform(table, history=earlier)
    learning = BY_CARD.learning(table.schema, whole_entities=True)
    share, of_earlier = learning.shares(table, n_shares), learning.shares(earlier, n_shares)
    before = [earlier.filter(pa.array(of_earlier == k)) for k in range(n_shares)]
    parts = [np.flatnonzero(share == k) for k in range(n_shares)]
    while learning.round is not None:
        if through_bytes:
            learning = Learning.from_bytes(learning.to_bytes())
        states = [
            learning.partial(table.take(pa.array(part)), part, history=past)
            for part, past in zip(parts, before, strict=True)
        ]
        if through_bytes:
            states = [State.from_bytes(state.to_bytes()) for state in states]
        whole = states[0]
        for state in states[1:]:
            whole = whole.merge(state)
        learning = learning.next(whole)
    assert artifact_bytes(learning.finish().record) == artifact_bytes(expected.record)
    found = [
        learning.training_features(table.take(pa.array(part)), part, history=past)
        for part, past in zip(parts, before, strict=True)
    ]
    order = pa.array(np.argsort(np.concatenate(parts)))
    assert shown(pa.concat_tables(found).take(order)) == shown(features)


def test_entities_without_a_common_key_are_refused() -> None:
    schema = card_rows(1).schema
    for by, told in (("shop", "card; shop"), (None, "card; all rows")):
        other = ff.window(20, time="t") if by is None else ff.window(20, by=by, time="t")
        plan = ff.Plan(
            {**BY_CARD.features, "other": col("x").mean(over=other).standard_scale()}, label="y"
        )
        plan = ff.Plan({k: v for k, v in plan.features.items() if k != "last"}, label="y")
        with pytest.raises(InvalidPlan, match=rf"no entity in common \(they see: {told}\)"):
            plan.learning(schema, whole_entities=True)
    code = ff.window(20, by=col("card").ordinal_encode(), time="t")
    learnt = ff.Plan({"x": col("x").mean(over=code).standard_scale()})
    with pytest.raises(InvalidPlan, match="is computed from learnt values, but"):
        learnt.learning(schema, whole_entities=True)


def test_rows_of_a_plan_without_windows_are_in_any_share() -> None:
    plan = ff.Plan({"x": col("x").standard_scale()})
    learning = plan.learning({"x": "float64"}, whole_entities=True)
    assert learning.shares({"x": [1.0, 2.0, 3.0]}, 2).tolist() == [0, 1, 0]
