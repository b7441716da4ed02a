"""The rows of a call: the user's data, with the history and lookup tables passed along with it.

A public function makes one `CallRows` from its arguments. The functions below it pass that record
on and read the fields that they need.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

from fastfeat.backends import check_name
from fastfeat.errors import InvalidPlan
from fastfeat.execute.lookup_tables import Tables


class Beside(TypedDict):
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
        memory: The most memory that this process may use, in the forms of `Plan.fit`; None reads
            the data whole.
    """

    data: Any
    rows: Any = None
    history: Any = None
    tables: Tables = None
    backend: str = "cpu"
    memory: str | int | None = None

    @property
    def beside(self) -> Beside:
        """The history and the lookup tables as keyword arguments."""
        return {"history": self.history, "tables": self.tables}


def call_rows(
    data: Any,
    rows: Any = None,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
    memory: str | int | None = None,
) -> CallRows:
    """Return a record of the rows of a call and its options, after checks of the backend.

    Raises:
        BackendUnavailable: There is no backend of that name.
        InvalidPlan: `memory` is given together with a backend other than "cpu".
    """
    if backend != "cpu":
        check_name(backend)
        if memory is not None:
            raise InvalidPlan(
                f"memory= reads the rows in passes, on the CPU: leave out backend={backend!r}"
            )
    return CallRows(data, rows, history, tables, backend, memory)
