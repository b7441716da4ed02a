"""A program: the row-wise operations that a backend computes, one output per feature column.

The plan layer translates expressions into a program; the reference interprets it, the CPU and GPU
backends compile it. Operations form a graph. A leaf is anything that they read from outside the
graph: an input slot (a column), a parameter (one learnt or constant number) or a table (a learnt
array that is searched). Outputs with the same operations may share one graph and differ only in
their leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Params, fold, postorder
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import InputSlot, TableKey

Functions = Sequence[tuple[str, Params]]
"""The aggregates (name, parameters) to learn from one output of a program."""


class RowFailed(Exception):
    """Rows failed with an error; `args` has their numbers in ascending order, or only the first."""


class HistoryRow(int):
    """A row number in the history, printed with "of history=" in messages."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the number followed by "of history="."""
        return f"{int(self)} of history="

    def __format__(self, form: str) -> str:
        """Return the number followed by "of history="."""
        return str(self)


Leaf = tuple[str, Any]
"""A value that is read: ("input", slot), ("parameter", (key, physical type)), ("table", key)."""


@dataclass(frozen=True, slots=True)
class Output:
    """One column that a program computes.

    Args:
        name: The feature, for messages.
        dtype: Storage type; floats are rounded to it once, here.
        op: Operation with the value; NaN for a missing float.
        ok: Operation that tells whether an integer or bool is present.
        status: Operation with the status bits: one bit per kind of error.
        leaves: If the operations are shared with another output, the leaves that this one reads
            instead, in the order of `leaves_below`; empty if it has its own operations.
    """

    name: str
    dtype: DType
    op: Op
    ok: Op
    status: Op
    leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Constants:
    """The parameters and tables that a program reads besides its inputs.

    Args:
        parameters: Value of each parameter by its key: float, int or bool.
        tables: Elements of each table by its key.
    """

    parameters: Mapping[Any, float | int | bool]
    tables: Mapping[TableKey, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Program:
    """The outputs to compute in one run over the rows, and everything that they read.

    Args:
        outputs: The columns, in order.
        inputs: The input slots read, in order of first use.
        parameters: Keys of the parameters read, with their physical types.
        tables: Keys of the tables searched.
    """

    outputs: tuple[Output, ...]
    inputs: tuple[InputSlot, ...]
    parameters: tuple[tuple[Any, str], ...]
    tables: tuple[TableKey, ...]

    def __hash__(self) -> int:
        """Return a hash of few fields, since caches hash programs of 10,000 outputs each run."""
        first = self.outputs[0].op if self.outputs else None
        return hash((len(self.outputs), first))


def program_of(outputs: Sequence[Output]) -> Program:
    """Return the program that computes the given outputs."""
    own = [part for o in outputs if not o.leaves for part in (o.op, o.ok, o.status)]
    leaves = dict.fromkeys(leaf for node in postorder(own) if (leaf := leaf_of(node)))
    leaves.update(dict.fromkeys(leaf for output in outputs for leaf in output.leaves))
    read: dict[str, list[Any]] = {"input": [], "parameter": [], "table": []}
    for kind, value in leaves:
        read[kind].append(value)
    return Program(tuple(outputs), *(tuple(values) for values in read.values()))


@lru_cache(maxsize=64)
def interned(program: Program) -> Program:
    """Return the first program that was equal to this one, so that caches compare by identity.

    Comparing two programs of 10,000 outputs takes milliseconds.
    """
    return program


def leaf_of(node: Op) -> Leaf | None:
    """Return the leaf that an operation reads; None if it reads only other operations."""
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
    """Return the leaves that an output's operations read, in order of first use."""
    nodes = postorder((op, ok, status))
    return tuple(dict.fromkeys(leaf for node in nodes if (leaf := leaf_of(node))))


def leaves_of(output: Output) -> tuple[Leaf, ...]:
    """Return the leaves that an output reads, in order of first use.

    They are its own even if its operations are shared.
    """
    return output.leaves or leaves_below(output.op, output.ok, output.status)


def own_leaf(output: Output) -> Callable[[Op], Op]:
    """Return a function that maps a leaf operation of the shared graph to the output's own."""
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
    """Return the output with a graph of its own, if it shared that of another output."""
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
