"""Warning for `history="batch"` in scikit-learn: X may lack the past that the user said it has.

If the rows of an entity in X begin after its rows in `fit`, X probably lacks earlier rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import Plan
from fastfeat.errors import HistoryMissing, WarningHistory, warn
from fastfeat.execute.history import is_batch
from fastfeat.execute.inputs import read_columns
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.columns.decode import plain_table
from fastfeat.ir.scope import order_of, query_of, window_nodes
from fastfeat.plan.declare.source_columns import columns_of

_FIRST = "first of fit"


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first time of each entity in the rows of `fit`.

    Args:
        clock: The time column.
        keys: The columns that identify an entity; empty if all rows are one entity.
        table: The keys and the first time, one row per entity.
    """

    clock: str
    keys: tuple[str, ...]
    table: Table


def beginnings(plan: Plan, data: Any, past: Any) -> tuple[Beginning, ...]:
    """Return each entity's first time in training rows, by clock and keys of the windows.

    The result is empty unless `past` is "batch".
    """
    if not is_batch(past):
        return ()
    orders = dict.fromkeys(order_of(over) for over in window_nodes(plan.declaration.nodes.values()))
    found: dict[tuple[str, tuple[str, ...]], Beginning] = {}
    for order in orders:
        time, *by = query_of(order)
        clocks, keys = columns_of([time]), tuple(columns_of(by))
        if len(clocks) == 1:  # no single one of several clocks defines an order
            asked = clocks[0], keys
            with suppress(pa.ArrowException):
                found[asked] = Beginning(*asked, _first_times(data, *asked))
    return tuple(found.values())


def warn_after_fit(begun: tuple[Beginning, ...], data: Any, told: WarningHistory) -> None:
    """Warn if entities begin later in X than in the rows of `fit`: X lacks their earlier rows.

    Windows over X do not see the rows of `fit`. Keys and times of types that Arrow cannot group, or
    cannot compare with those of `fit`, are skipped. `told` holds the warnings that were given
    before.
    """
    if not begun or HistoryMissing in told.kinds:
        return
    for beginning in begun:
        n_later = 0
        with suppress(pa.ArrowException):  # types differ from those in fit: `transform` reports it
            own = _first_times(data, beginning.clock, beginning.keys)
            n_later = _count_later(own, beginning)
        if n_later:
            noun = "entity" if n_later == 1 else "entities"
            entities = f"{n_later:,} {noun} of {', '.join(map(repr, beginning.keys))}"
            which = f"of {entities}" if beginning.keys else "of X"
            warn(
                f"the rows {which} begin later than the rows passed to fit. Windows do not see the "
                "rows of fit, because history='batch' means that X contains its own past. Either "
                "add the earlier rows to X, or pass all rows as the history, "
                "Features(plan, history=all_rows), where the plan has row_id=",
                HistoryMissing,
                told,
            )
            return


def _first_times(data: Any, clock: str, keys: tuple[str, ...]) -> Table:
    """Return a table of entities with keys and first time; rows that lack one are skipped."""
    table = plain_table(read_columns(data, list(dict.fromkeys([*keys, clock])))).drop_null()
    grouped: Any = table.group_by(list(keys)).aggregate([(clock, "min")])
    return grouped.rename_columns([*keys, _FIRST])


def _count_later(own: Table, beginning: Beginning) -> int:
    """Return the number of entities with a later first time in `own` than in the rows of fit."""
    first, keys = beginning.table, list(beginning.keys)
    own = own.cast(first.schema)
    if not keys:
        pairs = own[_FIRST], first[_FIRST]
    else:
        both: Any = own.join(first, keys, join_type="inner", right_suffix=" there")
        pairs = both[_FIRST], both[f"{_FIRST} there"]
    return call("sum", call("greater", *pairs)).as_py() or 0
