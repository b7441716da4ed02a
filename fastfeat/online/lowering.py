"""What fitted plans ask of one log: its columns, the orders of its rows, how far back they see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastfeat.dtypes import DType
from fastfeat.ir.node import Call, Node
from fastfeat.plan.fitted import FittedPlan


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back windows of one order see of an entity, from a row that asks.

    Args:
        span: rows not older than this, in nanoseconds or in steps of an integer clock; None where
            no window is bounded by time.
        n_rows: beside these, so many latest rows before the row; None for all of them.
    """

    span: int | None
    n_rows: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """One way that rows of a log are put into entities and, within each, in order.

    Args:
        time: what is ordered by, an expression over columns of a row.
        keys: the parts of the key of the entity; none where all rows are one entity's.
        tie: what orders rows of one instant before their arrival does; None for nothing.
        reach: how far back its windows see.
    """

    time: Node
    keys: tuple[Node, ...]
    tie: Node | None
    reach: Reach


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What some plans ask of one log.

    Args:
        plans: by name.
        columns: type of each column of the log: what windows read, and the id of rows.
        asked: type of each column that only rows that ask are read for.
        orders: of the rows of the log.
        kept: functions over windows that other windows read, by a name: what they gave for a row
            stands in the log beside it.
        row_id: the column that tells rows apart; None where there is none.
    """

    plans: Mapping[str, FittedPlan]
    columns: Mapping[str, DType]
    asked: Mapping[str, DType]
    orders: tuple[Order, ...]
    kept: Mapping[str, Call]
    row_id: str | None


def lower(plans: Mapping[str, FittedPlan]) -> LivePlan:
    """Return what some plans ask of one log."""
    columns: dict[str, DType] = {}
    asked: dict[str, DType] = {}
    row_id = None
    for fitted in plans.values():
        row_id = fitted.plan.row_id or row_id
        for name, dtype in fitted.inputs.items():
            (columns if name in fitted.plan.past_columns else asked)[name] = dtype  # pyright: ignore[reportArgumentType]
    return LivePlan(plans, columns, asked, (), {}, row_id)
