"""The kernel that gathers values by row number, against its reference."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from fastfeat_kernels.compile import compile_entry
from fastfeat_kernels.gather import gather as gather_by_definition
from fastfeat_kernels.gather.state import gather
from fastfeat_kernels.load import load_object
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import (
    Value,
    chunked,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
)

ELEMENTS = ["int8", "int16", "int32", "int64", "uint8", "uint64", "float32", "float64"]


@given(data=st.data(), element=st.sampled_from(ELEMENTS), n_threads=st.sampled_from([1, 2]))
def test_what_is_gathered_is_what_the_reference_gathers(
    data: st.DataObject, element: str, n_threads: int
) -> None:
    values: list[Value] = data.draw(columns(element, 20))
    numbers = st.one_of(st.none(), st.integers(0, len(values) - 1)) if values else st.none()
    few = data.draw(st.lists(numbers, max_size=40))
    rows = few * data.draw(st.sampled_from([1, 1, 2, 20]))
    column = make_chunk(element, values, data.draw(st.integers(0, 70)))
    chunks, width = data.draw(chunked("int64", list(rows))), np.dtype(element).itemsize
    run, n_parts = compiled("gather", n_threads), data.draw(st.integers(1, 4))
    found = gather(chunks, column, width, run, n_parts)
    present = np.ones(len(rows), bool)
    if found.bitmap is not None:
        bits = np.unpackbits(found.bitmap.view(np.uint8), bitorder="little")
        present = bits[: len(rows)] != 0
        assert not bits[len(rows) :].any()
    plain = found.values.view(element)
    assert not plain[~present].view(f"u{width}").any()
    expected = gather_by_definition(rows, values)
    assert present.tolist() == [value is not None for value in expected]
    there = np.array([value for value in expected if value is not None], element)
    assert plain[present].tobytes() == there.tobytes()


@pytest.mark.parametrize("n_rows", [0, 1, 63, 64, 65, 255, 256, 257])
def test_without_a_missing_value_there_is_no_bitmap(n_rows: int) -> None:
    values = np.arange(10) * 3
    rows = np.arange(n_rows) % 10
    found = gather([numpy_chunk(rows)], numpy_chunk(values), 8, compiled("gather"))
    assert found.bitmap is None
    assert found.values.view(np.int64).tolist() == values[rows].tolist()


def test_entries_load_where_there_is_no_numba() -> None:
    entries = importlib.import_module("fastfeat_kernels.gather.cpu").ENTRIES
    for entry in entries.values():
        load_object(*compile_entry(entry))  # refuses code that calls into Numba or libm
