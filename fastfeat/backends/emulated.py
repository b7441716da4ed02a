"""The GPU backend without a card: the same CUDA text through g++, for tests and kernel authors."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from fastfeat.aggregates.keys import Groups, KeyCounts
from fastfeat.aggregates.target import FoldedGroups
from fastfeat.backends import Wanted, device_steps
from fastfeat.dtypes import DType
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.learn import learn as device_learn
from fastfeat.engine.gpu.pieces import run as device_run
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, Program
from fastfeat.ir.node import Call, Params
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.keys.gpu import groups as device_groups
from fastfeat.steps.keys.gpu import vocabulary as device_keys
from fastfeat.steps.step import Argument
from fastfeat.steps.targets import gpu as device_targets
from fastfeat.steps.windows.gpu import functions as device_windows
from fastfeat.steps.windows.rows import RowOrder, WindowRequest

__all__ = [
    "compute",
    "count_keys",
    "learn",
    "learn_groups",
    "learn_target",
    "over",
    "over_table",
    "run_step",
    "runtime",
]

_chosen: ContextVar[Runtime | None] = ContextVar("emulated_runtime", default=None)


def runtime() -> Runtime:
    """Return what runs the kernels: threads one after the other, unless `running_on` says how.

    Raises:
        BackendUnavailable: there is no g++.
    """
    return _chosen.get() or _in_order()


@cache
def _in_order() -> EmulatedRuntime:
    return EmulatedRuntime()


@contextmanager
def running_on(chosen: Runtime) -> Generator[None]:
    """Run kernels in the order, with the memory and with the checks of a runtime."""
    token = _chosen.set(chosen)
    try:
        yield
    finally:
        _chosen.reset(token)


def compute(
    program: Program, columns: Mapping[InputSlot, Any], n_rows: int, constants: Constants
) -> list[Any]:
    """Return an Arrow array for each output; see `pieces.run.compute`."""
    return device_run.compute(runtime(), program, columns, n_rows, constants)


def learn(
    program: Program,
    wanted: Wanted,
    columns: Mapping[InputSlot, Any],
    n_rows: int,
    constants: Constants,
) -> list[list[Any]]:
    """Return the value of each wanted aggregate of each output; see `gpu.learn.learn`."""
    return device_learn.learn(runtime(), program, wanted, columns, n_rows, constants)


def run_step(call: Call, args: Sequence[Argument], dtype: DType, n_rows: int) -> Any:
    """Return the column that a step makes, on the device or in the host; see `device_steps`."""
    return device_steps.run_step(runtime(), call, args, dtype, n_rows)


def count_keys(
    columns: Sequence[Any],
    dtypes: Sequence[DType],
    missing: str,
    max_memory: int,
    with_rows: bool = False,
) -> KeyCounts:
    """Return the distinct keys of some rows in order; see `gpu.vocabulary.count_keys`."""
    return device_keys.count_keys(runtime(), columns, dtypes, missing, max_memory, with_rows)


def learn_groups(
    wanted: Sequence[tuple[str, Params]],
    values: Any,
    dtype: DType,
    codes: Any,
    n_groups: int,
    n_left_out: int = 0,
) -> list[Groups]:
    """Return each wanted aggregate of each group; see `gpu.groups.learn_groups`."""
    rows = values, dtype, codes
    return device_groups.learn_groups(runtime(), wanted, *rows, n_groups, n_left_out)


def learn_target(
    function: str,
    params: Params,
    values: Any,
    dtype: DType,
    codes: Any,
    folds: Any,
    n_codes: int,
    n_folds: int,
) -> FoldedGroups:
    """Return a statistic of the target per category; see `targets.gpu.learn_target`."""
    return device_targets.learn_target(
        runtime(), function, params, values, dtype, codes, folds, n_codes, n_folds
    )


def over(past: RowOrder, asked: Sequence[WindowRequest], first_row: int) -> list[Any]:
    """Return an Arrow array for each function of the rows in a window; see `windows.gpu`."""
    return device_windows.over(runtime(), past, asked, first_row)


def over_table(past: RowOrder, asked: Sequence[WindowRequest], query: RowOrder) -> list[Any]:
    """Return an Arrow array for each function of rows of a table; see `windows.gpu`."""
    return device_windows.over_table(runtime(), past, asked, query)
