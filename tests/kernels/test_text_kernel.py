"""Functions of text against their reference and Polars, for any chunks, offsets and parts."""

from __future__ import annotations

import inspect
import math
import unicodedata
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from fastfeat_kernels.text import (
    NOT_PARSEABLE,
    OUT_OF_RANGE,
    PARSED,
    functions,
    generate,
    hashed_pieces,
    reference,
    state,
    unicode_table,
)
from fastfeat_kernels.text.requests import REQUESTS, Request
from fastfeat_kernels.text.state import InvalidUtf8
from hypothesis import given
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import compiled
from fastfeat_tests.kernels.text_columns import (
    CHARACTERS,
    INVALID,
    Text,
    TextChunk,
    characters,
    make_text_chunk,
    present_of,
    rows_of,
    text_chunks,
    text_columns,
    texts_bytes,
    texts_utf8,
)

Function = Callable[..., Any]
RUN = compiled("text", 2)
BY_REFERENCE = {request.reference.__name__: request for request in REQUESTS.values()}

literals = st.one_of(
    st.sampled_from([b"a", b"ab", b"aa", b"AB 1", b"A1 BaA1 Ba", "é".encode(), b"\x00", b"\xff"]),
    st.binary(min_size=1, max_size=3),
)
seeds = st.sampled_from([0, 1, 2**63, 2**64 - 1])
sets = st.one_of(st.none(), st.text(characters(), max_size=5))
OF_BYTES: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "len_bytes": st.just(()),
    "starts_with": st.tuples(st.one_of(st.just(b""), literals)),
    "ends_with": st.tuples(st.one_of(st.just(b""), literals)),
    "contains": st.tuples(st.one_of(st.just(b""), literals)),
    "count_matches": st.tuples(literals),
    "find": st.tuples(st.one_of(st.just(b""), literals)),
}
OF_CHARACTERS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "len_chars": st.just(()),
    "token_count": st.just(()),
    "replace": st.tuples(
        st.sampled_from([b"a", b"ab", b"aa", b"AB 1", "é".encode(), b"\x00"]),
        st.sampled_from([b"", b"b", b"aa", "é".encode() * 40]),
        st.sampled_from([-1, 0, 1, 2, 2**62]),
    ),
    "to_lowercase": st.just(()),
    "to_uppercase": st.just(()),
    "slice_chars": st.tuples(
        st.one_of(st.integers(-9, 9), st.sampled_from([-(2**70), 2**70])),
        st.one_of(st.none(), st.integers(0, 9), st.just(2**70)),
    ),
    "strip_chars": st.tuples(sets),
    "strip_chars_start": st.tuples(sets),
    "strip_chars_end": st.tuples(sets),
    "ngram_hash_counts": st.tuples(
        st.one_of(st.integers(1, 4), st.sampled_from([40, 2**70])), st.integers(1, 9), seeds
    ),
    "token_hash_counts": st.tuples(st.integers(1, 9), seeds),
}
ARGUMENTS = OF_BYTES | OF_CHARACTERS
FIXED_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "len_bytes": (),
    "starts_with": (b"aab",),
    "ends_with": (b"aab",),
    "contains": (b"aab",),
    "count_matches": (b"aab",),
    "find": (b"aab",),
    "len_chars": (),
    "token_count": (),
    "replace": (b"aab", b"c", -1),
    "to_lowercase": (),
    "to_uppercase": (),
    "slice_chars": (-200_001, 100_000),
    "strip_chars": ("Bé ",),
    "strip_chars_start": ("Bé ",),
    "strip_chars_end": ("Bé ",),
    "ngram_hash_counts": (2, 3, 0),
    "token_hash_counts": (3, 0),
}


def by_reference(name: str, texts: list[Text], arguments: tuple[Any, ...]) -> list[Any]:
    function: Function = getattr(reference, name)
    return [None if text is None else function(text, *arguments) for text in texts]


