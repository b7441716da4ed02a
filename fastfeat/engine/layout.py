"""Layout: which outputs of a program are computed in one loop, and which loops share machine code.

A loop computes some outputs row by row. A `Shape` is a loop without names: steps over numbered
inputs, parameters and tables. Groups of outputs with the same shape are instances of one compiled
loop that read other addresses, so 10,000 scaled columns compile as fast as one. A leaf is anything
that steps read from outside: an input column, a parameter or a table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastfeat.engine.program import Leaf, Output, Program, leaf_of, leaves_of, with_own_operations
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import postorder
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import InputSlot, TableKey

LARGEST_GROUP = 12
LARGEST_INPUTS = 16
REPEATED = 8
REPEATS_PER_LOOP = 4
KINDS = ("input", "parameter", "table")


class ShapeStep(NamedTuple):
    """One operation of a shape.

    Args:
        name: Name of the `Op`.
        args: Positions of earlier steps.
        detail: For a leaf, its number among the inputs, parameters or tables of the loop; for a
            float literal, its bits; for a call, the elementary function.
        physical: Type of the result.
    """

    name: str
    args: tuple[int, ...]
    detail: Any
    physical: str


class Store(NamedTuple):
    """The store of an output: its type, and the positions of the steps that compute it.

    There is one step for its value, one for its presence, and one for its status.
    """

    dtype: DType
    value: int
    ok: int
    status: int


class Shape(NamedTuple):
    """A loop without names: equal shapes have equal machine code.

    Args:
        steps: The operations, each after its arguments.
        stores: The outputs.
        inputs: Type of each column that it reads.
        parameters: Physical type of each parameter.
        tables: Layout of each table; see `scalars.LAYOUTS`.
    """

    steps: tuple[ShapeStep, ...]
    stores: tuple[Store, ...]
    inputs: tuple[DType, ...]
    parameters: tuple[str, ...]
    tables: tuple[str, ...]


_TRUE = ShapeStep("literal", (), True, "b1")


def has_flags(store: Store, shape: Shape) -> bool:
    """Return whether a loop writes an output's presence flags; floats need none, NaN is missing."""
    return store.dtype.physical != "f64" and shape.steps[store.ok] != _TRUE


class Instance(NamedTuple):
    """One run of a loop: the outputs that it writes, and the leaves that it reads, by kind."""

    outputs: tuple[int, ...]
    inputs: tuple[InputSlot, ...]
    parameters: tuple[Any, ...]
    tables: tuple[TableKey, ...]


class Loop(NamedTuple):
    """A shape, and the instances that share its machine code."""

    shape: Shape
    instances: tuple[Instance, ...]


Shapes = dict[tuple[Any, ...], Shape]
OutputIndices = list[int]
"""Indices of outputs that are computed together."""
ShapeOf = Callable[[OutputIndices], Shape]
Grouping = Callable[[Sequence[Output], ShapeOf], list[OutputIndices]]


def by_code(outputs: Sequence[Output], shape_of: ShapeOf) -> list[OutputIndices]:
    """Return groups of outputs, as indices; each group becomes one loop.

    Outputs with equal code are grouped first, the rest by the inputs that they share. Bools have
    groups of their own: a CPU computes 64 of them at a time. `shape_of` returns the shape of a
    group.
    """
    alike: dict[Shape, OutputIndices] = {}
    for k in range(len(outputs)):
        alike.setdefault(shape_of([k]), []).append(k)
    groups: list[OutputIndices] = []
    single: list[int] = []
    for members in alike.values():
        if len(members) < REPEATED:
            single.extend(members)
        else:
            starts = range(0, len(members), REPEATS_PER_LOOP)
            groups.extend(members[start : start + REPEATS_PER_LOOP] for start in starts)
    reads = {k: frozenset(inputs_of(outputs[k])) for k in single}
    bools = sorted(k for k in single if outputs[k].dtype.name == "bool")
    others = sorted(set(single).difference(bools))
    groups += _by_shared_inputs(others, reads, LARGEST_GROUP)
    return groups + _by_shared_inputs(bools, reads, REPEATS_PER_LOOP)


