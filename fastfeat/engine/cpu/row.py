"""Run a program over one row at a time; its table of addresses is filled in once."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.cpu.bound import BoundProgram, bound_program
from fastfeat.engine.cpu.compiled import CompiledProgram, address_of, driver
from fastfeat.engine.program import Constants, Program
from fastfeat.engine.storage import output_storage, storage
from fastfeat.scalars.value import LARGE_ARGUMENT, InputSlot

FORMATS = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
_WIDTH = 8
_PROTOTYPE = ctypes.PYFUNCTYPE(*[ctypes.c_int64] * 4)


@dataclass(frozen=True, slots=True)
class RowProgram:
    """A program with buffers for one row; use it in one thread only.

    Args:
        pack: Writes the values of all input slots into the buffer; raises struct.error for a value
            out of range.
        rounded: Returns the float32 values in the buffer, after rounding by `pack`.
        present: One byte per slot, 1 if it has a value.
        run: Computes the row in the buffer; returns its status bits, 0 for success.
        result: Returns the result of `run`: a new array of shape (n_outputs,), or a list of values.
        owners: The memory that the table points to.
    """

    pack: Callable[..., None]
    rounded: Callable[[], tuple[float, ...]]
    present: memoryview
    run: Callable[[], int]
    result: Callable[[], Any]
    owners: tuple[object, ...]


def row_program(program: Program, constants: Constants, dtype: np.dtype[Any]) -> RowProgram:
    """Return a program with buffers for one row; all outputs must have the same float type.

    Its result is an array of that type; NaN is missing.
    """
    bound = bound_program(program, constants)
    result = np.empty(len(program.outputs), dtype=dtype)
    words, places = bound.words(), bound.places
    words[places.output_words[:, 0]] = result.ctypes.data + places.outputs * result.itemsize
    return _ready(bound, words, result.copy, (result,))


def row_values_program(program: Program, constants: Constants) -> RowProgram:
    """Return a program with buffers for one row, which returns a list of stored values.

    Missing values, including NaN, are None; -0.0 becomes 0.0, as in keys.
    """
    bound = bound_program(program, constants)
    n_outputs = len(program.outputs)
    cells = np.zeros(n_outputs, dtype=np.int64)
    flags = np.ones(n_outputs, dtype=np.int64)  # flags of outputs that are always present stay 1
    words, places = bound.words(), bound.places
    words[places.output_words[:, 0]] = cells.ctypes.data + places.outputs * _WIDTH
    names = [output_storage(output.dtype) for output in program.outputs]
    has_flags = np.array([not name.startswith("float") for name in names])[places.outputs]
    validity = places.output_words[:, 1][has_flags]
    words[validity] = flags.ctypes.data + places.outputs[has_flags] * _WIDTH
    codes = "".join(_padded("B" if name == "bool" else FORMATS[name]) for name in names)
    unpack = partial(struct.Struct(f"<{codes}").unpack_from, cells.data)
    unpack_flags = partial(struct.Struct(f"<{n_outputs}q").unpack_from, flags.data)
    bools = [k for k, name in enumerate(names) if name == "bool"]

    def result() -> list[Any]:
        values: list[Any] = [
            None if not flag & 1 or value != value else value + 0  # 0.0 for -0.0
            for value, flag in zip(unpack(), unpack_flags(), strict=True)
        ]
        for k in bools:
            values[k] = None if values[k] is None else values[k] & 1 == 1
        return values

    return _ready(bound, words, result, (cells, flags))


def _ready(
    bound: BoundProgram,
    words: Int64Array,
    result: Callable[[], Any],
    owners: tuple[object, ...],
) -> RowProgram:
    """Return a program with input buffers for one row.

    Args:
        bound: The program.
        words: Its own words of the table, with the addresses of the outputs.
        result: Returns the outputs.
        owners: The memory of the outputs.
    """
    program, places = bound.compiled.program, bound.places
    n_slots = max(1, len(program.inputs))
    values = np.zeros(n_slots * _WIDTH, dtype=np.uint8)
    present = np.ones(n_slots, dtype=np.uint8)
    scratch = np.empty(places.n_scratch_bytes + 64, dtype=np.uint8)
    words[0] = scratch.ctypes.data + -scratch.ctypes.data % 64
    words[places.input_words] = _input_words(program.inputs, values, present)[places.input_slots]
    codes = [_padded(FORMATS[storage(slot.dtype)]) for slot in program.inputs]
    narrow = "<" + "".join("f4x" if code == "f4x" else "8x" for code in codes)
    return RowProgram(
        partial(struct.Struct("<" + "".join(codes)).pack_into, values.data, 0),
        partial(struct.Struct(narrow).unpack_from, values.data),
        present.data,
        _runner(bound.compiled, words),
        result,
        (bound, words, values, present, scratch, *owners),
    )


def _runner(plan: CompiledProgram, words: NDArray[np.int64]) -> Callable[[], int]:
    """Return a function that runs a program over the one row that a table describes.

    The function returns the row's status. It keeps the interpreter's lock, and its arguments are
    created once: .46 us a call instead of .71.
    """
    kernel = driver()
    call = _PROTOTYPE(address_of(kernel))
    arguments = [ctypes.c_int64(number) for number in (words.ctypes.data, 0, 1)]
    table, first, n_rows = arguments
    words[1] = plan.loops_address()

    def run() -> int:
        status = call(table, first, n_rows)
        return status if not status & LARGE_ARGUMENT else run_exactly()

    def run_exactly() -> int:
        words[1] = plan.loops_address(exact=True)
        status = kernel(words.ctypes.data, 0, 1)
        words[1] = plan.loops_address()
        return status & ~LARGE_ARGUMENT

    return run


def _padded(code: str) -> str:
    return f"{code}{_WIDTH - struct.calcsize('<' + code)}x"


def _input_words(
    slots: tuple[InputSlot, ...], values: NDArray[np.uint8], present: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Return the four words that tell a loop where each input is, shape (n_slots, 4).

    Floats need no presence flag, since NaN is missing.
    """
    rows = [
        (
            values.ctypes.data + k * _WIDTH,
            0,
            0 if storage(slot.dtype).startswith("float") else present.ctypes.data + k,
            0,
        )
        for k, slot in enumerate(slots)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)
