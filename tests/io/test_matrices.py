"""Matrices in: their columns, which are strided, are copied together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu.threads import run_tasks
from fastfeat.io.sources.read import read_table
from fastfeat.io.sources.strided import ROWS_PER_TASK, contiguous_columns, run_in_turn

TYPES = ["bool", "int8", "int64", "uint16", "float32", "float64", "M8[ns]", "m8[s]", ">f8"]


def matrix_of(dtype: str, n_rows: int, n_columns: int, seed: int = 1) -> np.ndarray:
    """Return a matrix in row order."""
    drawn = np.random.default_rng(seed).integers(0, 100, (n_rows, n_columns))
    return drawn.astype("i8" if dtype[0] in "Mm" else dtype).astype(dtype)


@given(st.data())
def test_strided_columns_are_what_they_were(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(TYPES))
    n_rows, n_columns = data.draw(st.integers(0, 1100)), data.draw(st.integers(1, 7))
    matrix = matrix_of(dtype, n_rows, n_columns)
    if data.draw(st.booleans()):
        matrix = matrix[::-1]
    if data.draw(st.booleans()):
        matrix = matrix[:, ::-1]
    other = matrix_of("float64", n_rows, 3, seed=2)
    columns = [matrix[:, k] for k in data.draw(st.lists(st.integers(0, n_columns - 1)))]
    columns += [other[:, k] for k in data.draw(st.lists(st.integers(0, 2)))]
    shuffled = data.draw(st.permutations(columns))
    found = contiguous_columns(shuffled)
    assert len(found) == len(shuffled)
    for column, copy in zip(shuffled, found, strict=True):
        assert copy.dtype == column.dtype
        assert copy.flags.c_contiguous
        assert copy.tobytes() == column.tobytes()


def test_long_columns_are_copied_on_threads() -> None:
    matrix = matrix_of("float32", 3 * ROWS_PER_TASK + 17, 3)
    columns = [matrix[:, k] for k in (2, 0, 1)]
    for run in (run_in_turn, run_tasks):
        for column, copy in zip(columns, contiguous_columns(columns, run), strict=True):
            np.testing.assert_array_equal(copy, column)


def test_what_is_contiguous_is_not_copied() -> None:
    matrix = np.asfortranarray(matrix_of("float64", 100, 3))
    columns = [matrix[:, 0], [1, 2], matrix[:, 2], np.ma.masked_less(matrix[:, 1], 50)]
    found = contiguous_columns(columns)
    assert all(one is other for one, other in zip(found, columns, strict=True))
    table = read_table({name: matrix[:, k] for k, name in enumerate("abc")})
    addresses = [table[k].chunk(0).buffers()[1].address for k in range(3)]
    assert addresses == [matrix[:, k].ctypes.data for k in range(3)]


def test_columns_of_objects_and_of_one_value_are_read() -> None:
    words = np.array([["a", 1], ["b", 2]], object)
    same = as_strided(np.array([7.0]), (2,), (0,))
    table = read_table({"t": words[:, 0], "n": words[:, 1], "x": same, "y": same})
    assert table.to_pydict() == {"t": ["a", "b"], "n": [1, 2], "x": [7.0, 7.0], "y": [7.0, 7.0]}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_matrix_is_the_table_of_its_columns(order: str, dtype: str) -> None:
    matrix = np.array(matrix_of(dtype, 700, 5), order=order)  # pyright: ignore
    names = [f"x{k}" for k in range(5)]
    expected = read_table({name: matrix[:, k].copy() for k, name in enumerate(names)})
    assert read_table({name: matrix[:, k] for k, name in enumerate(names)}).equals(expected)
    some = {"x3": matrix[:, 3], "x1": matrix[:, 1]}
    assert read_table(some).equals(expected.select(["x3", "x1"]))


def test_a_frame_over_a_matrix_in_row_order_gives_equal_features() -> None:
    matrix = matrix_of("float64", 3000, 4)
    matrix[matrix < 10] = np.nan
    names = ["a", "b", "c", "d"]
    frame = pd.DataFrame(matrix, columns=names, copy=False)
    plan = ff.Plan({name: col(name).standard_scale() for name in names})
    in_columns = {name: matrix[:, k].copy() for k, name in enumerate(names)}
    expected = plan.fit(in_columns).transform(in_columns)
    assert plan.fit(frame).transform(frame).equals(expected)
    strided = {name: matrix[:, k] for k, name in enumerate(names)}
    assert plan.fit(strided).transform(strided).equals(expected)
