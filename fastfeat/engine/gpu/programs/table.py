"""The table of 64-bit words that a program's kernels read: laid out once, filled in per piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.columns.memory import element_bytes
from fastfeat.engine.gpu.programs.render import HEADER_WORDS, INPUT_WORDS, OUTPUT_WORDS
from fastfeat.engine.layout import Instance, Loop
from fastfeat.engine.program import Program
from fastfeat.scalars.value import InputSlot, TableKey

STATUS_WORDS = 1
MOST_INSTANCES = 65535  # rows of a grid
LAUNCHES_OF_A_LOOP = 4
"""A loop of many columns is launched in parts, which run while other columns are still copied."""
FEWEST_INSTANCES = 8
"""A smaller part is not worth another launch."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of the kernel of a loop.

    Args:
        loop: Number of the loop.
        at: Position of its first word in the program's table; it holds the address of the status.
        n_instances: Number of instances; each is one row of the grid.
        inputs: Numbers of the inputs of the program that it reads.
    """

    loop: int
    at: int
    n_instances: int
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeviceTableLayout:
    """The layout of a program's table: first the status, then the words of each launch.

    Args:
        n_words: Number of words.
        launches: The launches over the rows, in an order that lets each start early while columns
            arrive.
        input_at: Position of the first word of each column read, shape (n_reads,).
        inputs: Number of the input of each read column, shape (n_reads,).
        output_at: Position of the first word of each output, shape (n_outputs,).
        outputs: Number of each output, shape (n_outputs,).
        parameters: (word, key, physical type) of each parameter.
        tables: (word, key) of each searched table.
    """

    n_words: int
    launches: tuple[Launch, ...]
    input_at: Int64Array
    inputs: Int64Array
    output_at: Int64Array
    outputs: Int64Array
    parameters: tuple[tuple[int, Any, str], ...]
    tables: tuple[tuple[int, TableKey], ...]


def plan_table(program: Program, loops: Sequence[Loop]) -> DeviceTableLayout:
    """Return the layout of a program's table."""
    number = {slot: k for k, slot in enumerate(program.inputs)}
    launches: list[Launch] = []
    read: list[tuple[int, int]] = []
    written: list[tuple[int, int]] = []
    parameters: list[tuple[int, Any, str]] = []
    tables: list[tuple[int, TableKey]] = []
    at = STATUS_WORDS
    for k, loop in enumerate(loops):
        step = _instances_of_a_launch(len(loop.instances))
        for j, instance in enumerate(loop.instances):
            if j % step == 0:
                part = loop.instances[j : j + step]
                launches.append(Launch(k, at, len(part), _inputs_of(part, number)))
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
    return DeviceTableLayout(
        at,
        tuple(_in_order(launches, [round(8 * element_bytes(s.dtype)) for s in program.inputs])),
        *_columns(read),
        *_columns(written),
        tuple(parameters),
        tuple(tables),
    )


def _instances_of_a_launch(n_instances: int) -> int:
    step = max(FEWEST_INSTANCES, -(-n_instances // LAUNCHES_OF_A_LOOP))
    return min(step, MOST_INSTANCES)


def _inputs_of(instances: Sequence[Instance], number: Mapping[InputSlot, int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(number[slot] for one in instances for slot in one.inputs))


def _in_order(launches: Sequence[Launch], bits: Sequence[int]) -> Iterator[Launch]:
    """Yield launches in an order that lets each start early, while columns are still being copied.

    The next launch is always that whose inputs add the fewest bits to copy. `bits` has the bits per
    row of each input.
    """
    readers: dict[int, list[int]] = {}
    for k, launch in enumerate(launches):
        for column in launch.inputs:
            readers.setdefault(column, []).append(k)
    lacking = [sum(bits[column] for column in launch.inputs) for launch in launches]
    waiting = [(n_bits, k) for k, n_bits in enumerate(lacking)]
    heapify(waiting)
    chosen: set[int] = set()
    while waiting:
        n_bits, k = heappop(waiting)
        # an outdated entry, made before other columns arrived
        if k in chosen or n_bits != lacking[k]:
            continue
        chosen.add(k)
        yield launches[k]
        for column in launches[k].inputs:
            for reader in readers.pop(column, ()):
                lacking[reader] -= bits[column]
                heappush(waiting, (lacking[reader], reader))


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Int64Array, Int64Array]:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()
