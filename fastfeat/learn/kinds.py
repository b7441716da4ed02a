"""The kinds of learning task as a table: how each learns from all rows, or from parts of them.

`learn.in_memory` and `learn.round_tasks` read the rows. `learn.part_state` finds learners by kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import target as targets
from fastfeat.engine.program import RowFailed
from fastfeat.engine.tasks import LearnTask
from fastfeat.engine.tasks import Task as Record
from fastfeat.errors import FastfeatError
from fastfeat.execute import values as row_values
from fastfeat.execute.batch import Batch
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.show import show
from fastfeat.learn import fold_warnings, keys, scans
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.constants import LearntValues as Values
from fastfeat.plan.lower.constants import is_infinite
from fastfeat.plan.lower.schedule import Purpose, Schedule, ScheduledTask
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.steps.keys import tasks as key_tasks
from fastfeat.steps.targets import tasks as target_tasks
from fastfeat.steps.targets import time_folds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastfeat.engine.learner import LearntResult
    from fastfeat.learn.keys import StableVocabularies


class LearningTask(NamedTuple):
    """A task of a schedule that learns constants.

    Args:
        task: The task.
        origins: The aggregates, or the step with time folds, that it learns.
        codes: Steps that encode training rows; counting keys can produce their codes as well.
        typed: The plan.
        scans: The plan's passes that learn statistics, by the aggregates that they learn.
        held: Vocabularies of an earlier fit with codes that must not change.
    """

    task: ScheduledTask
    origins: tuple[Aggregate | Call, ...]
    codes: tuple[Node, ...]
    typed: TypedPlan
    scans: Mapping[tuple[Node, ...], scans.Scan]
    held: StableVocabularies

    @property
    def aggregates(self) -> list[Aggregate]:
        """The aggregates that it learns."""
        return [origin for origin in self.origins if isinstance(origin, Aggregate)]

    @property
    def scan(self) -> scans.Scan:
        """The pass over the rows that learns the statistics of this task."""
        return self.scans[self.task.nodes]


def learning_task(
    schedule: Schedule,
    task: ScheduledTask,
    typed: TypedPlan,
    purpose: Purpose,
    held: StableVocabularies,
) -> LearningTask:
    """Return a learning task of a schedule with everything that it needs to run.

    `purpose` is "fit" for all rows at once, "fit in parts" for rows that come in parts.
    """
    return LearningTask(
        task,
        tuple(schedule.values[place].origin for place in task.learns),
        tuple(schedule.columns[place].origin for place in task.free),
        typed,
        scans.scans_by_purpose(typed, purpose),
        held,
    )


@dataclass(frozen=True, slots=True)
class LearningKind:
    """The functions of one kind of learning task.

    Args:
        asks: Returns the type of the task that a backend runs for this kind. A function, so that
            the modules of other kinds are not imported.
        learn: Learns from a batch of all rows, and adds the learned values to that batch.
        record: Returns the task that a backend runs, for some rows.
        values: Returns the values that a backend learned, by aggregate or step.
        argument: Returns the input values of an aggregate, to search them for an infinite one.
        is_in_doubt: Whether a learned value is not finite, so that the rows are read again to find
            the first infinite one.
        blame: Makes errors for rows and values that cannot be computed; None for kinds that
            compute no expressions.
        fold_sizes: Returns the number of rows of a part in each fold, shape (n_folds,), and checks
            the values.
    """

    asks: Callable[[], type[Record[Any]]]
    learn: Callable[[Batch, LearningTask], None]
    record: Callable[[Batch, LearningTask], Record[Any]]
    values: Callable[[LearningTask, LearntResult, Values], dict[Any, Any]]
    argument: Callable[[Batch, LearningTask, Aggregate], Any]
    is_in_doubt: Callable[[Aggregate, Any], bool] = lambda _, value: False
    blame: Blame | None = None
    fold_sizes: Callable[[Batch, LearningTask, Any], NDArray[np.int64]] | None = None


class Blame(NamedTuple):
    """Functions that turn failures of a learner into errors for the user.

    Args:
        row: Returns the error of a row that failed.
        value: Returns the error of a value that cannot be determined, from its two indices in the
            scan and the original error.
    """

    row: Callable[[Batch, LearningTask, RowFailed], FastfeatError]
    value: Callable[[LearningTask, tuple[int, int, FastfeatError]], FastfeatError]


def _argument(batch: Batch, one: LearningTask, aggregate: Aggregate) -> Any:
    return row_values.values_of(batch, aggregate.args[0])[1]


def _learn_keys(batch: Batch, one: LearningTask) -> None:
    keys.learn_keys(batch, one.aggregates, one.codes, one.typed.once(_in_any_order), one.held)


def _in_any_order(typed: TypedPlan) -> frozenset[Node]:
    return code_plans.in_any_order(typed.nodes.values())


def _values_of_keys(one: LearningTask, found: LearntResult, learnt: Values) -> dict[Any, Any]:
    counts, types = found.values[0], one.typed.types
    return {node: keys.of_counts(node, counts, types[node], one.held) for node in one.aggregates}


def _folds(one: LearningTask) -> Call:
    """Return the step that defines the folds of a task."""
    (origin,) = one.origins
    assert isinstance(origin, Call)
    return origin


def _fold_sizes(batch: Batch, one: LearningTask, record: Any) -> NDArray[np.int64]:
    (aggregate,) = one.aggregates
    if aggregate.function == "target_odds":
        keys.check_classes(show(aggregate), record.values)
    return fold_warnings.sizes_in(batch.made[aggregate.args[2]])


def _statistics(one: LearningTask, found: LearntResult, learnt: Values) -> dict[Any, Any]:
    pairs: Sequence[tuple[Any, Any]] = [*zip(one.scan.aggregates, found.values, strict=True)]
    return {a: v for group, own in pairs for a, v in zip(group, own, strict=True)}


def _argument_of_scan(batch: Batch, one: LearningTask, aggregate: Aggregate) -> Any:
    place = one.scan.arguments.index(aggregate.args[0])
    return scans.argument_values(batch, one.scan, scans.read_of(batch, one.scan), place)


def _row_of_scan(batch: Batch, one: LearningTask, failure: RowFailed) -> FastfeatError:
    read = scans.read_of(batch, one.scan)
    return scans.failed_scan(batch, one.scan, read, one.typed.nodes, failure)


def _value_of_scan(one: LearningTask, failed: tuple[int, int, FastfeatError]) -> FastfeatError:
    k, j, error = failed
    return scans.named_failure(one.scan.aggregates[k][j], one.typed.nodes, error)


KINDS: Mapping[str, LearningKind] = {
    "keys": LearningKind(
        asks=lambda: key_tasks.KeysTask,
        learn=_learn_keys,
        record=lambda batch, one: keys.keys_task(batch, one.aggregates[0]),
        values=_values_of_keys,
        argument=_argument,
    ),
    "times": LearningKind(
        asks=lambda: time_folds.TimesTask,
        learn=lambda batch, one: keys.learn_times(batch, _folds(one), one.task.nodes),
        record=lambda batch, one: keys.times_task(batch, _folds(one), one.task.nodes),
        values=lambda one, found, learnt: {_folds(one): found.values[0]},
        argument=_argument,
    ),
    "target": LearningKind(
        asks=lambda: target_tasks.TargetTask,
        learn=lambda batch, one: keys.learn_target(batch, one.aggregates[0]),
        record=lambda batch, one: keys.target_task(batch, one.aggregates[0]),
        values=lambda one, found, learnt: {one.aggregates[0]: found.values[0]},
        argument=_argument,
        is_in_doubt=lambda node, value: keys.is_in_doubt(
            node.function, float(value.values[targets.UNSEEN])
        ),
        fold_sizes=_fold_sizes,
    ),
    "groups": LearningKind(
        asks=lambda: key_tasks.GroupsTask,
        learn=lambda batch, one: keys.learn_groups(batch, one.aggregates),
        record=lambda batch, one: keys.groups_task(batch, one.aggregates),
        values=lambda one, found, learnt: keys.learnt_groups(one.aggregates, found.values, learnt),
        argument=_argument,
    ),
    "statistics": LearningKind(
        asks=lambda: LearnTask,
        learn=lambda batch, one: scans.learn_statistics(batch, one.scan, one.typed.nodes),
        record=lambda batch, one: scans.statistics_task(
            batch, one.scan, scans.read_of(batch, one.scan)
        ),
        values=_statistics,
        argument=_argument_of_scan,
        is_in_doubt=lambda node, value: is_infinite(value),
        blame=Blame(_row_of_scan, _value_of_scan),
    ),
}