def computed(name: str, chunks: list[TextChunk], arguments: tuple[Any, ...], n_parts: int) -> Any:
    request = BY_REFERENCE[name]
    return functions.computed(request, named(request, arguments), chunks, RUN, n_parts)


def named(request: Request, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return parameters by the names that the reference has for them."""
    _, *names = inspect.signature(request.reference).parameters
    return dict(zip(names, arguments, strict=True))


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data(), n_parts=st.integers(1, 4))
def test_functions_equal_their_reference(name: str, data: st.DataObject, n_parts: int) -> None:
    values = texts_bytes() if name in OF_BYTES else texts_utf8()
    texts = data.draw(text_columns(values))
    arguments = data.draw(ARGUMENTS[name])
    found = computed(name, data.draw(text_chunks(texts)), arguments, n_parts)
    assert rows_of(found, len(texts)) == by_reference(name, texts, arguments)


@pytest.mark.parametrize("name", ["ngram_hash_counts", "token_hash_counts"])
@given(data=st.data(), n_parts=st.integers(1, 4))
def test_buckets_of_pieces_have_the_counts_of_the_reference(
    name: str, data: st.DataObject, n_parts: int
) -> None:
    texts, arguments = data.draw(text_columns(texts_utf8())), data.draw(ARGUMENTS[name])
    request = BY_REFERENCE[name]
    given, chunks = named(request, arguments), data.draw(text_chunks(texts))
    starts, buckets = hashed_pieces.buckets_of_pieces(request, given, chunks, RUN, n_parts)
    rows = [buckets[a:b] for a, b in pairwise(starts.tolist())]
    found = [np.bincount(row, minlength=given["n_buckets"]).tolist() for row in rows]
    nothing = [0] * given["n_buckets"]
    assert found == [one or nothing for one in by_reference(name, texts, arguments)]


@pytest.mark.parametrize("name", OF_CHARACTERS)
@given(data=st.data(), n_parts=st.integers(1, 4), invalid=st.sampled_from(INVALID))
def test_the_first_row_that_is_not_utf8_is_named(
    name: str, data: st.DataObject, n_parts: int, invalid: bytes
) -> None:
    before, after = data.draw(text_columns(texts_utf8())), data.draw(text_columns(texts_bytes()))
    arguments = data.draw(ARGUMENTS[name])
    chunks = data.draw(text_chunks([*before, invalid, *after]))
    with pytest.raises(InvalidUtf8) as caught:
        computed(name, chunks, arguments, n_parts)
    assert caught.value.row == len(before)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("texts", [[], [None], [b""], [None] * 130, [b""] * 130], ids=str)
def test_columns_of_nothing(name: str, texts: list[Text]) -> None:
    arguments = FIXED_ARGUMENTS[name]
    expected = by_reference(name, texts, arguments)
    assert rows_of(computed(name, [make_text_chunk(texts)], arguments, 2), len(texts)) == expected
    if not texts:
        assert rows_of(computed(name, [], arguments, 2), 0) == []


@pytest.mark.parametrize("unit", ["a", "B ", "é", "ȺA", "aaab", "\x00"])
@pytest.mark.parametrize("name", [name for name in ARGUMENTS if not name.endswith("hash_counts")])
def test_long_rows(name: str, unit: str) -> None:
    texts: list[Text] = [b"x", (unit * 400_000).encode(), None, b"ab"]
    arguments = FIXED_ARGUMENTS[name]
    found = computed(name, [make_text_chunk(texts, 8, 3)], arguments, 2)
    assert rows_of(found, len(texts)) == _long(name, texts, arguments)


def _long(name: str, texts: list[Text], arguments: tuple[Any, ...]) -> list[Any]:
    """Return the same by the reference, mapping case by one unit."""
    if name not in ("to_lowercase", "to_uppercase"):
        return by_reference(name, texts, arguments)
    long = texts[1] or b""
    unit = long[: len(long) // 400_000]
    assert unit * 400_000 == long
    (mapped,) = by_reference(name, [unit], arguments)
    few = by_reference(name, [texts[0], *texts[2:]], arguments)
    return [few[0], mapped * 400_000, *few[1:]]


def test_offsets_are_wide_where_the_text_is_long() -> None:
    texts: list[Text] = [b" aA", b"Bbb ", None, "ⱥ".encode()] * 30
    chunks = [make_text_chunk(texts)]

    def found() -> list[Any]:
        return [
            *computed("to_uppercase", chunks, (), 2),
            *computed("strip_chars", chunks, (None,), 1),
        ]

    narrow = found()
    with patch.object(state, "MAX_NARROW", 200):
        wide = found()
    assert len(narrow) == len(wide) == 2
    for one, other in zip(narrow, wide, strict=True):
        assert (one.offsets.dtype, other.offsets.dtype) == (np.int32, np.int64)
        assert rows_of([one], len(texts)) == rows_of([other], len(texts))


@pytest.mark.parametrize("name", ["to_lowercase", "to_uppercase"])
def test_every_code_point_is_mapped(name: str) -> None:
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts: list[Text] = [chr(code).encode() for code in codes]
    changes = dict(_changes(getattr(unicode_table, name[3:].upper())))
    expected = [chr(code + changes.get(code, 0)).encode() for code in codes]
    assert rows_of(computed(name, [make_text_chunk(texts)], (), 3), len(texts)) == expected


def _changes(runs: unicode_table.Runs) -> list[tuple[int, int]]:
    return [(code, d) for first, last, step, d in runs for code in range(first, last + 1, step)]


def test_case_mappings_are_simple() -> None:
    texts = [text.encode() for text in ("straße ŉ ﬁ ᾳ ⱥ", "İ ẞ Σ K Ⱥ")]
    upper = rows_of(computed("to_uppercase", [make_text_chunk(texts)], (), 1), 2)
    lower = rows_of(computed("to_lowercase", [make_text_chunk(texts)], (), 1), 2)
    assert upper[0].decode() == "STRAßE ŉ ﬁ ᾼ Ⱥ"
    assert lower[1].decode() == "i ß σ k ⱥ"


@pytest.mark.skipif(
    unicodedata.unidata_version != unicode_table.UNICODE_VERSION,
    reason="this Python has another version of Unicode",
)
def test_the_table_is_what_its_script_writes() -> None:
    assert generate.runs_of(generate.lower_of) == list(unicode_table.LOWERCASE)
    assert generate.runs_of(generate.upper_of) == list(unicode_table.UPPERCASE)
    assert generate.white_space() == list(unicode_table.WHITE_SPACE)


@pytest.mark.parametrize("length", [-1, -(2**70)])
def test_a_negative_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="length"):
        computed("slice_chars", [], (0, length), 1)


def test_an_empty_literal_is_not_counted() -> None:
    with pytest.raises(ValueError, match="empty"):
        computed("count_matches", [], (b"",), 1)


@pytest.mark.parametrize(("n", "n_buckets"), [(0, 1), (1, 0), (-1, 1)])
def test_no_ngrams_or_no_buckets_are_refused(n: int, n_buckets: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        computed("ngram_hash_counts", [], (n, n_buckets, 0), 1)


@pytest.mark.parametrize("base", [1, 37])
def test_a_base_without_digits_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="base"):
        computed("to_integer", [], (base,), 1)


def parsed(texts: list[Text], function: Function) -> list[tuple[Any, int]]:
    """Return values and statuses by the reference."""
    rows: list[tuple[Any, int]] = []
    for text in texts:
        try:
            rows.append((None if text is None else function(text), PARSED))
        except OverflowError:
            rows.append((math.copysign(math.inf, -(text or b"").startswith(b"-")), OUT_OF_RANGE))
        except ValueError:
            rows.append((0, NOT_PARSEABLE))
    return rows


integers = st.one_of(
    st.integers(-(2**64), 2**64).map(lambda value: str(value).encode()),
    st.integers(-3, 3)
    .flatmap(lambda d: st.sampled_from([2**63, -(2**63)]).map(lambda x: x + d))
    .map(lambda value: str(value).encode()),
    st.from_regex(rb"[+-]?[0-9a-zA-Z]{0,12}", fullmatch=True),
    st.from_regex(rb"[+-]?0{0,70}[0-9]{0,30}", fullmatch=True),
    st.binary(max_size=4),
)


@given(data=st.data(), base=st.one_of(st.just(10), st.integers(2, 36)), n_parts=st.integers(1, 3))
def test_integers_equal_the_reference(data: st.DataObject, base: int, n_parts: int) -> None:
    texts = data.draw(text_columns(integers))
    found = computed("to_integer", data.draw(text_chunks(texts)), (base,), n_parts)
    expected = parsed(texts, partial(reference.to_integer, base=base))
    present = present_of(found, len(texts))
    assert present == [text is not None for text in texts]
    assert found.status.tolist() == [status for _, status in expected]
    assert found.all_parsed == (not any(found.status))
    values = [0 if status or value is None else value for value, status in expected]
    assert found.values.tolist() == values


DECIMALS = [
    b"inf",
    b"-Infinity",
    b"+NAN",
    b"nan",
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"-0",
    b".5",
    b"5.",
    b".",
    b"",
    b"+",
    b"e5",
    b"1e",
    b"1e+",
    b"1_0",
    b" 1",
    b"1 ",
    b"0x10",
    b"infi",
    b"infini",
    b"infinityx",
    b"1e5",
    b"1E+05",
    b"9007199254740993",
    b"9007199254740992.99999999999999999999999999999999",
    b"9007199254740993.00000000000000000000000000000000001",
    b"2.2250738585072011e-308",
    b"2.2250738585072014e-308",
    b"4.9406564584124654e-324",
    b"2.4703282292062327e-324",
    b"2.4703282292062328e-324",
    b"1.7976931348623157e308",
    b"1.7976931348623158e308",
    b"1.7976931348623159e308",
    b"8.5e22",
    b"1e23",
    b"0e999999999999999999999",
    b"1e99999999999999999",
    b"1e-99999999999999999999",
    b"0." + b"0" * 400 + b"1e401",
    b"1" + b"0" * 400 + b"e-400",
    b"7.3177701707893310e+15",
    b"1.00000000000000011102230246251565",
    b"18446744073709551615e1",
]


def _decimal_of(pair: tuple[float, int]) -> bytes:
    value, n_digits = pair
    return f"{value:.{n_digits}e}".encode()


def _halfway(value: float) -> bytes:
    """Return the decimal that lies exactly between a float64 and the next."""
    above = math.nextafter(value, math.inf)
    numbers = [int(x * 2.0**60) for x in (value, above)]
    return f"{sum(numbers) * 10**80 // 2**61}e-80".encode()


decimals = st.one_of(
    st.sampled_from(DECIMALS),
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 30)).map(
        _decimal_of
    ),
    st.floats(allow_nan=False).map(lambda value: repr(value).encode()),
    st.floats(1e-4, 1e15).map(_halfway),
    st.from_regex(rb"[+-]?[0-9]{1,25}\.?[0-9]{0,25}(e[+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(rb"[+-]?[0-9]{0,3}[.eEinfa]{0,4}[0-9]{0,3}", fullmatch=True),
    st.binary(max_size=4),
)


def assert_floats_equal(texts: list[Text], found: functions.ParsedFloats) -> None:
    expected = parsed(texts, reference.to_float)
    present = [value is not None for value, _ in expected]
    assert present_of(found, len(texts)) == present
    assert found.status.tolist() == [status for _, status in expected]
    assert found.all_parsed == (not any(found.status))
    values = np.array([0.0 if value is None else value for value, _ in expected], np.float64)
    assert found.values.view(np.int64).tolist() == values.view(np.int64).tolist()


@given(data=st.data(), n_parts=st.integers(1, 3))
def test_floats_equal_the_reference(data: st.DataObject, n_parts: int) -> None:
    texts = data.draw(text_columns(decimals))
    assert_floats_equal(texts, computed("to_float", data.draw(text_chunks(texts)), (), n_parts))


def test_many_floats_equal_the_reference() -> None:
    random = np.random.default_rng(11)
    bits = random.integers(0, 2**63, 60_000).view(np.float64)
    powers = random.integers(-345, 312, 60_000).tolist()
    mantissas = random.integers(0, 2**63, 60_000).tolist()
    texts: list[Text] = [repr(x).encode() for x in bits.tolist()]
    texts += [f"{m}e{p}".encode() for m, p in zip(mantissas, powers, strict=True)]
    texts += [f"{m % 10**6}e{p % 60 - 30}".encode() for m, p in zip(mantissas, powers, strict=True)]
    texts += DECIMALS
    assert_floats_equal(texts, computed("to_float", [make_text_chunk(texts)], (), 2))


@given(data=st.data())
def test_functions_equal_polars(data: st.DataObject) -> None:
    pl = pytest.importorskip("polars")
    texts = data.draw(text_columns(texts_utf8()))
    chunks = data.draw(text_chunks(texts))
    literal = data.draw(st.text(characters(), min_size=1, max_size=3))
    offset, length = data.draw(st.integers(-9, 9)), data.draw(st.none() | st.integers(0, 9))
    strip = data.draw(st.none() | st.text(characters(), min_size=1, max_size=4))
    column = pl.Series([None if text is None else text.decode() for text in texts], dtype=pl.String)
    theirs = {
        ("len_bytes",): column.str.len_bytes(),
        ("len_chars",): column.str.len_chars(),
        ("starts_with", literal.encode()): column.str.starts_with(literal),
        ("ends_with", literal.encode()): column.str.ends_with(literal),
        ("contains", literal.encode()): column.str.contains(literal, literal=True),
        ("count_matches", literal.encode()): column.str.count_matches(literal, literal=True),
        ("find", literal.encode()): column.str.find(literal, literal=True),
        ("slice_chars", offset, length): column.str.slice(offset, length),
        ("strip_chars", strip): column.str.strip_chars(strip),
        ("strip_chars_start", strip): column.str.strip_chars_start(strip),
        ("strip_chars_end", strip): column.str.strip_chars_end(strip),
    }
    for (name, *arguments), expected in theirs.items():
        found = rows_of(computed(name, chunks, tuple(arguments), 2), len(texts))
        shown = [row.decode() if isinstance(row, bytes) else row for row in found]
        if name == "find":
            shown = [None if place == -1 else place for place in shown]
        assert shown == expected.to_list(), name


@given(data=st.data())
def test_case_equals_polars_where_the_mapping_is_simple(data: st.DataObject) -> None:
    pl = pytest.importorskip("polars")
    alphabet = st.characters(max_codepoint=0x1FFFF, categories=["L", "Zs"])
    rows = st.lists(st.text(alphabet, max_size=20), max_size=40)
    texts = [*CHARACTERS, *data.draw(rows)]
    texts = [text for text in texts if len(text.upper()) == len(text.lower()) == len(text)]
    texts = [text for text in texts if "Σ" not in text and not (set(text) & NEW_LETTERS)]
    chunks = [make_text_chunk([text.encode() for text in texts])]
    column = pl.Series(texts, dtype=pl.String)
    for name, expected in (
        ("to_lowercase", column.str.to_lowercase()),
        ("to_uppercase", column.str.to_uppercase()),
    ):
        found = rows_of(computed(name, chunks, (), 1), len(texts))
        assert [row.decode() for row in found] == expected.to_list()


NEW_LETTERS = frozenset(map(chr, [0x19B, 0x264]))  # they have an upper case since Unicode 16
