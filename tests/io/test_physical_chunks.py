"""Columns in place: what lies at the addresses of a chunk is what the column holds."""

from __future__ import annotations

import ctypes

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.io.columns.bits import validity_of
from fastfeat.io.columns.column import combined, physical_chunks
from fastfeat.io.sinks.write import array_from_buffers
from fastfeat.ir.dtypes import BOOL, INT32
from fastfeat_tests.io.arrow_columns import chunked, plain_types, read_memory, same_values

TYPES = plain_types()


@pytest.mark.parametrize(("arrow_type", "values"), TYPES, ids=[str(t) for t, _ in TYPES])
def test_memory_at_the_addresses_equals_the_column(arrow_type, values):
    @given(st.data())
    def check(data):
        column, expected = data.draw(chunked(arrow_type, values))
        pieces = physical_chunks(column)
        read = [value for piece in pieces for value in read_memory(piece, arrow_type)]
        assert same_values(read, expected)
        assert all(piece.length > 0 for piece in pieces)
        assert all(piece.value_bit_offset in range(8) for piece in pieces)

    check()


@given(st.data())
def test_a_bitmap_that_marks_nothing_is_dropped(data):
    arrow_type, values = data.draw(st.sampled_from(TYPES))
    column, _ = data.draw(chunked(arrow_type, values))
    for piece, array in zip(
        physical_chunks(column), [a for a in column.chunks if len(a)], strict=True
    ):
        assert (piece.validity == 0) == (array.null_count == 0)


def test_chunks_are_in_place():
    values = np.arange(10.0)
    column = pa.chunked_array([pa.array(values)[3:7]])
    (piece,) = physical_chunks(column)
    assert piece.values == values.ctypes.data + 24


def test_misaligned_values_are_moved_to_an_aligned_address():
    memory = np.zeros(64, dtype=np.uint8)
    start = -memory.ctypes.data % 8 + 1
    memory[start : start + 24] = np.arange(3.0).view(np.uint8)
    shifted = pa.py_buffer(memory).slice(start, 24)
    bitmap = pa.py_buffer(bytes([0b011]))
    array = pa.Array.from_buffers(pa.float64(), 3, [bitmap, shifted])
    (piece,) = physical_chunks(pa.chunked_array([array[1:]]))
    assert shifted.address % 8 == 1
    assert piece.values % 8 == 0
    assert read_memory(piece, pa.float64()) == [1.0, None]


def test_the_owner_keeps_the_memory_alive():
    def piece():
        return physical_chunks(pa.chunked_array([pa.array(np.full(100_000, 7.0))]))[0]

    kept = piece()
    np.full(100_000, 1.0)
    assert ctypes.c_double.from_address(kept.values + 8 * 99_999).value == 7.0


def test_tiny_pieces_are_combined_and_large_ones_are_not():
    tiny = pa.chunked_array([[1.0, 2.0], [3.0, None]])
    assert combined(tiny).num_chunks == 1
    assert combined(tiny).to_pylist() == [1.0, 2.0, 3.0, None]
    large = pa.chunked_array([np.zeros(4096), np.zeros(4096)])
    assert combined(large) is large


@given(st.data())
def test_validity_of_any_type_equals_the_nulls_of_its_list(data):
    arrow_type, values = data.draw(st.sampled_from(TYPES))
    column, expected = data.draw(chunked(arrow_type, values))
    assert validity_of(column).to_pylist() == [value is not None for value in expected]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1], None, []]),
        pa.array([{"a": 1}, None, {"a": None}]),
        pa.nulls(3),
        pa.array(["a", None, ""], pa.string_view()),
        pa.array([b"a", None, b""]),
        pa.DictionaryArray.from_arrays(
            pa.array([0, 1, None, 2], pa.uint8()), pa.array(["x", None, "y"])
        ),
        pa.DictionaryArray.from_arrays(
            pa.array([0, 1, None], pa.int64()), pa.array(["x", None], pa.string_view())
        ),
        pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 5]), pa.array([1, None, 3])),
        pa.UnionArray.from_sparse(
            pa.array([0, 1, 1], pa.int8()), [pa.array([1, 2, 3]), pa.array(["a", None, "b"])]
        ),
    ],
    ids=lambda array: str(array.type)[:30],
)
def test_validity_of_nested_and_encoded_types_sees_logical_nulls(array):
    for piece in (array, array[1:]):
        column = pa.chunked_array([piece])
        assert validity_of(column).to_pylist() == [value is not None for value in piece.to_pylist()]


def test_array_from_buffers_is_the_inverse_of_physical_chunks():
    values, validity = np.arange(64, dtype=np.int32), np.array([0b101] + [0] * 7, dtype=np.uint8)
    array = array_from_buffers(INT32, values, validity, 1, 3)
    assert array.to_pylist() == [0, None, 2]
    bits = array_from_buffers(BOOL, np.array([0b110], np.uint8), validity, -1, 3)
    assert bits.to_pylist() == [False, None, True]
    assert bits.null_count == 1
