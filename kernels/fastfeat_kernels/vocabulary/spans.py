"""Keys of a narrow range, such as codes, years or numbered rows: counted and found without a hash.

An int32 for each number of the range, a count or a place, replaces a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import AnyChunk, CallRunner, ChunkRows, KernelRowCall, split_rows
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import describe, number_keys

ALWAYS_NARROW: Final = 256  # ranges up to this are worth it for any number of rows
ROWS_PER_NUMBER: Final = 8  # least rows per number of a learnt range: its counts then take little
NUMBERS_PER_KEY: Final = 4  # most numbers per key of a look-up range, for as much memory as a table
_MAX_ROWS: Final = 2**31 - 1  # rows of a part: counts are int32
_LOWEST: Final = np.int64(-(2**63))
_HIGHEST: Final = np.int64(2**63 - 1)


@dataclass(frozen=True, slots=True)
class SpanTable:
    """An int32 for each number of a range: `of_span[i]` belongs to number `low + i`."""

    low: int
    of_span: Int32Array


@dataclass(frozen=True, slots=True)
class Tally:
    """The distinct keys of a column, ascending, with counts and the number of missing rows."""

    keys: Int64Array
    counts: Int64Array
    n_missing: int


def tally(
    element: str, parts: Sequence[Sequence[ChunkRows[AnyChunk]]], run: CallRunner
) -> Tally | None:
    """Return the distinct keys of a column of numbers; None if their range is not narrow.

    Only few rows are read until a wide range is detected.
    """
    n_rows = [sum(rows.n for rows in part) for part in parts]
    limit = sum(n_rows) // ROWS_PER_NUMBER + ALWAYS_NARROW
    if max(n_rows, default=0) > _MAX_ROWS:
        return None
    states = np.zeros((len(parts), layout.N_STATE_WORDS), np.int64)
    states[:, layout.STATE_LOW], states[:, layout.STATE_HIGH] = _HIGHEST, _LOWEST
    common = {layout.TABLE_ROUND: layout.RANGE, layout.TABLE_SPAN: limit}
    run("numbers", [
        [_call(element, rows, common | {layout.TABLE_STATE: state.ctypes.data}, state)
         for rows in part]
        for part, state in zip(parts, states, strict=True)
    ])  # fmt: skip
    low = int(states[:, layout.STATE_LOW].min(initial=_HIGHEST))
    span = max(int(states[:, layout.STATE_HIGH].max(initial=_LOWEST)) - low + 1, 0)
    if states[:, layout.STATE_IS_FULL].any() or span > limit:
        return None
    n_missing = int(states[:, layout.STATE_N_MISSING].sum())
    totals = _counts(element, parts, low, span, run)
    found = np.flatnonzero(totals)
    return Tally(found + low, totals[found], n_missing)


def counts_of(
    element: str, chunks: Sequence[AnyChunk], n: int, run: CallRunner, n_parts: int = 1
) -> Int64Array:
    """Return how often each number in [0, n) occurs in a column without other numbers."""
    pieces = [
        ChunkRows(rows.chunk, rows.first + at, min(rows.n - at, _MAX_ROWS), rows.chunk_start)
        for part in split_rows(chunks, n_parts)
        for rows in part
        for at in range(0, rows.n, _MAX_ROWS)
    ]
    return _counts(element, [[piece] for piece in pieces], _zero(element), n, run)


def _zero(element: str) -> int:
    """Return the key of 0."""
    return int(number_keys(element, np.zeros(1, element))[0])


def _counts(
    element: str,
    parts: Sequence[Sequence[ChunkRows[AnyChunk]]],
    low: int,
    span: int,
    run: CallRunner,
) -> Int64Array:
    """Return the number of rows with each key of a range."""
    counts = np.zeros((len(parts), span), np.int32)
    common = {layout.TABLE_ROUND: layout.TALLY, layout.TABLE_LOW: low, layout.TABLE_SPAN: span}
    run("numbers", [
        [_call(element, rows, common | {layout.TABLE_OF_SPAN: own.ctypes.data}, own)
         for rows in part]
        for part, own in zip(parts, counts, strict=True)
    ])  # fmt: skip
    return counts.sum(axis=0, dtype=np.int64)


def room_for(n_keys: int) -> int:
    """Return the largest range worth a direct look-up of `n_keys` keys."""
    return NUMBERS_PER_KEY * n_keys + ALWAYS_NARROW


def span_of(keys: Int64Array, places: Int32Array, room: int) -> SpanTable | None:
    """Return the places of keys by number; None if their range exceeds `room` numbers."""
    if len(keys) == 0:
        return None
    low, span = int(keys.min()), int(keys.max()) - int(keys.min()) + 1
    if span > room:
        return None
    of_span = np.full(span, -1, np.int32)
    of_span[keys - low] = places
    return SpanTable(low, of_span)


def numbers_of_codes(
    element: str,
    chunks: Sequence[AnyChunk],
    numbers: Int32Array,
    run: CallRunner,
    n_parts: int = 1,
    *,
    missing: int,
) -> Int32Array:
    """Return the number of each row's code; codes below 0 and missing rows get `missing`."""
    words = {layout.TABLE_MISSING: missing, layout.TABLE_NONE: missing}
    return look_up(element, SpanTable(_zero(element), numbers), chunks, run, n_parts, words)


def look_up(
    element: str,
    span: SpanTable,
    chunks: Sequence[AnyChunk],
    run: CallRunner,
    n_parts: int,
    words: dict[int, int],
) -> Int32Array:
    """Return for each row the number of its key, `(n_rows,)`; words like for a table."""
    out = np.empty(sum(chunk.length for chunk in chunks), np.int32)
    common = words | _direct(span)

    def call(rows: ChunkRows[AnyChunk]) -> KernelRowCall:
        target = out.ctypes.data + 4 * rows.chunk_start
        return _call(element, rows, common | {layout.TABLE_ROWS: target}, (span, out))

    run("numbers", [[call(rows) for rows in part] for part in split_rows(chunks, n_parts)])
    return out


def span_words(span: SpanTable) -> Int64Array:
    """Return the table of a `look_up` call, without its column and its output."""
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    for word, value in _direct(span).items():
        words[word] = value
    return words


def _direct(span: SpanTable) -> dict[int, int]:
    return {
        layout.TABLE_ROUND: layout.DIRECT,
        layout.TABLE_LOW: span.low,
        layout.TABLE_SPAN: len(span.of_span),
        layout.TABLE_OF_SPAN: span.of_span.ctypes.data,
    }


def _call(
    element: str, rows: ChunkRows[AnyChunk], given: dict[int, int], owners: object
) -> KernelRowCall:
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    for word, value in given.items():
        words[word] = value
    scratch = describe(words, element, rows.chunk)
    return KernelRowCall(words, rows.first, rows.n, (rows, scratch, owners))
