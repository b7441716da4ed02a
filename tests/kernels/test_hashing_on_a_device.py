"""The hashing kernels on an emulated device against the reference, over the same table."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import xxhash
from fastfeat_kernels import hashing
from fastfeat_kernels.column import ELEMENTS, TEXT
from fastfeat_kernels.hashing import cuda
from fastfeat_kernels.hashing.reference import ENTRIES
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.device_chunks import (
    ORDERS,
    Placed,
    downloaded,
    launch,
    place,
    runtime_of,
)
from fastfeat_tests.kernels.kernel_columns import columns, make_chunk, text_chunk, text_columns

pytestmark = pytest.mark.emulator
SEEDS = st.sampled_from([0, 1, 2**63, 2**64 - 1])
CONTENT = bytes((i * 73 + 41) % 256 for i in range(300))


def column_words(element: str, placed: Placed, start: int) -> list[int]:
    """Return the words of a column, whose first row is row `start`."""
    code = hashing.IS_TEXT if element == TEXT else ELEMENTS.index(element)
    bits = (placed.value_bit_offset, placed.validity, placed.bit_offset)
    return [placed.values, *bits, code, placed.offsets, placed.offset_bytes, start]


def hashes_of(
    order: Any, entry: str, given_columns: list[tuple[str, Any]], seed: int, start: int = 0
) -> tuple[list[int], list[int]]:
    """Return the hashes of a kernel, and those of the reference over the same table."""
    runtime, n = runtime_of(order), given_columns[0][1].length
    placed = [
        (e, place(runtime, e, chunk, k + start)) for k, (e, chunk) in enumerate(given_columns)
    ]
    columns_words = [w for e, p in placed for w in column_words(e, p, start)]
    out = runtime.allocate(8 * max(n, 1))
    words = [len(placed), seed, out.address - 8 * start, 0, *columns_words]
    launch(runtime, cuda.text(64), cuda.KERNELS[entry], words, start, n)
    table = np.array([w % 2**64 for w in words], np.uint64)
    expected = (ctypes.c_uint64 * max(n, 1))()
    table[hashing.HASHES] = ctypes.addressof(expected) - 8 * start
    assert ENTRIES[entry](table.ctypes.data, start, n) == 0
    return downloaded(runtime, out, np.uint64, n).tolist(), [*expected][:n]


@pytest.mark.parametrize("element", ELEMENTS)
@given(st.data(), SEEDS, st.sampled_from(ORDERS))
def test_numbers_hash_as_in_the_reference(
    element: str, data: st.DataObject, seed: int, order: Any
) -> None:
    values, as_nan = data.draw(columns(element)), element.startswith("float")
    chunk = make_chunk(element, values, data.draw(st.integers(0, 70)), as_nan and seed > 0)
    found, expected = hashes_of(order, "numbers", [(element, chunk)], seed, start=seed % 3)
    assert found == expected


@given(text_columns(), st.integers(0, 70), st.sampled_from([4, 8]), SEEDS, st.sampled_from(ORDERS))
def test_text_hashes_as_in_the_reference(
    values: Any, bit: int, width: int, seed: int, order: Any
) -> None:
    chunk = text_chunk(values, bit, width)
    found, expected = hashes_of(order, TEXT, [(TEXT, chunk)], seed, start=bit % 9)
    assert found == expected


@pytest.mark.parametrize("skipped", range(8))
def test_text_of_every_length_hashes_at_every_address(skipped: int) -> None:
    texts = [CONTENT[:n] for n in range(140)]
    runtime = runtime_of("forward")
    placed = place(runtime, TEXT, text_chunk(texts, before=b""), skipped)
    out = runtime.allocate(8 * len(texts))
    words = [1, 5, out.address, 0, *column_words(TEXT, placed, 0)]
    launch(runtime, cuda.text(64), "hash_text", words, 0, len(texts))
    found = downloaded(runtime, out, np.uint64, len(texts)).tolist()
    assert found == [xxhash.xxh64_intdigest(text, 5) for text in texts]


@given(st.data(), SEEDS, st.sampled_from(ORDERS))
def test_rows_hash_as_in_the_reference(data: st.DataObject, seed: int, order: Any) -> None:
    text = data.draw(text_columns())
    n = len(text)
    given_columns: list[tuple[str, Any]] = [(TEXT, text_chunk(text, seed % 7, 8))]
    for element in data.draw(st.lists(st.sampled_from(ELEMENTS), max_size=3)):
        drawn = data.draw(columns(element))
        values = (drawn * (n // max(len(drawn), 1) + 1) + [None] * n)[:n]
        given_columns.append((element, make_chunk(element, values, 3)))
    order_of_columns = data.draw(st.permutations(given_columns))
    found, expected = hashes_of(order, "mixed", order_of_columns, seed)
    assert found == expected


def test_buckets_are_the_high_part_of_a_product() -> None:
    runtime, n_buckets = runtime_of("random"), 2**31 - 1
    placed = place(runtime, "int64", make_chunk("int64", [*range(200), None]))
    out = runtime.allocate(4 * 201)
    words = [1, 0, out.address, n_buckets, *column_words("int64", placed, 0)]
    launch(runtime, cuda.text(64), "hash_numbers", words, 0, 201)
    hashes = [xxhash.xxh64_intdigest(k.to_bytes(8, "little")) for k in range(200)]
    expected = [hashed * n_buckets >> 64 for hashed in hashes]
    assert downloaded(runtime, out, np.int32, 201).tolist() == [*expected, 0]


@pytest.mark.parametrize("start", [(1 << 31) - 50, (1 << 32) - 1, 1 << 40])
def test_rows_beyond_32_bits_are_those_of_the_beginning(start: int) -> None:
    runtime, text = runtime_of("random"), text_chunk([CONTENT[:n] for n in range(100)], 5)
    numbers = make_chunk("float32", [0.5 * k if k % 7 else None for k in range(100)], 6)
    given_columns = [(TEXT, text), ("float32", numbers)]
    found: list[list[int]] = []
    for first in (0, start):
        placed = [(element, place(runtime, element, chunk)) for element, chunk in given_columns]
        out = runtime.allocate(800)
        columns_words = [w for e, p in placed for w in column_words(e, p, first)]
        words = [2, 0, out.address - 8 * first, 0, *columns_words]
        launch(runtime, cuda.text(64), "hash_rows", words, first, 100)
        found.append(downloaded(runtime, out, np.uint64, 100).tolist())
    assert found[0] == found[1]
