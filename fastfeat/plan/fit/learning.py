"""Learning in rounds: rows come in parts, whose states merge; what fit learns of them all at once.

A round is one pass: parts of the rows give states, which merge in any order, and the state of all
rows gives the next round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.dtypes import DType
from fastfeat.engine.float_environment import in_ieee
from fastfeat.engine.learner import Again, Rows
from fastfeat.errors import GivenWarnings, InvalidData, InvalidPlan, counted
from fastfeat.io.arrow import Table
from fastfeat.io.columns.conform import conform
from fastfeat.io.columns.types import known_type
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.scope import is_over_window
from fastfeat.ir.show import show
from fastfeat.plan.declare.columns_read import columns_of
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.fit.fit import fitted_of, folded_encoders_of, known_of
from fastfeat.plan.fit.fold_warnings import n_large_folds
from fastfeat.plan.fit.part_state import (
    PartState,
    added,
    check_unused,
    check_whole,
    open_with,
    sums_of,
)
from fastfeat.plan.fit.round import PURPOSE, Learning, before_round, name_of
from fastfeat.plan.fit.round_tasks import (
    add_rows,
    check_doubts,
    end_of_round,
    is_of_infinite,
    look_for_infinite,
    values_learnt,
)
from fastfeat.plan.fit.scans import check_any_rows
from fastfeat.plan.fit.training_data import prepare
from fastfeat.plan.fit.training_features import training_features
from fastfeat.plan.lower.constants import Learnt as Values
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.plan.run.batch import Batch, TrainingRows
from fastfeat.plan.run.entities import SHARE, keys_in_common, share_plan
from fastfeat.plan.run.fitted import Fitted, InputSchema
from fastfeat.plan.run.history import history_table, with_past
from fastfeat.plan.run.inputs import read_columns
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.steps import begun, run_columns
from fastfeat.plan.run.transform import transform
from fastfeat.plan.run.values import is_fold_by_number, place_folds
from fastfeat.scalars.zones import using

_FITTED, _TOLD = "fitted plan", "told"


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The columns and numbers that come with a part of the rows.

    Args:
        columns: functions of other rows, each as a column of the part.
        numbers: those by which messages name rows, ascending; None for those that divide them.
    """

    columns: Mapping[Node, Any] = field(default_factory=dict[Node, Any])
    numbers: NDArray[np.int64] | None = None


NOTHING = Known()


def begin(
    plan: Declaration,
    empty: Any,
    tables: Tables,
    identity: str,
    *,
    history: Any = None,
    whole_entities: bool = False,
    has_functions: bool = False,
) -> Learning:
    """Return the learning of a plan before its first round.

    Args:
        plan: what is fitted.
        empty: an Arrow table of no rows, with the columns of the data.
        tables: lookup tables, as of `Plan.fit`.
        identity: a digest of the plan and of the types of the columns.
        history: an Arrow table of no rows, with the columns of earlier rows; None without these.
        whole_entities: whether a part has all rows of each of its entities.
        has_functions: whether functions of other rows come with the rows, as columns.

    Raises:
        InvalidPlan: the label looks ahead: which rows are learnt from is not known of parts, but
            where functions come with the rows; or entities have no key in common.
        FastfeatError: as `Plan.fit`, but for what is learnt.
    """
    if plan.looks_ahead and not has_functions:
        raise InvalidPlan(
            "rows are read in parts, and the label looks ahead of its row: a part lacks the rows "
            "that it sees. Fit on the whole data, or give the label as a column"
        )
    prepared = prepare(plan, empty, history=history, tables=tables, backend="cpu")
    whole = prepared.typed.schedule(PURPOSE)
    keys = frozenset[Node]()
    if whole_entities:
        keys = keys_in_common(_windows_over_rows(prepared.plan))
    options: Any = {"keys": keys, "has_functions": has_functions}
    return before_round(Learning(prepared, empty, identity, whole, **options))


