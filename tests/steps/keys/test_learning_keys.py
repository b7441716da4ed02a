"""Keys that are learnt in parts, in tables that grow, are those of all rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels.vocabulary import growing, partitions, spans, tables
from fastfeat_kernels.vocabulary.growing import joined_by_hash
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.aggregates.keys import KeyCounts
from fastfeat.engine.learner import LearntResult
from fastfeat.engine.state_bytes import of_bytes, to_bytes
from fastfeat.errors import InvalidData
from fastfeat.ir.dtypes import INT64, UTF8, DType
from fastfeat.ir.parameters import MAX_MEMORY
from fastfeat.steps.entries import without_dictionary
from fastfeat.steps.keys import cpu_learner
from fastfeat.steps.keys.cpu_counting import KeysSpec
from fastfeat.steps.keys.cpu_learner import LEARNER, KeysState

N_ROWS = 4000


@contextmanager
def small_states(are_dealt: bool = False) -> Iterator[None]:
    """Let a few hundred keys go through all that millions go through.

    Args:
        are_dealt: whether rows are dealt out by the hash of their key.
    """
    with ExitStack() as stack:
        stack.enter_context(patch.multiple(tables, N_FIRST_SLOTS=512, GROWTH=2))
        stack.enter_context(patch.multiple(cpu_learner, _MOST_WAITING=1, _FEW_WAITING=50))
        if are_dealt:
            sizes: dict[str, Any] = {
                "N_MANY_KEYS": 1,
                "N_VERY_MANY_KEYS": 1,
                "N_KEYS_PER_PARTITION": 16,
            }
            stack.enter_context(patch.multiple(partitions, **sizes))
            stack.enter_context(patch.multiple(spans, ALWAYS_NARROW=-1, ROWS_PER_NUMBER=1 << 60))
        yield


def columns(seed: int, n_parts: int) -> dict[int, pa.ChunkedArray]:
    """Return parts of keys: integers, text, and dictionaries that differ from piece to piece."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(0, 900, (3, N_ROWS)) ** 2
    missing = generator.random((3, N_ROWS)) < 0.05
    texts = [
        pa.array([f"{'key ' * (k % 9)}{k}" for k in row], pa.large_string(), mask=gone)
        for row, gone in zip(numbers[1:], missing[1:], strict=True)
    ]
    pieces = [texts[1][:1500], texts[1][1500:1500], texts[1][1500:]]
    parts = [
        pa.chunked_array([pa.array(numbers[0], mask=missing[0])]),
        pa.chunked_array([texts[0]]),
        pa.chunked_array([piece.dictionary_encode() for piece in pieces]),
    ]
    return dict(enumerate([parts[k] for k in np.roll(range(3), seed)[:n_parts]]))


def state_of(spec: KeysSpec, rows: dict[int, pa.ChunkedArray], n_batches: int) -> KeysState:
    state, n_rows = LEARNER.start(spec, None), len(rows[0])
    for k in range(n_batches):
        a, b = n_rows * k // n_batches, n_rows * (k + 1) // n_batches
        LEARNER.add(state, {j: part.slice(a, b - a) for j, part in rows.items()}, range(a, b))
    return state


def spilled(state: KeysState, folder: str) -> KeysState:
    """Return a state after it has left memory."""
    assert LEARNER.spill is not None
    LEARNER.spill(state, Path(folder))
    assert LEARNER.size(state) == 0
    return state


def keys_of(state: KeysState) -> KeyCounts:
    found = LEARNER.next(state)
    assert isinstance(found, LearntResult)
    return found.values[0]


def assert_equal(found: KeyCounts, expected: KeyCounts) -> None:
    assert found.parts == expected.parts
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.n_missing == expected.n_missing


