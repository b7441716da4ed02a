"""Learning in rounds from rows that come in parts; the result equals a fit on all rows at once.

A round is one pass over the rows. Each part of the rows yields a state, and states merge in any
order. The merged state of all rows determines the learned values and the tasks of the next round.
The progress record, a `LearningRound`, holds the values learned so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.engine.learner import NextRound, Rows
from fastfeat.errors import InvalidData, InvalidPlan, WarningHistory, counted
from fastfeat.execute.batch import TrainingRows
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.entities import keys_in_common
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.steps import run_columns, start_schedule
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.scope import is_over_window
from fastfeat.ir.show import show
from fastfeat.learn import training_features
from fastfeat.learn.fit import fitted_of, folded_encodings_of, learned_constants
from fastfeat.learn.fold_warnings import n_large_folds
from fastfeat.learn.part_rows import NOTHING, AttachedColumns, after_history, batch_of_part
from fastfeat.learn.part_state import (
    PartState,
    RowNumberSums,
    add_sums,
    check_unused,
    check_whole,
    open_with,
    sums_of,
)
from fastfeat.learn.round import PURPOSE, LearningRound, before_round, name_of
from fastfeat.learn.round_tasks import (
    add_rows,
    check_doubts,
    end_of_round,
    is_of_infinite,
    look_for_infinite,
    values_learnt,
)
from fastfeat.learn.training_data import check_any_rows, prepare
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.constants import LearntValues as Values
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.scalars.zones import use_zone_tables

_FITTED, _TOLD = "fitted plan", "told"


def start_learning(
    plan: Declaration,
    empty: CallRows,
    identity: str,
    *,
    whole_entities: bool = False,
    has_functions: bool = False,
    stable: Fitted | None = None,
) -> LearningRound:
    """Return the progress record of a fit (`LearningRound`) before its first round.

    Args:
        plan: The plan to fit.
        empty: Arrow tables without rows: the columns of the data and of the history, if there is
            one, and the lookup tables.
        identity: A hash of the plan and of the types of the columns.
        whole_entities: Whether each part has all rows of its entities.
        has_functions: Whether window functions and functions over later rows come with the rows, as
            columns.
        stable: An earlier fit; its categories keep their codes.

    Raises:
        InvalidPlan: The label looks ahead and `has_functions` is False, since a part does not know
            its rows with a label; or entities have no key in common.
        FastfeatError: As `Plan.fit`, except for errors of learning.
    """
    if plan.looks_ahead and not has_functions:
        raise InvalidPlan(
            "rows are read in parts, but the label is computed from later rows, which may be in "
            "another part. Fit on the whole data, or pass the label as a column"
        )
    prepared = prepare(plan, empty, stable=stable)
    whole = prepared.typed.schedule(PURPOSE)
    keys = frozenset[Node]()
    if whole_entities:
        keys = keys_in_common(_windows_over_rows(prepared.plan))
    return before_round(
        LearningRound(prepared, empty.data, identity, whole, keys=keys, has_functions=has_functions)
    )


def _windows_over_rows(plan: Declaration) -> list[Call]:
    """Return the window functions over the data's rows that features and aggregates read."""
    return [node for node in postorder(list(plan.nodes.values())) if is_over_window(node)]


@with_ieee_arithmetic
def add_part(
    learning: LearningRound,
    data: Any,
    rows: Rows | None,
    state: PartState | None,
    *,
    history: Any = None,
    known: AttachedColumns = NOTHING,
) -> PartState:
    """Return the state of the current round after learning from one more part of the rows.

    Args:
        learning: The round.
        data: The rows, with the columns that the round reads.
        rows: Their row numbers in the whole data, ascending; None if they have none.
        state: State to add to. It is consumed, even if this call fails. None starts a new one.
        history: Earlier rows of the same entities, for windows; None if there are none.
        known: Columns and numbers that come with the rows.

    Raises:
        InvalidPlan: Everything is learnt already.
        InvalidData: The state is from another round, damaged, or already consumed.
        FastfeatError: As `Plan.fit`; messages use the row numbers of the whole data.
    """
    if learning.round is None:
        raise InvalidPlan("all is learnt: no round is left to read rows. Call learning.finish()")
    if state is None:
        whole = None if learning.keys else first_window(learning.schedule)
        state = PartState(learning.digest, told={}, whole=whole)
    opening = open_state(learning, state)
    batch = batch_of_part(learning, data, rows, learning.schedule, known, opening.n_rows)
    batch = after_history(learning, batch, history)
    check_whole(opening, batch.n_rows)
    state.is_used = True
    state = replace(opening, is_used=False)
    with use_zone_tables(learning.prepared.zones):
        running = start_schedule(batch, learning.schedule, frees=True)
        for task in running.schedule.tasks:
            if task.learns and learning.doubts:
                look_for_infinite(running.batch, task, learning, state)
            elif task.learns:
                add_rows(running.batch, task, learning, state)
            run_columns(running, task)
    state.n_rows += batch.n_rows
    state.sums = add_sums(state.sums, sums_of(rows))
    return state


def window_learnt_from(learning: LearningRound) -> str | None:
    """Return the first window function that learning reads, as text; None without one."""
    return first_window(learning.prepared.typed.schedule(PURPOSE))


def first_window(schedule: Schedule) -> str | None:
    """Return the first window function over the data's rows in a schedule, as text, or None."""
    windows = (task.nodes[0] for task in schedule.tasks if task.kind == "windows")
    first = next(windows, None)
    return None if first is None else show(first)


