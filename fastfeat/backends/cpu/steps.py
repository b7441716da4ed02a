"""Steps on the CPU: by the hand-written kernels, and by the definition where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastfeat.backends.cpu import hashing, lists, text
from fastfeat.backends.cpu.asof import asof_rows
from fastfeat.backends.cpu.folds import fold, time_fold, time_fold_known
from fastfeat.backends.cpu.groups import learn_groups
from fastfeat.backends.cpu.lookup import lookup_rows, lookup_values
from fastfeat.backends.cpu.targets import learn_target
from fastfeat.backends.cpu.vocabulary import count_keys, encode
from fastfeat.backends.reference.steps import run_step as run_by_definition
from fastfeat.dtypes import DType
from fastfeat.ir.node import Call
from fastfeat.steps import Argument, step_function

StepKernel = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]


def run_step(call: Call, args: Sequence[Argument], dtype: DType, n_rows: int) -> Any:
    """Return the column that a step makes; see `reference.steps.run_step`."""
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

__all__ = ["count_keys", "learn_groups", "learn_target", "run_step"]
