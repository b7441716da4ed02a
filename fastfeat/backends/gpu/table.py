"""The words that the row kernels of a program read: laid out once, filled in for each piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.layout import Loop
from fastfeat.backends.gpu.render import HEADER_WORDS, INPUT_WORDS, OUTPUT_WORDS
from fastfeat.backends.program import Program
from fastfeat.scalars.value import TableKey

Words = NDArray[np.int64]
STATUS_WORDS = 1
MOST_INSTANCES = 65535  # rows of a grid


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of the kernel of a loop.

    Args:
        loop: number of the loop.
        at: first word of its table, where the address of the status goes.
        n_instances: for how many instances, one row of the grid each.
    """

    loop: int
    at: int
    n_instances: int


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Where the words of a program stand: the status, then those of each launch.

    Args:
        n_words: how many there are.
        launches: what is launched over the rows.
        input_at, inputs: shape (n_reads,): first word of each read column, and which input it is.
        output_at, outputs: shape (n_outputs,): first word of each output, and which output it is.
        parameters: (word, key, physical type) of each parameter.
        tables: (word, key) of each searched table.
    """

    n_words: int
    launches: tuple[Launch, ...]
    input_at: Words
    inputs: Words
    output_at: Words
    outputs: Words
    parameters: tuple[tuple[int, Any, str], ...]
    tables: tuple[tuple[int, TableKey], ...]


def plan_table(program: Program, loops: Sequence[Loop]) -> TablePlan:
    """Return where everything stands in the words of a program."""
    number = {slot: k for k, slot in enumerate(program.inputs)}
    launches: list[Launch] = []
    read: list[tuple[int, int]] = []
    written: list[tuple[int, int]] = []
    parameters: list[tuple[int, Any, str]] = []
    tables: list[tuple[int, TableKey]] = []
    at = STATUS_WORDS
    for k, loop in enumerate(loops):
        for j, instance in enumerate(loop.instances):
            if j % MOST_INSTANCES == 0:
                launches.append(Launch(k, at, min(MOST_INSTANCES, len(loop.instances) - j)))
                at += HEADER_WORDS
            for slot in instance.inputs:
                read.append((at, number[slot]))
                at += INPUT_WORDS
            for output in instance.outputs:
                written.append((at, output))
                at += OUTPUT_WORDS
            parameters += [(at + j, *parameter) for j, parameter in enumerate(instance.parameters)]
            at += len(instance.parameters)
            tables += [(at + j, table) for j, table in enumerate(instance.tables)]
            at += len(instance.tables)
    return TablePlan(
        at,
        tuple(launches),
        *_columns(read),
        *_columns(written),
        tuple(parameters),
        tuple(tables),
    )


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Words, Words]:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()
