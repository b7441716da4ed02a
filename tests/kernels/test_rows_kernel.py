"""The driver of row kernels against its reference: the same bytes, whatever is read and written."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastfeat_kernels.memory import words_at
from fastfeat_kernels.rows import (
    BLOCK,
    CODES,
    WANTS_FLAGS,
    WANTS_VALUES,
    scratch_bytes,
)
from fastfeat_kernels.rows.reference import ENTRIES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_columns import kernel_of, make_chunk

LOOPS = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
ELEMENTS = ("bool", "int16", "int64", "float32", "float64")


@dataclass(frozen=True)
class Case:
    """A column that the loop copies: its type, which rows are missing, and how it is written."""

    element: str
    seed: int
    share_missing: float
    bit_offset: int
    strided: bool


cases = st.builds(
    Case,
    st.sampled_from(ELEMENTS),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.0, 0.3, 1.0)),
    st.integers(0, 70),
    st.booleans(),
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


def driven(entry: Any, columns: list[Case], n: int, first: int, status: int) -> tuple[Any, ...]:
    """Return the status and all memory that the driver wrote, for rows [first, n)."""
    chunks = [make_chunk(c.element, values_of(c, n), c.bit_offset) for c in columns]
    padded = -(-n // 64) * 64
    outputs: list[np.ndarray[Any, Any]] = []
    bitmaps = [np.zeros(padded // 8 or 8, np.uint8) for _ in columns]
    words = [0, 0, 1, 4 * len(columns) + 8, 0, len(columns), len(columns), 1]
    for case, chunk in zip(columns, chunks, strict=True):
        kind = CODES[case.element] | WANTS_VALUES | WANTS_FLAGS
        words += [kind, chunk.values, chunk.value_bit_offset, chunk.validity, chunk.bit_offset]
    for case, bitmap in zip(columns, bitmaps, strict=True):
        is_float = case.element.startswith("float")
        kind = np.dtype("uint8" if case.element == "bool" else case.element)
        rows_apart = 3 if case.strided and is_float else 1
        outputs.append(np.zeros(max(64, padded) * rows_apart, kind))
        stride = rows_apart * kind.itemsize if rows_apart > 1 else 0
        flags = 0 if is_float else WANTS_FLAGS
        address = outputs[-1].ctypes.data
        words += [CODES[case.element] | flags, address, bitmap.ctypes.data, 0, stride]
    loops = copying(columns)
    scratch = np.zeros(scratch_bytes(words[3], 2 * len(columns)) + 64, np.uint8)
    table = np.array([*words, status], np.int64)
    table[0] = scratch.ctypes.data + -scratch.ctypes.data % 64
    table[1] = ctypes.cast(loops, ctypes.c_void_p).value or 0
    found = entry(table.ctypes.data, first, n - first)
    missing = table[8 + 5 * len(columns) :].tolist()[3 : 5 * len(columns) : 5]
    return found, missing, [o.tobytes() for o in outputs], [b.tobytes() for b in bitmaps]


@settings(deadline=None)
@given(
    st.lists(cases, min_size=1, max_size=4),
    st.integers(0, 3 * BLOCK),
    st.integers(0, 4),
    st.sampled_from((0, 1, 5)),
)
@example([Case(e, 1, 0.3, 13, e == "float32") for e in ELEMENTS], 2 * BLOCK + 77, 1, 3)
@example([Case("float64", 2, 1.0, 7, True)], 0, 0, 0)
def test_the_driver_writes_what_its_reference_writes(
    columns: list[Case], n: int, first_word: int, status: int
) -> None:
    first = min(64 * first_word, n - n % 64)
    compiled = driven(kernel_of("rows", "blocks"), columns, n, first, status)
    assert compiled == driven(ENTRIES["blocks"], columns, n, first, status)


def test_the_driver_copies_values_and_counts_what_is_missing() -> None:
    columns = [Case("int64", 4, 0.3, 3, False), Case("float64", 5, 0.3, 9, True)]
    n = BLOCK + 100
    found, missing, outputs, bitmaps = driven(kernel_of("rows", "blocks"), columns, n, 0, 4)
    assert found == 4
    for k, case in enumerate(columns):
        expected = values_of(case, n)
        assert missing[k] == sum(value is None for value in expected)
        bits = np.unpackbits(np.frombuffer(bitmaps[k], np.uint8), bitorder="little")[:n]
        assert bits.tolist() == [value is not None for value in expected]
        written = np.frombuffer(outputs[k], case.element)[:: 3 if case.strided else 1][:n]
        present = [(a, b) for a, b in zip(written.tolist(), expected, strict=True) if b is not None]
        assert all(a == b for a, b in present)
        assert len(present) == n - missing[k]
