"""Reference of the vocabulary kernels: plain Python with slots as a dict; same tables and words."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from fastfeat_kernels.column import ELEMENTS, TEXT, key_of
from fastfeat_kernels.memory import bit_at, text_at, value_at, words_at
from fastfeat_kernels.vocabulary.layout import (
    BATCH,
    BUILD,
    CHECK,
    COPY,
    DEAL_BINS,
    DEAL_COUNTS,
    DEAL_N_BINS,
    DEAL_NEW_COUNTS,
    DEAL_NEW_IDS,
    DEAL_NEW_WORDS,
    DEAL_OUT,
    DEAL_ROUND,
    DEAL_WORDS,
    DIRECT,
    LEARN,
    N_DEAL_WORDS,
    N_GATHER_WORDS,
    N_ROWS_WORDS,
    N_SORT_WORDS,
    N_STATE_WORDS,
    N_TABLE_WORDS,
    PAIRS,
    PUT_IN_ORDER,
    RANGE,
    SORT_COUNTS,
    SORT_IDS,
    SORT_KEYS,
    SORT_PLACES,
    STATE_HIGH,
    STATE_IS_FULL,
    STATE_LOW,
    STATE_N_KEYS,
    STATE_N_MISSING,
    STATE_N_ROWS,
    TABLE_BIT_OFFSET,
    TABLE_BLOCK_ROWS,
    TABLE_BLOCK_STARTS,
    TABLE_BYTES,
    TABLE_CHUNK_START,
    TABLE_COUNTS,
    TABLE_ELEMENT,
    TABLE_ENDS,
    TABLE_KEYS,
    TABLE_LIMIT,
    TABLE_LOG_PARTITIONS,
    TABLE_LOW,
    TABLE_MISSING,
    TABLE_N_TAKEN,
    TABLE_NONE,
    TABLE_NUMBERS,
    TABLE_OF_SPAN,
    TABLE_OFFSET_BYTES,
    TABLE_OFFSETS,
    TABLE_OUTPUTS,
    TABLE_ROUND,
    TABLE_ROWS,
    TABLE_RUN_STRIDE,
    TABLE_RUNS,
    TABLE_SCATTERED,
    TABLE_SPAN,
    TABLE_START,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
    TABLE_WEIGHTS,
    TALLY,
    WIDEN,
)

ReferenceKey = int | bytes


def numbers(table: int, first: int, n: int) -> int:
    """Execute the table's operation on rows [first, first + n) of a chunk of numbers."""
    words = words_at(table, N_TABLE_WORDS)
    if words[TABLE_ROUND] == DEAL_OUT:
        return _deal_out(
            words, first, n, lambda row: _number_at(words, row), lambda row, key: (key,)
        )
    if words[TABLE_ROUND] in (RANGE, TALLY, DIRECT):
        for row in range(first, first + n):
            _of_range(words, row, _number_at(words, row))
        return 0
    if words[TABLE_ROUND] == CHECK:
        _check(words, first, n)
        return 0
    if words[TABLE_ROUND] in (BUILD, WIDEN):
        return 0  # places are those of the table's keys

    def write(place: int, row: int, key: Any) -> None:
        words_at(words[TABLE_KEYS], place + 1)[place] = key

    keys = list(words_at(words[TABLE_KEYS], _state(words)[STATE_N_KEYS]))
    return _run_round(words, first, n, keys, lambda row: _number_at(words, row), write)


def _check(words: Any, first: int, n: int) -> None:
    """Report in the state if rows do not have the number of their key."""
    for row in range(first, first + n):
        key, number = _number_at(words, row), words_at(words[TABLE_ROWS], row + 1, bits=32)[row]
        place = number - words[TABLE_START]
        known = None if place < 0 else words_at(words[TABLE_KEYS], place + 1)[place]
        _state(words)[STATE_IS_FULL] |= known != key


