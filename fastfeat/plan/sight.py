"""What an expression sees of late columns, and by which way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from fastfeat.ir.node import Node
from fastfeat.plan.late import NO_NAMES


class Way(IntFlag):
    """By which way late columns come into an expression."""

    NONE = 0
    PAST = 1
    """Values of earlier rows, through a window without the row itself."""
    ENCODED = 2
    """An out-of-fold encoding."""
    LATE = 4
    """The values of the row itself, or of some row of a table."""
    LEARNT = 8
    """What fit learns from late values of all rows, that of the row itself among them."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an expression sees of late columns.

    Args:
        ways: how it does.
        late: the late columns that it reads of the row itself.
        clocks: the times of the windows through which it sees earlier rows.
    """

    ways: Way = Way.NONE
    late: frozenset[str] = NO_NAMES
    clocks: frozenset[Node] = frozenset()


NOTHING = Sight()


def together(sights: Sequence[Sight]) -> Sight:
    """Return what an expression sees of which these are the arguments."""
    seeing = [sight for sight in sights if sight.ways]
    if len(seeing) < 2:
        return seeing[0] if seeing else NOTHING
    ways = Way.NONE
    for sight in seeing:
        ways |= sight.ways
    return Sight(
        ways,
        NO_NAMES.union(*(sight.late for sight in seeing)),
        frozenset[Node]().union(*(sight.clocks for sight in seeing)),
    )
