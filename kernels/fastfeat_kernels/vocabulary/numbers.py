# pyright: basic
"""Tables of int64 keys: every type of number is such a key."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import FLOAT32, HIGHEST, present_rows, read_words
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    enter_ieee,
    fold_multiply,
    leave_ieee,
    opaque,
    pointer_int64,
    pointer_uint8,
    prefetch,
    select,
    smaller,
)
from fastfeat_kernels.vocabulary.layout import (
    BATCH,
    COUNT,
    LEARN,
    N_NUMBER_SLOT_WORDS,
    SCATTER,
    STATE_IS_FULL,
    STATE_N_KEYS,
    TABLE_BIT_OFFSET,
    TABLE_CLEARS,
    TABLE_CURSORS,
    TABLE_ELEMENT,
    TABLE_KEYS,
    TABLE_LIMIT,
    TABLE_N_SLOTS,
    TABLE_NUMBERS,
    TABLE_ROUND,
    TABLE_SCATTERED,
    TABLE_SCRATCH,
    TABLE_SLOTS,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)
from fastfeat_kernels.vocabulary.records import (
    clear,
    record_found,
    record_learnt,
    record_partitions,
)

i64 = types.int64
INFINITE = 0x7FF << 52
SPREAD1, SPREAD2 = 0xA0761D6478BD642F - 2**64, 0xE7037ED1A0B428DB - 2**64
LOG_SLOT_BYTES = 4
SOURCE, KEYS, HASHES, ROWS, PLACES = (8 * BATCH * k for k in range(5))  # in the scratch


@njit(**INNER_OPTIONS)
def hash_key(key):
    """Return 64 bits of which all depend on all bits of the key."""
    return fold_multiply(key ^ SPREAD1, i64(SPREAD2))


@njit(**INNER_OPTIONS)
def key_of_float(word):
    """Return the key of a float from its bits; those of NaN are beyond those of infinities."""
    word = select((word & HIGHEST) == 0, i64(0), word)
    return word ^ ((word >> 63) & HIGHEST)


@njit(**INNER_OPTIONS)
def is_nan(key):
    """Return whether a key of a float is that of NaN."""
    return (key > INFINITE) | (key < ~INFINITE)


@njit(**SEPARATE_OPTIONS)
def present_keys(words, row, n, scratch):
    """Write key and row number of each value among n rows; return how many there are."""
    element, bit = words[TABLE_ELEMENT], words[TABLE_BIT_OFFSET] + row
    source = pointer_int64(
        read_words(
            element, words[TABLE_VALUES], words[TABLE_VALUE_BIT_OFFSET], row, n, scratch + SOURCE
        )
    )
    keys, rows = pointer_int64(scratch + KEYS), pointer_int64(scratch + ROWS)
    m = present_rows(words[TABLE_VALIDITY], bit, n, scratch + ROWS)
    if element <= FLOAT32:
        n_values = i64(0)
        for j in range(m):
            key = key_of_float(source[rows[j]])
            keys[n_values], rows[n_values] = key, rows[j]
            n_values += i64(not is_nan(key))
        return n_values
    if m == n:
        for j in range(m):
            keys[j] = source[j]
    else:
        for j in range(m):
            keys[j] = source[rows[j]]
    return m


@njit(**INNER_OPTIONS)
def hash_batch(words, row, n, scratch):
    """Prepare a batch: keys, row numbers, hashes, and the cache lines of their first slots."""
    m = present_keys(words, row, n, scratch)
    keys, hashes = pointer_int64(scratch + KEYS), pointer_int64(scratch + HASHES)
    slots, last = words[TABLE_SLOTS], words[TABLE_N_SLOTS] - 1
    for j in range(m):
        hashed = hash_key(keys[j])
        hashes[j] = hashed
        prefetch(slots + ((hashed & last) << LOG_SLOT_BYTES))
    return m


@njit(**SEPARATE_OPTIONS)
def learn_batch(words, m, scratch):
    """Find the place of each key, which is the next one for a new key."""
    keys, hashes = pointer_int64(scratch + KEYS), pointer_int64(scratch + HASHES)
    places, known = pointer_int64(scratch + PLACES), pointer_int64(words[TABLE_KEYS])
    slots, last = words[TABLE_SLOTS], words[TABLE_N_SLOTS] - 1
    state = pointer_int64(words[TABLE_STATE])
    n_keys = state[STATE_N_KEYS]
    for j in range(m):
        key, at = keys[j], hashes[j] & last
        slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        while (slot[1] != 0) & (slot[0] != key):
            at = (at + 1) & last
            slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        if slot[1] == 0:
            known[n_keys] = key
            n_keys += 1
            slot[0], slot[1] = key, n_keys
        places[j] = slot[1] - 1
    state[STATE_N_KEYS] = n_keys


@njit(**SEPARATE_OPTIONS)
def find_batch(words, m, scratch):
    """Find the place of each key, -1 if it has none."""
    keys, hashes = pointer_int64(scratch + KEYS), pointer_int64(scratch + HASHES)
    places = pointer_int64(scratch + PLACES)
    slots, last = words[TABLE_SLOTS], words[TABLE_N_SLOTS] - 1
    for j in range(m):
        key, at = keys[j], hashes[j] & last
        slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        while (slot[1] != 0) & (slot[0] != key):
            at = (at + 1) & last
            slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        places[j] = slot[1] - 1


@njit(**SEPARATE_OPTIONS)
def scatter_batch(words, row, n, scratch):
    """Copy the key of each of n rows to the next place of its partition."""
    element, bit = words[TABLE_ELEMENT], words[TABLE_VALUE_BIT_OFFSET]
    source = pointer_int64(read_words(element, words[TABLE_VALUES], bit, row, n, scratch + SOURCE))
    numbers, cursors = (
        pointer_uint8(words[TABLE_NUMBERS] + row),
        pointer_int64(words[TABLE_CURSORS]),
    )
    target = pointer_int64(words[TABLE_SCATTERED])
    for i in range(n):
        number = i64(numbers[i])
        at = cursors[number]
        target[at] = key_of_float(source[i]) if element <= FLOAT32 else source[i]
        cursors[number] = at + 1


def numbers(table, first, n):
    """Do what the table asks for with rows [first, first + n) of its chunk."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    state, scratch = pointer_int64(words[TABLE_STATE]), words[TABLE_SCRATCH]
    if words[TABLE_ROUND] == LEARN:
        done = i64(0)
        if words[TABLE_CLEARS] != 0:
            clear(words[TABLE_SLOTS], words[TABLE_N_SLOTS] << LOG_SLOT_BYTES)
        while done < n and state[STATE_IS_FULL] == 0:
            if state[STATE_N_KEYS] + BATCH > words[TABLE_LIMIT]:
                state[STATE_IS_FULL] = 1
            else:
                k = smaller(n - done, BATCH)
                m = hash_batch(words, first + done, k, scratch)
                learn_batch(words, m, scratch)
                record_learnt(words, first + done, k, m, scratch + ROWS, scratch + PLACES)
                done += k
    elif words[TABLE_ROUND] == SCATTER:
        for start in range(0, n, BATCH):
            scatter_batch(words, first + start, smaller(n - start, BATCH), scratch)
    elif words[TABLE_ROUND] == COUNT:
        for start in range(0, n, BATCH):
            k = smaller(n - start, BATCH)
            m = hash_batch(words, first + start, k, scratch)
            record_partitions(words, first + start, k, m, scratch + ROWS, scratch + HASHES)
    else:
        for start in range(0, n, BATCH):
            k = smaller(n - start, BATCH)
            m = hash_batch(words, first + start, k, scratch)
            find_batch(words, m, scratch)
            record_found(words, first + start, k, m, scratch + ROWS, scratch + PLACES)
    leave_ieee(saved)
    return 0


assert 8 * N_NUMBER_SLOT_WORDS == 1 << LOG_SLOT_BYTES