@given(
    seed=st.integers(0, 2),
    n_parts=st.integers(1, 3),
    missing=st.sampled_from(["key", "value"]),
    at_once=st.booleans(),
    are_dealt=st.booleans(),
    n_batches=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    data=st.data(),
)
def test_many_keys_in_any_parts_are_those_of_all_rows(
    seed: int,
    n_parts: int,
    missing: str,
    at_once: bool,
    are_dealt: bool,
    n_batches: list[int],
    data: st.DataObject,
) -> None:
    rows = columns(seed, n_parts)
    dtypes = tuple(INT64 if pa.types.is_integer(part.type) else UTF8 for part in rows.values())
    spec = KeysSpec(dtypes, missing, MAX_MEMORY, at_once=at_once)
    plain = {k: without_dictionary(part) for k, part in rows.items()}
    expected = keys_of(state_of(replace(spec, at_once=True), plain, 1))
    assert_equal(keys_of(state_of(spec, rows, 1)), expected)
    with small_states(are_dealt), TemporaryDirectory() as folder:
        n, n_states = N_ROWS, len(n_batches)
        cuts = [n * k // n_states for k in range(n_states + 1)]
        states = [
            state_of(spec, {k: part.slice(a, b - a) for k, part in rows.items()}, batches)
            for a, b, batches in zip(cuts, cuts[1:], n_batches, strict=False)
        ]
        while len(states) > 1:
            a = states.pop(data.draw(st.integers(0, len(states) - 1)))
            b = states.pop(data.draw(st.integers(0, len(states) - 1)))
            states.append(LEARNER.merge(a, b))
            if data.draw(st.booleans()):
                states[-1] = spilled(states[-1], folder)
        assert LEARNER.size(states[0]) <= LEARNER.bound(spec, N_ROWS)
        content = to_bytes(LEARNER, states[0])
        assert_equal(keys_of(of_bytes(LEARNER, spec, None, content)), expected)
        assert_equal(keys_of(states[0]), expected)


def test_a_state_that_saw_all_rows_at_once_numbers_them() -> None:
    rows = {0: pa.chunked_array([["b", None, "a", "b"]], pa.large_string())}
    spec = KeysSpec((UTF8,), "key", MAX_MEMORY, at_once=True, with_rows=True)
    state = state_of(spec, rows, 1)
    state = LEARNER.merge(LEARNER.start(spec, None), state)
    found = keys_of(state)
    assert found.of_rows is not None
    assert found.of_rows(np.array([7, 8], np.int32), 0).tolist() == [7, 0, 8, 7]
    assert keys_of(state_of(spec, rows, 2)).of_rows is None


@pytest.mark.parametrize("n_batches", [1, 8])
@pytest.mark.parametrize("n_parts", [1, 2])
def test_keys_take_no_more_than_they_may_however_they_come(n_batches: int, n_parts: int) -> None:
    rows = columns(0, n_parts)
    spec = KeysSpec((INT64, UTF8)[:n_parts], "key", 3000, at_once=n_batches == 1)
    with pytest.raises(InvalidData, match=r"distinct keys take [\d,]+ bytes, but max_memory=3,000"):
        state_of(spec, rows, n_batches)


def test_keys_in_files_take_no_more_than_they_may(tmp_path: Path) -> None:
    rows = columns(0, 1)
    state = LEARNER.start(KeysSpec((INT64,), "key", 40_000), None)
    for first in range(0, N_ROWS, 100):
        LEARNER.add(state, {0: rows[0].slice(first, 100)}, range(first, first + 100))
        spilled(state, str(tmp_path))
    with pytest.raises(InvalidData, match="distinct keys take"):
        LEARNER.next(state)


@pytest.mark.parametrize("n_batches", [1, 2])
def test_parts_of_rows_without_a_key_need_no_room(n_batches: int) -> None:
    numbers = np.arange(1000)
    rows = {
        0: pa.chunked_array([numbers % 40]),
        1: pa.chunked_array([numbers // 40]),
        2: pa.chunked_array([pa.nulls(1000, pa.int64())]),
    }
    spec = KeysSpec((INT64,) * 3, "key", 20_000, at_once=n_batches == 1)
    found = keys_of(state_of(spec, rows, n_batches))
    assert (len(found.counts), found.n_missing) == (0, 1000)


@pytest.mark.parametrize("dtype", [INT64, UTF8])
@pytest.mark.parametrize("trip", [False, True])
def test_states_of_rows_that_were_dealt_out_join_by_hash(dtype: DType, trip: bool) -> None:
    generator = np.random.default_rng(5)
    numbers = generator.integers(0, 5_000, 24_000) * 7_919_000_003
    keys = pa.chunked_array([pa.array(numbers, mask=generator.random(len(numbers)) < 0.01)])
    if dtype == UTF8:
        keys = pa.chunked_array([[f"key {key}" for key in keys.to_pylist()]], pa.large_string())
    spec = KeysSpec((dtype,), "key", MAX_MEMORY)
    expected = keys_of(state_of(replace(spec, at_once=True), {0: keys}, 1))
    joins: list[int] = []

    def join(found: Any, *args: Any, **options: Any) -> Any:
        joins.append(len(found))
        return joined_by_hash(found, *args, **options)

    with small_states(are_dealt=True), patch.object(growing, "joined_by_hash", join):
        sizes = [9_000, 6_000, 9_000]
        cuts = np.cumsum([0, *sizes]).tolist()
        states = [state_of(spec, {0: keys.slice(a, b - a)}, 1) for a, b in pairwise(cuts)]
        if trip:
            states = [of_bytes(LEARNER, spec, None, to_bytes(LEARNER, one)) for one in states]
        whole = reduce(LEARNER.merge, states)
        assert_equal(keys_of(whole), expected)
    assert joins
    assert whole.open is None


@pytest.mark.parametrize("are_text", [False, True])
def test_states_whose_missing_keys_are_values_join(are_text: bool) -> None:
    spec = KeysSpec((UTF8 if are_text else INT64,), "value", MAX_MEMORY, at_once=True)
    numbers = [2**60 + k if k % 7 else None for k in range(4000)]
    given = [None if k is None else str(k) for k in numbers] if are_text else numbers
    rows = pa.chunked_array([pa.array(given, pa.large_string() if are_text else pa.int64())])
    expected = keys_of(state_of(spec, {0: rows}, 1))
    with small_states(are_dealt=True):
        a, b = (state_of(spec, {0: rows.slice(k, 2000)}, 1) for k in (0, 2000))
        assert_equal(keys_of(LEARNER.merge(a, b)), expected)
