"""The backends: each runs tasks, and gives the same bits.

A backend is a table from the kind of a task to the function that runs it. The kinds are records:
programs over rows in `engine.tasks`, a step in `steps.step`, others in the `tasks` of the folders
of steps. `plan` and what stands above it import the backends.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from fastfeat import steps
from fastfeat.engine.tasks import Result, Task
from fastfeat.errors import BackendUnavailable
from fastfeat.io.columns import strings

if TYPE_CHECKING:
    from fastfeat.engine.gpu.runtime import Runtime
    from fastfeat.engine.learner import TaskLearner
    from fastfeat.engine.program import Program


def as_it_is(column: Any, name: str) -> Any:
    """Return a column of the host's memory, where a backend computes in that."""
    return column


def string_codes(column: Any, name: str, literals: tuple[str, ...]) -> Any:
    """Return the codes of text among literals, as `io.columns.strings` has them."""
    return strings.string_codes(column, name, literals)


def every_output(program: Program) -> Container[int]:
    """Return the places of all outputs, where a backend does not say which are its own."""
    return range(len(program.outputs))


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """A table from the kind of a task to the function that runs it, and where it runs.

    Args:
        name: as plans are given it.
        functions: by the kind, the function: from the task to its result.
        runtime: the device of the calling thread; None where the memory is the host's. It raises
            BackendUnavailable where there is none.
        to_host: brings a DeviceArray to the host's memory, as an Arrow array; messages name it.
        shared_outputs: the places of outputs of a program that may be arrays which others refer
            to, too.
        reads_codes: whether windows read the numbers of entities instead of their keys.
        is_slow: whether it computes by the definition, row by row.
        learners: of the kinds of task whose rows may come in parts.
        literal_codes: the codes of text among literals, as `io.columns.strings.string_codes`.
    """

    name: str
    functions: Mapping[type[Task[Any]], Callable[[Any], Any]]
    runtime: Callable[[], Runtime] | None = None
    to_host: Callable[[Any, str], Any] = as_it_is
    shared_outputs: Callable[[Program], Container[int]] = every_output
    reads_codes: bool = False
    is_slow: bool = False
    learners: Mapping[type[Task[Any]], TaskLearner] = field(
        default_factory=dict[type[Task[Any]], Any]
    )
    literal_codes: Callable[[Any, str, tuple[str, ...]], Any] = string_codes


def run_task(backend: Backend, task: Task[Result]) -> Result:
    """Return the result of a task on a backend."""
    return backend.functions[type(task)](task)


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
    backend = _loaded(name)
    if backend.runtime is not None:
        backend.runtime()  # raises also where nothing is to be computed
    return backend


@cache
def _loaded(name: str) -> Backend:
    return import_module(f"fastfeat.backends.{name}").BACKEND


def device_of(backend: Backend) -> Runtime:
    """Return the device of a backend that has memory of its own.

    Raises:
        BackendUnavailable: there is none that can be used.
    """
    assert backend.runtime is not None, f"{backend.name} computes in the host's memory"
    return backend.runtime()


@cache
def step_kernels(side: str) -> dict[str, Any]:
    """Return the kernels of steps by name: those that each folder of steps names.

    Args:
        side: "cpu" or "gpu", the module in each folder that is asked.
    """
    return _named_by_folders(side, "KERNELS")  # windows are asked for by other tasks


@cache
def step_calls() -> dict[str, Any]:
    """Return, by name, the functions that give steps as calls of kernels of the CPU.

    Each takes the arguments of the step, of which those of the row have no values; the Arrow type
    of each of these; and the parameters. It gives `engine.cpu.step_calls.StepCalls`, or None.
    """
    return _named_by_folders("cpu", "CALLS")


def _named_by_folders(side: str, table: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for folder in iter_modules(steps.__path__):
        if folder.ispkg:
            module = import_module(f"fastfeat.steps.{folder.name}.{side}")
            found.update(getattr(module, table, {}))
    return found
