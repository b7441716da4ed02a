"""Arguments of a step on a device, and their copies in the host's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastfeat.engine.gpu.pieces.run import on_host
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.io.arrow import pa
from fastfeat.io.columns.keys import key_column
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.steps.step import Argument

Params = Mapping[str, Any]
DeviceStep = Callable[[Runtime, Sequence[Argument], Params, int], Any]
"""From the device, the arguments, the parameters and the number of rows to a column: a DeviceArray
or Arrow's. Columns among the arguments are as keys are stored, some of them DeviceArrays."""


@dataclass(frozen=True, slots=True)
class DeviceKernel:
    """The kernel of a step on a device.

    Args:
        run: the step.
        takes: whether it runs there, by the types of its arguments; else it runs on the host.
    """

    run: DeviceStep
    takes: Callable[[Sequence[DType]], bool] = lambda types: True


def argument_in_host(runtime: Runtime, argument: Argument) -> Argument:
    """Return an argument whose column, if it is one, is in the host's memory, stored as keys."""
    if not isinstance(argument.values, DeviceArray):
        return argument
    name, column = argument.values.name, column_in_host(runtime, argument.values)
    return replace(argument, values=key_column(column, name, argument.dtype))


def column_in_host(runtime: Runtime, values: Any) -> Any:
    """Return a column of the device as a chunked array, and anything else as it is."""
    if not isinstance(values, DeviceArray):
        return values
    return pa.chunked_array([on_host(runtime, values, values.name)])
