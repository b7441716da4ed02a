"""The driver of row kernels against its reference: the same bytes, whatever is read and written."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.memory import words_at
from fastfeat_kernels.rows import (
    AS_BITS,
    BLOCK,
    BLOCK_WORD,
    CODES,
    HEADER_WORDS,
    TILE_BYTES,
    TILE_WORDS,
    WANTS_FLAGS,
    WANTS_VALUES,
    scratch_bytes,
    tile_column_bytes,
    tile_rows,
)
from fastfeat_kernels.rows.reference import ENTRIES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import kernel_of, make_chunk

LOOPS = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
ELEMENTS = ("bool", "int16", "int64", "float16", "float32", "float64")


@dataclass(frozen=True)
class Case:
    """A column that the loop copies: its type, and which rows are missing."""

    element: str
    seed: int
    share_missing: float
    bit_offset: int


@dataclass(frozen=True)
class Matrix:
    """Where the floats of one type are written: how far apart rows and columns are, in elements."""

    element: str
    n_rows: int
    row_gap: int
    column_step: int


cases = st.builds(
    Case,
    st.sampled_from(ELEMENTS),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.0, 0.3, 1.0)),
    st.integers(0, 70),
)
matrices = st.none() | st.builds(
    Matrix,
    st.sampled_from(("uint8", "int16", "float16", "int32", "float32", "int64", "float64")),
    st.sampled_from((64, 192, BLOCK)),
    st.integers(0, 3),
    st.sampled_from((1, 1, 2)),
)


def values_of(case: Case, n: int) -> list[Any]:
    """Return the values of a column, None where missing."""
    rng = np.random.default_rng(case.seed)
    present = rng.random(n) >= case.share_missing
    if case.element == "bool":
        drawn = (rng.random(n) < 0.5).tolist()
    elif case.element.startswith("int"):
        drawn = rng.integers(-(2**15), 2**15, n).tolist()
    else:
        drawn = rng.normal(size=n).astype(case.element).tolist()
    return [value if ok else None for value, ok in zip(drawn, present, strict=True)]


def copying(columns: list[Case]) -> Any:
    """Return a loop that copies input k to output k; its status is a constant."""

    def loops(number: int, arguments: int, n: int) -> int:
        words = words_at(arguments, 4 * len(columns) + 1)
        for k, case in enumerate(columns):
            kind = np.dtype("uint8" if case.element == "bool" else case.element)
            source, flags, target, written = words[2 * k], words[2 * k + 1], 0, 0
            target, written = words[2 * (len(columns) + k)], words[2 * (len(columns) + k) + 1]
            ctypes.memmove(target, source, n * kind.itemsize)
            ctypes.memmove(written, flags, n)
            if kind.kind == "f":
                held = (ctypes.c_uint8 * (n * kind.itemsize)).from_address(target)
                absent = np.array(words_at(flags, n, signed=False, bits=8)) == 0
                np.frombuffer(memoryview(held), kind)[absent] = np.nan
        return words[4 * len(columns)] | number

    return LOOPS(loops)


def copying_bits(columns: list[Case]) -> Any:
    """Return a loop that copies input k to output k, with bools and flags as words of 64 rows."""

    def loops(number: int, arguments: int, n: int) -> int:
        words = words_at(arguments, 4 * len(columns) + 1)
        n_bits = -(-n // 64) * 8
        for k, case in enumerate(columns):
            source, flags = words[2 * k], words[2 * k + 1]
            target, written = words[2 * (len(columns) + k)], words[2 * (len(columns) + k) + 1]
            is_bool = case.element == "bool"
            n_bytes = n_bits if is_bool else n * np.dtype(case.element).itemsize
            ctypes.memmove(target, source, n_bytes)
            ctypes.memmove(written, flags, n_bits)
        return words[4 * len(columns)] | number

    return LOOPS(loops)


def driven(
    entry: Any,
    columns: list[Case],
    matrix: Matrix | None,
    n: int,
    first: int,
    status: int,
    form: int = 0,
) -> tuple[Any, ...]:
    """Return the status and all memory that the driver wrote, for rows [first, n)."""
    chunks = [make_chunk(c.element, values_of(c, n), c.bit_offset) for c in columns]
    padded = -(-n // 64) * 64
    outputs: list[np.ndarray[Any, Any]] = []
    bitmaps = [np.zeros(padded // 8 or 8, np.uint8) for _ in columns]
    header = [0, 0, 1, 4 * len(columns) + 8, BLOCK, *[0] * (HEADER_WORDS - 5)]
    words = [*header, 0, len(columns), len(columns), 1]
    for case, chunk in zip(columns, chunks, strict=True):
        kind = CODES[case.element] | WANTS_VALUES | WANTS_FLAGS | form
        words += [kind, chunk.values, chunk.value_bit_offset, chunk.validity, chunk.bit_offset]
    places = {} if matrix is None else _places_in_tile(columns, matrix)
    for k, (case, bitmap) in enumerate(zip(columns, bitmaps, strict=True)):
        flags = 0 if case.element.startswith("float") else WANTS_FLAGS | form
        outputs.append(np.zeros(max(64, padded), "u1" if case.element == "bool" else case.element))
        address = places.get(k, outputs[-1].ctypes.data)
        words += [CODES[case.element] | flags, address, bitmap.ctypes.data, 0, k in places]
    loops = copying_bits(columns) if form else copying(columns)
    table = np.array([*words, status], np.int64)
    n_bytes = scratch_bytes(header[3], 2 * len(columns))
    scratch = np.zeros(n_bytes + (1 << 18), np.uint8)
    table[0] = scratch.ctypes.data + -scratch.ctypes.data % 64
    table[1] = ctypes.cast(loops, ctypes.c_void_p).value or 0
    if matrix is not None:
        step = matrix.column_step
        element = np.dtype(matrix.element)
        outputs.append(np.zeros((n, len(places) * step + matrix.row_gap), element))
        row, column = outputs[-1].strides[0], step * element.itemsize
        tile = table[0] + n_bytes, tile_column_bytes(matrix.n_rows, element.itemsize), len(places)
        address = outputs[-1].ctypes.data
        table[BLOCK_WORD] = matrix.n_rows
        table[TILE_WORDS] = *tile, CODES[matrix.element], address, row, column
    found = entry(table.ctypes.data, first, n - first)
    of_inputs = HEADER_WORDS + 4 + 5 * len(columns)
    missing = table[of_inputs:].tolist()[3 : 5 * len(columns) : 5]
    return found, missing, [o.tobytes() for o in outputs], [b.tobytes() for b in bitmaps]


def _places_in_tile(columns: list[Case], matrix: Matrix) -> dict[int, int]:
    """Return where the columns of the type of a matrix are in its tile, by their number."""
    own = [k for k, case in enumerate(columns) if case.element == matrix.element]
    n_bytes = tile_column_bytes(matrix.n_rows, np.dtype(matrix.element).itemsize)
    return {k: place * n_bytes for place, k in enumerate(own)}


@settings(deadline=None)
@given(
    st.lists(cases, min_size=1, max_size=4),
    matrices,
    st.integers(0, 3 * BLOCK),
    st.integers(0, 4),
    st.sampled_from((0, 1, 5)),
)
@example([Case(e, 1, 0.3, 13) for e in ELEMENTS], None, 2 * BLOCK + 77, 1, 3)
@example([Case("float64", 2, 1.0, 7)], Matrix("float64", 64, 0, 1), 0, 0, 0)
@example([Case("float32", k, 0.3, k) for k in range(19)], Matrix("float32", 64, 0, 1), 83, 0, 0)
@example([Case("float16", k, 0.3, k) for k in range(19)], Matrix("float16", 64, 0, 1), 83, 0, 0)
@example([Case("uint8", k, 0.0, k) for k in range(19)], Matrix("uint8", 64, 0, 1), 83, 0, 0)
@example([Case("float64", k, 0.3, k) for k in range(9)], Matrix("float64", 64, 1, 1), 200, 1, 0)
@example([Case("float64", k, 0.3, k) for k in range(9)], Matrix("float64", 64, 0, 2), 100, 0, 0)
def test_the_driver_writes_what_its_reference_writes(
    columns: list[Case], matrix: Matrix | None, n: int, first_word: int, status: int
) -> None:
    first = min(64 * first_word, n - n % 64)
    compiled = driven(kernel_of("rows", "blocks"), columns, matrix, n, first, status)
    assert compiled == driven(ENTRIES["blocks"], columns, matrix, n, first, status)


@settings(deadline=None)
@given(
    st.lists(cases, min_size=1, max_size=4),
    st.integers(0, 3 * BLOCK),
    st.integers(0, 4),
    st.sampled_from((0, 1, 5)),
)
@example([Case(e, 1, 0.3, 13) for e in ELEMENTS[:3]], 2 * BLOCK + 77, 1, 3)
def test_bits_are_written_as_the_reference_writes_them(
    columns: list[Case], n: int, first_word: int, status: int
) -> None:
    columns = [case for case in columns if not case.element.startswith("float")]
    first = min(64 * first_word, n - n % 64)
    compiled = driven(kernel_of("rows", "blocks"), columns, None, n, first, status, AS_BITS)
    assert compiled == driven(ENTRIES["blocks"], columns, None, n, first, status, AS_BITS)


def test_the_driver_copies_values_and_counts_what_is_missing() -> None:
    columns = [Case("int64", 4, 0.3, 3), Case("float64", 5, 0.3, 9)]
    n = BLOCK + 100
    found, missing, outputs, bitmaps = driven(kernel_of("rows", "blocks"), columns, None, n, 0, 4)
    assert found == 4
    for k, case in enumerate(columns):
        expected = values_of(case, n)
        assert missing[k] == sum(value is None for value in expected)
        bits = np.unpackbits(np.frombuffer(bitmaps[k], np.uint8), bitorder="little")[:n]
        assert bits.tolist() == [value is not None for value in expected]
        written = np.frombuffer(outputs[k], case.element)[:n]
        present = [(a, b) for a, b in zip(written.tolist(), expected, strict=True) if b is not None]
        assert all(a == b for a, b in present)
        assert len(present) == n - missing[k]


@pytest.mark.parametrize("element", ["float32", "float64"])
def test_the_driver_writes_the_rows_of_a_matrix(element: str) -> None:
    columns = [Case(element, k, 0.3, k) for k in range(17)]
    n = 2 * 64 + 13
    entry, matrix = kernel_of("rows", "blocks"), Matrix(element, 64, 0, 1)
    outputs = driven(entry, columns, matrix, n, 0, 0)[2]
    written = np.frombuffer(outputs[-1], element).reshape(n, len(columns))
    for k, case in enumerate(columns):
        expected = [np.nan if value is None else value for value in values_of(case, n)]
        np.testing.assert_array_equal(written[:, k], expected)


@pytest.mark.parametrize(("n_columns", "item_bytes"), [(1, 4), (50, 4), (300, 8), (20_000, 8)])
def test_a_tile_stays_in_the_cache_and_has_whole_words_of_rows(
    n_columns: int, item_bytes: int
) -> None:
    n_rows = tile_rows(n_columns, item_bytes)
    assert 64 <= n_rows <= BLOCK
    assert n_rows % 64 == 0
    assert n_rows == 64 or n_rows * n_columns * item_bytes <= TILE_BYTES
    apart = tile_column_bytes(n_rows, item_bytes)
    assert apart >= n_rows * item_bytes
    assert apart // 64 % 2 == 1
