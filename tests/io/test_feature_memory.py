"""Output columns: memory of the engine, features as Arrow arrays over it, overlap with inputs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.io.columns.column import physical_chunks
from fastfeat.io.columns.types import arrow_type, dtype_of, memory_type, storage_type
from fastfeat.io.sinks.write import array_from_buffers, overlaps, staggered_columns
from fastfeat.io.sources.read import read_table
from fastfeat.ir import dtypes
from fastfeat_tests.io.arrow_columns import plain_types, read_memory, same_values

DTYPES = [(dtype_of(given_type), values) for given_type, values in plain_types()]


@pytest.mark.parametrize(("dtype", "values"), DTYPES, ids=[str(d) for d, _ in DTYPES])
def test_a_feature_array_holds_what_was_written_without_a_copy(dtype, values):
    @given(st.data())
    def check(data):
        rows = data.draw(st.lists(st.none() | values, max_size=70))
        memory, bitmap = write_rows(rows, dtype)
        missing = sum(value is None for value in rows)
        array = array_from_buffers(dtype, memory, bitmap, missing, len(rows))
        array.validate(full=dtype.name not in ("date64", "time"))
        assert (array.type, array.null_count) == (arrow_type(dtype), missing)
        assert array.buffers()[1].address == memory.ctypes.data
        assert (array.buffers()[0] is None) == (missing == 0)
        read = [
            v
            for c in physical_chunks(pa.chunked_array([array]))
            for v in read_memory(c, array.type)
        ]
        assert same_values(read, rows)

    check()


def write_rows(rows, dtype):
    """Write rows and their bitmap into columns of the engine, as a kernel does."""
    (memory,) = staggered_columns(1, len(rows), dtype)
    (bitmap,) = staggered_columns(1, len(rows), dtypes.BOOL)
    present = np.array([value is not None for value in rows], dtype=bool)
    bitmap[: -(-len(rows) // 8)] = np.packbits(present, bitorder="little")
    if dtype.name == "bool":
        flags = np.array([bool(value) for value in rows], dtype=bool)
        memory[: -(-len(rows) // 8)] = np.packbits(flags, bitorder="little")
    else:
        memory[: len(rows)] = [0 if value is None else value for value in rows]
    return memory, bitmap


def test_a_feature_of_type_null_has_no_values():
    array = array_from_buffers(dtypes.NULL, np.empty(3), None, 3, 3)
    assert array.to_pylist() == [None, None, None]


@given(
    st.integers(0, 9),
    st.integers(1, 5000),
    st.sampled_from([dtype for dtype, _ in DTYPES] + [dtypes.DECIMAL, dtypes.NULL]),
)
def test_output_columns_are_aligned_padded_apart_and_staggered(n_columns, n_rows, dtype):
    columns = staggered_columns(n_columns, n_rows, dtype)
    assert len(columns) == n_columns
    width = 1 if dtype.name == "bool" else 8 * memory_type(dtype).itemsize
    for column in columns:
        assert column.ctypes.data % 64 == 0
        assert column.dtype == memory_type(dtype)
        assert column.nbytes * 8 == -(-n_rows // 64) * 64 * width
        column[:] = 1  # every word of 64 rows may be written
    for left, right in pairwise(columns):
        distance = right.ctypes.data - left.ctypes.data
        assert distance >= max(left.nbytes, 64)
        assert distance // 64 % 2 == 1


def test_output_columns_of_no_rows_are_empty():
    assert [len(c) for c in staggered_columns(3, 0, dtypes.FLOAT32)] == [0, 0, 0]


def test_memory_type_has_the_width_of_the_arrow_type():
    for dtype, _ in DTYPES:
        if dtype.name != "bool":
            assert memory_type(dtype).itemsize * 8 == arrow_type(dtype).bit_width
            assert memory_type(dtype).itemsize * 8 <= storage_type(dtype).bit_width


def test_an_output_that_shares_memory_with_a_column_is_found():
    matrix = np.zeros((3, 8))
    table = read_table({"a": matrix[0], "b": np.zeros(8), "c": matrix[2]})
    columns = {name: table[name] for name in table.column_names}
    assert overlaps(matrix[2], columns) == "c"
    assert overlaps(matrix[2, 7:], columns) == "c"
    assert overlaps(matrix, columns) == "a"
    assert overlaps(matrix[1], columns) is None
    assert overlaps(matrix[:, ::3], columns) == "a"
    assert overlaps(matrix[::-1], columns) == "a"
    assert overlaps(np.zeros(8), columns) is None
    assert overlaps(matrix[:0], columns) is None


def test_an_output_over_a_bitmap_or_a_sliced_column_is_found():
    values = np.arange(64, dtype=np.int64)
    bitmap = np.zeros(8, dtype=np.uint8)
    array = array_from_buffers(dtypes.INT64, values, bitmap, 64, 64)
    columns = {"x": pa.chunked_array([array[10:20]])}
    assert overlaps(bitmap, columns) == "x"
    assert overlaps(values[12:13], columns) == "x"
