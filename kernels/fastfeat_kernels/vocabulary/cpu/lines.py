# pyright: basic
"""Tables of int64 keys in cache lines: the keys of a line are compared all at once.

A probe reads one line, rarely a second: with up to 2.5 keys on average in lines of 5, one line in
fifty is full. No branch depends on a key's position in its line.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    equal_words,
    lowest_bit,
    pointer_int32,
    pointer_int64,
    prefetch,
)
from fastfeat_kernels.vocabulary.layout import (
    N_LINE_KEYS,
    N_NUMBER_SLOT_WORDS,
    N_SLOTS_PER_LINE,
    STATE_IS_FULL,
    STATE_N_KEYS,
    TABLE_END_LINE,
    TABLE_FIRST_LINE,
    TABLE_KEYS,
    TABLE_LAST_OF_REGION,
    TABLE_N_SLOTS,
    TABLE_SLOTS,
    TABLE_STATE,
)

i64 = types.int64
LOG_LINE_BYTES = 6
LOG_LINE_SLOTS = 2
PLACES = 10  # int32 of a line: after the keys
N_KEYS = 15
N_AHEAD = 32  # number of hashes to prefetch lines ahead; each must be a readable word


@njit(**INNER_OPTIONS)
def last_line(words):
    """Return the number of lines of a table less 1, the mask that gives the line of a hash."""
    return (words[TABLE_N_SLOTS] >> LOG_LINE_SLOTS) - 1


@njit(**INNER_OPTIONS)
def prefetch_line(lines, last, hashed):
    """Prefetch the line of a hash."""
    prefetch(lines + ((hashed & last) << LOG_LINE_BYTES))


@njit(**INNER_OPTIONS)
def next_line(line, last_of_region):
    """Return the next line in a region; after the last one comes the first."""
    return (line & ~last_of_region) | ((line + 1) & last_of_region)


@njit(**INNER_OPTIONS)
def equal_keys(line_at, n, key):
    """Return a bit for each of n keys of a line, set if it equals the key; at most one is set."""
    return equal_words(line_at, key) & ((i64(1) << n) - 1)


@njit(**SEPARATE_OPTIONS)
def clear_lines(words):
    """Empty all lines."""
    numbers = pointer_int32(words[TABLE_SLOTS])
    for line in range(last_line(words) + 1):
        numbers[(line << 4) + N_KEYS] = 0


@njit(**INNER_OPTIONS)
def put(line_at, n, key, place):
    """Append a key and its place to a line that has n keys."""
    pointer_int64(line_at)[n] = key
    numbers = pointer_int32(line_at)
    numbers[PLACES + n] = types.int32(place)
    numbers[N_KEYS] = types.int32(n + 1)


@njit(**SEPARATE_OPTIONS)
def learn_keys(words, m, keys_at, hashes_at, places_at):
    """Write the place of each of m keys; insert new keys, which get the next places."""
    keys, hashes = pointer_int64(keys_at), pointer_int64(hashes_at)
    places, known = pointer_int32(places_at), pointer_int64(words[TABLE_KEYS])
    lines, last, last_of_region = words[TABLE_SLOTS], last_line(words), words[TABLE_LAST_OF_REGION]
    state = pointer_int64(words[TABLE_STATE])
    n_keys = state[STATE_N_KEYS]
    for j in range(m):
        prefetch_line(lines, last, hashes[j + N_AHEAD])
        key, line = keys[j], hashes[j] & last
        at = lines + (line << LOG_LINE_BYTES)
        n = i64(pointer_int32(at)[N_KEYS])
        equal = equal_keys(at, n, key)
        while equal == 0 and n == N_LINE_KEYS:
            line = next_line(line, last_of_region)
            at = lines + (line << LOG_LINE_BYTES)
            n = i64(pointer_int32(at)[N_KEYS])
            equal = equal_keys(at, n, key)
        if equal == 0:
            put(at, n, key, n_keys)
            known[n_keys] = key
            place = n_keys
            n_keys += 1
        else:
            place = i64(pointer_int32(at)[PLACES + lowest_bit(equal)])
        places[j] = types.int32(place)
    state[STATE_N_KEYS] = n_keys


@njit(**SEPARATE_OPTIONS)
def find_keys(words, m, keys_at, hashes_at, places_at):
    """Write the place of each of m keys; -1 for unknown keys."""
    keys, hashes = pointer_int64(keys_at), pointer_int64(hashes_at)
    places = pointer_int32(places_at)
    lines, last, last_of_region = words[TABLE_SLOTS], last_line(words), words[TABLE_LAST_OF_REGION]
    for j in range(m):
        prefetch_line(lines, last, hashes[j + N_AHEAD])
        key, line = keys[j], hashes[j] & last
        at = lines + (line << LOG_LINE_BYTES)
        n = i64(pointer_int32(at)[N_KEYS])
        equal = equal_keys(at, n, key)
        while equal == 0 and n == N_LINE_KEYS:
            line = next_line(line, last_of_region)
            at = lines + (line << LOG_LINE_BYTES)
            n = i64(pointer_int32(at)[N_KEYS])
            equal = equal_keys(at, n, key)
        if equal == 0:
            places[j] = -1
        else:
            places[j] = pointer_int32(at)[PLACES + lowest_bit(equal)]


@njit(**SEPARATE_OPTIONS)
def build_keys(words, first, m, keys_at, hashes_at, rows_at):
    """Insert those of m distinct keys that belong to lines of this table; places are row numbers.

    The state reports a full table if the keys have no room in their region.
    """
    keys, hashes, rows = pointer_int64(keys_at), pointer_int64(hashes_at), pointer_int64(rows_at)
    lines, last, last_of_region = words[TABLE_SLOTS], last_line(words), words[TABLE_LAST_OF_REGION]
    first_line, end_line = words[TABLE_FIRST_LINE], words[TABLE_END_LINE]
    state = pointer_int64(words[TABLE_STATE])
    n_taken = i64(0)
    for j in range(m):  # without a branch
        line = hashes[j] & last
        rows[n_taken] = j
        n_taken += i64((line >= first_line) & (line < end_line))
    if state[STATE_N_KEYS] + n_taken > (end_line - first_line) * N_LINE_KEYS:
        state[STATE_IS_FULL] = 1
        return
    state[STATE_N_KEYS] += n_taken
    for k in range(n_taken):
        prefetch_line(lines, last, hashes[rows[k]])
    for k in range(n_taken):
        j = rows[k]
        line = hashes[j] & last
        at = lines + (line << LOG_LINE_BYTES)
        n = i64(pointer_int32(at)[N_KEYS])
        while n == N_LINE_KEYS:
            line = next_line(line, last_of_region)
            at = lines + (line << LOG_LINE_BYTES)
            n = i64(pointer_int32(at)[N_KEYS])
        put(at, n, keys[j], first + j)


@njit(**SEPARATE_OPTIONS)
def clear_region(words):
    """Empty the lines to build."""
    numbers = pointer_int32(words[TABLE_SLOTS])
    for line in range(words[TABLE_FIRST_LINE], words[TABLE_END_LINE]):
        numbers[(line << 4) + N_KEYS] = 0


assert 8 * N_NUMBER_SLOT_WORDS * N_SLOTS_PER_LINE == 1 << LOG_LINE_BYTES
assert N_SLOTS_PER_LINE == 1 << LOG_LINE_SLOTS
