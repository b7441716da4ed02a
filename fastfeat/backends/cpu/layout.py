"""Layout: which outputs share a loop, and which loops share their machine code.

A `Shape` is a loop without names: steps over numbered inputs, parameters and tables. Groups of
outputs with one shape are instances of one compiled loop that read other addresses, so 10,000
scaled columns compile as fast as one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.backends.program import Output, Program
from fastfeat.dtypes import DType
from fastfeat.ir.walk import postorder
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import InputSlot, TableKey

LARGEST_GROUP = 12
LARGEST_INPUTS = 16
REPEATED = 8
REPEATS_PER_LOOP = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a loop.

    Args:
        name: as of an `Op`.
        args: positions of earlier steps.
        detail: of a leaf its number among the inputs, parameters or tables of the loop, of a float
            literal its bits, of a call the elementary function.
        physical: type of the result.
    """

    name: str
    args: tuple[int, ...]
    detail: Any
    physical: str


@dataclass(frozen=True, slots=True)
class Store:
    """Where an output comes from: how it is stored; the steps of value, presence and status."""

    dtype: DType
    value: int
    ok: int
    status: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A loop without names: equal shapes are equal machine code."""

    steps: tuple[Step, ...]
    stores: tuple[Store, ...]
    inputs: tuple[DType, ...]
    parameters: tuple[str, ...]
    n_tables: int


@dataclass(frozen=True, slots=True)
class Instance:
    """What one run of a loop reads and writes."""

    outputs: tuple[int, ...]
    inputs: tuple[InputSlot, ...]
    parameters: tuple[Any, ...]
    tables: tuple[TableKey, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A shape and everything that it is run for."""

    shape: Shape
    instances: tuple[Instance, ...]


def lay_out(program: Program) -> tuple[Loop, ...]:
    """Return the loops of a program."""
    loops: dict[Shape, list[Instance]] = {}
    for group in _groups(program.outputs):
        shape, instance = _shape_of([(k, program.outputs[k]) for k in group])
        loops.setdefault(shape, []).append(instance)
    return tuple(Loop(shape, tuple(instances)) for shape, instances in loops.items())


def _groups(outputs: Sequence[Output]) -> list[list[int]]:
    """Return which outputs are computed together, as positions."""
    alike: dict[Shape, list[int]] = {}
    reads: list[frozenset[InputSlot]] = []
    for k, output in enumerate(outputs):
        shape, instance = _shape_of([(k, output)])
        alike.setdefault(shape, []).append(k)
        reads.append(frozenset(instance.inputs))
    groups: list[list[int]] = []
    single: list[int] = []
    for members in alike.values():
        if len(members) < REPEATED:
            single.extend(members)
        else:
            starts = range(0, len(members), REPEATS_PER_LOOP)
            groups.extend(members[start : start + REPEATS_PER_LOOP] for start in starts)
    return groups + _by_shared_inputs(sorted(single), reads)


def _by_shared_inputs(members: list[int], reads: list[frozenset[InputSlot]]) -> list[list[int]]:
    """Put each output into the open group that already reads most of its inputs."""
    groups: list[tuple[list[int], set[InputSlot]]] = []
    for k in members:
        open_groups = [
            (group, inputs)
            for group, inputs in groups[-8:]
            if len(group) < LARGEST_GROUP and len(inputs | reads[k]) <= LARGEST_INPUTS
        ]
        best = max(open_groups, key=lambda g: len(g[1] & reads[k]), default=None)
        if best is None:
            groups.append(([k], set(reads[k])))
        else:
            best[0].append(k)
            best[1].update(reads[k])
    return [group for group, _ in groups]


def _shape_of(outputs: Sequence[tuple[int, Output]]) -> tuple[Shape, Instance]:
    """Return the loop of some outputs, and what it reads and writes."""
    leaves: dict[str, dict[Any, int]] = {"input": {}, "parameter": {}, "table": {}}
    steps: list[Step] = []
    position: dict[Op, int] = {}
    for node in postorder([part for _, o in outputs for part in (o.op, o.ok, o.status)]):
        position[node] = len(steps)
        args = tuple(position[argument] for argument in node.args)
        steps.append(Step(node.name, args, _detail(node, leaves), node.physical))
    stores = tuple(
        Store(o.dtype, position[o.op], position[o.ok], position[o.status]) for _, o in outputs
    )
    inputs: tuple[InputSlot, ...] = tuple(leaves["input"])
    parameters = tuple(leaves["parameter"])
    tables = tuple(leaves["table"])
    shape = Shape(
        tuple(steps),
        stores,
        tuple(slot.dtype for slot in inputs),
        tuple(physical for _, physical in parameters),
        len(tables),
    )
    return shape, Instance(tuple(k for k, _ in outputs), inputs, parameters, tables)


def _detail(node: Op, leaves: dict[str, dict[Any, int]]) -> Any:
    """Return what a step names, numbering the leaves in order of first use."""
    match node.name:
        case "input" | "input_ok":
            return leaves["input"].setdefault(node.value, len(leaves["input"]))
        case "parameter":
            key = (node.value, node.physical)
            return leaves["parameter"].setdefault(key, len(leaves["parameter"]))
        case "table":
            return leaves["table"].setdefault(node.value, len(leaves["table"]))
        case "literal" if node.physical == "f64":
            return struct.unpack("<q", struct.pack("<d", node.value))[0]
        case _:
            return node.value
