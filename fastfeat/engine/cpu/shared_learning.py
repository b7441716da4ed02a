"""Learn from many columns of one type at once: one kernel call computes the moments of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.column import columns_at
from fastfeat_kernels.moments.many import summarize_columns
from fastfeat_kernels.moments.state import Level
from numpy.typing import NDArray

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import level_of
from fastfeat.engine.columns import input_addresses
from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.cpu.part import MANY
from fastfeat.engine.program import Functions, Program
from fastfeat.engine.storage import column_of, storage
from fastfeat.engine.tasks import LearnTask
from fastfeat.ir.dtypes import DType


class AlikeOutputs(NamedTuple):
    """Outputs that copy input columns of one type, with equal aggregates, computed from moments.

    Args:
        outputs: Indices of the outputs.
        inputs: Index of the input that each output copies, shape (n_outputs,).
        dtype: Type of the columns.
        level: Level of the moments kernel.
        functions: The aggregates of each output.
    """

    outputs: tuple[int, ...]
    inputs: NDArray[np.int64]
    dtype: DType
    level: Level
    functions: Functions


def learn_together(task: LearnTask) -> dict[int, Sequence[Any]]:
    """Return the values of aggregates for the outputs that one kernel call can learn, by index.

    Outputs that must be learned one by one are left out. The dict is empty unless `task.columns`
    has the memory addresses of its columns.
    """
    columns = input_addresses(task.columns, task.program)
    if columns is None:
        return {}
    results: dict[int, Sequence[Any]] = {}
    for alike in _alike(task.program, tuple(map(tuple, task.wanted))):
        chosen, element = columns_at(columns, alike.inputs), storage(alike.dtype)
        parts = n_parts(len(alike.outputs) * columns.n_rows)
        many = summarize_columns(element, chosen, alike.level, runner("moments"), parts)
        found = [
            of_many(many, alike.dtype, params)
            for name, params in alike.functions
            if (of_many := AGGREGATES[name].finalize_many) is not None
        ]
        results.update(zip(alike.outputs, zip(*found, strict=True), strict=True))
    return results


@lru_cache(maxsize=16)
def _alike(program: Program, wanted: tuple[Functions, ...]) -> tuple[AlikeOutputs, ...]:
    """Return groups of outputs; one kernel call can learn all outputs of a group."""
    numbers = {slot: k for k, slot in enumerate(program.inputs)}
    members: dict[tuple[DType, Functions], list[tuple[int, int]]] = {}
    known = {
        functions: all(AGGREGATES[name].finalize_many is not None for name, _ in functions)
        for functions in dict.fromkeys(wanted)
    }
    for k, (output, functions) in enumerate(zip(program.outputs, wanted, strict=True)):
        slot = column_of(output)
        if slot is not None and known[functions]:
            members.setdefault((output.dtype, functions), []).append((k, numbers[slot]))
    found: list[AlikeOutputs] = []
    for (dtype, functions), places in members.items():
        if len(places) >= MANY:
            outputs, inputs = zip(*places, strict=True)
            level = level_of([AGGREGATES[name] for name, _ in functions])
            found.append(AlikeOutputs(outputs, np.array(inputs, np.int64), dtype, level, functions))
    return tuple(found)
