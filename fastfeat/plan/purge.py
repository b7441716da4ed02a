"""Purging: training rows whose label shares time with that of a test row are not learnt from.

The label of a row at t is made in [t, t + delay]. A training row is purged where its interval meets
that of a test row, of any entity: where |t - s| <= delay for a test row at s. Test rows that no
training row stands between fill a block of time, [first, last + delay]; a training row before or
after meets it where it meets its first or its last row, so that one rule says both. An embargo
reaches on after each test row, and so after each block: s + delay < t <= s + delay + embargo.
Where there are several clocks, each purges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, counted
from fastfeat.io.bits import Flags
from fastfeat.io.conversions import tick_ns
from fastfeat.ir.node import Column
from fastfeat.ir.show import show
from fastfeat.plan.batch import Batch
from fastfeat.plan.bind import bind
from fastfeat.plan.border import used_schema
from fastfeat.plan.folds_given import Split
from fastfeat.plan.made import make
from fastfeat.plan.purge_given import Purging, Reach, reaches_of
from fastfeat.plan.row_numbers import Numbers
from fastfeat.plan.values import times_in_ticks, values_of

if TYPE_CHECKING:
    from fastfeat.backends import Backend

_MOST = (1 << 64) - 1
_OFF = "If labels of rows so near to each other share nothing, purge=0 keeps these rows"


class Moments(NamedTuple):
    """When rows are by one clock, and what is kept away there.

    Args:
        places: of the moment of each row among all, -1 of a row that has none, shape (n_rows,).
        ticks: the moments, ascending, shape (n_moments,).
        before: how many ticks before a test row rows are kept away; None for none, not even those
            of its own moment.
        after: the same after it.
        reach: what says so.
    """

    places: NDArray[np.int64]
    ticks: NDArray[np.int64]
    before: int | None
    after: int
    reach: Reach


def moments_of(
    purging: Purging, table: Any, splits: Sequence[Split], backend: Backend
) -> list[Moments]:
    """Return when rows are by each clock, and what is kept away there.

    Args:
        purging: what a user and the plan say.
        table: the rows, with the columns that say when they are.
        splits: the rows of each fold.
        backend: computes times that are expressions.

    Raises:
        InvalidPlan: as of `reaches_of`.
        InvalidData: a row of a fold has no moment.
    """
    if not purging:
        return []
    names = purging.columns
    of_labels = [delay.time for delay in purging.delays if delay.time is not None]
    roots = [*purging.times, *of_labels, *map(Column, names)]
    types = bind(roots, used_schema(table, names))
    reaches = reaches_of(purging, types)
    batch = Batch(table, types, backend, {}, {})
    make(batch, [reach.time for reach in reaches])
    return [_moments(batch, reach, splits) for reach in reaches]


def _moments(batch: Batch, reach: Reach, splits: Sequence[Split]) -> Moments:
    """Return when rows are by one clock, which each row of a fold needs."""
    ticks, present, dtype = times_in_ticks(batch, *values_of(batch, reach.time))
    for numbers in (numbers for split in splits for numbers in split):
        lacking = numbers[~present[numbers]]
        if len(lacking):
            raise InvalidData(
                f"cross_fit: {show(reach.time)} is missing in {counted(len(lacking), 'row')} of a "
                f"fold, row {lacking[0]} first, so that nothing tells with which rows its label "
                f"shares time. Fill it, or leave such rows out of the folds. {_OFF}"
            )
    distinct, places = np.unique(ticks, return_inverse=True)
    tick = tick_ns(dtype) if dtype.is_temporal else 1
    before = None if reach.delay is None else min(reach.delay // tick, _MOST)
    after = min(((reach.delay or 0) + reach.embargo) // tick, _MOST)
    return Moments(np.where(present, places, -1), distinct, before, after, reach)


def left_after_purging(moments: Sequence[Moments], split: Split) -> Numbers:
    """Return the rows that a fold learns from once those near to its test rows are kept away.

    Args:
        moments: when rows are, by each clock.
        split: the rows of the fold.

    Returns:
        Numbers of rows, in the order of `split.train`.
    """
    train = split.train
    for one in moments:
        train = train[~_near(one, split.test)[one.places[train]]]
    return train


def _near(moments: Moments, test: Numbers) -> Flags:
    """Return at which moments rows are kept away from test rows, shape (n_moments,)."""
    ticks = moments.ticks.view(np.uint64)  # differences of which do not overflow
    numbers = np.arange(len(ticks))
    is_tested = np.zeros(len(ticks), np.bool_)
    is_tested[moments.places[test]] = True
    last = np.maximum.accumulate(np.where(is_tested, numbers, -1))
    if moments.before is None:  # the test rows before this moment, not those in it
        last = np.concatenate([[-1], last[:-1]])
    near = (last >= 0) & (ticks - ticks[last] <= np.uint64(moments.after))
    if moments.before is not None:
        following = np.where(is_tested, numbers, len(ticks) - 1)[::-1]
        first = np.minimum.accumulate(following)[::-1]
        near |= is_tested[first] & (ticks[first] - ticks <= np.uint64(moments.before))
    return near


def check_left(told: str, split: Split, left: Numbers, moments: Sequence[Moments]) -> None:
    """Raise where nothing is left to learn from.

    Args:
        told: which fold it is.
        split: its rows.
        left: those that it still learns from.
        moments: what kept the others away.

    Raises:
        InvalidData: how many rows there were, and why none is left.
    """
    if len(left):
        return
    why = ", and ".join(one.reach.told for one in moments)
    raise InvalidData(
        f"cross_fit: {told} loses all of its {counted(len(split.train), 'training row')}: {why}, "
        "and no row is that far from all test rows. Let each fold test a block of time, as "
        f"scikit-learn's TimeSeriesSplit does, or take fewer folds. {_OFF}"
    )
