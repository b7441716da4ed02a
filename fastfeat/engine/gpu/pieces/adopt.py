"""Input columns from users: checked, and used in place if they are in device memory already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.engine.gpu.columns.inputs import InputSource, UnlikeColumn
from fastfeat.engine.gpu.columns.memory import WORD_BYTES, DeviceColumn, allocate_output
from fastfeat.engine.gpu.programs.launch import PreparedPiece, run_piece
from fastfeat.engine.gpu.programs.program import DeviceTarget, bind, words_of
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.errors import InvalidData
from fastfeat.io.columns.types import column_text
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BOOL, UINT8
from fastfeat.ir.show import names_of
from fastfeat.scalars import op
from fastfeat.scalars.op import TRUE
from fastfeat.scalars.value import NO_STATUS, InputSlot, column_slot

_FLAG = column_slot("flag", UINT8)


def sources_of(
    runtime: Runtime, slots: Sequence[InputSlot], columns: Mapping[InputSlot, Any]
) -> dict[InputSlot, InputSource]:
    """Return the column of each input slot: chunked arrays unchanged, DeviceArrays after `adopt`.

    A DeviceArray with another type than its slot becomes an UnlikeColumn. Raises InvalidData if an
    array is not in the memory of this device, or not aligned.
    """
    return {slot: _source(runtime, slot, columns[slot]) for slot in slots}


def _source(runtime: Runtime, slot: InputSlot, column: Any) -> InputSource:
    if not isinstance(column, DeviceArray):
        return column
    adopted = adopt(runtime, column, names_of(slot.sources)[0])
    return adopted if column.dtype == slot.dtype else UnlikeColumn(adopted, column.dtype)


def adopt(runtime: Runtime, array: DeviceArray, name: str) -> DeviceColumn:
    """Return a user's array on the device as a column, once the work that computes it is done.

    Nothing is copied, except byte-sized bools, which become bits. `name` is the column's name, for
    messages. Raises InvalidData if the array is not in the memory of this device, or not aligned.
    """
    if not len(array):
        return DeviceColumn(0, 0, 0, 0, ())
    if array.ready is not None:
        runtime.wait_for(*array.ready)
    width = array.item_bytes
    if width and array.values % width:
        raise InvalidData(
            f"{column_text(name)}: its first value is at address {array.values:#x}, which is not a "
            f"multiple of {width} bytes. Copy the array on the device: x.copy()"
        )
    n_bytes = (array.value_bit + len(array) + 7) // 8 if array.has_bits else len(array) * width
    held: list[object] = [_buffer(runtime, array.values, n_bytes, array, name)]
    if array.validity:
        bitmap_bytes = (array.bit + len(array) + 7) // 8
        held.append(_buffer(runtime, array.validity, bitmap_bytes, array, name))
    validity, bit = _words_from(array.validity, array.bit)
    if array.is_bytes:
        bits = _packed(runtime, array)
        return DeviceColumn(bits.values, 0, validity, bit, (bits, *held))
    if array.has_bits:
        values, value_bit = _words_from(array.values, array.value_bit)
        return DeviceColumn(values, value_bit, validity, bit, tuple(held))
    return DeviceColumn(array.values, 0, validity, bit, tuple(held))


def _buffer(runtime: Runtime, address: int, n_bytes: int, array: DeviceArray, name: str) -> object:
    try:
        return runtime.adopt(address, n_bytes, array.owner)
    except InvalidData as error:
        raise InvalidData(f"{column_text(name)}: {error}") from None


def _words_from(address: int, bit: int) -> tuple[int, int]:
    """Return the address of the 64-bit word that contains a byte, and `bit` counted from there.

    A word never crosses a page boundary, so its bytes before and after can be read.
    """
    return address - address % WORD_BYTES, bit + 8 * (address % WORD_BYTES)


def _packed(runtime: Runtime, array: DeviceArray) -> DeviceColumn:
    """Return byte-sized bools as a column of bits, computed by a kernel."""
    n = len(array)
    output = allocate_output(runtime, BOOL, n, with_validity=False)
    given = DeviceColumn(array.values, 0, 0, 0, (array.owner,))
    bound = bind(runtime, _packing(), Constants({}, {}))
    words = words_of(bound, [given], [DeviceTarget(output.values.address)])
    run_piece(runtime, PreparedPiece(bound.plan, words, n, (given, output)), 0)
    return output.as_column()


def _packing() -> Program:
    value = op.input_value(_FLAG, UINT8.physical)
    return program_of([Output("", BOOL, value.ne(0), TRUE, NO_STATUS)])
