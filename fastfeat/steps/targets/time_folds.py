"""The steps time_fold and time_fold_known: folds of training rows by time, learnt from all times.

Only training rows have folds; no later row has one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.tasks import Task
from fastfeat.errors import TypeMismatch
from fastfeat.io.columns.strings import contents_of
from fastfeat.io.columns.types import tick_of
from fastfeat.ir.dtypes import INT32, DType
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, params_of
from fastfeat.ir.parameters import LONGEST, UNIT, Parameter, Whole, never
from fastfeat.ir.writing import Texts
from fastfeat.steps.step import Argument, LearnedArgument, StepFunction
from fastfeat.steps.targets.rows import N_FOLDS


@dataclass(frozen=True, slots=True)
class TimeFolds:
    """The folds that fit learnt from the times of the training rows.

    Args:
        n_folds: Number of folds. Rows without a time are in one extra fold.
        ends: The last time before each fold except the first, shape (n_folds - 1,); empty if no row
            has a time.
        used: Ascending numbers of the folds that have a time; empty if they were not requested.
        begins: The first time of each fold in `used`.
        last: The last fold that has a row.
    """

    n_folds: int
    ends: NDArray[Any]
    used: NDArray[np.int64]
    begins: NDArray[Any]
    last: int


@dataclass(frozen=True, slots=True)
class TimesTask(Task[TimeFolds]):
    """A request to split the times of all rows into folds.

    Args:
        times: A column of times, stored as keys are, and its type.
        n_folds: Number of folds.
        with_begins: Whether the result must have the first time of each fold.
    """

    times: Argument
    n_folds: int
    with_begins: bool


def learn_times(task: TimesTask) -> TimeFolds:
    """Return folds of equally many rows, except that rows of equal times share a fold.

    A row's fold is n_folds * n_earlier / n_known, rounded down: `n_earlier` of the `n_known` times
    are before the row's. Rows without a time are in fold `n_folds`.
    """
    times, n_folds = contents_of(task.times.values), task.n_folds
    known = sorted(time for time in times if time is not None)
    folds = [
        n_folds if time is None else bisect_left(known, time) * n_folds // len(known)
        for time in times
    ]
    of_known = [(time, fold) for time, fold in zip(times, folds, strict=True) if time is not None]
    ends = [max(time for time, fold in of_known if fold < k) for k in range(1, n_folds) if known]
    begins = {fold: time for time, fold in sorted(of_known, reverse=True)}
    used = sorted(begins)
    return TimeFolds(
        n_folds,
        np.array(ends, object),
        np.array(used, np.int64),
        np.array([begins[fold] for fold in used], object),
        max(folds, default=0),
    )


def _time_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if not (types[0].is_temporal or types[0].is_number):
        raise TypeMismatch(f"time= needs a date, a time or a number, got {types[0]}")
    return INT32


def _time_fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[int]:
    """Return the fold of each row by time; rows without a time are in an extra fold, the last."""
    return [_fold_at(args[1].values, time) for time in args[0].values]


def _fold_at(learnt: TimeFolds, time: Any) -> int:
    return learnt.n_folds if time is None else bisect_left(learnt.ends, time)


def _time_known_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    """Return the type of fold numbers; raise TypeMismatch if the delay does not suit the times."""
    wanted = "time" if types[0].is_temporal else "steps"
    if params["unit"] != wanted:
        given = "a duration" if params["unit"] == "time" else "a whole number"
        example = "'30d'" if wanted == "time" else "30"
        raise TypeMismatch(
            f"time= of the folds is {types[0]}, but the delay of the target (label_delay= or "
            f"outcomes= of the plan) is {given}. Write the delay in the unit of the time, such as "
            f"{example}"
        )
    return _time_type(types, params)


def _time_fold_known(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[int]:
    """Return, for each row, the last fold that must not learn from it.

    The value of a row is known at its time plus the delay. A fold learns from a row if the value is
    known before the fold's first time.
    """
    learnt: TimeFolds = args[1].values
    delay = delay_in_ticks(args[0].dtype, params)
    return [
        learnt.last
        if time is None
        else max(_fold_at(learnt, time), _last_before(learnt, time + delay))
        for time in args[0].values
    ]


def _last_before(learnt: TimeFolds, known: Any) -> int:
    """Return the number of the fold before the first one that begins after the time `known`."""
    begins = zip(learnt.begins, learnt.used.tolist(), strict=True)
    return next((fold - 1 for time, fold in begins if time > known), learnt.last)


def delay_in_ticks(dtype: DType, params: Mapping[str, Any]) -> int:
    """Return a delay in ticks of a time type, rounded down."""
    return params["delay"] // tick_of(dtype)


def times_of(call: Call) -> Call:
    """Return the call that gives the folds for a step's time column.

    Steps with the same time column share the folds.
    """
    return Call("time_fold", call.args, params_of(n_folds=dict(call.params)["n_folds"]))


def _time_fold_text(node: Call, texts: Texts) -> str | None:
    match node.params:
        case (("n_folds", n_folds),):
            return f"time_fold({texts[node.args[0]]}, n_folds={n_folds})"
        case _:
            return None


def _time_fold_known_text(node: Call, texts: Texts) -> str:
    given = dict(node.params)
    delay, n_folds = length_text(given["delay"], given["unit"]), given["n_folds"]
    return f"time_fold({texts[node.args[0]]}, n_folds={n_folds}, known_after={delay})"


TIME_FOLD = StepFunction(
    _time_type,
    _time_fold,
    always_present=True,
    of_keys=True,
    of_all_rows=True,
    learning=LearnedArgument(times_of),
    written=_time_fold_text,
    parameters=(N_FOLDS,),
)
TIME_FOLD_KNOWN = StepFunction(
    _time_known_type,
    _time_fold_known,
    always_present=True,
    of_keys=True,
    of_all_rows=True,
    learning=LearnedArgument(times_of, n_rounds=2),
    written=_time_fold_known_text,
    belongs=never,
    parameters=(
        N_FOLDS,
        Parameter("delay", Whole(0, LONGEST), user_name=None),
        Parameter("unit", UNIT, user_name=None),
    ),
)
STEPS: dict[str, StepFunction] = {"time_fold": TIME_FOLD, "time_fold_known": TIME_FOLD_KNOWN}
