"""Vocabularies against counting in a dict and sorting, and the reference, also on hard keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import product
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import pytest
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import ELEMENTS, key_of
from fastfeat_kernels.vocabulary import ordering, partitions, spans, tables
from fastfeat_kernels.vocabulary.growing import (
    count_into,
    count_keys_of,
    distinct_keys,
    drop_slots,
    growing,
)
from fastfeat_kernels.vocabulary.keys import TextKeys, number_keys, numbers_of, text_keys, values_of
from fastfeat_kernels.vocabulary.ordering import final_order
from fastfeat_kernels.vocabulary.reference import ENTRIES
from fastfeat_kernels.vocabulary.spans import counts_of, numbers_of_codes
from fastfeat_kernels.vocabulary.state import (
    DistinctKeys,
    OrderedKeys,
    RowIds,
    RowKeys,
    are_numbers,
    index_of,
    learn,
    lookup,
    ordered,
    row_values,
)
from fastfeat_kernels.vocabulary.tables import VocabularyTooLarge
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import (
    TextPiece,
    chunked,
    chunked_text,
    columns,
    compiled,
    make_chunk,
    numpy_chunk,
    reference,
    text_chunk,
    text_columns,
    texts,
)

COMPILED = compiled("vocabulary")
RUNS = st.sampled_from([reference(ENTRIES), COMPILED, compiled("vocabulary", 3)])
PARTS = st.integers(1, 5)
MANY = 120_000


def no_ranges() -> Any:
    """Let no range of keys be narrow."""
    never = 2**62
    return patch.multiple(spans, ALWAYS_NARROW=-never, ROWS_PER_NUMBER=never, NUMBERS_PER_KEY=0)


@contextmanager
def small_tables(deals_out: bool, are_narrow: bool = False) -> Iterator[None]:
    """Let a few hundred keys go through all that millions go through.

    Args:
        deals_out: whether rows are dealt out.
        are_narrow: whether keys of a narrow range are counted and found directly.
    """
    with ExitStack() as stack:
        stack.enter_context(patch.multiple(tables, N_FIRST_SLOTS=512, GROWTH=2))
        stack.enter_context(patch.multiple(ordering, COMMON=3, N_WORDS_SORTED=3))
        if not are_narrow:
            stack.enter_context(no_ranges())
        stack.enter_context(patch.multiple(partitions, N_BLOCK_ROWS=300))
        if deals_out:
            stack.enter_context(
                patch.multiple(
                    partitions, N_MANY_KEYS=1, N_VERY_MANY_KEYS=1, N_KEYS_PER_PARTITION=32
                )
            )
        yield


def numbers(final: OrderedKeys) -> Int64Array:
    assert not isinstance(final.keys, TextKeys)
    return final.keys


def by_counting(values: Sequence[Any], key: Any = lambda value: value) -> list[tuple[Any, int]]:
    """Return distinct values and counts by the definition."""
    counts = Counter(value for value in values if value is not None)
    return sorted(counts.items(), key=lambda item: (-item[1], key(item[0])))


def in_order(found: DistinctKeys, run: Any, n_parts: int = 1) -> list[tuple[Any, int]]:
    final = ordered(found, run, n_parts)
    return list(zip(values_of(found.element, final.keys), final.counts.tolist(), strict=True))


def without_sign_of_zero(value: Any) -> Any:
    return value + 0.0 if isinstance(value, float) else value


def check(element: str, values: Sequence[Any], chunks: Any, run: Any, n_parts: int) -> None:
    """Check all that there is to know of a column."""
    expected = by_counting(values, (lambda v: key_of(element, v)) if element != "text" else bytes)
    found = learn(element, chunks, run, n_parts, with_rows=True)
    assert in_order(found, run, n_parts) == expected
    assert found.n_missing == sum(value is None for value in values)
    final = ordered(found, run)
    places = {key: place for place, (key, _) in enumerate(expected)}
    of_rows = [-2 if value is None else places[value] for value in values]
    assert row_values(found, final.places, run).tolist() == of_rows
    index = index_of(element, final.keys, run)
    assert lookup(index, chunks, run, n_parts).tolist() == of_rows
    if not isinstance(final.keys, TextKeys):
        numbers_are_checked(element, final.keys, of_rows, chunks, run, n_parts)


def numbers_are_checked(
    element: str, keys: Int64Array, of_rows: Sequence[int], chunks: Any, run: Any, n_parts: int
) -> None:
    """Check that the numbers of rows are told from others, one of which is wrong."""
    start = 5
    numbers = np.array([max(place, -1) + start for place in of_rows], np.int32)
    assert are_numbers(element, keys, chunks, numbers, run, n_parts, start=start)
    for row in {0, len(numbers) // 2, len(numbers) - 1} if len(numbers) else ():
        for other in {start - 1, start, start + len(keys) - 1} - {int(numbers[row])}:
            if other < start + len(keys):
                wrong = numbers.copy()
                wrong[row] = other
                assert not are_numbers(element, keys, chunks, wrong, run, n_parts, start=start)
    if len(numbers) > 1 and numbers[0] != numbers[-1]:
        swapped = numbers.copy()
        swapped[[0, -1]] = numbers[[-1, 0]]
        assert not are_numbers(element, keys, chunks, swapped, run, n_parts, start=start)


@pytest.mark.parametrize("element", ELEMENTS)
@given(st.data(), RUNS, PARTS, st.booleans(), st.booleans())
def test_numbers_are_counted(
    element: str, data: st.DataObject, run: Any, n_parts: int, deals_out: bool, are_narrow: bool
) -> None:
    values = data.draw(columns(element))
    chunks = data.draw(chunked(element, values))
    plain = [
        value if value is None else value + 0 if element != "bool" else value for value in values
    ]
    with small_tables(deals_out, are_narrow):
        check(element, plain, chunks, run, n_parts)


@given(st.data(), RUNS, PARTS, st.booleans())
def test_text_is_counted(data: st.DataObject, run: Any, n_parts: int, deals_out: bool) -> None:
    values = data.draw(text_columns())
    with small_tables(deals_out):
        check("text", values, data.draw(chunked_text(values)), run, n_parts)


@pytest.mark.parametrize("deals_out", [False, True])
@given(st.data(), RUNS, PARTS)
def test_many_keys_are_counted(
    deals_out: bool, data: st.DataObject, run: Any, n_parts: int
) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 100)))
    numbers = (generator.integers(0, 800, 1200) << data.draw(st.integers(0, 50))).tolist()
    missing = generator.random(1200) < data.draw(st.sampled_from([0, 0.1]))
    values = [None if gone else x for x, gone in zip(numbers, missing, strict=True)]
    spelt = [None if x is None else b"key %d" % x * (1 + x % 3) for x in values]
    with small_tables(deals_out, data.draw(st.booleans())):
        check("int64", values, data.draw(chunked("int64", values)), run, n_parts)
        check("text", spelt, data.draw(chunked_text(spelt)), run, n_parts)


@given(st.data(), RUNS)
def test_merging_is_learning_from_all_rows(data: st.DataObject, run: Any) -> None:
    """Keys whose slots are gone are counted in another table, the smaller in the larger or not."""
    values = data.draw(text_columns())
    cut = data.draw(st.integers(0, len(values)))
    halves = [data.draw(chunked_text(half)) for half in (values[:cut], values[cut:])]
    with small_tables(deals_out=False):
        for first, second in (halves, halves[::-1]):
            into, of = growing("text"), growing("text")
            count_into(into, first, run)
            count_into(of, second, run)
            drop_slots(of)
            places = count_keys_of(of, into, run, with_places=True)
            assert places is not None
            found, others = (values_of("text", distinct_keys(one, run).keys) for one in (into, of))
            assert [found[place] for place in places.tolist()] == others
            assert in_order(distinct_keys(into, run), run) == by_counting(values)


def test_merged_counts_exceed_32_bits() -> None:
    found = [growing("int64") for _ in range(3)]
    for one in found:
        chunk, weights = numpy_chunk(np.array([5 << 40, 7])), np.array([2**40, 1])
        count_into(one, [chunk], COMPILED, weights=weights)
    for one in found[1:]:
        count_keys_of(one, found[0], COMPILED)
    merged = distinct_keys(found[0], COMPILED)
    assert in_order(merged, COMPILED) == [(5 << 40, 3 * 2**40), (7, 3)]


@given(st.data(), RUNS, PARTS)
def test_lookup_tells_none_from_missing(data: st.DataObject, run: Any, n_parts: int) -> None:
    keys = data.draw(st.lists(texts(), unique=True, max_size=30))
    values = [*data.draw(text_columns()), *keys]
    chunks = data.draw(chunked_text(values))
    index = index_of("text", text_keys(keys), run)
    expected = [-2 if v is None else keys.index(v) if v in keys else -1 for v in values]
    assert lookup(index, chunks, run, n_parts).tolist() == expected
    codes = np.arange(len(keys), dtype=np.int32) * 3 - 5
    found = lookup(index, chunks, run, n_parts, values=codes, none=77, missing=-9)
    named = {-1: 77, -2: -9}
    assert found.tolist() == [named[k] if k < 0 else 3 * k - 5 for k in expected]


def hard_keys() -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(4)
    half = generator.integers(0, 2**62, MANY)
    half[generator.random(MANY) < 0.5] = 7
    return {
        "equal": np.full(MANY, 7),
        "sequential": np.arange(MANY),
        "sorted, repeated": np.arange(MANY) // 3,
        "low bits the same": np.arange(MANY) << 44,
        "high bits the same": generator.integers(0, 5000, MANY) + (1 << 61),
        "half of them one key": half,
        "extremes": generator.choice([-(2**63), 2**63 - 1, 0, -1], MANY),
    }


@pytest.mark.parametrize("name", hard_keys())
def test_hard_keys_are_counted_and_found(name: str) -> None:
    values = hard_keys()[name]
    keys, counts = np.unique(values, return_counts=True)
    expected = np.lexsort((keys, -counts))
    for n_parts, ranges in product((1, 4), (nullcontext, no_ranges)):
        chunks = [numpy_chunk(values[:50_001]), numpy_chunk(values[50_001:])]
        with ranges():
            found = learn("int64", chunks, COMPILED, n_parts, with_rows=True)
            final = ordered(found, COMPILED, n_parts)
            index = index_of("int64", final.keys, COMPILED, n_parts)
        assert np.array_equal(numbers(final), keys[expected])
        assert np.array_equal(final.counts, counts[expected])
        places = row_values(found, final.places, COMPILED)
        assert np.array_equal(numbers(final)[places], values)
        assert np.array_equal(lookup(index, chunks, COMPILED, n_parts), places)


def test_keys_of_a_narrow_range_are_read_again() -> None:
    values = np.array([5, 2, 5, -3, 90, 5], np.int16)
    column = [numpy_chunk(values)]
    found = learn("int16", column, COMPILED, 2, with_rows=True)
    assert isinstance(found.rows, RowKeys)
    keys = np.asarray(found.keys).tolist()
    assert keys == sorted(set(values.tolist()))
    negative = np.array([-7, 4, -(2**31), 2**31 - 1], np.int32)
    by_key = dict(zip(keys, negative.tolist(), strict=False))
    expected = [by_key[key] for key in values.tolist()]
    assert row_values(found, negative[: len(keys)], COMPILED).tolist() == expected


@pytest.mark.parametrize("element", [name for name in ELEMENTS if "int" in name])
@given(st.data(), RUNS, PARTS)
def test_codes_are_counted_and_replaced(
    element: str, data: st.DataObject, run: Any, n_parts: int
) -> None:
    values: list[Any] = data.draw(st.lists(st.none() | st.integers(0, 20), max_size=200))
    chunks = data.draw(chunked(element, values))
    counts = counts_of(element, chunks, 21, run, n_parts)
    assert counts.tolist() == [values.count(code) for code in range(21)]
    numbers = np.arange(21, dtype=np.int32) ** 2
    found = numbers_of_codes(element, chunks, numbers, run, n_parts, missing=-3)
    assert found.tolist() == [-3 if code is None else code**2 for code in values]


def test_keys_of_one_region_of_an_index_are_found() -> None:
    def line(key: int) -> int:
        product = (key ^ 0xA0761D6478BD642F) * 0xE7037ED1A0B428DB
        return (product ^ product >> 64) & 1023

    keys = np.array([key for key in range(0, 10**9, 99_991) if line(key) < 256], np.int64)[:2300]
    assert len(keys) == 2300
    for n_parts in (1, 4):
        index = index_of("int64", keys, COMPILED, n_parts)
        assert lookup(index, [numpy_chunk(keys)], COMPILED).tolist() == list(range(2300))
        assert set(lookup(index, [numpy_chunk(keys + 1)], COMPILED).tolist()) == {-1}


def test_very_many_keys_are_dealt_out() -> None:
    values = np.random.default_rng(5).permutation(MANY)
    with patch.multiple(partitions, N_MANY_KEYS=1 << 12):
        found = learn("int64", [numpy_chunk(values)], COMPILED, 2, with_rows=True)
    assert isinstance(found.rows, RowIds)
    assert found.rows.partitions is not None
    final = ordered(found, COMPILED, 3)
    assert np.array_equal(numbers(final), np.arange(MANY))
    assert np.array_equal(row_values(found, final.places, COMPILED), values)


def test_very_long_text_is_a_key() -> None:
    long = bytes(range(256)) * 4096
    values = [long, long + b"\0", long[:-1] + b"\0", b"", long, b"\0" + long[1:]]
    check("text", values, [text_chunk(values)], COMPILED, 2)


def test_offsets_beyond_32_bits_are_followed() -> None:
    piece = text_chunk([b"far", b"further", b"far"], offset_bytes=8, before=b"")
    ends, data, _ = piece.owner  # pyright: ignore[reportGeneralTypeIssues]
    ends += 3 << 31
    far = TextPiece(piece.offsets, 8, data.ctypes.data - (3 << 31), 0, 0, 3, piece.owner)
    check("text", [b"far", b"further", b"far"], [far], COMPILED, 1)


def test_text_at_the_very_end_of_memory_is_read() -> None:
    import mmap

    memory = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    content = np.frombuffer(memory, np.uint8)
    content[:] = np.arange(len(content)) % 251
    sizes = [*range(40)] * 4
    ends = np.cumsum([len(content) - sum(sizes), *sizes]).astype(np.int32)
    piece = TextPiece(ends.ctypes.data, 4, content.ctypes.data, 0, 0, len(sizes), (ends, content))
    whole = content.tobytes()
    values = [whole[a:b] for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    check("text", values, [piece], COMPILED, 1)


@pytest.mark.parametrize("deals_out", [False, True])
@pytest.mark.parametrize("element", ["int64", "text"])
def test_too_many_keys_are_an_error_however_they_are_learnt(element: str, deals_out: bool) -> None:
    numbers = np.arange(20_000)
    spelt = [b"%d" % x for x in numbers.tolist()]
    chunk = numpy_chunk(numbers) if element == "int64" else text_chunk(spelt)
    n_bytes = (32_768 * 16 if element == "int64" else 65_536 * 32) + 20_000 * (
        16 if element == "int64" else 24
    )
    n_bytes += 0 if element == "int64" else sum(map(len, spelt))
    with small_tables(deals_out):
        for n_parts in (1, 3):
            found = learn(element, [chunk], COMPILED, n_parts, limit_bytes=n_bytes)
            assert len(found.keys) == 20_000
            with pytest.raises(VocabularyTooLarge) as error:
                learn(element, [chunk], COMPILED, n_parts, limit_bytes=n_bytes - 1)
            assert error.value.limit_bytes == n_bytes - 1 < error.value.needed_bytes
            assert "distinct keys take" in str(error.value)
    half, into = growing(element), growing(element)
    count_into(half, [chunk], COMPILED)
    for _ in range(2):
        count_keys_of(half, into, COMPILED, limit_bytes=n_bytes)
    assert len(into) == 20_000
    with pytest.raises(VocabularyTooLarge):
        count_keys_of(half, into, COMPILED, limit_bytes=n_bytes - 1)


@pytest.mark.parametrize("element", ["int64", "float32", "bool", "text"])
def test_no_rows_and_all_missing(element: str) -> None:
    nothing = text_chunk([None] * 70) if element == "text" else make_chunk(element, [None] * 70, 3)
    for chunks, n_missing in (([], 0), ([nothing], 70)):
        found = learn(element, chunks, COMPILED, 2, with_rows=True)
        final = ordered(found, COMPILED, 2)
        assert (len(final.keys), len(final.counts), found.n_missing) == (0, 0, n_missing)
        assert row_values(found, final.places, COMPILED).tolist() == [-2] * n_missing
        index = index_of(element, final.keys, COMPILED)
        assert lookup(index, chunks, COMPILED).tolist() == [-2] * n_missing


@pytest.mark.parametrize("element", ELEMENTS)
@given(st.data())
def test_keys_of_numbers_are_those_of_the_column(element: str, data: st.DataObject) -> None:
    values = [value for value in data.draw(columns(element)) if value is not None]
    array = np.array(values, element)
    keys = number_keys(element, array)
    plain = [without_sign_of_zero(value) for value in values]
    assert keys.tolist() == [key_of(element, value) for value in plain]
    assert numbers_of(element, keys).tolist() == plain
    assert numbers_of(element, keys).dtype == array.dtype


@given(st.lists(st.tuples(texts(), st.integers(1, 4)), max_size=60, unique_by=lambda x: x[0]), RUNS)
def test_text_is_ordered_by_count_and_bytes(items: list[tuple[bytes, int]], run: Any) -> None:
    keys, counts = text_keys(key for key, _ in items), np.array([n for _, n in items], np.int64)
    with patch.multiple(ordering, COMMON=3, N_WORDS_SORTED=2):
        order = final_order(keys, counts, run, 3).ids
    assert [items[k] for k in order.tolist()] == sorted(items, key=lambda x: (-x[1], x[0]))


def overwrite(chunks: Any) -> None:
    """Let the memory of text be used for something else."""
    for piece in chunks:
        _, data, _ = cast("tuple[Any, Any, Any]", piece.owner)
        data[:] = 0


@pytest.mark.parametrize("element", [*ELEMENTS, "text"])
@given(st.data(), RUNS, st.booleans())
def test_keys_of_several_calls_keep_their_places(
    element: str, data: st.DataObject, run: Any, is_weighted: bool
) -> None:
    """The memory of the rows may go after each call, also that of text."""
    whole: list[Any] = []
    counts: Counter[Any] = Counter()
    with small_tables(deals_out=False):
        found = growing(element)
        for _ in range(data.draw(st.integers(1, 4))):
            if element == "text":
                values = data.draw(text_columns())
                chunks = data.draw(chunked_text(values))
            else:
                values = data.draw(columns(element))
                chunks = data.draw(chunked(element, values))
            weights = np.arange(len(values)) + 1 if is_weighted else None
            places = count_into(found, chunks, run, weights=weights, with_places=True)
            assert places is not None
            if element == "text":
                overwrite(chunks)
            keys = values_of(element, distinct_keys(found, run).keys)
            of_rows = [None if place < 0 else keys[place] for place in places.tolist()]
            assert of_rows == [without_sign_of_zero(value) for value in values]
            assert keys[: len(whole)] == whole
            whole = list(keys)
            for k, value in enumerate(values):
                if value is not None:
                    counts[value] += k + 1 if is_weighted else 1
        last = distinct_keys(found, run)
    assert dict(zip(whole, last.counts.tolist(), strict=True)) == counts


def test_many_keys_of_several_calls_are_counted_while_the_table_grows() -> None:
    generator = np.random.default_rng(3)
    columns_of = [generator.integers(0, 3000, 1500) << 33 for _ in range(4)]
    numbers, spelt = growing("int64"), growing("text")
    with small_tables(deals_out=False):
        for values in columns_of:
            texts_of = [b"key %d " % x * (1 + x % 3) for x in values.tolist()]
            pieces = [text_chunk(texts_of[:700]), text_chunk(texts_of[700:], offset_bytes=8)]
            count_into(numbers, [numpy_chunk(values)], COMPILED)
            count_into(spelt, pieces, COMPILED)
            overwrite(pieces)
    expected = Counter(np.concatenate(columns_of).tolist())
    found = distinct_keys(numbers, COMPILED)
    of_text = distinct_keys(spelt, COMPILED)
    assert dict(zip(values_of("int64", found.keys), found.counts.tolist(), strict=True)) == expected
    assert dict(zip(values_of("text", of_text.keys), of_text.counts.tolist(), strict=True)) == {
        b"key %d " % x * (1 + x % 3): n for x, n in expected.items()
    }


def test_keys_of_several_calls_take_no_more_than_they_may() -> None:
    found, rows = growing("text"), [text_chunk([b"%d" % k * 1000]) for k in range(100)]
    count_into(found, rows[:50], COMPILED, limit_bytes=200_000)
    with pytest.raises(VocabularyTooLarge):
        count_into(found, rows[50:], COMPILED, limit_bytes=200_000)
