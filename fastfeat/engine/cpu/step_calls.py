"""Steps as calls of kernels: what a prepared call runs before its program, without Python.

A step says which kernels it runs, which words of their tables are the same for all rows, and where
the memory of columns and of results stands in them. A prepared call makes that memory, once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from fastfeat_kernels.load import Kernel
from fastfeat_kernels.rows import BEFORE_WORDS, FILL_WORDS
from numpy.typing import NDArray

from fastfeat.engine.cpu.compiled import address_of
from fastfeat.io.arrow import DataType, pa
from fastfeat.scalars.value import InputSlot

Words = NDArray[np.int64]
Of = tuple[int, int]
"""A step among some, and which of the columns that it makes."""
NOWHERE = -1
_ROWS = 64  # memory is of whole words of bits


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Memory for what a step makes of rows; each one is a piece of its own.

    Args:
        row_bytes: bytes a row; 0: a bit.
        more_bytes: beside those of rows.
        is_scratch: whether nothing there outlives a kernel, so that all steps share it.
    """

    row_bytes: int
    more_bytes: int = 0
    is_scratch: bool = False

    def bytes_of(self, n_rows: int) -> int:
        """Return the bytes for so many rows."""
        whole = whole_rows(n_rows)
        return (whole * self.row_bytes if self.row_bytes else whole // 8) + self.more_bytes


@dataclass(frozen=True, slots=True)
class Given:
    """A column that a kernel reads, and the words of its table that say where that is.

    Args:
        argument: which of the columns of the step.
        form: bytes of a value; 0 of a bool; below 0 of an offset.
        is_of_elements: whether the elements of its lists are read, not the lists.
        values, bit, offsets, validity, validity_bit: words; NOWHERE for those that there are none
            of.
    """

    argument: int
    form: int
    is_of_elements: bool = False
    values: int = NOWHERE
    bit: int = NOWHERE
    offsets: int = NOWHERE
    validity: int = NOWHERE
    validity_bit: int = NOWHERE


@dataclass(frozen=True, slots=True, eq=False)
class KernelCall:
    """A call of a kernel on all rows.

    Args:
        kernel: gives 0, else the step is left to the other way.
        words: its table, without addresses of rows.
        given: the columns that it reads.
        rooms: by word, the memory whose address that is.
        rows: the word for how many rows there is memory; None where it needs none.
        unless_failed: a word that stays as it is in the table unless the kernel fails.
        fewest_rows: the least that it takes.
        cleared: the memory that is set to 0 before.
        owners: what the addresses in its table are of.
    """

    kernel: Kernel
    words: Words
    given: tuple[Given, ...] = ()
    rooms: Mapping[int, Room] = field(default_factory=dict[int, Room])
    rows: int | None = None
    unless_failed: int | None = None
    fewest_rows: int = 0
    cleared: Room | None = None
    owners: object = None


@dataclass(frozen=True, slots=True, eq=False)
class StepCalls:
    """A step as calls of kernels.

    Args:
        calls: in order.
        values: where its values go.
        width: bytes of a value; 0 of a bool.
        validity: where the bits go that say which rows have one; the number of the argument whose
            bits these are; None where all have.
        form_of_validity: of that argument.
        part: which of the columns that it makes, one after the other in memory.
    """

    calls: tuple[KernelCall, ...]
    values: Room
    width: int
    validity: Room | int | None = None
    form_of_validity: int = 0
    part: int = 0


@dataclass(frozen=True, slots=True)
class StepOfBatch:
    """A step of a batch.

    Args:
        step: its calls.
        children: by argument, which column of the batch that is.
    """

    step: StepCalls
    children: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """The columns that a program reads, by where they are.

    Args:
        children: which column of a batch a slot is, in the storage that kernels read.
        steps: what is run before the program.
        made: by slot, the one of these that makes its column.
    """

    children: Mapping[InputSlot, int]
    steps: Sequence[StepOfBatch] = ()
    made: Mapping[InputSlot, Of] = field(default_factory=dict[InputSlot, Of])


@dataclass(frozen=True, slots=True)
class Reader:
    """Words that say where the result of a step is, outside of the tables of steps.

    Args:
        step: which one, and which of its columns.
        values, validity, validity_bit: addresses of these words.
    """

    step: Of
    values: int
    validity: int
    validity_bit: int


def scratch_of(n_words: int) -> Room:
    """Return memory of so many words that a kernel works in."""
    return Room(0, 8 * n_words, is_scratch=True)


AddressOf = Callable[[Room], int]


def form_of(given: DataType) -> int | None:
    """Return the form of a column of an Arrow type; None where kernels do not read it in place."""
    types = pa.types
    if types.is_string(given) or types.is_binary(given) or types.is_list(given):
        return -4
    if types.is_large_string(given) or types.is_large_binary(given) or types.is_large_list(given):
        return -8
    if types.is_boolean(given):
        return 0
    if types.is_primitive(given) and not types.is_null(given):
        return given.bit_width // 8
    return None


def placed(
    steps: Sequence[StepOfBatch], readers: Sequence[Reader], n_rows: int
) -> tuple[Words, object]:
    """Return the words of the kernels of steps, with memory for rows, and what keeps that.

    Args:
        steps: in order.
        readers: of their results; the words are written, or are when a batch comes.
        n_rows: for which there is memory.
    """
    rooms = [room for one in steps for call in one.step.calls for room in call.rooms.values()]
    most = max((room.bytes_of(n_rows) for room in rooms if room.is_scratch), default=0)
    scratch = np.zeros(most + 8, np.uint8)
    words, kept = list[int](), list[object]([scratch])
    for k, one in enumerate(steps):
        memory: dict[Room, NDArray[np.uint8]] = {}

        def address(room: Room, memory: dict[Room, NDArray[np.uint8]] = memory) -> int:
            if room.is_scratch:
                return scratch.ctypes.data
            if room not in memory:
                memory[room] = np.zeros(room.bytes_of(n_rows) + 8, np.uint8)
            return memory[room].ctypes.data

        own = [reader for reader in readers if reader.step[0] == k]
        more = [fill for reader in own for fill in _read(one, reader, n_rows, address)]
        for at, call in enumerate(one.step.calls):
            words += _words_of(one, call, n_rows, address, kept, more if at == 0 else [])
        kept.append(memory)
    return np.array(words, np.int64), kept


def whole_rows(n_rows: int) -> int:
    """Return the rows of which a column has the memory, in which there are so many."""
    return -(-n_rows // _ROWS) * _ROWS


def _read(one: StepOfBatch, reader: Reader, n_rows: int, address: AddressOf) -> list[list[int]]:
    """Write where the result of a step is; return the columns of which it is known with a batch."""
    step = one.step
    _write(reader.values, address(step.values) + reader.step[1] * step.width * whole_rows(n_rows))
    match step.validity:
        case None:
            _write(reader.validity, 0)
        case Room():
            _write(reader.validity, address(step.validity))
        case argument:
            child = one.children[argument]
            places = [0, 0, 0, reader.validity, reader.validity_bit]
            return [[child, 0, step.form_of_validity, *places]]
    return []


def _write(address: int, word: int) -> None:
    ctypes.c_int64.from_address(address).value = word


def _words_of(
    one: StepOfBatch,
    call: KernelCall,
    n_rows: int,
    address: AddressOf,
    kept: list[object],
    more: Sequence[Sequence[int]],
) -> list[int]:
    """Return the words of a call of a kernel, with those that more columns are written to."""
    table = call.words.copy()
    kept += [table, call]
    for word, room in call.rooms.items():
        table[word] = address(room)
    if call.rows is not None:
        table[call.rows] = whole_rows(n_rows)
    first = table.ctypes.data

    def at(word: int) -> int:
        return 0 if word == NOWHERE else first + 8 * word

    checked = call.unless_failed
    words = [address_of(call.kernel), first, len(call.given) + len(more)]
    words += [0, 0] if checked is None else [at(checked), int(table[checked])]
    words += [call.fewest_rows]
    cleared = call.cleared
    words += [0, 0] if cleared is None else [address(cleared), cleared.row_bytes]
    assert len(words) == BEFORE_WORDS
    for g in call.given:
        places = (g.values, g.bit, g.offsets, g.validity, g.validity_bit)
        words += [one.children[g.argument], int(g.is_of_elements), g.form, *map(at, places)]
    for fill in more:
        assert len(fill) == FILL_WORDS
        words += fill
    return words
