"""Reference of the driver of row kernels: plain Python, same arguments, table and memory."""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from fastfeat_kernels.memory import bit_at, words_at
from fastfeat_kernels.rows import (
    AS_BITS,
    BLOCK,
    BLOCK_WORD,
    CODES,
    COLUMN_WORDS,
    HEADER_WORDS,
    RUN_WORDS,
    TILE_WORDS,
    WANTS_FLAGS,
    WANTS_VALUES,
)

_LOOPS = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_SLOT = 8 * BLOCK
_BOOL, _FLOAT16, _BFLOAT16 = CODES["bool"], CODES["float16"], CODES["bfloat16"]
_SIZES = {_FLOAT16: 2, _BFLOAT16: 2, CODES["float32"]: 4, CODES["float64"]: 8}
_FORMATS = {_FLOAT16: "e", CODES["float32"]: "f", CODES["float64"]: "d"}


def blocks(table: int, first: int, n: int) -> int:
    """Run all loops over the rows [first, first + n), block by block; return the OR of status."""
    header = words_at(table, HEADER_WORDS)
    arguments, loops, n_runs, n_arguments, block = header[: BLOCK_WORD + 1]
    tile = header[TILE_WORDS]
    ones = arguments + 8 * n_arguments
    ctypes.memset(ones, 1, BLOCK)
    status = 0
    for done in range(0, n, block):
        run = table + 8 * HEADER_WORDS
        rows = range(first + done, first + min(done + block, n))
        for _ in range(n_runs):
            status |= _run_once(run, _LOOPS(loops), arguments, ones, tile[0], rows)
            _, n_inputs, n_outputs, n_constants = words_at(run, RUN_WORDS)
            run += 8 * (RUN_WORDS + COLUMN_WORDS * (n_inputs + n_outputs) + n_constants)
        _spread(tile, rows)
    return status


def _spread(words: Sequence[int], rows: range) -> None:
    """Copy the columns of a tile to the rows of a matrix; `words` are those of the tile."""
    tile, tile_column, n_columns, code, matrix, row_stride, column_stride = words
    size = _size(code)
    for k in range(n_columns):
        for i, row in enumerate(rows):
            target = matrix + row * row_stride + k * column_stride
            ctypes.memmove(target, tile + k * tile_column + i * size, size)


def _run_once(
    run: int,
    loops: Callable[[int, int, int], int],
    arguments: int,
    ones: int,
    tile: int,
    rows: range,
) -> int:
    number, n_inputs, n_outputs, n_constants = words_at(run, RUN_WORDS)
    columns = run + 8 * RUN_WORDS
    n_columns = n_inputs + n_outputs
    words = words_at(arguments, 2 * n_columns + n_constants)
    for k in range(n_columns):
        column = words_at(columns + 8 * COLUMN_WORDS * k, COLUMN_WORDS)
        slot = ones + BLOCK + 2 * _SLOT * k
        is_input = k < n_inputs
        found = _stage(column, slot, ones, rows) if is_input else _place(column, slot, tile, rows)
        words[2 * k], words[2 * k + 1] = found
    words[2 * n_columns :] = words_at(columns + 8 * COLUMN_WORDS * n_columns, n_constants)[:]
    status = loops(number, arguments, len(rows))
    for k in range(n_inputs, n_columns):
        column = words_at(columns + 8 * COLUMN_WORDS * k, COLUMN_WORDS)
        _finish(column, words[2 * k], words[2 * k + 1], rows)
    return status


def _size(code: int) -> int:
    return _SIZES.get(code, code)


def _stage(column: Any, slot: int, ones: int, rows: range) -> tuple[int, int]:
    """Return the addresses of values and flags of an input; 0 for those that are not read."""
    kind, values, value_bit, validity, validity_bit = column
    code, found, flags = kind & 15, 0, 0
    if kind & WANTS_VALUES and code == _BOOL:
        read = _aligned if kind & AS_BITS else _unpacked
        found = read(slot, values, value_bit, rows)
    elif kind & WANTS_VALUES:
        found = values + rows.start * _size(code)
    if kind & WANTS_FLAGS and kind & AS_BITS:
        flags = _aligned(slot + _SLOT, validity, validity_bit, rows)
    elif kind & WANTS_FLAGS:
        flags = _unpacked(slot + _SLOT, validity, validity_bit, rows) if validity else ones
    return found, flags


def _unpacked(target: int, bitmap: int, bit: int, rows: range) -> int:
    """Write the bits of some rows as bytes 0 and 1; return their address."""
    written = words_at(target, len(rows), signed=False, bits=8)
    written[:] = [bit_at(bitmap, bit + row) for row in rows]
    return target


def _aligned(target: int, bitmap: int, bit: int, rows: range) -> int:
    """Write the bits of some rows as words that begin at bit 0; all are 1 without a bitmap."""
    written = words_at(target, -(-len(rows) // 64), signed=False)
    for k in range(len(written)):
        word = rows[64 * k : 64 * k + 64]
        bits = [bit_at(bitmap, bit + row) for row in word] if bitmap else [1] * 64
        written[k] = sum(1 << place for place, one in enumerate(bits) if one)
    return target


def _place(column: Any, slot: int, tile: int, rows: range) -> tuple[int, int]:
    """Return the target addresses of the values and flags of an output."""
    kind, values, validity, _, is_in_tile = column
    flags = slot + _SLOT
    if kind & AS_BITS and validity:
        flags = validity + rows.start // 8
    if is_in_tile:
        return tile + values, flags
    if kind & 15 != _BOOL:
        return values + rows.start * _size(kind & 15), flags
    return values + rows.start // 8 if kind & AS_BITS else slot, flags


def _finish(column: Any, written: int, flags: int, rows: range) -> None:
    """Convert the output of a loop to Arrow's layout."""
    kind, values, validity, _, _ = column
    code, n = kind & 15, len(rows)
    if code == _BOOL and not kind & AS_BITS:
        _pack(values, rows, list(words_at(written, n, signed=False, bits=8)))
    if validity and kind & WANTS_FLAGS and kind & AS_BITS:
        column[3] += n - sum(bit_at(validity, row) for row in rows)
        return
    if validity and kind & WANTS_FLAGS:
        present = list(words_at(flags, n, signed=False, bits=8))
    elif validity and code in _FORMATS:
        content = ctypes.string_at(written, n * _size(code))
        values = struct.unpack(f"<{n}{_FORMATS[code]}", content)
        present = [not math.isnan(value) for value in values]
    else:
        return
    _pack(validity, rows, present)
    column[3] += n - sum(map(bool, present))


def _pack(bitmap: int, rows: range, flags: list[Any]) -> None:
    """Write one bit a row, in whole words of 64; bits beyond the last row are 0."""
    bits = sum(1 << k for k, flag in enumerate(flags) if flag)
    n_bytes = -(-len(flags) // 64) * 8
    ctypes.memmove(bitmap + rows.start // 8, bits.to_bytes(n_bytes, "little"), n_bytes)


ENTRIES: dict[str, Callable[[int, int, int], int]] = {"blocks": blocks}
