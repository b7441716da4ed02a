"""Run a program over few rows at a time: its columns and its table of addresses are kept for reuse.

The machine code is the same as for many rows. A call only packs presence flags into bits and runs
the loop.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.cpu.bound import bound_program
from fastfeat.engine.cpu.compiled import address_of, driver
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.storage import output_storage, storage
from fastfeat.scalars.value import LARGE_ARGUMENT

_PROTOTYPE = ctypes.PYFUNCTYPE(*[ctypes.c_int64] * 4)
_MORE_BYTES = 64  # loops may write this far past the last row
Memory = NDArray[Any]


class ColumnOfRows(NamedTuple):
    """Memory for a column of at most `most` rows.

    Args:
        values: Shape (most,); a missing float is NaN.
        present: Whether each row has a value; None for floats.
    """

    values: Memory
    present: NDArray[np.bool_] | None


class FewRows(NamedTuple):
    """A program with memory for a few rows; use it in one thread only.

    Args:
        inputs: A column per input slot, which the caller fills in.
        outputs: A column per output, which the caller reads.
        run: Computes the first n rows; returns whether all of them succeeded.
    """

    inputs: Sequence[ColumnOfRows]
    outputs: Sequence[ColumnOfRows]
    run: Callable[[int], bool]


class _Stored(NamedTuple):
    """A column, and its memory in the form that loops use, with bools and presence as bits."""

    column: ColumnOfRows
    values: Memory
    present: Memory | None


def few_rows(program: Program, constants: Constants, most: int) -> FewRows:
    """Return a program with memory for at most `most` rows, to be run again and again."""
    bound = bound_program(program, constants)
    plan = bound.compiled
    inputs = [_stored(storage(slot.dtype), most) for slot in program.inputs]
    outputs = [_stored(output_storage(output.dtype), most) for output in program.outputs]
    words, places = bound.words(), bound.places
    scratch = np.empty(plan.table.n_scratch_bytes + 64, dtype=np.uint8)
    words[0] = scratch.ctypes.data + -scratch.ctypes.data % 64
    words[places.input_words] = _addresses(inputs)[places.input_slots]
    written = _addresses(outputs)[places.outputs]
    words[places.output_words[:, 0]] = written[:, 0]
    has_flags = written[:, 2] != 0
    words[places.output_words[:, 1][has_flags]] = written[:, 2][has_flags]
    kernel = driver()
    call = _PROTOTYPE(address_of(kernel))
    table, owners = words.ctypes.data, (bound, inputs, outputs, scratch, words)

    def run(n: int) -> bool:
        for one in inputs:
            _pack(one, n)
        words[1] = plan.loops_address()
        status = call(table, 0, n)
        if status & LARGE_ARGUMENT:
            words[1] = plan.loops_address(exact=True)
            status = kernel(table, 0, n) & ~LARGE_ARGUMENT
        for one in owners[2]:
            _unpack(one, n)
        return not status

    return FewRows([one.column for one in inputs], [one.column for one in outputs], run)


def _stored(element: str, most: int) -> _Stored:
    """Return memory for a column with elements of a type."""
    n_bytes = -(-most // 8) + _MORE_BYTES
    bits = np.full(n_bytes, 0xFF, np.uint8)
    if element.startswith("float"):
        values = np.zeros(most + _MORE_BYTES, element)
        return _Stored(ColumnOfRows(values[:most], None), values, None)
    present = np.ones(most, np.bool_)
    if element == "bool":
        values = np.zeros(n_bytes, np.uint8)
        return _Stored(ColumnOfRows(np.zeros(most, np.bool_), present), values, bits)
    values = np.zeros(most + _MORE_BYTES, element)
    return _Stored(ColumnOfRows(values[:most], present), values, bits)


def _addresses(columns: Sequence[_Stored]) -> NDArray[np.int64]:
    """Return the four words that tell a loop where each column is, shape (n_columns, 4)."""
    rows = [
        (one.values.ctypes.data, 0, 0 if one.present is None else one.present.ctypes.data, 0)
        for one in columns
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _pack(stored: _Stored, n: int) -> None:
    """Write the first n flags of a column as bits."""
    values, present = stored.column
    if present is not None and stored.present is not None:
        _write_bits(present[:n], stored.present)
    if values.dtype == np.bool_:
        _write_bits(values[:n], stored.values)


def _write_bits(flags: NDArray[np.bool_], bits: Memory) -> None:
    packed = np.packbits(flags, bitorder="little")
    bits[: len(packed)] = packed


def _unpack(stored: _Stored, n: int) -> None:
    """Read the first n flags of a column from bits."""
    values, present = stored.column
    if present is not None and stored.present is not None:
        present[:n] = np.unpackbits(stored.present[: -(-n // 8)], count=n, bitorder="little")
    if values.dtype == np.bool_:
        values[:n] = np.unpackbits(stored.values[: -(-n // 8)], count=n, bitorder="little")