def _windows_over_rows(plan: Declaration) -> list[Call]:
    """Return the functions over windows of the rows that features, or what is learnt, read."""
    return [node for node in postorder(list(plan.nodes.values())) if is_over_window(node)]


def shares_of_rows(learning: Learning, data: Any, n_shares: int) -> NDArray[np.int64]:
    """Return the share that each row is in, so that those that one may see are in its share.

    Args:
        learning: of which a part has all rows of each of its entities.
        data: the rows, with the columns of the keys.
        n_shares: how many there are.
    """
    prepared, columns = learning.prepared, columns_of(learning.keys)
    table = read_columns(data, columns, features=prepared.plan.nodes)
    if not columns:
        return np.arange(table.num_rows, dtype=np.int64) % np.int64(n_shares)
    zones = prepared.zones
    known = ("share", n_shares)
    if known not in learning.shared:
        learning.shared[known] = share_plan(
            learning.keys, n_shares, prepared.schema, prepared.schemas, zones, {}
        )
    found: Table = transform(learning.shared[known], table, tables=prepared.tables)
    shares: NDArray[np.uint32] = found.column(SHARE).fill_null(0).to_numpy()
    return shares.astype(np.int64)


@in_ieee
def add_part(
    learning: Learning,
    data: Any,
    rows: Rows | None,
    state: PartState | None,
    *,
    history: Any = None,
    known: Known = NOTHING,
) -> PartState:
    """Return the state of a part of the rows.

    Args:
        learning: the round.
        data: the rows, with the columns that the round reads.
        rows: their numbers in the whole data, ascending; None where they have none.
        state: that of other rows, which these are added to: it is used up, and is so too where
            the rows are at fault, of which some tasks have seen it; None for a new one.
        history: earlier rows of the same entities, which windows see; None where there are none.
        known: what comes with the rows.

    Raises:
        InvalidPlan: all is learnt.
        InvalidData: the state is of another round, damaged, or used up.
        FastfeatError: as `Plan.fit`; rows are named by their numbers in the whole data.
    """
    if learning.round is None:
        raise InvalidPlan("all is learnt: no round reads rows any more. learning.finish() ends it")
    if state is None:
        whole = None if learning.keys else first_window(learning.schedule)
        state = PartState(learning.digest, told={}, whole=whole)
    opening = opened(learning, state)
    batch = batch_of_part(learning, data, rows, learning.schedule, known, opening.n_rows)
    batch = _after_history(learning, batch, history)
    check_whole(opening, batch.n_rows)
    state.is_used = True
    state = replace(opening, is_used=False)
    with using(learning.prepared.zones):
        running = begun(batch, learning.schedule, frees=True)
        for task in running.schedule.tasks:
            if task.learns and learning.doubts:
                look_for_infinite(running.batch, task, learning, state)
            elif task.learns:
                add_rows(running.batch, task, learning, state)
            run_columns(running, task)
    state.n_rows += batch.n_rows
    state.sums = added(state.sums, sums_of(rows))
    return state


def batch_of_part(
    learning: Learning,
    data: Any,
    given: Rows | None,
    schedule: Schedule,
    known: Known = NOTHING,
    n_before: int = 0,
) -> Batch:
    """Return a part of the rows for some tasks; nothing is made of it but the folds by number.

    Args:
        learning: the round.
        data: the rows.
        given: their numbers; None where they have none, and messages count them.
        schedule: the tasks.
        known: what comes with the rows.
        n_before: how many rows are counted before them.
    """
    prepared = learning.prepared
    table = read_columns(data, learning.columns, features=prepared.plan.nodes)
    rows = range(n_before, n_before + table.num_rows) if given is None else given
    if table.num_rows != len(rows):
        raise InvalidData(
            f"rows= numbers {counted(len(rows), 'row')}, and the part has {table.num_rows:,}. Give "
            "the number of each row, such as range(first, first + n_rows)"
        )
    numbers = rows if known.numbers is None else known.numbers
    _check_types(table, prepared.schema, numbers)
    batch = replace(
        prepared.rows,
        table=table,
        learnt=dict(learning.learnt),
        made={**prepared.rows.made, **known.columns},
        past=None,
        places=None,
        first_number=int(numbers[0]) if len(numbers) else 0,
        numbers=numbers,
        programs=learning.programs,
        shared=learning.shared,
    )
    read = dict.fromkeys(place for task in schedule.tasks for place in task.reads)
    origins = [schedule.columns[place].origin for place in read]
    if given is None and any(map(is_fold_by_number, origins)):
        raise InvalidPlan(
            "rows are divided into folds by their number, and rows=None says that they have none. "
            "Say what divides them: fold_by=, fold= or time="
        )
    place_folds(batch, rows, origins)
    return batch


