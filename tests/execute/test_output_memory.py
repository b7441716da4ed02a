"""`out=`: the memory that a user gives for a matrix is written whole, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch

N_ROWS = 100
ROWS = {"x": np.arange(N_ROWS, dtype=np.float64), "i": np.arange(N_ROWS)}
FITTED = ff.Plan({"a": col("x") + 1, "b": col("x") * 2, "c": col("i") - 1}).fit(ROWS)
EXPECTED = np.column_stack([ROWS["x"] + 1, ROWS["x"] * 2, ROWS["i"] - 1])


def test_the_array_given_is_returned():
    out = np.empty((N_ROWS, 3))
    assert FITTED.transform(ROWS, to="numpy", out=out) is out
    np.testing.assert_array_equal(out, EXPECTED)
    by_reference = np.empty((N_ROWS, 3))
    assert FITTED.transform(ROWS, to="numpy", out=by_reference, backend="reference") is by_reference
    np.testing.assert_array_equal(by_reference, EXPECTED)


def read_only() -> Any:
    out = np.empty((N_ROWS, 3))
    out.flags.writeable = False
    return out


def self_overlapping() -> Any:
    memory = np.empty(N_ROWS + 2)
    return np.lib.stride_tricks.as_strided(memory, (N_ROWS, 3), (8, 8))


def misaligned() -> Any:
    return np.empty(N_ROWS * 24 + 1, np.uint8)[1:].view(np.float64).reshape(N_ROWS, 3)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((N_ROWS + 1, 3)), InvalidData, r"must have shape \(100, 3\) and type float64"),
        (np.empty((3, N_ROWS)), InvalidData, r"got \(3, 100\) and float64"),
        (np.empty(N_ROWS * 3), InvalidData, r"must have shape \(100, 3\)"),
        (np.empty((N_ROWS, 3), np.float32), InvalidData, "got .* and float32"),
        (np.empty((N_ROWS, 3), ">f8"), InvalidData, "got .* and >f8"),
        (np.empty((N_ROWS, 3), object), InvalidData, "got .* and object"),
        (read_only(), InvalidData, "is read-only. Pass a writeable array"),
        (misaligned(), InvalidData, "must be aligned: .* multiples of 8 bytes"),
        (np.broadcast_to(np.empty((1, 3)), (N_ROWS, 3)), InvalidData, "writeable"),
        (
            np.lib.stride_tricks.as_strided(np.empty(3), (N_ROWS, 3), (0, 8)),
            InvalidData,
            "overlap itself",
        ),
        (
            np.lib.stride_tricks.as_strided(np.empty(N_ROWS), (N_ROWS, 3), (8, 0)),
            InvalidData,
            "overlap itself",
        ),
        (self_overlapping(), InvalidData, "overlap itself"),
        ([[0.0] * 3] * N_ROWS, TypeMismatch, "must be a NumPy array, got list"),
        (pa.array([1.0]), TypeMismatch, "must be a NumPy array"),
    ],
)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_memory_that_cannot_take_the_matrix_is_refused(out, error, message, backend):
    with pytest.raises(error, match=message):
        FITTED.transform(ROWS, to="numpy", out=out, backend=backend)


def test_memory_for_a_table_is_refused():
    with pytest.raises(InvalidPlan, match="out= is for to='numpy'"):
        FITTED.transform(ROWS, out=np.empty((N_ROWS, 3)))


def test_memory_that_overlaps_an_input_is_refused():
    memory = np.zeros((N_ROWS, 3), order="F")
    rows = {"x": memory[:, 1], "i": ROWS["i"]}
    with pytest.raises(InvalidData, match="overlaps the memory of the input column 'x'"):
        FITTED.transform(rows, to="numpy", out=memory)
    assert not memory.any()
    arrow = pa.table({"x": pa.array(memory[:, 0]), "i": ROWS["i"]})
    assert arrow["x"].chunk(0).buffers()[1].address == memory.ctypes.data
    with pytest.raises(InvalidData, match="overlaps the memory"):
        FITTED.transform(arrow, to="numpy", out=memory)
    FITTED.transform({**rows, "x": memory[:, 1].copy()}, to="numpy", out=memory)
    np.testing.assert_array_equal(memory[:, 0], 1.0)


def test_memory_that_overlaps_an_unused_column_is_taken():
    memory = np.zeros((N_ROWS, 3), order="F")
    FITTED.transform({**ROWS, "unused": memory[:, 0]}, to="numpy", out=memory)
    np.testing.assert_array_equal(memory, EXPECTED)


def test_features_share_no_memory_with_the_input():
    rows = {"x": ROWS["x"].copy()}
    features = ff.Plan({"x": col("x")}).fit(rows).transform(rows)
    rows["x"][:] = -1
    assert features["x"].to_pylist() == ROWS["x"].tolist()


def test_no_rows_need_no_memory():
    nothing = {name: values[:0] for name, values in ROWS.items()}
    assert FITTED.transform(nothing, to="numpy", out=np.empty((0, 3))).shape == (0, 3)


def test_only_the_rows_of_a_view_are_written():
    memory = np.full((2 * N_ROWS, 5), 7.0)
    FITTED.transform(ROWS, to="numpy", out=memory[1::2, 1:4])
    np.testing.assert_array_equal(memory[1::2, 1:4], EXPECTED)
    memory[1::2, 1:4] = 7.0
    assert (memory == 7.0).all()
