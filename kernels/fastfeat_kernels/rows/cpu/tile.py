# pyright: basic
"""The rows of a matrix, from a cached tile that holds them column after column."""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types

from fastfeat_kernels.intrinsics import (
    F64,
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    intrinsic,
    pointer_float32,
    pointer_float64,
    pointer_uint8,
    pointer_uint16,
    prefetch,
)
from fastfeat_kernels.rows import CODES, TILE_WORDS

F32, I8, I16, I32 = ir.FloatType(), *(ir.IntType(bits) for bits in (8, 16, 32))
FLOAT16, FLOAT32, FLOAT64 = (CODES[name] for name in ("float16", "float32", "float64"))
SIDE = 8  # rows, and columns, that pass through the registers at once
AHEAD = 16  # rows; without a prefetch stores to 8 rows at once wait: 2.9 and 1.9 times column order
TILE = TILE_WORDS.start
_PAIRS = ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15))
_FOURS = ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
ROWS = (0, 2, 1, 3, 4, 6, 5, 7)
_HALVES = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))


def _shuffled(builder, left, right, places):
    mask = ir.Constant(ir.VectorType(I32, SIDE), list(places))
    return builder.shuffle_vector(left, right, mask)


def _transposed(builder, columns):
    """Return 8 vectors of rows, in the order ROWS, from 8 vectors of columns.

    Each shuffle of 8 float32 is one AVX instruction.
    """
    for distance, masks in ((1, _PAIRS), (2, _FOURS), (4, _HALVES)):
        found = list(columns)
        for k in range(SIDE):
            if not k & distance:
                pair = columns[k], columns[k + distance]
                found[k], found[k + distance] = (_shuffled(builder, *pair, m) for m in masks)
        columns = found
    return columns


def _square(scalar, n_bytes):
    @intrinsic
    def square(typingctx, target, row_stride, source, column_stride):
        """Copy 8 rows of 8 columns, given addresses, and bytes between rows and between columns."""

        def generate(context, builder, signature, args):
            target, row_stride, source, column_stride = args
            vector = ir.VectorType(scalar, SIDE)
            pointer = vector.as_pointer()

            def at(start, stride, k):
                place = builder.add(start, builder.mul(stride, ir.Constant(stride.type, k)))
                return builder.inttoptr(place, pointer)

            columns = []
            for k in range(SIDE):
                read = builder.load(at(source, column_stride, k), typ=vector)
                read.align = n_bytes
                columns.append(read)
            for k, row in zip(ROWS, _transposed(builder, columns), strict=True):
                builder.store(row, at(target, row_stride, k)).align = n_bytes
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64, types.int64), generate

    return square


square_8, square_16 = _square(I8, 1), _square(I16, 2)
square_32, square_64 = _square(F32, 4), _square(F64, 8)


def _spreader(pointer, square, n_bytes):
    @njit(**SEPARATE_OPTIONS)
    def copy(tile, tile_column, first, end, rows, matrix, row_stride, column_stride):
        """Copy rows of the columns [first, end), one element after the other."""
        for k in range(first, end):
            source = pointer(tile + k * tile_column)
            target = matrix + k * column_stride
            for i in range(rows):
                pointer(target + i * row_stride)[0] = source[i]

    @njit(**SEPARATE_OPTIONS)
    def spread_columns(tile, tile_column, n_columns, n, matrix, row_stride, column_stride):
        """Copy the columns of a tile to n rows of a matrix."""
        n_squares, i = types.int64(0), types.int64(0)
        if column_stride == n_bytes:
            n_squares = n_columns & -SIDE
            while i < (n & -SIDE):
                source, target = tile + n_bytes * i, matrix + i * row_stride
                for k in range(0, n_squares, SIDE):
                    place = target + n_bytes * k
                    for row in range(AHEAD, AHEAD + SIDE):
                        prefetch(place + row * row_stride)
                    square(place, row_stride, source + k * tile_column, tile_column)
                copy(source, tile_column, n_squares, n_columns, SIDE, target, row_stride, n_bytes)
                i += SIDE
        source, target = tile + n_bytes * i, matrix + i * row_stride
        copy(source, tile_column, 0, n_columns, n - i, target, row_stride, column_stride)

    return spread_columns


spread_8 = _spreader(pointer_uint8, square_8, 1)
spread_16 = _spreader(pointer_uint16, square_16, 2)
spread_32 = _spreader(pointer_float32, square_32, 4)
spread_64 = _spreader(pointer_float64, square_64, 8)


@njit(**INNER_OPTIONS)
def spread(table, first, n):
    """Copy a tile to the rows [first, first + n) of its matrix; do nothing without a tile."""
    tile, tile_column, n_columns = table[TILE], table[TILE + 1], table[TILE + 2]
    code, row_stride, column_stride = table[TILE + 3], table[TILE + 5], table[TILE + 6]
    matrix = table[TILE + 4] + first * row_stride
    if n_columns == 0:
        return
    if (code == FLOAT32) | (code == 4):
        spread_32(tile, tile_column, n_columns, n, matrix, row_stride, column_stride)
    elif (code == FLOAT64) | (code == 8):
        spread_64(tile, tile_column, n_columns, n, matrix, row_stride, column_stride)
    elif (code >= FLOAT16) | (code == 2):
        spread_16(tile, tile_column, n_columns, n, matrix, row_stride, column_stride)
    else:
        spread_8(tile, tile_column, n_columns, n, matrix, row_stride, column_stride)
