"""Warning for an X that is said to hold its own past, and begins after the rows of `fit`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastfeat.api.plan import Plan
from fastfeat.errors import GivenWarnings, HistoryMissing, warn
from fastfeat.execute.history import is_batch
from fastfeat.execute.inputs import read_columns
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.columns.decode import plain_table
from fastfeat.ir.scope import order_of, query_of, window_nodes
from fastfeat.plan.declare.columns_read import columns_of

_FIRST = "first of fit"


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first time of each entity, by the clock of a window.

    Args:
        clock: the column of times.
        keys: the columns that name an entity; none where all rows are one.
        table: of the keys and of the first time of their rows, a row an entity.
    """

    clock: str
    keys: tuple[str, ...]
    table: Table


def beginnings(plan: Plan, data: Any, past: Any) -> tuple[Beginning, ...]:
    """Return the first times in training rows, for windows over X alone; none with a history.

    Args:
        plan: that is fitted.
        data: the training rows.
        past: what was said of a history.
    """
    if not is_batch(past):
        return ()
    orders = dict.fromkeys(order_of(over) for over in window_nodes(plan.declaration.nodes.values()))
    found: dict[tuple[str, tuple[str, ...]], Beginning] = {}
    for order in orders:
        time, *by = query_of(order)
        clocks, keys = columns_of([time]), tuple(columns_of(by))
        if len(clocks) == 1:  # of several none says alone what is earlier
            asked = clocks[0], keys
            with suppress(pa.ArrowException):
                found[asked] = Beginning(*asked, _first_times(data, *asked))
    return tuple(found.values())


def warn_after_fit(begun: tuple[Beginning, ...], data: Any, told: GivenWarnings) -> None:
    """Warn of entities whose rows begin later than those that `fit` has seen of them.

    Their windows lack the rows of `fit`: X does not hold its own past. Keys and times of types that
    Arrow does not group or compare with those of `fit` are not looked at.

    Args:
        begun: as `beginnings` returns it.
        data: the rows to transform.
        told: what was warned of.
    """
    if not begun or HistoryMissing in told.kinds:
        return
    for beginning in begun:
        n_later = 0
        with suppress(pa.ArrowException):  # of other types than in fit: `transform` says so
            own = _first_times(data, beginning.clock, beginning.keys)
            n_later = _count_later(own, beginning)
        if n_later:
            entities = f"entities of {', '.join(map(repr, beginning.keys))}"
            which = f"of {n_later:,} {entities}" if beginning.keys else "of X"
            warn(
                f"the rows {which} begin after those that fit has learnt from, which their windows "
                f"do not see: history='batch' says that X holds its own past. Give all rows, "
                "Features(plan, history=all_rows) with Plan(row_id=), or X with the earlier rows",
                HistoryMissing,
                told,
            )
            return


def _first_times(data: Any, clock: str, keys: tuple[str, ...]) -> Table:
    """Return the first time of each entity, beside its keys; rows without either are no one's."""
    table = plain_table(read_columns(data, list(dict.fromkeys([*keys, clock])))).drop_null()
    grouped: Any = table.group_by(list(keys)).aggregate([(clock, "min")])
    return grouped.rename_columns([*keys, _FIRST])


def _count_later(own: Table, beginning: Beginning) -> int:
    """Return the number of entities that begin later than in fit."""
    first, keys = beginning.table, list(beginning.keys)
    own = own.cast(first.schema)
    if not keys:
        pairs = own[_FIRST], first[_FIRST]
    else:
        both: Any = own.join(first, keys, join_type="inner", right_suffix=" there")
        pairs = both[_FIRST], both[f"{_FIRST} there"]
    return call("sum", call("greater", *pairs)).as_py() or 0
