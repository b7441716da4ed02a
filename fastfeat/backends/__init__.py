"""The backends, which run the tasks of a plan: cpu, gpu, reference and emulated.

A task is a record of work over many rows, such as row functions (`engine.tasks`), a step
(`steps.step`: a function that takes whole columns, such as a lookup), or learning keys or targets
(the `tasks` modules in the folders of steps). A backend is a table from the type of a task to the
function that runs it. All backends give the same bits. `plan` and the layers above it import them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.tasks import ResultT, Task
from fastfeat.errors import BackendUnavailable
from fastfeat.first_use import LazyRows
from fastfeat.io.columns import strings

if TYPE_CHECKING:
    from fastfeat.engine.gpu.runtime import Runtime
    from fastfeat.engine.learner import TaskLearner
    from fastfeat.engine.program import Program


def keep_column(column: Any, name: str) -> Any:
    """Return a host-memory column unchanged."""
    return column


def string_codes(column: Any, name: str, literals: tuple[str, ...]) -> Any:
    """Return the codes of texts among literals; see `io.columns.strings`."""
    return strings.string_codes(column, name, literals)


def every_output(program: Program) -> Container[int]:
    """Return the indices of all outputs: any of their arrays may be shared with other objects.

    For a backend that cannot tell which arrays are shared.
    """
    return range(len(program.outputs))


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """A table from the type of a task to the function that runs it, and where it runs.

    Args:
        name: Name in the plan's `backend=`.
        functions: Task type to function, which takes the task and returns its result.
        runtime: Returns the device of the calling thread, or raises BackendUnavailable; None if the
            backend computes in host memory.
        to_host: Copies a DeviceArray to an Arrow array; its second argument is a name for messages.
        shared_outputs: Returns the indices of a program's outputs (a program computes features
            from columns) whose arrays may be in use elsewhere.
        reads_codes: Whether window tasks take entity numbers instead of keys.
        is_slow: Whether it computes by the definition, row by row.
        learners: Task type to learner, for tasks that can take their rows in chunks.
        literal_codes: Returns the position of each text among literals, as
            `io.columns.strings.string_codes` does.
    """

    name: str
    functions: Mapping[type[Task[Any]], Callable[[Any], Any]]
    runtime: Callable[[], Runtime] | None = None
    to_host: Callable[[Any, str], Any] = keep_column
    shared_outputs: Callable[[Program], Container[int]] = every_output
    reads_codes: bool = False
    is_slow: bool = False
    learners: Mapping[type[Task[Any]], TaskLearner] = field(
        default_factory=dict[type[Task[Any]], Any]
    )
    literal_codes: Callable[[Any, str, tuple[str, ...]], Any] = string_codes


def run_task(backend: Backend, task: Task[ResultT]) -> ResultT:
    """Return the result of a task on a backend."""
    return backend.functions[type(task)](task)


NAMES = ("cpu", "gpu", "reference", "emulated")
DEVICE_NAMES = ("gpu", "emulated")


def backend_named(name: str) -> Backend:
    """Return the backend with this name, after checking that it can run here."""
    check_name(name)
    backend = _load_backend(name)
    if backend.runtime is not None:
        backend.runtime()  # raises even if nothing will be computed
    return backend


def check_name(name: str) -> None:
    """Raise BackendUnavailable if this version has no such backend."""
    if name not in NAMES:
        raise BackendUnavailable(
            f"there is no backend {name!r} in this version. The backends are: {', '.join(NAMES)}"
        )


@cache
def _load_backend(name: str) -> Backend:
    return import_module(f"fastfeat.backends.{name}").BACKEND


def device_of(backend: Backend) -> Runtime:
    """Return the runtime of a backend that has a device with its own memory."""
    assert backend.runtime is not None, f"{backend.name} computes in the host's memory"
    return backend.runtime()


_OF_TEXT = (
    "bucket_count str.contains_literal str.count_matches_literal str.ends_with str.find_literal "
    "str.hash_ngrams str.hash_tokens str.len_bytes str.len_chars str.replace str.slice "
    "str.starts_with str.strip_chars str.strip_chars_end str.strip_chars_start str.to_float "
    "str.to_integer str.to_lowercase str.to_uppercase str.token_count"
)
_OF_LISTS = "list.sum list.mean list.min list.max list.contains list.get list.len list.slice"
_KERNELS = {
    "cpu": LazyRows[Any](
        "fastfeat.steps.{}:KERNELS",
        {
            "keys.cpu": "encode",
            "keys.cpu_hashing": "hash hash_cross",
            "lists.cpu": f"{_OF_LISTS} list.encode list.explode list.has_code list.var list.std",
            "tables.cpu": "asof_row lookup_row lookup_value",
            "targets.cpu": "fold time_fold time_fold_known",
            "text.cpu": _OF_TEXT,
        },
    ),
    "gpu": LazyRows[Any](
        "fastfeat.steps.{}.gpu:KERNELS",
        {
            "keys": "encode hash_cross",
            "lists": _OF_LISTS,
            "tables": "asof_row lookup_value",
            "targets": "fold",
            "text": f"hash {_OF_TEXT}",
        },
    ),
}
_CALLS = LazyRows[Any](
    "fastfeat.steps.{}:CALLS",
    {
        "keys.cpu": "encode",
        "keys.cpu_hashing": "hash hash_cross",
        "lists.cpu_calls": _OF_LISTS,
        "text.cpu": (
            "bucket_count str.contains_literal str.count_matches_literal str.ends_with "
            "str.find_literal str.hash_ngrams str.hash_tokens str.len_bytes str.len_chars "
            "str.starts_with str.token_count"
        ),
    },
)


def step_kernels(side: str) -> LazyRows[Any]:
    """Return the kernels of steps by step name, for the CPU (`side` "cpu") or a device ("gpu")."""
    return _KERNELS[side]  # windows have their own tasks


def step_calls() -> LazyRows[Any]:
    """Return, by step name, the functions that express a step as calls within a CPU row kernel.

    Each takes the arguments of the step (arguments that the row kernel computes have no values),
    the Arrow type of each, and the parameters. It returns `engine.cpu.step_calls.StepCalls`, or
    None if the step cannot be expressed as calls.
    """
    return _CALLS
