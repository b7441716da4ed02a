"""Hashes against the xxhash package, published numbers and the reference."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
import xxhash
from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.hashing.reference import ENTRIES, canonical_bytes, canonical_row, xxh64
from fastfeat_kernels.hashing.state import HashedColumn, hash_column, hash_rows
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import (
    chunked,
    chunked_text,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    reference,
    text_chunk,
    text_columns,
)

SEEDS = st.one_of(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
RUNS = st.sampled_from([reference(ENTRIES), compiled("hashing"), compiled("hashing", 3)])
CONTENT = bytes((i * 73 + 41) % 256 for i in range(4200))

# XXH64 with seed 0; the first three are published with the algorithm and its ports.
PUBLISHED = {
    b"": 0xEF46DB3751D8E999,
    b"a": 0xD24EC4F1A98C6E5B,
    b"abc": 0x44BC2CF5AD770999,
}
# Of fastfeat: canonical bytes, in hexadecimal, and their hash with seed 0.
CANONICAL: dict[Any, tuple[str, int]] = {
    0: ("0000000000000000", 0x34C96ACDCADB1BBB),
    1: ("0100000000000000", 0x9F29CB17A2A49995),
    -1: ("ffffffffffffffff", 0x85D136ADB773C6C9),
    1.5: ("000000000000f83f", 0x49F7B96B6B5CCAF9),
    b"JFK": ("4a464b", 0xEFBB2A10102131A4),
}


def oracle(content: bytes, seed: int) -> int:
    return xxhash.xxh64_intdigest(content, seed)


@pytest.mark.parametrize("content", PUBLISHED)
def test_published_vectors(content: bytes) -> None:
    assert xxh64(content) == PUBLISHED[content]
    assert hash_column("text", [text_chunk([content])], compiled("hashing"))[0] == xxh64(content)


@pytest.mark.parametrize("seed", [0, 1, 0x9E3779B185EBCA87, 2**64 - 1])
def test_all_lengths_hash_as_the_package_does(seed: int) -> None:
    texts = [CONTENT[:n] for n in [*range(201), 4000, 4095, 4096, 4097, 4128, 4200]]
    expected = [oracle(text, seed) for text in texts]
    assert [xxh64(text, seed) for text in texts] == expected
    found = hash_column("text", [text_chunk(texts)], compiled("hashing"), seed=seed)
    assert found.tolist() == expected


@pytest.mark.parametrize("element", ELEMENTS)
@given(st.data(), SEEDS, RUNS, st.integers(1, 4))
def test_numbers_hash_as_their_canonical_bytes(
    element: str, data: st.DataObject, seed: int, run: Any, n_parts: int
) -> None:
    values = data.draw(columns(element))
    found = hash_column(element, data.draw(chunked(element, values)), run, n_parts, seed=seed)
    missing = [0 if value is None else oracle(canonical_bytes(value), seed) for value in values]
    assert found.tolist() == missing


@given(st.data(), SEEDS, RUNS, st.integers(1, 4))
def test_text_hashes_as_its_bytes(data: st.DataObject, seed: int, run: Any, n_parts: int) -> None:
    values = data.draw(text_columns())
    found = hash_column("text", data.draw(chunked_text(values)), run, n_parts, seed=seed)
    assert found.tolist() == [0 if value is None else oracle(value, seed) for value in values]


@given(st.data(), SEEDS, RUNS, st.integers(1, 4))
def test_rows_hash_as_their_parts_with_lengths(
    data: st.DataObject, seed: int, run: Any, n_parts: int
) -> None:
    text = data.draw(text_columns())
    n = len(text)
    columns_of: list[tuple[str, list[Any]]] = [("text", text)]
    for element in data.draw(st.lists(st.sampled_from(ELEMENTS), max_size=3)):
        drawn = data.draw(columns(element))
        columns_of.append((element, (drawn * (n // max(len(drawn), 1) + 1) + [None] * n)[:n]))
    given_columns = [
        HashedColumn(
            element,
            data.draw(chunked_text(values) if element == "text" else chunked(element, values)),
        )
        for element, values in columns_of
    ]
    found = hash_rows(given_columns, run, n_parts, seed=seed)
    rows = zip(*(values for _, values in columns_of), strict=True)
    assert found.tolist() == [oracle(canonical_row(row), seed) for row in rows]


def test_rows_of_long_text_hash_as_their_parts() -> None:
    texts = [CONTENT[:n] * 300 for n in (4078, 4079, 4087, 4088, 4096, 31, 32, 33)]
    texts += [CONTENT[:n] for n in range(4060, 4110)]
    twice = [HashedColumn("text", [text_chunk(texts)])] * 2
    expected = [oracle(canonical_row([text, text]), 0) for text in texts]
    assert hash_rows(twice, compiled("hashing")).tolist() == expected


@pytest.mark.parametrize("value", CANONICAL, ids=repr)
def test_canonical_bytes_and_hashes_stay_what_they_are(value: Any) -> None:
    content, hashed = CANONICAL[value]
    assert canonical_bytes(value).hex() == content
    assert xxh64(canonical_bytes(value)) == hashed == oracle(bytes.fromhex(content), 0)


def test_canonical_rows_tell_what_concatenation_would_not() -> None:
    rows = [[b"ab", b"c"], [b"a", b"bc"], [b"abc", None], [None, b"abc"], [b"abc", b""]]
    rows += [[0, b""], [0.0, b""], [None, b""], [bytes(8), b""]]
    assert len({canonical_row(row) for row in rows}) == len(rows)
    assert canonical_row([7, None]) == struct.pack("<BqqBq", 1, 8, 7, 0, 0)


def test_an_integer_hashes_the_same_whatever_its_width() -> None:
    hashes = {
        int(hash_column(element, [make_chunk(element, [1])], compiled("hashing"))[0])
        for element in ELEMENTS
        if not element.startswith("float")
    }
    assert hashes == {CANONICAL[1][1]}


def test_uint64_beyond_int64_hashes_as_its_bits() -> None:
    chunk = numpy_chunk(np.array([2**64 - 1], np.uint64))
    assert hash_column("uint64", [chunk], compiled("hashing")).tolist() == [CANONICAL[-1][1]]


def test_no_rows_have_no_hashes() -> None:
    run = compiled("hashing")
    assert len(hash_column("int64", [], run, 4)) == 0
    assert len(hash_column("text", [text_chunk([])], run)) == 0
    assert len(hash_rows([HashedColumn("text", []), HashedColumn("int8", [])], run)) == 0
