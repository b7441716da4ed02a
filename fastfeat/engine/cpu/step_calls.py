"""Steps as kernel calls, which a prepared call runs before its program without Python.

A step lists its kernels. The table of a kernel is an array of 64-bit words: some are the same for
all rows, others hold addresses of columns and results. A prepared call allocates that memory once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.load import LoadedKernel
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.rows import BEFORE_WORDS, FILL_WORDS
from numpy.typing import NDArray

from fastfeat.engine.cpu.compiled import address_of
from fastfeat.io.arrow import DataType, pa
from fastfeat.scalars.value import InputSlot

Of = tuple[int, int]
"""The number of a step, and the number of one of the columns that it makes."""
NOWHERE = -1
_ROWS = 64  # memory is rounded up to whole words of bits


@dataclass(frozen=True, slots=True, eq=False)
class MemoryRequest:
    """A request for memory, such as for a step's result; each request is allocated separately.

    Args:
        row_bytes: Bytes per row; 0 means one bit.
        more_bytes: Bytes in addition to those of rows.
        is_scratch: Whether all steps can share the memory, because nothing in it outlives a kernel.
    """

    row_bytes: int
    more_bytes: int = 0
    is_scratch: bool = False

    def bytes_of(self, n_rows: int) -> int:
        """Return the number of bytes for `n_rows` rows."""
        whole = whole_rows(n_rows)
        return (whole * self.row_bytes if self.row_bytes else whole // 8) + self.more_bytes


@dataclass(frozen=True, slots=True)
class KernelColumn:
    """A column that a kernel reads, and the positions of its addresses in the kernel's table.

    Args:
        argument: Number of the column among the step's columns.
        form: Bytes of a value; 0 for bool; negative for the size of offsets.
        is_of_elements: Whether the elements of its lists are read instead of the lists.
        values, bit, offsets, validity, validity_bit: Positions in the table; NOWHERE for an address
            that the kernel does not read.
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
        kernel: The kernel. It returns 0 on success; otherwise the batch must be computed without a
            prepared call.
        words: Its table, in which the addresses of rows are still missing.
        given: The columns that it reads.
        rooms: The memory to allocate, by the position of its address in the table.
        rows: Position of the word that gets the number of rows for which memory is allocated; None
            if the kernel does not need it.
        unless_failed: Position of a word that changes only if the kernel fails.
        fewest_rows: Lowest number of rows that the kernel accepts.
        cleared: Memory that is set to 0 before the call.
        owners: Objects that keep the addresses in the table alive.
    """

    kernel: LoadedKernel
    words: Int64Array
    given: tuple[KernelColumn, ...] = ()
    rooms: Mapping[int, MemoryRequest] = field(default_factory=dict[int, MemoryRequest])
    rows: int | None = None
    unless_failed: int | None = None
    fewest_rows: int = 0
    cleared: MemoryRequest | None = None
    owners: object = None


@dataclass(frozen=True, slots=True, eq=False)
class StepCalls:
    """The kernel calls that compute a step, and where its result is.

    Args:
        calls: The calls, in order.
        values: Memory for the values of the result.
        width: Bytes of a value; 0 for bool.
        validity: Memory for the validity bits; or the number of the argument that has the same
            bits; or None if no value is missing.
        form_of_validity: The form of that argument.
        part: Number of the column among those that the step makes, which are adjacent in memory.
    """

    calls: tuple[KernelCall, ...]
    values: MemoryRequest
    width: int
    validity: MemoryRequest | int | None = None
    form_of_validity: int = 0
    part: int = 0


@dataclass(frozen=True, slots=True)
class StepOfBatch:
    """A step, with the columns of the batch that it reads.

    Args:
        step: Its calls.
        children: Number of the batch's column for each argument.
    """

    step: StepCalls
    children: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InputPlaces:
    """The places where a program finds its input columns: in the batch, or computed by steps.

    Args:
        children: Number of the batch's column for each slot, in the storage that kernels read.
        steps: Steps that run before the program.
        made: For each slot computed by a step, that step and the number of its column.
    """

    children: Mapping[InputSlot, int]
    steps: Sequence[StepOfBatch] = ()
    made: Mapping[InputSlot, Of] = field(default_factory=dict[InputSlot, Of])


@dataclass(frozen=True, slots=True)
class ResultReader:
    """A place outside the steps' tables that needs the address of a step's result.

    Args:
        step: Number of the step, and of its column.
        values: Address of the word that gets the address of the result's values.
        validity, validity_bit: Addresses of the words that get the address of its bitmap, and the
            bitmap's first bit.
    """

    step: Of
    values: int
    validity: int
    validity_bit: int


def scratch_of(n_words: int) -> MemoryRequest:
    """Return a request for scratch memory of `n_words` 64-bit words."""
    return MemoryRequest(0, 8 * n_words, is_scratch=True)


AddressOf = Callable[[MemoryRequest], int]


def form_of(given: DataType) -> int | None:
    """Return an Arrow type's form, see `KernelColumn`; None if kernels cannot read it in place."""
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


def allocate_steps(
    steps: Sequence[StepOfBatch], readers: Sequence[ResultReader], n_rows: int
) -> tuple[Int64Array, object]:
    """Allocate memory for steps; return the words that run their kernels, and the memory's owner.

    The memory is for `n_rows` rows. The addresses for `readers` are written now if they are known,
    else when a batch arrives.
    """
    rooms = [room for one in steps for call in one.step.calls for room in call.rooms.values()]
    most = max((room.bytes_of(n_rows) for room in rooms if room.is_scratch), default=0)
    scratch = np.zeros(most + 8, np.uint8)
    words, kept = list[int](), list[object]([scratch])
    for k, one in enumerate(steps):
        memory: dict[MemoryRequest, NDArray[np.uint8]] = {}

        def address(
            room: MemoryRequest, memory: dict[MemoryRequest, NDArray[np.uint8]] = memory
        ) -> int:
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
    """Return `n_rows` rounded up to the number of rows that columns get memory for."""
    return -(-n_rows // _ROWS) * _ROWS


def _read(
    one: StepOfBatch, reader: ResultReader, n_rows: int, address: AddressOf
) -> list[list[int]]:
    """Write the addresses of a step's result for a reader; return [] if that was possible.

    If its validity is a column of the batch, return the words by which the kernel writes the
    address when a batch arrives.
    """
    step = one.step
    _write(reader.values, address(step.values) + reader.step[1] * step.width * whole_rows(n_rows))
    match step.validity:
        case None:
            _write(reader.validity, 0)
        case MemoryRequest():
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
    """Return the words that run one kernel, including those for the columns in `more`."""
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
