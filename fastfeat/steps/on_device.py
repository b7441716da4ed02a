"""Arguments of a step on a device, and their copies in host memory.

A column is in device memory (DeviceArray) or in host memory (Arrow).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.pieces.run import on_host
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.io.arrow import pa
from fastfeat.io.columns.keys import key_column
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.step import Argument

DeviceStep = Callable[[Runtime, Sequence[Argument], ParameterValues, int], Any]
"""`(runtime, arguments, parameters, n_rows) -> column`, a DeviceArray or an Arrow array.

Columns among the arguments are stored as keys are; some may be DeviceArrays.
"""


@dataclass(frozen=True, slots=True)
class DeviceKernel:
    """The function that computes a step on a device.

    Args:
        run: Computes the step.
        takes: Returns whether the device can run arguments of these types; otherwise the host does.
    """

    run: DeviceStep
    takes: Callable[[Sequence[DType]], bool] = lambda types: True


def argument_in_host(runtime: Runtime, argument: Argument) -> Argument:
    """Return the argument with its column in host memory, in the form in which keys are stored."""
    if not isinstance(argument.values, DeviceArray):
        return argument
    name, column = argument.values.name, column_in_host(runtime, argument.values)
    return replace(argument, values=key_column(column, name, argument.dtype))


def column_in_host(runtime: Runtime, values: Any) -> Any:
    """Return a column in device memory as an Arrow chunked array; other values unchanged."""
    if not isinstance(values, DeviceArray):
        return values
    return pa.chunked_array([on_host(runtime, values, values.name)])
