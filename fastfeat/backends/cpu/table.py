"""The table of addresses that a kernel reads: built once a run, filled in for each piece of rows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.layout import Loop
from fastfeat.backends.cpu.render import WORDS_PER_COLUMN, record_words
from fastfeat.backends.program import Constants, Program
from fastfeat.scalars.table import LAYOUTS
from fastfeat.scalars.value import TableKey

Words = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Where the words of a table stand.

    Args:
        n_words: its length.
        counts: instances of each loop, the header after the scratch address.
        input_words, input_slots: shape (n_reads,): first word of each read column, and which input.
        output_words, outputs: shape (n_outputs,): first word of each output, and which output.
        parameters: (word, key, physical type) of each parameter.
        tables: (word, key) of each searched table.
    """

    n_words: int
    counts: tuple[int, ...]
    input_words: Words
    input_slots: Words
    output_words: Words
    outputs: Words
    parameters: tuple[tuple[int, Any, str], ...]
    tables: tuple[tuple[int, TableKey], ...]


def plan_table(program: Program, loops: Sequence[Loop]) -> TablePlan:
    """Return where everything stands in the table of a program."""
    number = {slot: k for k, slot in enumerate(program.inputs)}
    reads: list[tuple[int, int]] = []
    writes: list[tuple[int, int]] = []
    parameters: list[tuple[int, Any, str]] = []
    tables: list[tuple[int, TableKey]] = []
    word = 1 + len(loops)
    for loop in loops:
        for instance in loop.instances:
            at = word
            for slot in instance.inputs:
                reads.append((at, number[slot]))
                at += WORDS_PER_COLUMN
            for output in instance.outputs:
                writes.append((at, output))
                at += WORDS_PER_COLUMN
            for key, physical in instance.parameters:
                parameters.append((at, key, physical))
                at += 1
            for table in instance.tables:
                tables.append((at, table))
                at += 1
            word += record_words(loop.shape)
    return TablePlan(
        word,
        tuple(len(loop.instances) for loop in loops),
        *_columns(reads),
        *_columns(writes),
        tuple(parameters),
        tuple(tables),
    )


def _columns(pairs: list[tuple[int, int]]) -> tuple[Words, Words]:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()


@dataclass(frozen=True, slots=True)
class BoundTable:
    """A table with the constants of a fitted plan; `owners` keeps the searched tables alive."""

    words: Words
    owners: tuple[NDArray[Any], ...]


def bind_constants(plan: TablePlan, constants: Constants) -> BoundTable:
    """Return the table with its header, parameters and searched tables filled in."""
    words = np.zeros(plan.n_words, dtype=np.int64)
    words[1 : 1 + len(plan.counts)] = plan.counts
    for at, key, physical in plan.parameters:
        words[at] = _bits(constants.parameters[key], physical)
    arrays: dict[TableKey, NDArray[Any]] = {}
    for at, key in plan.tables:
        if key not in arrays:
            arrays[key] = table_array(key, constants)
        words[at] = arrays[key].ctypes.data
    return BoundTable(words, tuple(arrays.values()))


def table_array(key: TableKey, constants: Constants) -> NDArray[Any]:
    """Return a searched table as the kernel reads it: 8-byte floats or integers."""
    laid_out = LAYOUTS[key.layout](constants.tables[key], key.length)
    is_float = any(isinstance(element, float) for element in laid_out)
    return np.array(laid_out, dtype=np.float64 if is_float else np.int64)


def _bits(value: float | int | bool, physical: str) -> int:
    if physical == "f64":
        return struct.unpack("<q", struct.pack("<d", value))[0]
    return int(value)
