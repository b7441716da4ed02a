"""Steps on a device: by the kernels of the table, and on the host where it has none.

A column that a step makes stays on the device as a DeviceArray where a kernel has made it; where
the next step runs on the host it is brought there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat.backends import cpu as host
from fastfeat.dtypes import DType
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.ir.node import Call
from fastfeat.ir.scope import OVER, is_over_window
from fastfeat.steps.keys.gpu.numbers import hash_cross
from fastfeat.steps.keys.gpu.vocabulary import encode
from fastfeat.steps.lists.gpu import functions as lists
from fastfeat.steps.on_device import DeviceStep, argument_in_host
from fastfeat.steps.registry import step_function
from fastfeat.steps.step import Argument
from fastfeat.steps.tables.gpu import asof_rows, is_gathered, lookup_values
from fastfeat.steps.targets.gpu import fold
from fastfeat.steps.text.gpu import functions as text
from fastfeat.steps.windows.gpu.functions import is_of_values_near_each_other, is_on_device

KERNELS: dict[str, DeviceStep] = {
    "asof_row": asof_rows,
    "encode": encode,
    "fold": fold,
    "hash_cross": hash_cross,
    "lookup_value": lookup_values,
    **lists.KERNELS,
    **text.KERNELS,
}
"""The steps that run on the device, by name; the others run on the host."""

TAKES_TYPES = {"lookup_value": is_gathered, **lists.TAKES_TYPES}
"""The types of arguments that a step takes on the device, where it does not take all."""


def runs_on_device(call: Call, types: Sequence[DType]) -> bool:
    """Return whether a step runs on the device, not on the host.

    Args:
        call: the step.
        types: of its arguments.
    """
    if is_over_window(call):
        return is_on_device(call.function.removeprefix(OVER))
    if call.function not in KERNELS or step_function(call).host is not None:
        return False
    return call.function not in TAKES_TYPES or TAKES_TYPES[call.function](types)


def place_of(call: Call, types: Sequence[DType]) -> str:
    """Return where a step runs, as `explain` tells it; see `runs_on_device` for the arguments."""
    if not runs_on_device(call, types):
        return "on the host"
    function = call.function.removeprefix(OVER)
    if is_over_window(call) and is_of_values_near_each_other(function, types[0]):
        return "on the device, or on the host if an entity's values span over 100 bits"
    return "on the device"


def run_step(
    runtime: Runtime, call: Call, args: Sequence[Argument], dtype: DType, n_rows: int
) -> Any:
    """Return the column that a step makes; see `backends.reference.run_step`.

    Raises:
        OutOfDeviceMemory: it does not fit.
    """
    if not runs_on_device(call, [arg.dtype for arg in args]):
        return host.run_step(call, [argument_in_host(runtime, arg) for arg in args], dtype, n_rows)
    kernel, params = KERNELS[call.function], dict(call.params)
    return runtime.computations.run(lambda: kernel(runtime, args, params, n_rows))
