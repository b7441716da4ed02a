"""Rows that ask a `Log`: where they stand in it, and what they see of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastfeat.online.asking import Seen
from fastfeat.online.entities import Placed
from fastfeat.online.log import Log
from fastfeat.online.lowering import LivePlan
from fastfeat.online.placing import OrderValues


def placed_in(log: Log, values: Sequence[OrderValues], *, add: bool) -> list[Placed]:
    """Return where rows stand in each order of a log.

    Args:
        log: the log.
        values: their times and keys.
        add: whether entities that are new get a number, for rows that will be appended.
    """
    return [
        Placed(one.times, _entities(log, order, one, add=add)) for order, one in enumerate(values)
    ]


def _entities(log: Log, order: int, values: OrderValues, *, add: bool) -> NDArray[np.int32]:
    """Return the entity of each row as `Log.entities` does, -1 of one without a time too."""
    found = log.entities(order, values.keys, len(values.times), add=add)
    return found if values.is_placed.all() else np.where(values.is_placed, found, np.int32(-1))


def seen_in(
    lowered: LivePlan,
    log: Log,
    placed: Sequence[Placed],
    *,
    alone: bool,
    n_rows: int | None = None,
) -> list[Seen]:
    """Return what rows that ask see of a log, by order.

    Args:
        lowered: what is asked.
        log: the log.
        placed: where the rows that ask stand.
        alone: whether they do not see each other.
        n_rows: how many rows, of those that have come, they see; None for all.
    """
    found: list[Seen] = []
    for order, (times, entities) in enumerate(placed):
        gathered = log.seen(order, entities, times, alone=alone, n_rows=n_rows)
        rows = log.take(gathered, lowered.read[order])
        found.append(Seen(rows, gathered.codes, gathered.asking))
    return found
