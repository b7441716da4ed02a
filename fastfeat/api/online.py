"""`ff.online`: several fitted plans over one state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from fastfeat.api.plan import FittedPlan, records_of
from fastfeat.arguments import explaining
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.online.live import Live, begin_live
from fastfeat.online.state.changes import Durability, Late
from fastfeat.plan.run.lookup_tables import Tables


@explaining
def online(
    plans: Mapping[str, FittedPlan],
    history: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    tables: Tables = None,
    late: Late | None = None,
    keep: str | int | None = None,
    max_ahead: str | None = None,
    durability: Durability | None = None,
) -> Live[FittedPlan]:
    """Return fitted plans over one state, which is asked for the features of rows as they arrive.

    Args:
        plans: fitted plans by name; they agree in the types of the columns that they share.
        history: as of `FittedPlan.online`, as the following are.
        path: of the file.
        tables: the lookup tables.
        late: what becomes of late rows.
        keep: how much longer rows stay.
        max_ahead: how far a time may be ahead.
        durability: when a call is on disk.

    Raises:
        InvalidPlan, TypeMismatch: plans that do not agree, or none.
        StateError: as of `FittedPlan.online`.

    Example:
        >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
        >>> row = {"t": [0], "card": ["a"], "x": [1.0]}
        >>> live = ff.online({"a": ff.Plan([spent]).fit(row), "b": ff.Plan([spent * 2]).fit(row)})
        >>> live.update(row)
        >>> live.features({"t": 1, "card": "a", "x": 0.0})
        {'a': array([1.]), 'b': array([2.])}
    """
    _check_plans(plans)
    return begin_live(
        records_of(plans),
        plans,
        history,
        path=path,
        tables=tables,
        late=late,
        keep=keep,
        max_ahead=max_ahead,
        durability=durability,
    )


def _check_plans(plans: Any) -> None:
    """Raise unless what was given are fitted plans by name."""
    given: list[Any] = [plans]
    odd = given
    if isinstance(plans, Mapping):
        given = list(cast("Mapping[Any, Any]", plans).values())
        odd = [plan for plan in given if not isinstance(plan, FittedPlan)]
    if odd:
        raise TypeMismatch(
            "ff.online takes fitted plans by name, {'fraud': fitted}, got a "
            f"{type(odd[0]).__name__}. Of one plan: fitted.online(...)"
        )
    if not given:
        raise InvalidPlan("ff.online has no plans. Give it one: ff.online({'fraud': fitted})")
