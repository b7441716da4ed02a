"""Backends are tables: each runs every kind of task, by kernels that the folders of steps name."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest

import fastfeat as ff
from fastfeat import steps
from fastfeat.backends import Backend, cpu, emulated, gpu, reference, step_kernels
from fastfeat.backends.device import place_of
from fastfeat.engine.tasks import LearnTask, MatrixTask, RowTask, Task
from fastfeat.ir.dtypes import UTF8
from fastfeat.ir.node import Call
from fastfeat.steps.keys.tasks import DistinctTask, GroupsTask, KeysTask
from fastfeat.steps.registry import OF_CONTENT, STEPS
from fastfeat.steps.step import StepTask
from fastfeat.steps.targets.tasks import TargetTask
from fastfeat.steps.targets.time_folds import TimesTask
from fastfeat.steps.windows.tasks import TableWindowTask, TiesTask, WindowTask

EVERYWHERE = {
    RowTask,
    LearnTask,
    StepTask,
    KeysTask,
    DistinctTask,
    GroupsTask,
    TargetTask,
    TimesTask,
    WindowTask,
    TiesTask,
    TableWindowTask,
}
BACKENDS = {module.BACKEND.name: module.BACKEND for module in (cpu, gpu, reference, emulated)}


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_a_backend_runs_every_kind_of_task(backend: Backend) -> None:
    assert backend.functions.keys() - {MatrixTask} == EVERYWHERE


def test_a_kind_of_task_is_in_the_tables() -> None:
    kinds = {kind.__name__ for kind in Task.__subclasses__()}
    assert kinds == {kind.__name__ for kind in {*EVERYWHERE, MatrixTask}}


def folders(side: str) -> list[ModuleType]:
    """Return the modules of each folder of steps for the CPU or a device."""
    found = [folder.name for folder in iter_modules(steps.__path__) if folder.ispkg]
    packages = [import_module(f"fastfeat.steps.{name}") for name in found]
    return [
        import_module(f"{package.__name__}.{module.name}")
        for package in packages
        for module in iter_modules(package.__path__)
        if module.name.startswith(side)
    ]


@pytest.mark.parametrize("side", ["cpu", "gpu"])
def test_kernels_are_of_steps_and_each_stands_in_one_folder(side: str) -> None:
    tables = {id(of): of for module in folders(side) if (of := vars(module).get("KERNELS"))}
    names = [name for table in tables.values() for name in table]
    assert sorted(names) == sorted(step_kernels(side))
    assert set(names) <= {*STEPS, *OF_CONTENT}
    assert "str.len_chars" in names


@pytest.mark.emulator
def test_a_step_without_a_kernel_of_the_device_runs_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {"s": ["a", None, "bcd"], "x": [1.0, 2.0, None]}
    fitted = ff.Plan({"n": ff.col("s").str.len_chars() + ff.col("x")}).fit(rows)
    call = Call("str.len_chars", (ff.col("s").node,), ())
    assert place_of(call, [UTF8]) == "on the device"
    monkeypatch.delitem(step_kernels("gpu"), "str.len_chars")
    assert place_of(call, [UTF8]) == "on the host"
    assert "//   on the host: col('s').str.len_chars()" in fitted.explain("cuda")
    assert fitted.transform(rows, backend="emulated").equals(fitted.transform(rows))
