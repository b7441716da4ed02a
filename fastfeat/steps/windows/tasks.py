"""Tasks of windows: what a backend is asked of the rows that are seen in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.engine.tasks import Task
from fastfeat.steps.windows.rows import RowOrder, WindowRequest


@dataclass(frozen=True, slots=True)
class WindowTask(Task[list[Any]]):
    """Functions of the rows in a window: an Arrow array for each, or a DeviceArray.

    Rows from `first_row` on ask; those before are history. Where one of these is later than a row
    of its entity that asks, it fails, even if no function is asked for; not if the past is mixed.

    Args:
        past: the rows, and what orders them.
        asked: the functions.
        first_row: the first row that asks.
    """

    past: RowOrder
    asked: Sequence[WindowRequest]
    first_row: int


@dataclass(frozen=True, slots=True)
class TableWindowTask(Task[list[Any]]):
    """Functions of the rows of a table in a window: an Arrow array for each.

    Args:
        past: the rows of the table, and what orders them.
        asked: the functions.
        query: the rows that ask.
    """

    past: RowOrder
    asked: Sequence[WindowRequest]
    query: RowOrder