def lay_out(program: Program, grouping: Grouping = by_code) -> tuple[Loop, ...]:
    """Return the loops of a program; `grouping` decides which outputs are computed together."""
    shapes: Shapes = {}
    loops: dict[Shape, list[Instance]] = {}

    def shape_of(group: OutputIndices) -> Shape:
        return _shape_of([program.outputs[k] for k in group], shapes)[0]

    for group in grouping(program.outputs, shape_of):
        shape, leaves = _shape_of([program.outputs[k] for k in group], shapes)
        loops.setdefault(shape, []).append(_instance(group, leaves))
    return tuple(Loop(shape, tuple(instances)) for shape, instances in loops.items())


def inputs_of(output: Output) -> tuple[InputSlot, ...]:
    """Return the input slots that an output reads, in order of first use."""
    return _of_kind("input", leaves_of(output))


def _by_shared_inputs(
    members: OutputIndices, reads: Mapping[int, frozenset[InputSlot]], largest: int
) -> list[OutputIndices]:
    """Return groups of at most `largest` outputs, by the inputs that they share.

    Each output joins the open group that reads most of its inputs already.
    """
    groups: list[tuple[OutputIndices, set[InputSlot]]] = []
    for k in members:
        open_groups = [
            (group, inputs)
            for group, inputs in groups[-8:]
            if len(group) < largest and len(inputs | reads[k]) <= LARGEST_INPUTS
        ]
        best = max(open_groups, key=lambda g: len(g[1] & reads[k]), default=None)
        if best is None:
            groups.append(([k], set(reads[k])))
        else:
            best[0].append(k)
            best[1].update(reads[k])
    return [group for group, _ in groups]


def _shape_of(outputs: Sequence[Output], shapes: Shapes) -> tuple[Shape, tuple[Leaf, ...]]:
    """Return the shape of a loop that computes some outputs, and the leaves that it reads.

    `shapes` caches shapes. Outputs have the same shape if they have the same operations and repeat
    leaves at the same places.
    """
    numbers: dict[Leaf, int] = {}
    read = tuple(numbers.setdefault(leaf, len(numbers)) for o in outputs for leaf in leaves_of(o))
    key = (*[(o.dtype, o.op, o.ok, o.status) for o in outputs], read)
    shape = shapes.get(key)
    if shape is None:
        shape = shapes[key] = _new_shape([with_own_operations(o) for o in outputs], [*numbers])
    return shape, tuple(numbers)


def _new_shape(outputs: Sequence[Output], leaves: Sequence[Leaf]) -> Shape:
    inputs, parameters, tables = (_of_kind(kind, leaves) for kind in KINDS)
    number = {
        leaf: k
        for kind, values in zip(KINDS, (inputs, parameters, tables), strict=True)
        for k, leaf in enumerate((kind, value) for value in values)
    }
    steps: list[ShapeStep] = []
    position: dict[Op, int] = {}
    for node in postorder([part for o in outputs for part in (o.op, o.ok, o.status)]):
        position[node] = len(steps)
        args = tuple(position[argument] for argument in node.args)
        steps.append(ShapeStep(node.name, args, _detail(node, number), node.physical))
    stores = tuple(
        Store(o.dtype, position[o.op], position[o.ok], position[o.status]) for o in outputs
    )
    return Shape(
        tuple(steps),
        stores,
        tuple(slot.dtype for slot in inputs),
        tuple(physical for _, physical in parameters),
        tuple(table.layout for table in tables),
    )


def _instance(outputs: Sequence[int], leaves: Sequence[Leaf]) -> Instance:
    return Instance(tuple(outputs), *(_of_kind(kind, leaves) for kind in KINDS))


def _of_kind(kind: str, leaves: Sequence[Leaf]) -> tuple[Any, ...]:
    return tuple(value for found, value in leaves if found == kind)


def _detail(node: Op, number: Mapping[Leaf, int]) -> Any:
    """Return the `detail` of a step: for a leaf, its number."""
    leaf = leaf_of(node)
    if leaf is not None:
        return number[leaf]
    if node.name == "literal" and node.physical == "f64":
        return struct.unpack("<q", struct.pack("<d", node.value))[0]
    return node.value
