"""A program laid out for a device: its loops, their text, and the words that their kernels read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.gpu.columns import DeviceColumn
from fastfeat.backends.gpu.output_groups import by_columns
from fastfeat.backends.gpu.render import kernel_name, render
from fastfeat.backends.gpu.runtime import Buffer, Runtime
from fastfeat.backends.gpu.table import TablePlan, plan_table
from fastfeat.backends.layout import Loop, lay_out
from fastfeat.backends.program import Constants, Program
from fastfeat.backends.storage import has_flags, parameter_bits, storage, table_array

Words = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """A program laid out in loops, and whether each of its outputs has a bitmap."""

    program: Program
    loops: tuple[Loop, ...]
    table: TablePlan
    has_validity: tuple[bool, ...]

    def features_of(self, kernels: Collection[str]) -> list[str]:
        """Return the outputs that some kernels compute, by name; all where none is of this plan."""
        named = [loop for k, loop in enumerate(self.loops) if kernel_name(k) in kernels]
        outputs = {k for loop in named for instance in loop.instances for k in instance.outputs}
        return [o.name for k, o in enumerate(self.program.outputs) if k in outputs or not named]


@lru_cache(maxsize=256)
def device_program(program: Program) -> DeviceProgram:
    """Return a program laid out for a device; its kernels are compiled when it is first run."""
    loops = lay_out(program, by_columns)
    has_validity = [False] * len(program.outputs)
    for loop in loops:
        for instance in loop.instances:
            for store, output in zip(loop.shape.stores, instance.outputs, strict=True):
                is_float = storage(store.dtype).startswith("float")
                has_validity[output] = is_float or has_flags(store, loop.shape)
    return DeviceProgram(program, loops, plan_table(program, loops), tuple(has_validity))


@lru_cache(maxsize=256)
def text_of(program: Program, exact: bool) -> str:
    """Return the text of the kernels of a program."""
    return render(device_program(program).loops, exact=exact)


class Target(NamedTuple):
    """Where an output goes on the device.

    Args:
        values: address of row 0, or of the first bits of a bool column.
        validity: address of the bitmap; 0 where what is missing is NaN alone.
        rows_apart: elements from one row to the next.
    """

    values: int
    validity: int = 0
    rows_apart: int = 1


@dataclass(frozen=True, slots=True)
class Bound:
    """The words of a program with all that is the same for every piece, and what they point to."""

    plan: DeviceProgram
    words: Words
    tables: tuple[Buffer, ...]


def bind(runtime: Runtime, program: Program, constants: Constants) -> Bound:
    """Return a program with its parameters, and its searched tables on the device."""
    plan = device_program(program)
    words = np.zeros(plan.table.n_words, np.int64)
    for at, key, physical in plan.table.parameters:
        words[at] = parameter_bits(constants.parameters[key], physical)
    buffers: dict[Any, Buffer] = {}
    for at, key in plan.table.tables:
        if key not in buffers:
            array = table_array(key, constants)
            buffers[key] = runtime.allocate(max(8, array.nbytes))
            runtime.upload(array, buffers[key])
        words[at] = buffers[key].address
    return Bound(plan, words, tuple(buffers.values()))


def words_of(bound: Bound, inputs: Sequence[DeviceColumn], targets: Sequence[Target]) -> Words:
    """Return the words of a piece: with the addresses of its inputs and outputs."""
    filled, table = bound.words.copy(), bound.plan.table
    columns = [(c.values, c.value_bit, c.validity, c.bit) for c in inputs]
    read = np.array(columns, np.int64).reshape(-1, 4)[table.inputs]
    written = np.array(targets, np.int64).reshape(-1, 3)[table.outputs]
    for k in range(4):
        filled[table.input_at + k] = read[:, k]
    for k in range(3):
        filled[table.output_at + k] = written[:, k]
    return filled
