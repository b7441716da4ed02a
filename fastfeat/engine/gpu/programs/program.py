"""A program laid out for a device: its loops, their CUDA text, and the words that kernels read.

Each loop becomes one kernel; words are 64-bit addresses and numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.columns.memory import DeviceColumn
from fastfeat.engine.gpu.programs.render import kernel_name, render
from fastfeat.engine.gpu.programs.table import DeviceTableLayout, plan_table
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.engine.layout import (
    REPEATED,
    REPEATS_PER_LOOP,
    Loop,
    OutputIndices,
    ShapeOf,
    by_code,
    has_flags,
    inputs_of,
    lay_out,
)
from fastfeat.engine.program import Constants, Output, Program
from fastfeat.engine.storage import parameter_bits, table_array
from fastfeat.scalars.value import InputSlot

MOST_OUTPUTS = 32
"""Outputs per kernel. Each is stored as soon as it is known, so registers do not limit them."""

MOST_INPUTS = 16
"""Columns that a kernel reads: their values wait in registers, two each."""

MOST_KERNELS = 64
"""Highest number of kernels.

If columns are so entangled that more would be needed, outputs are grouped by equal code.
"""


def by_columns(outputs: Sequence[Output], shape_of: ShapeOf) -> list[OutputIndices]:
    """Return groups of outputs, as indices; one kernel computes a group, see `layout.lay_out`.

    Outputs in a group read mostly the same columns.
    """
    reads = {k: inputs_of(output) for k, output in enumerate(outputs)}
    pieces = [piece for members in _connected(reads) for piece in _cut(members, reads)]
    alike: dict[object, list[OutputIndices]] = {}
    for piece in pieces:
        alike.setdefault(shape_of(piece), []).append(piece)
    repeated = [members for members in alike.values() if len(members) >= REPEATED]
    single = [piece for members in alike.values() if len(members) < REPEATED for piece in members]
    groups = [group for members in repeated for group in _joined(members, reads, REPEATS_PER_LOOP)]
    rest = list(_joined(sorted(single), reads, MOST_OUTPUTS))
    if len(repeated) + len(rest) > MOST_KERNELS:
        return by_code(outputs, shape_of)
    return groups + rest


def _connected(reads: Mapping[int, Sequence[InputSlot]]) -> list[OutputIndices]:
    """Return groups of outputs such that no column is read by two groups.

    Outputs that read no column are one group.
    """
    above: dict[InputSlot, InputSlot] = {}

    def top(slot: InputSlot) -> InputSlot:
        while above.setdefault(slot, slot) != slot:
            above[slot] = slot = above[above[slot]]
        return slot

    for slots in reads.values():
        for slot in slots:
            above[top(slot)] = top(slots[0])
    parts: dict[InputSlot | None, OutputIndices] = {}
    for k, slots in reads.items():
        parts.setdefault(top(slots[0]) if slots else None, []).append(k)
    return list(parts.values())


def _cut(
    members: OutputIndices, reads: Mapping[int, Sequence[InputSlot]]
) -> Iterator[OutputIndices]:
    """Split a group into parts that are small enough for one kernel and share columns."""
    number: dict[InputSlot, int] = {}
    for k in members:
        for slot in reads[k]:
            number.setdefault(slot, len(number))
    ordered = sorted(members, key=lambda k: sorted(number[slot] for slot in reads[k]))
    yield from _joined([[k] for k in ordered], reads, MOST_OUTPUTS)


def _joined(
    pieces: Sequence[OutputIndices], reads: Mapping[int, Sequence[InputSlot]], most_outputs: int
) -> Iterator[OutputIndices]:
    """Join neighbouring groups within the limits of a kernel: `most_outputs` and `MOST_INPUTS`."""
    group: OutputIndices = []
    slots: set[InputSlot] = set()
    for piece in pieces:
        own = {slot for k in piece for slot in reads[k]}
        if group and (len(group) + len(piece) > most_outputs or len(slots | own) > MOST_INPUTS):
            yield group
            group, slots = [], set()
        group = group + piece
        slots |= own
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """A program laid out in loops, with a flag per output: whether it has a validity bitmap."""

    program: Program
    loops: tuple[Loop, ...]
    table: DeviceTableLayout
    has_validity: tuple[bool, ...]

    def features_of(self, kernels: Collection[str]) -> list[str]:
        """Return the names of the outputs that the named kernels compute.

        If no kernel matches, these are the names of all outputs.
        """
        named = [loop for k, loop in enumerate(self.loops) if kernel_name(k) in kernels]
        outputs = {k for loop in named for instance in loop.instances for k in instance.outputs}
        return [o.name for k, o in enumerate(self.program.outputs) if k in outputs or not named]


@lru_cache(maxsize=256)
def device_program(program: Program) -> DeviceProgram:
    """Return a program laid out for a device; its kernels are compiled on the first run."""
    loops = lay_out(program, by_columns)
    has_validity = [False] * len(program.outputs)
    for loop in loops:
        for instance in loop.instances:
            for store, output in zip(loop.shape.stores, instance.outputs, strict=True):
                is_float = store.dtype.physical == "f64"
                has_validity[output] = is_float or has_flags(store, loop.shape)
    return DeviceProgram(program, loops, plan_table(program, loops), tuple(has_validity))


@lru_cache(maxsize=256)
def text_of(program: Program, exact: bool) -> str:
    """Return the CUDA text of the kernels of a program; `exact` is for large arguments."""
    return render(device_program(program).loops, exact=exact)


class DeviceTarget(NamedTuple):
    """The place on the device that an output is written to.

    Args:
        values: Address of row 0, or of the first bits of a bool column.
        validity: Address of the bitmap; 0 if NaN alone marks missing values.
        rows_apart: Elements from one row to the next.
    """

    values: int
    validity: int = 0
    rows_apart: int = 1


@dataclass(frozen=True, slots=True)
class DeviceBoundProgram:
    """A program with its constants on the device: the words that are the same for every piece.

    It also keeps the device memory that the words point to.
    """

    plan: DeviceProgram
    words: Int64Array
    tables: tuple[Buffer, ...]


def bind(runtime: Runtime, program: Program, constants: Constants) -> DeviceBoundProgram:
    """Copy a program's parameters and searched tables to the device; return the words for them."""
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
    return DeviceBoundProgram(plan, words, tuple(buffers.values()))


def words_of(
    bound: DeviceBoundProgram, inputs: Sequence[DeviceColumn], targets: Sequence[DeviceTarget]
) -> Int64Array:
    """Return the words for computing a piece, with the addresses of its inputs and outputs."""
    filled, table = bound.words.copy(), bound.plan.table
    columns = [(c.values, c.value_bit, c.validity, c.bit) for c in inputs]
    read = np.array(columns, np.int64).reshape(-1, 4)[table.inputs]
    written = np.array(targets, np.int64).reshape(-1, 3)[table.outputs]
    for k in range(4):
        filled[table.input_at + k] = read[:, k]
    for k in range(3):
        filled[table.output_at + k] = written[:, k]
    return filled
