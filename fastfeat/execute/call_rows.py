"""The rows of a call: the user's data, with the history and lookup tables passed along with it.

A public function makes one `CallRows` from its arguments. The functions below it pass that record
on and read the fields that they need.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from fastfeat.backends import check_name
from fastfeat.errors import InvalidPlan
from fastfeat.execute.lookup_tables import Tables


class HistoryAndTables(TypedDict):
    """The `history` and `tables` of a call, as keyword arguments for public functions."""

    history: Any
    tables: Tables


class CallRows(NamedTuple):
    """The rows of one call, with history, lookup tables, backend and memory limit.

    Args:
        data: The rows, in any form that `Plan.fit` takes.
        rows: A bool for each row of the data, or row numbers; None for all rows.
        history: Earlier rows; "batch" if the data contains its own past; None without a history.
        tables: The lookup tables.
        backend: The name of the backend.
        memory: The most memory that this process may use, in the forms of `Plan.fit`; None for no
            bound.
    """

    data: Any
    rows: Any = None
    history: Any = None
    tables: Tables = None
    backend: str = "cpu"
    memory: str | int | None = None

    @property
    def beside(self) -> HistoryAndTables:
        """The history and the lookup tables as keyword arguments."""
        return {"history": self.history, "tables": self.tables}


def checked_call_rows(
    data: Any,
    rows: Any = None,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
    memory: str | int | None = None,
) -> CallRows:
    """Return the `CallRows` of a call, after checks of `backend` and of `memory` (CPU only).

    `CallRows` itself checks nothing: use it for calls without `backend`, for calls that accept
    `memory` with any backend, and for `FittedPlan.transform`, whose small batches must stay fast.
    """
    rows_of_call = CallRows(data, rows, history, tables, backend, memory)
    if backend == "cpu":
        return rows_of_call
    check_name(backend)
    if memory is not None:
        raise InvalidPlan(
            "memory= reads the rows in passes, which works on the CPU only. Leave out "
            f"backend={backend!r}"
        )
    return rows_of_call
