"""The vocabulary kernels on an emulated device against dictionaries, in every order of threads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xxhash
from fastfeat_kernels import hashing
from fastfeat_kernels.column import ELEMENTS, TEXT
from fastfeat_kernels.hashing.reference import canonical_bytes, canonical_row
from fastfeat_kernels.vocabulary import cuda
from fastfeat_kernels.vocabulary.cuda import MISSING_IS_A_PART, MISSING_IS_NO_KEY, KeyTable
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat_tests.kernels.device_chunks import (
    ORDERS,
    Placed,
    downloaded,
    launch,
    place,
    runtime_of,
    uploaded,
)
from fastfeat_tests.kernels.kernel_columns import columns, make_chunk, text_chunk, text_columns

pytestmark = pytest.mark.emulator
Part = tuple[str, list[Any]]
Key = tuple[Any, ...] | None
WAYS = st.sampled_from([MISSING_IS_NO_KEY, MISSING_IS_A_PART])
IN_EVERY_ORDER = st.sampled_from(ORDERS)


@st.composite
def parts(draw: st.DrawFn, most: int = 3) -> list[Part]:
    """Return the parts of keys: columns of text or numbers, of one length."""
    n, found = draw(st.integers(0, 200)), list[Part]()
    for element in draw(st.lists(st.sampled_from([*ELEMENTS, TEXT]), min_size=1, max_size=most)):
        drawn = draw(text_columns() if element == TEXT else columns(element))
        if element.startswith("float"):  # some are missing by their bit, some are NaN
            drawn = [math.nan if k % 3 and x is None else x for k, x in enumerate(drawn)]
        found.append((element, (drawn * (n // max(len(drawn), 1) + 1) + [None] * n)[:n]))
    return found


def chunk_of(part: Part, bit: int = 3) -> Any:
    element, values = part
    return text_chunk(values, bit) if element == TEXT else make_chunk(element, values, bit)


def column_words(element: str, placed: Placed, indices: int = 0) -> list[int]:
    code = hashing.IS_TEXT if element == TEXT else ELEMENTS.index(element)
    bit = indices if element == TEXT else placed.value_bit_offset
    place_of = (placed.values, bit, placed.validity, placed.bit_offset)
    return [*place_of, code, placed.offsets, placed.offset_bytes, 0]


def placed_words(runtime: Runtime, given_parts: Sequence[Part]) -> tuple[list[int], object]:
    """Return the words of columns on a device, and what keeps them there."""
    held = [place(runtime, part[0], chunk_of(part), k) for k, part in enumerate(given_parts)]
    pairs = zip(given_parts, held, strict=True)
    return [word for (element, _), one in pairs for word in column_words(element, one)], held


def keys_of(given_parts: Sequence[Part], missing: int) -> list[Key]:
    """Return the key of each row; 0.0 and -0.0 are one, and so are bytes and their like only."""
    columns_of = ([None if v != v else v for v in values] for _, values in given_parts)
    rows = zip(*columns_of, strict=True)
    return [None if missing == MISSING_IS_NO_KEY and None in row else row for row in rows]


def zeros(runtime: Runtime, n: int) -> Buffer:
    return uploaded(runtime, bytes(8 * n))[1]


def counted(
    order: Any, given_parts: Sequence[Part], missing: int, weights: list[int] | None, n_slots: int
) -> tuple[dict[Key, tuple[int, int]], list[Key]]:
    """Return first row and count of each key that kernels find, and the key of each row."""
    runtime, n, text = runtime_of(order), len(given_parts[0][1]), cuda.text(64)
    words, _held = placed_words(runtime, given_parts)
    slots, counts, state = zeros(runtime, n_slots), zeros(runtime, n_slots), zeros(runtime, 3)
    rows, firsts, totals = (zeros(runtime, n + 1) for _ in range(3))
    table = KeyTable(
        len(given_parts), missing, slots.address, n_slots, state.address, n_slots, counts.address,
        rows=rows.address, firsts=firsts.address, totals=totals.address,
    )  # fmt: skip
    if weights is not None:
        held = uploaded(runtime, np.array(weights, np.int64).tobytes())
        table = replace(table, weights=held[0])
    launch(runtime, text, "insert_keys", [*table.words(), *words], 0, n)
    launch(runtime, text, "collect_keys", [*table.words(), *words], 0, n_slots)
    launch(runtime, text, "number_keys", [*table.words(), *words], 0, n)
    n_keys, is_full, n_collected = downloaded(runtime, state, np.int64, 3).tolist()
    assert (n_keys, is_full) == (n_collected, 0)
    keys, first_rows = keys_of(given_parts, missing), downloaded(runtime, firsts, np.int64, n_keys)
    found = [keys[row] for row in first_rows]
    counts_found = downloaded(runtime, totals, np.int64, n_keys).tolist()
    pairs = zip(first_rows.tolist(), counts_found, strict=True)
    numbers = downloaded(runtime, rows, np.int32, n).tolist()
    of_rows = [None if number < 0 else found[number] for number in numbers]
    return dict(zip(found, pairs, strict=True)), of_rows


@given(parts(), WAYS, st.data(), IN_EVERY_ORDER)
def test_keys_are_counted_as_by_a_dictionary(
    given_parts: list[Part], missing: int, data: st.DataObject, order: Any
) -> None:
    keys, n = keys_of(given_parts, missing), len(given_parts[0][1])
    weights = data.draw(st.none() | st.lists(st.integers(0, 5), min_size=n, max_size=n))
    expected: dict[Key, tuple[int, int]] = {}
    for row, (key, weight) in enumerate(zip(keys, weights or [1] * n, strict=True)):
        if key is not None and weight:
            first, count = expected.get(key, (row, 0))
            expected[key] = (first, count + weight)
    n_slots = 1 << len(expected).bit_length()  # hardly a free one: keys stand far from their place
    found, of_rows = counted(order, given_parts, missing, weights, n_slots)
    assert found == expected
    kept = [w > 0 for w in weights] if weights is not None else [True] * n
    assert of_rows == [key if keep else None for key, keep in zip(keys, kept, strict=True)]


@pytest.mark.parametrize("order", ORDERS)
def test_more_keys_than_a_block_counts_itself_are_counted_apart(order: Any) -> None:
    keys = np.random.default_rng(0).integers(0, 3000, 5000).tolist()
    found, _ = counted(order, [("int64", keys)], MISSING_IS_NO_KEY, None, 4096)
    assert {key: count for key, (_, count) in found.items()} == Counter((key,) for key in keys)


@pytest.mark.parametrize("order", ORDERS)
def test_a_table_that_is_full_says_so(order: Any) -> None:
    runtime = runtime_of(order)
    words, _held = placed_words(runtime, [("int32", list(range(300)))])
    slots, state, rows = zeros(runtime, 64), zeros(runtime, 3), zeros(runtime, 300)
    table = KeyTable(1, 0, slots.address, 64, state.address, limit=32, rows=rows.address)
    launch(runtime, cuda.text(64), "insert_keys", [*table.words(), *words], 0, 300)
    n_keys, is_full, _ = downloaded(runtime, state, np.int64, 3).tolist()
    assert n_keys > 32
    assert is_full == 1


def code_of(key: Key, places: dict[Any, int], n_unseen: int, is_cross: bool) -> int:
    if key is None:
        return 0
    if key in places:
        return 1 + n_unseen + places[key]
    content = canonical_row(key) if is_cross else canonical_bytes(key[0])
    return 1 + (xxhash.xxh64_intdigest(content) * n_unseen >> 64)


@given(parts(), WAYS, st.sampled_from([1, 7, 2**20]), st.data(), IN_EVERY_ORDER)
def test_rows_have_the_codes_of_their_keys(
    given_parts: list[Part], missing: int, n_unseen: int, data: st.DataObject, order: Any
) -> None:
    keys, is_cross = keys_of(given_parts, missing), len(given_parts) > 1 or missing > 0
    distinct = list(dict.fromkeys(key for key in keys if key is not None))
    known = data.draw(st.permutations(distinct))[: data.draw(st.integers(0, len(distinct)))]
    elements = [element for element, _ in given_parts]
    columns_of = [list(values) for values in zip(*known, strict=True)] or [[] for _ in elements]
    runtime, n, text = runtime_of(order), len(keys), cuda.text(64)
    known_words, _known = placed_words(runtime, list(zip(elements, columns_of, strict=True)))
    words, _held = placed_words(runtime, given_parts)
    n_slots = 1 << len(known).bit_length()
    slots, state, codes = zeros(runtime, n_slots), zeros(runtime, 3), zeros(runtime, n + 1)
    table = KeyTable(len(elements), missing, slots.address, n_slots, state.address, n_slots)
    launch(runtime, text, "insert_keys", [*table.words(), *known_words], 0, len(known))
    wanted = replace(table, rows=codes.address, n_unseen=n_unseen, is_cross=int(is_cross))
    launch(runtime, text, "look_up_keys", [*wanted.words(), *words, *known_words], 0, n)
    places: dict[Any, int] = {key: place for place, key in enumerate(known)}
    expected = [code_of(key, places, n_unseen, is_cross) for key in keys]
    assert downloaded(runtime, codes, np.int32, n).tolist() == expected


@pytest.mark.parametrize("order", ORDERS)
def test_entries_of_a_dictionary_are_the_text_of_rows(order: Any) -> None:
    runtime, text = runtime_of(order), cuda.text(64)
    entries = place(runtime, TEXT, text_chunk([b"a", None, b"b", b"a", b"never"], 5))
    indices = [0, 3, -1, 2, 1, 0, 2] * 20
    at, _held = uploaded(runtime, np.array(indices, np.int32).tobytes())
    known = place(runtime, TEXT, text_chunk([b"b", b"a"]))
    slots, state, codes = zeros(runtime, 4), zeros(runtime, 3), zeros(runtime, 200)
    table = KeyTable(1, MISSING_IS_NO_KEY, slots.address, 4, state.address, 4)
    known_words = column_words(TEXT, known)
    launch(runtime, text, "insert_keys", [*table.words(), *known_words], 0, 2)
    wanted = replace(table, rows=codes.address, n_unseen=1)
    words = [*wanted.words(), *column_words(TEXT, entries, at), *known_words]
    launch(runtime, text, "look_up_keys", words, 0, len(indices))
    of_entries = {0: 3, 3: 3, 2: 2, 1: 0, -1: 0}
    expected = [of_entries[index] for index in indices]
    assert downloaded(runtime, codes, np.int32, len(indices)).tolist() == expected


@pytest.mark.parametrize("element", ELEMENTS)
@given(data=st.data(), order=IN_EVERY_ORDER)
def test_numbers_are_taken_as_keys_hold_them(element: str, data: st.DataObject, order: Any) -> None:
    values = [*data.draw(columns(element)), None]
    runtime, n = runtime_of(order), len(values)
    at = data.draw(st.lists(st.integers(0, n - 1), max_size=50))
    words, _held = placed_words(runtime, [(element, values)])
    rows, _rows = uploaded(runtime, np.array(at, np.int64).tobytes())
    found, present = zeros(runtime, 51), zeros(runtime, 51)
    table = KeyTable(1, firsts=rows, totals=found.address, rows=present.address)
    launch(runtime, cuda.text(64), "take_numbers", [*table.words(), *words], 0, len(at))
    taken = [values[row] for row in at]
    assert downloaded(runtime, present, np.uint8, len(at)).tolist() == [
        v is not None for v in taken
    ]
    expected = [canonical_bytes(0 if v is None else v) for v in taken]
    raw = downloaded(runtime, found, np.uint64, len(at)).tolist()
    assert [word.to_bytes(8, "little") for word in raw] == expected


@pytest.mark.parametrize("order", ORDERS)
def test_values_are_read_by_number(order: Any) -> None:
    runtime, numbers = runtime_of(order), np.array([2, -1, 0, 1] * 50, np.int32)
    at, _numbers = uploaded(runtime, numbers.tobytes())
    values, _values = uploaded(runtime, np.array([10, 20, 30], np.int32).tobytes())
    target = zeros(runtime, 100)
    words = cuda.value_words(at, values, -7, target.address)
    launch(runtime, cuda.text(64), "read_values", words, 0, 200)
    assert downloaded(runtime, target, np.int32, 200).tolist() == [30, -7, 10, 20] * 50
