"""The CPU backend: programs and steps, by kernels, and by the definition where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastfeat.backends.reference import run_step as run_by_definition
from fastfeat.dtypes import DType
from fastfeat.engine.cpu.arrays import compute, compute_matrix, outputs_of_steps
from fastfeat.engine.cpu.learn import learn
from fastfeat.ir.node import Call
from fastfeat.steps.keys import cpu_hashing as hashing
from fastfeat.steps.keys.cpu_groups import learn_groups
from fastfeat.steps.keys.cpu_vocabulary import count_keys, encode
from fastfeat.steps.lists import cpu as lists
from fastfeat.steps.registry import step_function
from fastfeat.steps.step import Argument
from fastfeat.steps.tables.cpu import asof_rows, lookup_rows, lookup_values
from fastfeat.steps.targets.cpu import fold, learn_target, time_fold, time_fold_known
from fastfeat.steps.text import cpu as text
from fastfeat.steps.windows.cpu import over
from fastfeat.steps.windows.cpu_tables import over_table

StepKernel = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]


def run_step(call: Call, args: Sequence[Argument], dtype: DType, n_rows: int) -> Any:
    """Return the column that a step makes; see `backends.reference.run_step`."""
    kernel = KERNELS.get(call.function)
    if kernel is None or step_function(call).host is not None:
        return run_by_definition(call, args, dtype, n_rows)
    return kernel(args, dict(call.params), n_rows)


def _encode(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    *parts, learnt = args
    return encode(
        learnt.values,
        [part.values for part in parts],
        [part.dtype for part in parts],
        params["missing"],
        params["n_unseen"],
    )


KERNELS: dict[str, StepKernel] = {
    "asof_row": asof_rows,
    "encode": _encode,
    "fold": fold,
    "lookup_row": lookup_rows,
    "lookup_value": lookup_values,
    "time_fold": time_fold,
    "time_fold_known": time_fold_known,
    **hashing.KERNELS,
    **lists.KERNELS,
    **text.KERNELS,
}

__all__ = [
    "compute",
    "compute_matrix",
    "count_keys",
    "learn",
    "learn_groups",
    "learn_target",
    "outputs_of_steps",
    "over",
    "over_table",
    "run_step",
]
