"""The backends: each computes programs over rows, and learns from them, with the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from fastfeat.aggregates.keys import Groups, KeyCounts
from fastfeat.aggregates.target import FoldedGroups
from fastfeat.dtypes import DType
from fastfeat.engine.program import Constants, Functions, Program
from fastfeat.errors import BackendUnavailable
from fastfeat.ir.node import Call, Params
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.step import Argument
from fastfeat.steps.windows.rows import RowOrder, WindowRequest

if TYPE_CHECKING:
    from fastfeat.engine.gpu.runtime import Runtime

Wanted = Sequence[Functions]
"""For each output of a program, the aggregates (name, parameters) to learn from it."""


class Backend(Protocol):
    """What the plan layer asks of a backend; each has a module of this shape."""

    def compute(
        self,
        program: Program,
        columns: Mapping[InputSlot, Any],
        n_rows: int,
        constants: Constants,
    ) -> list[Any]:
        """Return an Arrow array for each output."""
        ...

    def learn(
        self,
        program: Program,
        wanted: Wanted,
        columns: Mapping[InputSlot, Any],
        n_rows: int,
        constants: Constants,
    ) -> list[list[Any]]:
        """Return the value of each wanted aggregate of each output; None is missing."""
        ...

    def run_step(self, call: Call, args: Sequence[Argument], dtype: DType, n_rows: int) -> Any:
        """Return the column that a step makes: Arrow's, or one in the memory of the device."""
        ...

    def count_keys(
        self,
        columns: Sequence[Any],
        dtypes: Sequence[DType],
        missing: str,
        max_memory: int,
        with_rows: bool = False,
    ) -> KeyCounts:
        """Return the distinct keys of some rows, in the order of codes."""
        ...

    def learn_groups(
        self,
        wanted: Sequence[tuple[str, Params]],
        values: Any,
        dtype: DType,
        codes: Any,
        n_groups: int,
        n_left_out: int = 0,
    ) -> list[Groups]:
        """Return the value of each wanted aggregate in each group, any in the first `n_left_out`.

        Where the sum of one of those does not fit its type, it is no error.
        """
        ...

    def over(self, past: RowOrder, asked: Sequence[WindowRequest], first_row: int) -> list[Any]:
        """Return an Arrow array for each function of the rows in a window.

        Rows from `first_row` on ask; those before are history. Where one of these is later than a
        row of its entity that asks, it raises, even if no function is asked for; not if the past is
        mixed.
        """
        ...

    def over_table(
        self, past: RowOrder, asked: Sequence[WindowRequest], query: RowOrder
    ) -> list[Any]:
        """Return an Arrow array for each function of the rows of a table in a window."""
        ...

    def learn_target(
        self,
        function: str,
        params: Params,
        values: Any,
        dtype: DType,
        codes: Any,
        folds: Any,
        n_codes: int,
        n_folds: int,
    ) -> FoldedGroups:
        """Return a statistic of a target per category, of all rows and outside of each fold."""
        ...


class DeviceBackend(Backend, Protocol):
    """A backend whose memory is not the host's: it reads arrays there, and leaves results there."""

    def runtime(self) -> Runtime:
        """Return the device.

        Raises:
            BackendUnavailable: there is none.
        """
        ...


NAMES = ("cpu", "gpu", "reference", "emulated")
DEVICE_NAMES = ("gpu", "emulated")


def backend_named(name: str) -> Backend:
    """Return a backend.

    Raises:
        BackendUnavailable: there is none of that name in this version, or it cannot run here.
    """
    if name not in NAMES:
        raise BackendUnavailable(
            f"there is no backend {name!r} in this version. There are: {', '.join(NAMES)}"
        )
    module: Any = import_module(f"fastfeat.backends.{name}")
    if name in DEVICE_NAMES:
        module.runtime()  # raises also where nothing is to be computed
    return cast(Backend, module)


def device_backend_named(name: str) -> DeviceBackend:
    """Return a backend that has memory of its own; `name` is one of DEVICE_NAMES.

    Raises:
        BackendUnavailable: there is none of that name in this version.
    """
    assert name in DEVICE_NAMES
    return cast(DeviceBackend, backend_named(name))