@with_ieee_arithmetic
def next_round(learning: LearningRound, state: PartState) -> LearningRound:
    """Return the progress record after this round, with its learned values and the next tasks.

    `state` is the state of all rows in the current round; it is consumed. Raises InvalidData if
    there are no rows, if their number differs from other rounds, if a row is missing or repeated,
    if the state is from another round or already consumed, or if a learnt value is not finite.
    Raises FastfeatError as `Plan.fit` does.
    """
    if learning.round is None:
        raise InvalidPlan("all is learnt: there is no next round. Call learning.finish()")
    whole = _checked(learning, state)
    state.is_used = True
    if learning.doubts:
        check_doubts(learning, whole)
        return _after(learning, dict(learning.learnt), dict(learning.hints), whole, ())
    learnt, hints = dict(learning.learnt), dict[str, Any]()
    doubts: list[Aggregate] = []
    with use_zone_tables(learning.prepared.zones):
        for task in learning.schedule.tasks:
            if task.learns:
                found = end_of_round(task, learning, whole)
                if isinstance(found, NextRound):
                    hints[name_of(task)] = found.hint
                else:
                    own = values_learnt(task, learning, found)
                    learnt |= own
                    doubts += [node for node in own if is_of_infinite(task, node, own[node])]
    return _after(learning, learnt, hints, whole, tuple(doubts))


def _after(
    learning: LearningRound,
    learnt: Values,
    hints: Mapping[str, Any],
    state: PartState,
    doubts: tuple[Aggregate, ...],
) -> LearningRound:
    """Return the progress record after a round, with the learned values and starting hints."""
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


def _checked(learning: LearningRound, state: PartState) -> PartState:
    """Return the merged state of all rows, in its open form, after a check that it has each row."""
    state = open_state(learning, state)
    check_all_rows(learning, state.n_rows, state.sums)
    check_any_rows(learning.prepared.typed, state.n_rows)
    return state


def check_all_rows(learning: LearningRound, n_rows: int, sums: RowNumberSums) -> None:
    """Raise InvalidData unless a state has learned from all rows, each once.

    `n_rows` is the number of rows in the state; `sums` are the sums of their numbers.
    """
    if learning.n_rows not in (None, n_rows):
        raise InvalidData(
            f"the state has {counted(n_rows, 'row')}, but earlier rounds have read "
            f"{learning.n_rows:,}. Each round must read all rows of the same data"
        )
    if sums not in (None, sums_of(range(n_rows))):
        raise InvalidData(
            f"the state has {counted(n_rows, 'row')}, but not each of rows 0 to {n_rows - 1:,} "
            "once: the state of a part is missing, or was merged twice. Merge the state of each "
            "part once, and number the rows of the whole data from 0"
        )


def open_state(learning: LearningRound, state: PartState) -> PartState:
    """Return a state in its open form, which takes further rows and states; see `learn.part_state`.

    Raises InvalidData if the state is from another round, damaged, or already consumed.
    """
    check_unused(state)
    if state.digest != learning.digest:
        raise InvalidData(
            "the state is of another plan, schema, or round than this learning. Pass the state of "
            "all rows that learning.partial() returned in this round"
        )
    if state.told is not None:
        return state
    if _TOLD not in learning.shared:
        none = add_part(learning, learning.prepared.table, range(0), None)
        learning.shared[_TOLD] = none.told
    return open_with(state, learning.shared[_TOLD])


@with_ieee_arithmetic
def finish_learning(learning: LearningRound) -> Fitted:
    """Return the fitted plan after the last round.

    Raises InvalidPlan if something is still to learn, and FastfeatError as `Plan.fit` does.
    """
    if learning.round is not None or learning.n_rows is None:
        raise InvalidPlan(
            f"round {learning.round} is not finished: it has to read all rows once more. Continue "
            "while learning.round is not None"
        )
    if _FITTED not in learning.shared:
        learning.shared[_FITTED] = _fitted(learning, learning.n_rows)
    return learning.shared[_FITTED]


def _fitted(learning: LearningRound, n_rows: int) -> Fitted:
    prepared = learning.prepared
    told = WarningHistory(set(prepared.told.kinds))
    sizes: dict[Node, Any] = {}
    for node in prepared.typed.once(folded_encodings_of):
        n_folds = n_large_folds(node, n_rows)
        sizes[node] = learning.folds[node] if n_folds is None else n_folds
    n_without = learning.n_unlearnt
    with use_zone_tables(prepared.zones):
        known = learned_constants(prepared, learning.learnt, n_rows + n_without, sizes, told)
    return fitted_of(prepared, known, told, n_rows, n_without)


@with_ieee_arithmetic
def part_features(
    learning: LearningRound,
    data: Any,
    rows: Rows | None,
    to: str,
    *,
    categories: bool = False,
    history: Any = None,
    known: AttachedColumns = NOTHING,
) -> Any:
    """Return the out-of-fold features of a part of the training rows, after the last round.

    `rows`, `history` and `known` are described in `add_part`, `to` and `categories` in
    `FittedPlan.transform`. Raises InvalidData if windows see rows that may be in other parts, and
    FastfeatError as `Plan.fit_transform` does.
    """
    fitted = finish_learning(learning)
    schedule = fitted.training_schedule
    batch = batch_of_part(learning, data, rows, schedule, known)
    batch = after_history(learning, batch, history)
    first = None if learning.keys or learning.has_functions else first_window(schedule)
    if first is not None and batch.n_rows != learning.n_rows:
        raise InvalidData(
            f"{first} sees earlier rows of an entity, which may be in another part. Pass all rows "
            "in one part"
        )
    training = TrainingRows(batch, batch, None, None, batch.n_rows)
    return training_features.training_features(fitted, training, to, categories=categories)
