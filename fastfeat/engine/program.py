"""A program: what a backend computes, as primitive operations, one output a feature column.

The plan layer lowers expressions to a program; the reference interprets it, the CPU backend
renders it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params, fold, postorder
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import InputSlot, TableKey

Functions = Sequence[tuple[str, Params]]
"""The aggregates (name, parameters) to learn from one output of a program."""


class RowFailed(Exception):
    """Rows raised a status bit: `args` are their numbers, the first one first, or it alone."""


Leaf = tuple[str, Any]
"""A read value: ("input", slot), ("parameter", (key, physical type)), ("table", key)."""


@dataclass(frozen=True, slots=True)
class Output:
    """One column that a program computes.

    Args:
        name: the feature, for messages.
        dtype: how it is stored; floats are rounded to it once, here.
        op: the value; NaN where a float is missing.
        ok: whether an integer or bool is present.
        status: what goes wrong in a row.
        leaves: where the operations are those of another output, what this one reads instead, in
            the order of `leaves_below`; empty where they are its own.
    """

    name: str
    dtype: DType
    op: Op
    ok: Op
    status: Op
    leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Constants:
    """The constants that a program reads besides its inputs.

    Args:
        parameters: value of each parameter by its key: float, int or bool.
        tables: elements of each table by its key.
    """

    parameters: Mapping[Any, float | int | bool]
    tables: Mapping[TableKey, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Program:
    """The outputs of one run over the rows, and what they read.

    Args:
        outputs: the columns, in order.
        inputs: the slots read, in order of first use.
        parameters: the keys of the parameters read, with their physical type.
        tables: the keys of the tables searched.
    """

    outputs: tuple[Output, ...]
    inputs: tuple[InputSlot, ...]
    parameters: tuple[tuple[Any, str], ...]
    tables: tuple[TableKey, ...]

    def __hash__(self) -> int:
        """Return a hash of few fields: caches are asked at every run, with 10,000 outputs too."""
        first = self.outputs[0].op if self.outputs else None
        return hash((len(self.outputs), first))


def program_of(outputs: Sequence[Output]) -> Program:
    """Return the program of some outputs."""
    own = [part for o in outputs if not o.leaves for part in (o.op, o.ok, o.status)]
    leaves = dict.fromkeys(leaf for node in postorder(own) if (leaf := leaf_of(node)))
    leaves.update(dict.fromkeys(leaf for output in outputs for leaf in output.leaves))
    read: dict[str, list[Any]] = {"input": [], "parameter": [], "table": []}
    for kind, value in leaves:
        read[kind].append(value)
    return Program(tuple(outputs), *(tuple(values) for values in read.values()))


@lru_cache(maxsize=64)
def interned(program: Program) -> Program:
    """Return the program that was the first to be equal: caches then find it by what it is.

    To compare two of 10,000 outputs takes milliseconds.
    """
    return program


def leaf_of(node: Op) -> Leaf | None:
    """Return the leaf that an operation reads from outside of the graph, None of others."""
    match node.name:
        case "input" | "input_ok":
            return "input", node.value
        case "parameter":
            return "parameter", (node.value, node.physical)
        case "table":
            return "table", node.value
        case _:
            return None


@lru_cache(maxsize=256)
def leaves_below(op: Op, ok: Op, status: Op) -> tuple[Leaf, ...]:
    """Return the leaves that the operations of an output read, in order of first use."""
    nodes = postorder((op, ok, status))
    return tuple(dict.fromkeys(leaf for node in nodes if (leaf := leaf_of(node))))


def leaves_of(output: Output) -> tuple[Leaf, ...]:
    """Return the leaves that an output reads, in order of first use."""
    return output.leaves or leaves_below(output.op, output.ok, output.status)


def own_leaf(output: Output) -> Callable[[Op], Op]:
    """Return the function that gives the leaf that an output reads, for one of its operations."""
    below = leaves_below(output.op, output.ok, output.status)
    own = dict(zip(below, leaves_of(output), strict=True))

    def read(node: Op) -> Op:
        leaf = leaf_of(node)
        if leaf is None:
            return node
        kind, value = own[leaf]
        return Op(node.name, (), value[0] if kind == "parameter" else value, node.physical)

    return read


def with_own_operations(output: Output) -> Output:
    """Return an output whose operations name what it reads, whether or not it shares them."""
    if not output.leaves:
        return output
    read = own_leaf(output)

    def visit(node: Op, args: list[Op]) -> Op:
        if not args:
            return read(node)
        return Op(node.name, tuple(args), node.value, node.physical)

    found = fold((output.op, output.ok, output.status), visit)
    return replace(
        output, op=found[output.op], ok=found[output.ok], status=found[output.status], leaves=()
    )
