"""The backends of devices: one table of functions for a GPU, and for the emulation by g++.

A runtime gives access to the device: memory, kernels and copies. A step runs by its device kernel,
or on the host (CPU and main memory) if it has none. A column made by a device kernel stays on the
device as a DeviceArray; it is copied to the host if the next step runs there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastfeat.backends import Backend, step_kernels
from fastfeat.backends import cpu as host
from fastfeat.engine.gpu.learn.learn import learn
from fastfeat.engine.gpu.pieces.run import compute, on_host
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.tasks import LearnTask, RowTask, Task
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call
from fastfeat.ir.scope import OVER, is_over_window
from fastfeat.steps.keys.gpu.groups import learn_groups
from fastfeat.steps.keys.gpu.vocabulary import count_distinct, count_keys
from fastfeat.steps.keys.tasks import DistinctTask, GroupsTask, KeysTask
from fastfeat.steps.on_device import DeviceKernel, argument_in_host
from fastfeat.steps.registry import host_step
from fastfeat.steps.step import StepTask
from fastfeat.steps.targets.cpu_time_folds import learn_times as learn_times_in_host
from fastfeat.steps.targets.gpu import learn_target
from fastfeat.steps.targets.tasks import TargetTask
from fastfeat.steps.targets.time_folds import TimeFolds, TimesTask
from fastfeat.steps.windows.gpu.functions import (
    is_on_device,
    n_tied,
    needs_near_values,
    over,
    over_table,
)
from fastfeat.steps.windows.tasks import TableWindowTask, TiesTask, WindowTask


def _kernel(call: Call, types: Sequence[DType]) -> DeviceKernel | None:
    """Return the device kernel of a step; None if the step runs on the host."""
    kernel: DeviceKernel | None = step_kernels("gpu").get(call.function)
    if kernel is None or host_step(call) is not None or not kernel.takes(types):
        return None
    return kernel


def place_of(call: Call, types: Sequence[DType]) -> str:
    """Return "on the host" or "on the device" for a step, as `explain` shows it.

    `types` are the types of the step's arguments. Windows can have a longer text.
    """
    if not is_over_window(call):
        return "on the host" if _kernel(call, types) is None else "on the device"
    function = call.function.removeprefix(OVER)
    if not is_on_device(function):
        return "on the host"
    if needs_near_values(function, types[0]):
        return "on the device, or on the host if an entity's values span more than 100 bits"
    return "on the device"


def run_step(runtime: Runtime, task: StepTask) -> Any:
    """Return the column that a step computes, on the device or on the host.

    Raises:
        OutOfDeviceMemory: The column does not fit into the device's memory.
    """
    call, args, n_rows = task.call, task.args, task.n_rows
    kernel = _kernel(call, [arg.dtype for arg in args])
    if kernel is None:
        in_host = [argument_in_host(runtime, arg) for arg in args]
        return host.run_step(replace(task, args=in_host))
    params = dict(call.params)
    return runtime.computations.run(lambda: kernel.run(runtime, args, params, n_rows))


def learn_times(runtime: Runtime, task: TimesTask) -> TimeFolds:
    """Return the times at which folds by time begin and end, computed on the host."""
    return learn_times_in_host(replace(task, times=argument_in_host(runtime, task.times)))


FUNCTIONS: Mapping[type[Task[Any]], Callable[[Runtime, Any], Any]] = {
    RowTask: compute,
    LearnTask: learn,
    StepTask: run_step,
    KeysTask: count_keys,
    DistinctTask: count_distinct,
    GroupsTask: learn_groups,
    TargetTask: learn_target,
    TimesTask: learn_times,
    WindowTask: lambda runtime, task: over(runtime, task.past, task.asked, task.first_row),
    TiesTask: lambda runtime, task: n_tied(runtime, task.past, task.first_row),
    TableWindowTask: lambda runtime, task: over_table(runtime, task.past, task.asked, task.query),
}
"""Task type to the function that runs it on a device."""


def device_backend(name: str, runtime: Callable[[], Runtime]) -> Backend:
    """Return a backend whose tasks run on a device.

    `runtime` returns the device of the calling thread, or raises BackendUnavailable.
    """

    def on_device(function: Callable[[Runtime, Any], Any], task: Any) -> Any:
        return function(runtime(), task)

    return Backend(
        name,
        {kind: partial(on_device, function) for kind, function in FUNCTIONS.items()},
        runtime,
        lambda column, shown: on_host(runtime(), column, shown),
    )
