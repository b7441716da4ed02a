"""The table that a program's machine code reads: 64-bit words with addresses and numbers.

It is laid out once per program, and filled in for each piece of rows. A table of groups is another
thing: learnt values by group number, which the program looks up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.grouped import tables as group_tables
from fastfeat_kernels.rows import (
    AS_BITS,
    BLOCK,
    CODES,
    COLUMN_WORDS,
    HEADER_WORDS,
    WANTS_FLAGS,
    WANTS_VALUES,
    scratch_bytes,
)
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.cpu.words import gives_bits, interleaved, n_arguments, reads
from fastfeat.engine.layout import Loop, Shape, has_flags
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.storage import (
    output_storage,
    parameter_bits,
    storage,
    table_array,
)
from fastfeat.ir.node import Node
from fastfeat.scalars import table as search_tables
from fastfeat.scalars.value import TableKey

ProgramTables = dict[TableKey, Int64Array]


_KEPT: WeakKeyDictionary[Constants, ProgramTables] = WeakKeyDictionary()


def tables_of_groups(constants: Constants) -> ProgramTables:
    """Return each table of groups as a column, shape (n_groups,), of a 2-d array.

    Tables of equal groups are columns of one array, which is made on first use. The number of words
    between two groups is a power of 2, so that a row reads as few cache lines as possible.
    """
    found = _KEPT.get(constants)
    return _KEPT.setdefault(constants, _interleaved(constants)) if found is None else found


def _interleaved(constants: Constants) -> ProgramTables:
    together: dict[tuple[Node, int], ProgramTables] = {}
    for key in constants.tables:
        if key.layout in search_tables.OF_GROUPS:
            words = table_array(key, constants).view(np.int64)
            groups = key.node.args[1]
            together.setdefault((groups, len(words)), {})[key] = words
    found: ProgramTables = {}
    for tables in together.values():
        array = _side_by_side(list(tables.values()))
        found.update((key, array[:, k]) for k, key in enumerate(tables))
    return found


def _side_by_side(columns: list[Int64Array]) -> Int64Array:
    if len(columns) == 1:
        return columns[0][:, np.newaxis]
    n_groups = len(columns[0])
    return group_tables.side_by_side(columns, runner("grouped"), n_parts(n_groups))


class ProgramTableLayout(NamedTuple):
    """The layout of a program's table: its words, and the positions that a run fills in.

    Args:
        words: The table with everything that is the same in each run; addresses are 0.
        input_words, input_slots: Shapes (n_reads, 4) and (n_reads,): the words of each column read,
            after its kind, and the number of its input.
        output_words, outputs: Shapes (n_outputs, 4) and (n_outputs,): the same for outputs.
        parameters: (word, key, physical type) of each parameter.
        tables: (word, key) of each table.
        strides: (word, key of a table of groups) for the logarithm of the words between two groups.
        n_scratch_bytes: Scratch memory that a call needs.
    """

    words: Int64Array
    input_words: Int64Array
    input_slots: Int64Array
    output_words: Int64Array
    outputs: Int64Array
    parameters: tuple[tuple[int, Any, str], ...]
    tables: tuple[tuple[int, TableKey], ...]
    strides: tuple[tuple[int, TableKey], ...]
    n_scratch_bytes: int


def plan_table(program: Program, loops: Sequence[Loop]) -> ProgramTableLayout:
    """Return the layout of a program's table, for its loops."""
    number = {slot: k for k, slot in enumerate(program.inputs)}
    reads_at: list[tuple[int, int]] = []
    writes_at: list[tuple[int, int]] = []
    parameters: list[tuple[int, Any, str]] = []
    tables: list[tuple[int, TableKey]] = []
    strides: list[tuple[int, TableKey]] = []
    widest = max((n_arguments(loop.shape) for loop in loops), default=0)
    n_runs = sum(len(loop.instances) for loop in loops)
    words: list[int] = [0, 0, n_runs, -(-widest // 8) * 8, BLOCK]
    words += [0] * (HEADER_WORDS - len(words))  # without a tile
    for k, loop in enumerate(loops):
        read_kinds, write_kinds = _kinds(loop.shape)
        stride_of = {stride: k for k, stride in interleaved(loop.shape).items()}
        for instance in loop.instances:
            n_constants = len(instance.parameters) + len(instance.tables)
            n_constants += len(stride_of)
            words += [k, len(read_kinds), len(write_kinds), n_constants]
            reads_at += _place(words, [number[slot] for slot in instance.inputs], read_kinds)
            writes_at += _place(words, instance.outputs, write_kinds)
            at = len(words)
            parameters += [(at + j, *parameter) for j, parameter in enumerate(instance.parameters)]
            at += len(instance.parameters)
            tables += [(at + j, table) for j, table in enumerate(instance.tables)]
            at += len(instance.tables)
            strides += [(at + j, instance.tables[k]) for j, k in stride_of.items()]
            words += [0] * n_constants
    columns = max((len(p.shape.inputs) + len(p.shape.stores) for p in loops), default=0)
    return ProgramTableLayout(
        np.array(words, dtype=np.int64),
        *_columns(reads_at),
        *_columns(writes_at),
        tuple(parameters),
        tuple(tables),
        tuple(strides),
        scratch_bytes(words[3], columns),
    )


def _place(words: list[int], columns: Sequence[int], kinds: Sequence[int]) -> list[tuple[int, int]]:
    """Append the words of some columns to a table.

    Return (position of its first word, column) of each column.
    """
    places: list[tuple[int, int]] = []
    for column, kind in zip(columns, kinds, strict=True):
        places.append((len(words), column))
        words += [kind, *[0] * (COLUMN_WORDS - 1)]
    return places


def _kinds(shape: Shape) -> tuple[list[int], list[int]]:
    """Return the kind of each input and output of a loop: codes for the type and flags to read."""
    values, flags = reads(shape)
    form = AS_BITS if gives_bits(shape) else 0
    read_kinds = [
        CODES[storage(dtype)]
        | form
        | (WANTS_VALUES if j in values else 0)
        | (WANTS_FLAGS if j in flags else 0)
        for j, dtype in enumerate(shape.inputs)
    ]
    write_kinds = [
        CODES[output_storage(store.dtype)] | form | (WANTS_FLAGS if has_flags(store, shape) else 0)
        for store in shape.stores
    ]
    return read_kinds, write_kinds


def _columns(pairs: list[tuple[int, int]]) -> tuple[Int64Array, Int64Array]:
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, :1] + np.arange(1, COLUMN_WORDS), array[:, 1].copy()


class BoundTable(NamedTuple):
    """A table with the constants of a fitted plan in place; `owners` keeps their arrays alive."""

    words: Int64Array
    owners: tuple[NDArray[Any], ...]


def bind_constants(plan: ProgramTableLayout, constants: Constants) -> BoundTable:
    """Return a copy of the table with the addresses and values of all constants."""
    words = plan.words.copy()
    for at, key, physical in plan.parameters:
        words[at] = parameter_bits(constants.parameters[key], physical)
    of_groups = tables_of_groups(constants)
    arrays: dict[TableKey, NDArray[Any]] = {**of_groups}
    for at, key in plan.tables:
        if key not in arrays:
            arrays[key] = table_array(key, constants)
        words[at] = arrays[key].ctypes.data
    for at, key in plan.strides:
        words[at] = (of_groups[key].strides[0] // 8).bit_length() - 1
    return BoundTable(words, tuple(arrays.values()))