def _after_history(learning: Learning, batch: Batch, history: Any) -> Batch:
    """Return a part of the rows, whose windows see earlier rows too."""
    if history is None:
        return batch
    read = set(learning.columns)
    columns = [name for name in learning.prepared.plan.training_past_columns if name in read]
    return with_past(batch, history_table(history, columns, "cpu"), columns)


def _check_types(table: Any, types: InputSchema, rows: Rows) -> None:
    """Raise for the first value that is none of the type of its column, by the number of its row.

    Columns that are of their types, as almost all are, are not looked at.
    """
    for name in table.column_names:
        dtype, column = types.get(name), table.column(name)
        if not isinstance(dtype, DType) or known_type(column.type) == dtype:
            continue
        if not (dtype.is_number or dtype.is_temporal):
            continue
        numbers = np.asarray(rows, np.int64)
        begins = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        for first, stop in pairwise(begins):
            conform(column.slice(first, stop - first), name, dtype, int(rows[first]))


def window_learnt_from(learning: Learning) -> str | None:
    """Return the first function of windows that any round computes, as text; None without one."""
    return first_window(learning.prepared.typed.schedule(PURPOSE))


def first_window(schedule: Schedule) -> str | None:
    """Return the first function of windows over the rows that tasks compute, as text."""
    windows = (task.nodes[0] for task in schedule.tasks if task.kind == "windows")
    first = next(windows, None)
    return None if first is None else show(first)


@in_ieee
def next_round(learning: Learning, state: PartState) -> Learning:
    """Return the learning before the next round.

    Args:
        learning: before the round of the state.
        state: of all rows; used up.

    Raises:
        InvalidData: there are no rows, or not as many as in other rounds, or not each of them once,
            the state is of another round or used up, or a value that is learnt is not finite.
        FastfeatError: as `Plan.fit`.
    """
    if learning.round is None:
        raise InvalidPlan("all is learnt: there is no next round. learning.finish() ends it")
    whole = _checked(learning, state)
    state.is_used = True
    if learning.doubts:
        check_doubts(learning, whole)
        return _after(learning, dict(learning.learnt), dict(learning.hints), whole, ())
    learnt, hints = dict(learning.learnt), dict[str, Any]()
    doubts: list[Aggregate] = []
    with using(learning.prepared.zones):
        for task in learning.schedule.tasks:
            if task.learns:
                found = end_of_round(task, learning, whole)
                if isinstance(found, Again):
                    hints[name_of(task)] = found.hint
                else:
                    own = values_learnt(task, learning, found)
                    learnt |= own
                    doubts += [node for node in own if is_of_infinite(task, node, own[node])]
    return _after(learning, learnt, hints, whole, tuple(doubts))


def _after(
    learning: Learning,
    learnt: Values,
    hints: Mapping[str, Any],
    state: PartState,
    doubts: tuple[Aggregate, ...],
) -> Learning:
    """Return the learning after a round, of what is known by now."""
    nodes = {name_of(task): task.nodes[0] for task in learning.schedule.tasks if task.learns}
    folds = {nodes[name].args[2]: counts for name, counts in state.sizes.items()}
    assert learning.round is not None
    return before_round(
        replace(
            learning,
            learnt=learnt,
            round=learning.round + 1,
            hints=hints,
            n_rows=state.n_rows,
            folds={**learning.folds, **folds},
            doubts=doubts,
        )
    )


