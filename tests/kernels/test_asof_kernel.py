"""The kernel of as-of joins against its reference, and against itself however it is run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.asof import state
from fastfeat_kernels.asof.reference import RowMoment
from fastfeat_kernels.asof.reference import find as find_by_definition
from fastfeat_kernels.asof.state import MatchRule, find, in_order, rows_in_place
from fastfeat_kernels.compile import compile_entry
from fastfeat_kernels.load import load_object
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastfeat_tests.kernels.kernel_columns import chunked, compiled, make_chunk, numpy_chunk

RUN, RUN_WINDOWS = compiled("asof"), compiled("windows")
LEAST, MOST = -(2**63), 2**63 - 1
TIMES = st.one_of(
    st.none(),
    st.integers(-20, 20),
    st.sampled_from([LEAST, LEAST + 1, LEAST + 2, MOST - 2, MOST - 1, MOST]),
    st.sampled_from([s * x // t + d for x in (LEAST, MOST) for s, t in ((1, 10), (1, 1000))
                     for d in (-1, 0, 1)]),
)  # fmt: skip
TICKS = [1, 10, 1000]
LENGTHS = [0, 1, 5, 9, 10, 11, 1000, 1005, MOST - 1, MOST]


@st.composite
def moments(draw: st.DrawFn, n_keys: int, most_times: int) -> list[RowMoment]:
    few = draw(st.lists(st.tuples(st.integers(-1, n_keys - 1), TIMES), max_size=20))
    return few * draw(st.sampled_from([1, 1, 2, most_times]))


@st.composite
def rules(draw: st.DrawFn) -> MatchRule:
    return MatchRule(
        draw(st.sampled_from(TICKS)),
        draw(st.sampled_from(TICKS)),
        draw(st.sampled_from(LENGTHS)),
        draw(st.booleans()),
        draw(st.sampled_from([None, *LENGTHS])),
    )


def codes_of(rows: Sequence[RowMoment]) -> np.ndarray[Any, Any]:
    return np.array([code for code, _ in rows], np.int32)


def rows_found(found: state.FoundRows) -> list[int | None]:
    """Return what was found, and check what stands in memory beside it."""
    n = len(found.rows)
    bits = np.unpackbits(found.bitmap.view(np.uint8), bitorder="little")
    assert not bits[n:].any()
    assert not found.rows[bits[:n] == 0].any()
    return [row if bit else None for row, bit in zip(found.rows.tolist(), bits[:n], strict=True)]


@given(data=st.data(), n_keys=st.sampled_from([1, 2, 5]), rule=rules())
def test_what_is_found_is_what_the_reference_finds(
    data: st.DataObject, n_keys: int, rule: MatchRule
) -> None:
    left, right = data.draw(moments(n_keys, 20)), data.draw(moments(n_keys, 5))
    chunks = data.draw(chunked("int64", [time for _, time in left]))
    known = data.draw(chunked("int64", [time for _, time in right]))
    table = in_order(codes_of(right), known, n_keys, RUN_WINDOWS, data.draw(st.integers(1, 3)))
    codes = None if n_keys == 1 and all(code == 0 for code, _ in left) else codes_of(left)
    first, n_parts = data.draw(st.sampled_from([0, 2])), data.draw(st.integers(1, 4))
    numbers = None if codes is None else codes + np.int32(first)
    found = find(table, numbers, chunks, rule, RUN, n_parts, first)
    assert rows_found(found) == find_by_definition(left, right, rule)


@given(data=st.data(), rule=rules())
def test_without_keys_all_rows_have_one(data: st.DataObject, rule: MatchRule) -> None:
    left = [(0, time) for _, time in data.draw(moments(1, 20))]
    right = [(0, time) for _, time in data.draw(moments(1, 5))]
    chunks = data.draw(chunked("int64", [time for _, time in left]))
    known = data.draw(chunked("int64", [time for _, time in right]))
    table = in_order(codes_of(right), known, 1, RUN_WINDOWS)
    found = find(table, None, chunks, rule, RUN, data.draw(st.integers(1, 4)))
    assert rows_found(found) == find_by_definition(left, right, rule)


def by_search(
    codes: np.ndarray[Any, Any],
    times: np.ndarray[Any, Any],
    right: np.ndarray[Any, Any],
    known: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:
    """Return the row of the table that each row finds, -1 for none: one search for all keys."""
    width = 1 << 20  # above all times
    order = np.lexsort((known, right))
    places = right[order] * width + known[order]
    at = np.searchsorted(places, codes * width + times, side="right") - 1
    rows = order[np.maximum(at, 0)]
    return np.where((at >= 0) & (right[rows] == codes), rows, -1)


def order_of(how: str, codes: Any, times: Any) -> Any:
    """Return in which order rows come."""
    if how == "by time":
        return np.argsort(times, kind="stable")
    if how == "by key and time":
        return np.lexsort((times, codes))
    return np.arange(len(codes))


@pytest.mark.parametrize("n_keys", [1, 3, 500])
@pytest.mark.parametrize("n_right", [1, 50, 20_000])
@pytest.mark.parametrize("how", ["any", "by time", "by key and time"])
def test_tables_of_any_size_and_order(n_keys: int, n_right: int, how: str) -> None:
    random = np.random.default_rng(n_right + n_keys)
    n_left, span = 5_000, random.choice([100, 100_000])
    codes = np.minimum(random.geometric(0.02, n_left) - 1, n_keys - 1)
    times = random.integers(0, span, n_left)
    order = order_of(how, codes, times)
    codes, times = codes[order], times[order]
    right = np.minimum(random.geometric(0.02, n_right) - 1, n_keys - 1)
    known = random.integers(0, span, n_right)
    table = in_order(right.astype(np.int32), [numpy_chunk(known)], n_keys, RUN_WINDOWS)
    for n_threads in (1, 2):
        run = compiled("asof", n_threads)
        numbers = None if n_keys == 1 else codes.astype(np.int32)
        found = find(table, numbers, [numpy_chunk(times)], MatchRule(), run, 2 * n_threads)
        rows = [-1 if row is None else row for row in rows_found(found)]
        assert rows == by_search(codes, times, right, known).tolist()


@given(
    n=st.sampled_from([1, 127, 128, 129, 200]),
    seed=st.integers(0, 2**32),
    tolerance=st.sampled_from([None, 1]),
)
@example(n=129, seed=0, tolerance=1)
@example(n=200, seed=0, tolerance=None)
def test_rows_in_order_some_of_them_missing(n: int, seed: int, tolerance: int | None) -> None:
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, 300, n)).tolist()
    missing = random.random(n) < 0.2
    left = [(0, None if gone else time) for time, gone in zip(times, missing, strict=True)]
    right = [(0, int(time)) for time in random.integers(0, 300, random.choice([50, 400]))]
    chunk = chunk_of([time for _, time in left])
    table = in_order(codes_of(right), [chunk_of([t for _, t in right])], 1, RUN_WINDOWS)
    rule = MatchRule(tolerance=tolerance)
    found = find(table, None, [chunk], rule, RUN)
    assert rows_found(found) == find_by_definition(left, right, rule)


def nearly_in_order(
    random: np.random.Generator, n: int, span: int, how: str
) -> np.ndarray[Any, Any]:
    """Return times: in order, with a few that are not, or all of them near their places."""
    times = np.sort(random.integers(-span, span, n))
    if how == "but for a few":
        times[random.random(n) < 0.01] = random.integers(-span, span)
    elif how == "nearby":
        times += random.integers(-20, 20, n) * (span // 500)
    elif how == "in two runs":
        times = np.roll(times, n // 2)
    elif how == "in runs that overlap":
        begins = np.arange(-(-n // 128)) * (span // 20)
        runs = begins[:, None] + np.sort(random.integers(0, span // 10 + 1, (len(begins), 128)))
        times = runs.ravel()[:n]
    elif how == "with gaps":
        times[n // 3 :] += span // 3
    return times


HOW = ("in order", "but for a few", "nearby", "in two runs", "in runs that overlap", "with gaps")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("n_right", [1, 30, 3_000, 60_000])
@pytest.mark.parametrize("n_values", [5, 1_000, 10**9])
@given(seed=st.integers(0, 2**32), n=st.sampled_from([127, 128, 142, 143, 256, 271, 2_000]))
@settings(max_examples=10)
def test_rows_nearly_in_order(how: str, n_right: int, n_values: int, seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    times = nearly_in_order(random, n, n_values, how)
    known = random.integers(-n_values, n_values, n_right)
    table = in_order(np.zeros(n_right, np.int32), [numpy_chunk(known)], 1, RUN_WINDOWS)
    here, there = np.zeros(n, np.int64), np.zeros(n_right, np.int64)
    expected = by_search(here, times + n_values, there, known + n_values)
    around = np.full(n + 64, -7)
    memory = around[32 : n + 32]
    found = find(
        table, None, pieces_of(times, random), MatchRule(), RUN, seed % 3 + 1, memory=memory
    )
    assert [-1 if row is None else row for row in rows_found(found)] == expected.tolist()
    assert (around[:32] == -7).all()
    assert (around[n + 32 :] == -7).all()


def pieces_of(times: np.ndarray[Any, Any], random: np.random.Generator) -> list[Any]:
    """Return times as a column of one chunk or two."""
    at = random.choice([0, 1, len(times) // 2])
    return [numpy_chunk(piece) for piece in (times[:at], times[at:]) if len(piece)]


@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 1_023, 1_024, 1_025, 5_000])
def test_a_table_that_stands_in_order_is_taken_as_it_is(n: int, n_parts: int) -> None:
    random = np.random.default_rng(n)
    times = np.sort(random.integers(0, 100, n))
    chunks = pieces_of(times, random)
    found = rows_in_place(chunks, RUN, n_parts)
    expected = in_order(np.zeros(n, np.int32), chunks, 1, RUN_WINDOWS)
    assert found is not None
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.rows.tolist() == expected.rows.tolist()
    assert len(found.levels) == len(expected.levels)
    for own, other in zip(found.levels, expected.levels, strict=True):
        assert own.tolist() == other.tolist()


@pytest.mark.parametrize("n_parts", [1, 2, 3])
@pytest.mark.parametrize("at", [1, 512, 1_024, 1_500, 2_999])
def test_a_table_that_does_not_stand_in_order_is_not(at: int, n_parts: int) -> None:
    times = np.arange(3_000)
    times[at:] -= 2
    assert rows_in_place([numpy_chunk(times)], RUN, n_parts) is None
    assert rows_in_place([numpy_chunk(times[:at]), numpy_chunk(times[at:])], RUN, n_parts) is None


def test_a_table_with_a_missing_time_is_not_taken_as_it_is() -> None:
    assert rows_in_place([chunk_of([1, None, 2])], RUN) is None


def chunk_of(times: Sequence[int | None]) -> Any:
    return make_chunk("int64", times)


def test_a_key_without_rows_between_others_finds_none() -> None:
    left, right = [(1, 5)] + [(2, 5)] * 200, [(0, 1), (2, 4), (2, 6)]
    table = in_order(codes_of(right), [chunk_of([t for _, t in right])], 3, RUN_WINDOWS)
    for rows in (left, left[::-1], [(1, 5)] * 130 + left):
        found = find(table, codes_of(rows), [chunk_of([t for _, t in rows])], MatchRule(), RUN)
        assert rows_found(found) == find_by_definition(rows, right, MatchRule())


def test_a_key_without_rows_finds_none_near_those_of_the_next() -> None:
    right = [(0, None)] + [(1, 1000 * row) for row in range(1000)]
    table = in_order(codes_of(right), [chunk_of([t for _, t in right])], 2, RUN_WINDOWS)
    rows = [(1, 1000 * row) for row in range(173, 301)]
    for low in range(40, 56):
        left = rows + [(0, 1000 * low + 500 - row) for row in range(128)]
        found = find(table, codes_of(left), [chunk_of([t for _, t in left])], MatchRule(), RUN)
        assert rows_found(found) == [*range(174, 302), *[None] * 128]


def test_too_many_rows_and_wrong_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, times = np.zeros(3, np.int32), [numpy_chunk(np.arange(3))]
    with pytest.raises(ValueError, match=r"entity 0 is not in \[0, 0\)"):
        in_order(codes, times, 0, RUN_WINDOWS)
    with pytest.raises(ValueError, match="needs one code per time, got 2 codes and 3 times"):
        find(in_order(codes, times, 1, RUN_WINDOWS), codes[:2], times, MatchRule(), RUN)
    monkeypatch.setattr(state, "MAX_ROWS", 2)
    with pytest.raises(ValueError, match="3 rows are more than the limit of 2"):
        in_order(codes, times, 1, RUN_WINDOWS)
    with pytest.raises(ValueError, match="3 rows are more than the limit of 2"):
        rows_in_place(times, RUN)


def test_entries_load_where_there_is_no_numba() -> None:
    entries = importlib.import_module("fastfeat_kernels.asof.cpu").ENTRIES
    for entry in entries.values():
        load_object(*compile_entry(entry))  # refuses code that calls into Numba or libm
