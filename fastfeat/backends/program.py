"""A program: what a backend computes, as primitive operations, one output a feature column.

The plan layer lowers expressions to a program; the reference interprets it, the CPU backend
renders it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.dtypes import DType
from fastfeat.ir.walk import postorder
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import InputSlot, TableKey


class RowFailed(Exception):
    """A row raised a status bit; `args[0]` is its number."""


@dataclass(frozen=True, slots=True)
class Output:
    """One column that a program computes.

    Args:
        name: the feature, for messages.
        dtype: how it is stored; floats are rounded to it once, here.
        op: the value; NaN where a float is missing.
        ok: whether an integer or bool is present.
        status: what goes wrong in a row.
    """

    name: str
    dtype: DType
    op: Op
    ok: Op
    status: Op


@dataclass(frozen=True, slots=True)
class Constants:
    """What a program reads besides its inputs.

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


def program_of(outputs: Sequence[Output]) -> Program:
    """Return the program of some outputs."""
    inputs: dict[InputSlot, None] = {}
    parameters: dict[tuple[Any, str], None] = {}
    tables: dict[TableKey, None] = {}
    for node in postorder([part for o in outputs for part in (o.op, o.ok, o.status)]):
        match node.name:
            case "input" | "input_ok":
                inputs[node.value] = None
            case "parameter":
                parameters[(node.value, node.physical)] = None
            case "table":
                tables[node.value] = None
            case _:
                pass
    return Program(tuple(outputs), tuple(inputs), tuple(parameters), tuple(tables))