def _checked(learning: Learning, state: PartState) -> PartState:
    """Return the state of all rows, open, once it is known to be of the round."""
    state = opened(learning, state)
    if learning.n_rows not in (None, state.n_rows):
        raise InvalidData(
            f"the state is of {counted(state.n_rows, 'row')}, and the rounds before have read "
            f"{learning.n_rows:,}. Each round reads all rows of the same data"
        )
    if state.sums not in (None, sums_of(range(state.n_rows))):
        raise InvalidData(
            f"the state is of {counted(state.n_rows, 'row')}, but not of rows 0 to "
            f"{state.n_rows - 1:,}, each once: the state of a part lacks, or is in it twice. Merge "
            "the state of each part once, and number the rows of the whole data from 0 on"
        )
    check_any_rows(learning.prepared.typed, state.n_rows)
    return state


def opened(learning: Learning, state: PartState) -> PartState:
    """Return a state of the round as one that is open, so that others merge with it at once.

    Raises:
        InvalidData: it is of another round, damaged, or used up.
    """
    check_unused(state)
    if state.digest != learning.digest:
        raise InvalidData(
            "the state is of another plan, schema, or round than the learning: give the state of "
            "all rows that learning.partial() made in this round"
        )
    if state.told is not None:
        return state
    if _TOLD not in learning.shared:
        none = add_part(learning, learning.prepared.table, range(0), None)
        learning.shared[_TOLD] = none.told
    return open_with(state, learning.shared[_TOLD])


@in_ieee
def finished(learning: Learning) -> Fitted:
    """Return the fitted plan.

    Raises:
        InvalidPlan: not all is learnt yet.
        FastfeatError: as `Plan.fit`.
    """
    if learning.round is not None or learning.n_rows is None:
        raise InvalidPlan(
            f"round {learning.round} is not over: all rows are read once more. Go on while "
            "learning.round is not None"
        )
    if _FITTED not in learning.shared:
        learning.shared[_FITTED] = _fitted(learning, learning.n_rows)
    return learning.shared[_FITTED]


def _fitted(learning: Learning, n_rows: int) -> Fitted:
    prepared = learning.prepared
    told = GivenWarnings(set(prepared.told.kinds))
    sizes: dict[Node, Any] = {}
    for node in prepared.typed.once(folded_encoders_of):
        n_folds = n_large_folds(node, n_rows)
        sizes[node] = learning.folds[node] if n_folds is None else n_folds
    n_without = learning.n_unlearnt
    with using(prepared.zones):
        known = known_of(prepared, learning.learnt, n_rows + n_without, sizes)
    return fitted_of(prepared, known, told, n_rows, n_without)


@in_ieee
def part_features(
    learning: Learning,
    data: Any,
    rows: Rows | None,
    to: str,
    *,
    categories: bool = False,
    history: Any = None,
    known: Known = NOTHING,
) -> Any:
    """Return the features of a part of the rows that were learnt from: out of fold.

    Args:
        learning: once all is learnt.
        data: the rows, with the columns that features read.
        rows: their numbers in the whole data, ascending; None where they have none.
        to: as of `FittedPlan.transform`.
        categories: as of `FittedPlan.transform`.
        history: as of `add_part`.
        known: what comes with the rows.

    Raises:
        InvalidData: windows see rows that may be in other parts.
        FastfeatError: as `Plan.fit_transform`.
    """
    fitted = finished(learning)
    schedule = fitted.training_schedule
    batch = batch_of_part(learning, data, rows, schedule, known)
    batch = _after_history(learning, batch, history)
    first = None if learning.keys or learning.has_functions else first_window(schedule)
    if first is not None and batch.n_rows != learning.n_rows:
        raise InvalidData(
            f"{first} sees the earlier rows of an entity, which may be in another part. Give all "
            "rows in one part"
        )
    training = TrainingRows(batch, batch, None, None, batch.n_rows)
    return training_features(fitted, training, to, categories=categories)