def text(table: int, first: int, n: int) -> int:
    """Execute the table's operation on rows [first, first + n) of a chunk of text."""
    words = words_at(table, N_TABLE_WORDS)
    if words[TABLE_ROUND] == COPY:
        return _copy_keys(words, first, n)
    if words[TABLE_ROUND] == WIDEN:
        return 0
    if words[TABLE_ROUND] == DEAL_OUT:
        return _deal_out(
            words,
            first,
            n,
            lambda row: _text_at(words, row),
            lambda row, key: _address_of(words, row),
        )

    def write(place: int, row: int, key: Any) -> None:
        words_at(words[TABLE_KEYS] + 16 * place, 2)[:] = _address_of(words, row)

    pairs = words_at(words[TABLE_KEYS], 2 * _state(words)[STATE_N_KEYS])
    keys = [
        ctypes.string_at(address, size) if size else b""
        for address, size in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    return _run_round(words, first, n, keys, lambda row: _text_at(words, row), write)


def _state(words: Any) -> Any:
    return words_at(words[TABLE_STATE], N_STATE_WORDS)


def _run_round(
    words: Any,
    first: int,
    n: int,
    keys: list[Any],
    key_at: Callable[[int], ReferenceKey | None],
    write: Callable[[int, int, ReferenceKey], None],
) -> int:
    places = {key: place for place, key in enumerate(keys)}
    if words[TABLE_ROUND] == LEARN:
        for start, end in _runs(words, first, n):
            _learn_rows(words, start, end, places, key_at, write)
    else:
        for row in range(first, first + n):
            _put(words, row, _found(words, key_at(row), places))
    return 0


def _runs(words: Any, first: int, n: int) -> Iterator[tuple[int, int]]:
    """Yield first row and end of each run of rows to learn."""
    if not words[TABLE_RUNS]:
        yield first, first + n
        return
    n_taken = words[TABLE_N_TAKEN]
    for block in range(first, first + n):
        at = words[TABLE_RUNS] + 8 * block * words[TABLE_RUN_STRIDE]
        start, end = words_at(at, 2)
        skipped = min(n_taken, end - start)
        n_taken -= skipped
        yield start + skipped, end


def _learn_rows(
    words: Any,
    first: int,
    end: int,
    places: dict[ReferenceKey, int],
    key_at: Callable[[int], ReferenceKey | None],
    write: Callable[[int, int, ReferenceKey], None],
) -> None:
    state = _state(words)
    for start in range(first, end, BATCH):
        if state[STATE_IS_FULL] or len(places) + BATCH > words[TABLE_LIMIT]:
            state[STATE_IS_FULL] = 1
            return
        for row in range(start, min(start + BATCH, end)):
            _learn_row(words, state, row, key_at(row), places, write)
        state[STATE_N_KEYS] = len(places)


def _deal_out(
    words: Any,
    first: int,
    n: int,
    key_at: Callable[[int], ReferenceKey | None],
    words_of: Callable[[int, Any], tuple[int, ...]],
) -> int:
    """Write the partition numbers of rows and copy their keys, block by block.

    The result must not depend on the assignment of keys to partitions.
    """
    n_partitions: int = 1 << words[TABLE_LOG_PARTITIONS]
    starts_at, n_block = words[TABLE_BLOCK_STARTS], words[TABLE_BLOCK_ROWS]
    for start in range(first, first + n, n_block):
        dealt: list[list[int]] = [[] for _ in range(n_partitions + 1)]
        for row in range(start, min(start + n_block, first + n)):
            key, at = key_at(row), words[TABLE_CHUNK_START] + row
            spread = sum(key) if isinstance(key, bytes) else key
            number = n_partitions if spread is None else int(spread % n_partitions)
            words_at(words[TABLE_NUMBERS], at + 1, signed=False, bits=8)[at] = number
            dealt[number].append(row)
        starts = words_at(starts_at, n_partitions + 2)
        starts[0] = words[TABLE_CHUNK_START] + start
        for number, of_partition in enumerate(dealt):
            for at, row in enumerate(of_partition, starts[number]):
                key = words_of(row, key_at(row) or 0)
                words_at(words[TABLE_SCATTERED] + 8 * len(key) * at, len(key))[:] = key
            starts[number + 1] = starts[number] + len(of_partition)
        starts_at += 8 * (n_partitions + 2)
    return 0


def _learn_row(
    words: Any,
    state: Any,
    row: int,
    key: ReferenceKey | None,
    places: dict[ReferenceKey, int],
    write: Callable[[int, int, ReferenceKey], None],
) -> None:
    state[STATE_N_ROWS] += 1
    if key is None:
        state[STATE_N_MISSING] += 1
        _put(words, row, words[TABLE_MISSING])
        return
    if key not in places:
        write(len(places), row, key)
        places[key] = len(places)
    place = places[key]
    weight = words_at(words[TABLE_WEIGHTS], row + 1)[row] if words[TABLE_WEIGHTS] else 1
    words_at(words[TABLE_COUNTS], place + 1)[place] += weight
    _put(words, row, place)


def _of_range(words: Any, row: int, key: int | None) -> None:
    """Record the key of a row in the range, count it, or look it up."""
    state = _state(words)
    if words[TABLE_ROUND] == RANGE:
        state[STATE_N_ROWS] += 1
        state[STATE_N_MISSING] += key is None
        if key is not None:
            state[STATE_LOW] = min(state[STATE_LOW], key)
            state[STATE_HIGH] = max(state[STATE_HIGH], key)
            state[STATE_IS_FULL] |= state[STATE_HIGH] - state[STATE_LOW] >= words[TABLE_SPAN]
        return
    at, span = 0 if key is None else key - words[TABLE_LOW], words[TABLE_SPAN]
    of_span = words_at(words[TABLE_OF_SPAN], span, bits=32)
    if words[TABLE_ROUND] == TALLY:
        if key is not None:
            of_span[at] += 1
    else:
        place = of_span[at] if 0 <= at < span else -1
        _put(words, row, words[TABLE_MISSING] if key is None else _number(words, place))


def _number(words: Any, place: int) -> int:
    """Return the number to write for a place; for -1 the number of no key."""
    if place < 0:
        return words[TABLE_NONE]
    if not words[TABLE_OUTPUTS]:
        return place + words[TABLE_START]
    return words_at(words[TABLE_OUTPUTS], place + 1, bits=32)[place]


def _found(words: Any, key: ReferenceKey | None, places: dict[ReferenceKey, int]) -> int:
    if key is None:
        return words[TABLE_MISSING]
    return _number(words, places.get(key, -1))


def _put(words: Any, row: int, number: int) -> None:
    if words[TABLE_ROWS]:
        words_at(words[TABLE_ROWS], row + 1, bits=32)[row] = number


def _number_at(words: Any, row: int) -> int | None:
    place: int = words[TABLE_ELEMENT]
    element = ELEMENTS[place]
    value = value_at(
        element,
        words[TABLE_VALUES],
        words[TABLE_VALUE_BIT_OFFSET],
        words[TABLE_VALIDITY],
        words[TABLE_BIT_OFFSET],
        row,
    )
    return None if value is None else key_of(element, value + 0)


def _text_at(words: Any, row: int) -> bytes | None:
    if words[TABLE_OFFSET_BYTES] != PAIRS:
        return text_at(
            words[TABLE_OFFSETS],
            words[TABLE_OFFSET_BYTES],
            words[TABLE_VALUES],
            words[TABLE_VALIDITY],
            words[TABLE_BIT_OFFSET],
            row,
        )
    if words[TABLE_VALIDITY] and not bit_at(words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row):
        return None
    address, size = words_at(words[TABLE_OFFSETS] + 16 * row, 2)
    return ctypes.string_at(address, size) if size else b""


def _address_of(words: Any, row: int) -> tuple[int, int]:
    """Return address and number of bytes of a row of text."""
    width = words[TABLE_OFFSET_BYTES]
    if width == PAIRS:
        address, size = words_at(words[TABLE_OFFSETS] + 16 * row, 2)
        return address, size
    start, end = words_at(words[TABLE_OFFSETS] + width * row, 2, bits=8 * width)
    return words[TABLE_VALUES] + start, end - start


def _copy_keys(words: Any, first: int, n: int) -> int:
    ends = words_at(words[TABLE_ENDS], first + n)
    pairs = words_at(words[TABLE_KEYS], 2 * (first + n))
    for k in range(first, first + n):
        address, size = pairs[2 * k], pairs[2 * k + 1]
        if size:
            ctypes.memmove(words[TABLE_BYTES] + ends[k] - size, address, size)
    return 0


def rows(table: int, first: int, n: int) -> int:
    """Write the value of each row's id; the value for id -1 precedes the others."""
    ids_at, values_at, target_at, runs_at, stride = words_at(table, N_ROWS_WORDS)
    runs = [(first, first + n)]
    if runs_at:
        blocks = range(first, first + n)
        runs = [tuple(words_at(runs_at + 8 * block * stride, 2)) for block in blocks]
    for row in (row for start, end in runs for row in range(start, end)):
        id_of_row = words_at(ids_at, row + 1, bits=32)[row] if ids_at else -1
        value = words_at(values_at, id_of_row + 2, bits=32)[id_of_row + 1]
        words_at(target_at, row + 1, bits=32)[row] = value
    return 0


def gather(table: int, first: int, n: int) -> int:
    """Write for each row of blocks the next value of its partition."""
    numbers_at, starts_at, stride, values_at, target_at, _ = words_at(table, N_GATHER_WORDS)
    for block in range(first, first + n):
        *cursors, end = words_at(starts_at + 8 * block * stride, stride)
        of_rows = words_at(numbers_at, end, signed=False, bits=8)
        target = words_at(target_at, end, bits=32)
        for row in range(cursors[0], end):
            at = cursors[of_rows[row]]
            target[row] = words_at(values_at, at + 1, bits=32)[at]
            cursors[of_rows[row]] += 1
    return 0


def sort(table: int, first: int, n: int) -> int:
    """Sort the keys [first, first + n) within each run of equal counts, with their ids."""
    words = words_at(table, N_SORT_WORDS)
    keys, counts = (words_at(words[at], first + n) for at in (SORT_KEYS, SORT_COUNTS))
    ids = words_at(words[SORT_IDS], first + n, bits=32)
    start = first
    for _, equal in groupby(counts[first : first + n]):
        end = start + len(list(equal))
        pairs = sorted(zip(keys[start:end], ids[start:end], strict=True))
        keys[start:end], ids[start:end] = zip(*pairs, strict=True)
        start = end
    if words[SORT_PLACES]:
        for at in range(first, first + n):
            words_at(words[SORT_PLACES], ids[at] + 1, bits=32)[ids[at]] = at
    return 0


def descending(table: int, first: int, n: int) -> int:
    """Count the counts of keys [first, first + n), or copy them in descending order of counts."""
    words = words_at(table, N_DEAL_WORDS)
    end, n_bins = first + n, words[DEAL_N_BINS]
    given, counts = (words_at(words[at], end) for at in (DEAL_WORDS, DEAL_COUNTS))
    bins = words_at(words[DEAL_BINS], n_bins)
    for k in range(first, end):
        number = n_bins - 1 - min(counts[k], n_bins - 1)
        at, bins[number] = bins[number], bins[number] + 1
        if words[DEAL_ROUND] == PUT_IN_ORDER:
            words_at(words[DEAL_NEW_WORDS], at + 1)[at] = given[k]
            words_at(words[DEAL_NEW_COUNTS], at + 1)[at] = counts[k]
            words_at(words[DEAL_NEW_IDS], at + 1, bits=32)[at] = k
    return 0


ENTRIES = {
    "numbers": numbers,
    TEXT: text,
    "rows": rows,
    "gather": gather,
    "sort": sort,
    "descending": descending,
}
