"""Cases for learners: tasks as fit lowers them, and rows whose values are hard."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat.aggregates import AGGREGATES
from fastfeat.engine.cpu.learn import StatisticsSpec
from fastfeat.engine.learner import Learner, LearntResult, NextRound
from fastfeat.engine.program import RowFailed, program_of
from fastfeat.engine.state_bytes import hint_of_bytes, hint_to_bytes, of_bytes, to_bytes
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.inputs import slot_columns
from fastfeat.execute.values import argument_output
from fastfeat.expr import Expr
from fastfeat.io.columns.keys import key_column
from fastfeat.io.columns.types import dtype_of
from fastfeat.ir.node import Aggregate, Node, postorder
from fastfeat.learn.training_data import prepare
from fastfeat.plan.lower.constants import bind
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.steps.keys.cpu_counting import KeysSpec
from fastfeat.steps.targets import cpu_time_folds


class Case(NamedTuple):
    """Rows for a task.

    Args:
        spec: what the task is told.
        columns: what it reads, by what `add` takes them by.
        n_rows: how many rows.
    """

    spec: Any
    columns: Mapping[Any, Any]
    n_rows: int


class Kind(NamedTuple):
    """A row of the table of kinds.

    Args:
        learner: of the kind.
        cases: tasks with rows.
        shown: what of the values must be equal, as something that `==` compares: `exactly` where
            they are plain.
    """

    learner: Learner[Any, Any]
    cases: st.SearchStrategy[Case]
    shown: Callable[[Any], Any]


def exactly(value: Any) -> Any:
    """Return a plain value such that `==` tells its bits and types apart."""
    if isinstance(value, tuple | list):
        return [exactly(one) for one in value]
    return type(value), repr(value)


EXTREME = [0.0, -0.0, 1e300, -1e300, 5e-324, 1.0, -1.0, 0.1, math.nan, math.inf, -math.inf]
INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


def values(kind: str) -> st.SearchStrategy[Any]:
    """Return a strategy of the values of one kind of column, missing ones among them."""
    if kind == "float64":
        some = st.one_of(
            st.sampled_from(EXTREME), st.floats(-1000, 1000), st.floats(allow_nan=False)
        )
    elif kind == "tame":
        some = st.floats(-1000, 1000)
    elif kind == "float32":
        some = st.floats(width=32)
    elif kind == "bool":
        some = st.booleans()
    elif kind == "date32":
        some = st.integers(-(2**31), 2**31 - 1)
    elif kind in ("timestamp", "duration"):
        some = st.one_of(st.sampled_from([-(2**62), 2**62]), st.integers(-5, 5))
    elif kind == "text":
        some = st.sampled_from(["", "a", "b", "a\0", "é", "of more than 16 bytes"])
    else:
        low, high = INTEGERS[kind]
        some = st.one_of(st.sampled_from([low, high, 0, 1]), st.integers(low, high))
    return st.one_of(st.none(), some)


TYPES = {
    "float64": pa.float64(),
    "tame": pa.float64(),
    "float32": pa.float32(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "date32": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "duration": pa.duration("ns"),
    "text": pa.string(),
}


@st.composite
def columns(draw: st.DrawFn, kind: str, n_rows: int) -> pa.ChunkedArray:
    """Return a column of some rows, in chunks, at offsets, or as a dictionary."""
    few = draw(st.lists(values(kind), min_size=1, max_size=12))
    places = draw(st.lists(st.integers(0, len(few) - 1), min_size=n_rows + 1, max_size=n_rows + 1))
    listed = [few[place] for place in places]
    if kind in ("date32", "timestamp", "duration"):
        width = pa.int32() if TYPES[kind].bit_width == 32 else pa.int64()
        array = pa.array(listed, width).view(TYPES[kind])
    else:
        array = pa.array(listed, TYPES[kind])
    if kind == "text" and draw(st.booleans()):
        array = array.dictionary_encode()
    array = array[1:]
    at = draw(st.integers(0, n_rows))
    if draw(st.booleans()):
        return pa.chunked_array([array])
    return pa.chunked_array([array[:at], array[at:]], array.type)


def task_of(features: Mapping[str, Expr], table: pa.Table) -> Case:
    """Return the task that learns the aggregates of all rows of some features, as fit lowers it."""
    plan = ff.Plan(features).declaration
    batch = prepare(plan, CallRows(table)).rows
    wanted: dict[Node, list[Aggregate]] = {}
    for node in postorder(list(plan.nodes.values())):
        if isinstance(node, Aggregate):
            wanted.setdefault(node.args[0], []).append(node)
    named = [("", argument) for argument in wanted]
    program = program_of(outputs_of(named, batch.types, argument_output, hoist=True, training=True))
    functions = [[(a.function, a.params) for a in group] for group in wanted.values()]
    spec = StatisticsSpec(program, functions, bind(program, {}))
    return Case(spec, slot_columns(program, batch.table, {}), table.num_rows)


class Split(NamedTuple):
    """Rows in parts, and how these come together.

    Args:
        parts: the rows of each part.
        batches: the part that each batch of rows is added to, as (part, first, stop) of its rows.
        order: which two of the states that are left are merged, and whether through bytes.
    """

    parts: list[Any]
    batches: list[list[tuple[int, int]]]
    order: list[tuple[int, int, bool]]


@st.composite
def splits(draw: st.DrawFn, n_rows: int) -> Split:
    """Return any way in which rows may come."""
    n_parts = draw(st.integers(1, 4))
    if draw(st.booleans()):
        ends = sorted(draw(st.lists(st.integers(0, n_rows), min_size=n_parts - 1, max_size=3)))
        parts: list[Any] = [range(a, b) for a, b in zip([0, *ends], [*ends, n_rows], strict=True)]
    else:
        holder = np.array(
            draw(st.lists(st.integers(0, n_parts - 1), min_size=n_rows, max_size=n_rows)), int
        )
        parts = [np.flatnonzero(holder == part) for part in range(n_parts)]
    batches: list[list[tuple[int, int]]] = []
    for part in parts:
        cuts = sorted(draw(st.lists(st.integers(0, len(part)), max_size=3)))
        batches.append(list(zip([0, *cuts], [*cuts, len(part)], strict=True)))
    order: list[tuple[int, int, bool]] = []
    for n_left in range(len(parts), 1, -1):
        first = draw(st.integers(0, n_left - 1))
        second = draw(st.integers(0, n_left - 1).filter(lambda k, first=first: k != first))
        order.append((first, second, draw(st.booleans())))
    return Split(parts, batches, order)


def taken(columns: Mapping[Any, Any], rows: Any) -> dict[Any, Any]:
    """Return some rows of the columns."""
    if isinstance(rows, range):
        return {slot: column.slice(rows.start, len(rows)) for slot, column in columns.items()}
    return {slot: column.take(pa.array(rows)) for slot, column in columns.items()}


def of_rows(
    features: Callable[[str], Sequence[Expr]], kinds: Sequence[str]
) -> st.SearchStrategy[Case]:
    """Return a strategy of tasks over one column of some kind.

    Args:
        features: what is learnt, of the kind of column; the column is `x`.
        kinds: the kinds.
    """

    @st.composite
    def cases(draw: st.DrawFn) -> Case:
        kind = draw(st.sampled_from(kinds))
        n_rows = draw(st.sampled_from([1, 2, 7, 30, 200]))
        table = pa.table({"x": draw(columns(kind, n_rows))})
        return task_of({str(k): one for k, one in enumerate(features(kind))}, table)

    return cases()


@st.composite
def of_keys(draw: st.DrawFn) -> Case:
    """Return a task that counts keys of one part or several."""
    kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4))
    n_rows = draw(st.sampled_from([0, 1, 2, 7, 30, 200]))
    dtypes = tuple(dtype_of(TYPES[kind]) for kind in kinds)
    parts = [
        key_column(draw(columns(kind, n_rows)), "x", dtype, narrow=True)
        for kind, dtype in zip(kinds, dtypes, strict=True)
    ]
    missing, at_once = draw(st.sampled_from(["key", "value"])), draw(st.booleans())
    spec = KeysSpec(dtypes, missing, 1 << 30, at_once=at_once, with_rows=at_once)
    return Case(spec, dict(enumerate(parts)), n_rows)


def keys_shown(values: Any) -> Any:
    """Return what there is to know of keys, their order among it."""
    (found,) = values
    parts = [(str(part.type), exactly(part.to_pylist())) for part in found.parts]
    return parts, found.counts.tolist(), found.n_missing


def most_rounds(spec: Any) -> int:
    """Return in how many rounds a task is learnt, at most."""
    match spec:
        case StatisticsSpec():
            rows = [AGGREGATES[name] for functions in spec.wanted for name, _ in functions]
            return max(row.n_rounds for row in rows)
        case cpu_time_folds.TimeFoldsSpec():
            return 2
        case _:
            return 1


def learnt_at_once(learner: Learner[Any, Any], case: Case) -> Sequence[Any]:
    """Return the values, all rows added at once in each round."""
    hint = None
    for _ in range(most_rounds(case.spec)):
        state = learner.start(case.spec, hint)
        learner.add(state, case.columns, range(case.n_rows))
        match learner.next(state):
            case LearntResult(values):
                return values
            case NextRound(hint):
                pass
    raise AssertionError("too many rounds")


def learnt_in_parts(
    learner: Learner[Any, Any], case: Case, draw: Callable[..., Any]
) -> Sequence[Any]:
    """Return the values, the rows split anew in each round."""
    hint = None
    for _ in range(most_rounds(case.spec)):
        state = _state_of(learner, case, hint, draw(splits(case.n_rows)))
        assert learner.size(state) <= learner.bound(case.spec, case.n_rows)
        match learner.next(state):
            case LearntResult(values):
                return values
            case NextRound(hint):
                if draw(st.booleans()):
                    hint = hint_of_bytes(hint_to_bytes(hint))
    raise AssertionError("too many rounds")


def _state_of(learner: Learner[Any, Any], case: Case, hint: Any, split: Split) -> Any:
    states: list[Any] = []
    failed: list[int] = []
    for part, batches in zip(split.parts, split.batches, strict=True):
        state, columns = learner.start(case.spec, hint), taken(case.columns, part)
        try:
            for first, stop in batches:
                learner.add(state, taken(columns, range(first, stop)), part[first:stop])
        except RowFailed as failure:
            failed.append(failure.args[0])
        states.append(state)
    if failed:
        raise RowFailed(min(failed))
    for first, second, through_bytes in split.order:
        a, b = states[first], states[second]
        if through_bytes:
            a = of_bytes(learner, case.spec, hint, to_bytes(learner, a))
        states = [s for k, s in enumerate(states) if k not in (first, second)]
        states.append(learner.merge(a, b))
    return of_bytes(learner, case.spec, hint, to_bytes(learner, states[0]))
