# pyright: basic
"""Tables of int64 keys, for numbers of every type."""

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
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    prefetch,
    select,
    smaller,
)
from fastfeat_kernels.vocabulary.cpu.direct import (
    are_numbers,
    find_directly,
    tally_keys,
    widen_range,
)
from fastfeat_kernels.vocabulary.cpu.lines import (
    LOG_LINE_BYTES,
    N_AHEAD,
    N_KEYS,
    PLACES,
    build_keys,
    clear_lines,
    clear_region,
    find_keys,
    last_line,
    learn_keys,
    prefetch_line,
    put,
)
from fastfeat_kernels.vocabulary.cpu.records import (
    N_BYTES_AHEAD,
    begin_partitions,
    clear,
    count_partitions,
    count_places,
    partition_bytes,
    prefetch_run,
    record_found,
    record_learnt,
    rest_of_run,
    size_of_run,
)
from fastfeat_kernels.vocabulary.layout import (
    BATCH,
    BUILD,
    CHECK,
    DEAL_OUT,
    DIRECT,
    LEARN,
    N_LINE_KEYS,
    RANGE,
    STATE_IS_FULL,
    STATE_N_KEYS,
    TABLE_BIT_OFFSET,
    TABLE_BLOCK_ROWS,
    TABLE_BLOCK_STARTS,
    TABLE_CHUNK_START,
    TABLE_CLEARS,
    TABLE_ELEMENT,
    TABLE_LIMIT,
    TABLE_N_TAKEN,
    TABLE_NUMBERS,
    TABLE_ROUND,
    TABLE_ROWS,
    TABLE_RUNS,
    TABLE_SCATTERED,
    TABLE_SCRATCH,
    TABLE_SLOTS,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
    TALLY,
    WIDEN,
)

i64 = types.int64
INFINITE = 0x7FF << 52
SPREAD1, SPREAD2 = 0xA0761D6478BD642F - 2**64, 0xE7037ED1A0B428DB - 2**64
# In the scratch memory:
KEYS, HASHES, ROWS, FOUND, CURSORS = (8 * BATCH * k for k in range(5))


@njit(**INNER_OPTIONS)
def hash_key(key):
    """Return 64 bits, each of which depends on all bits of the key."""
    return fold_multiply(key ^ SPREAD1, i64(SPREAD2))


@njit(**INNER_OPTIONS)
def key_of_float(word):
    """Return the key of a float from its bits; keys of NaN lie beyond those of infinities."""
    word = select((word & HIGHEST) == 0, i64(0), word)
    return word ^ ((word >> 63) & HIGHEST)


@njit(**INNER_OPTIONS)
def is_nan(key):
    """Return whether a float's key is the key of NaN."""
    return (key > INFINITE) | (key < ~INFINITE)


@njit(**SEPARATE_OPTIONS)
def present_keys(words, row, n, scratch):
    """Find the key and the row number of each value among n rows.

    Return their number, and the address of the keys: in the column itself, or in the scratch
    memory. Row numbers are left from an earlier batch if no value can be missing.
    """
    element, bit = words[TABLE_ELEMENT], words[TABLE_BIT_OFFSET] + row
    source_at = read_words(
        element, words[TABLE_VALUES], words[TABLE_VALUE_BIT_OFFSET], row, n, scratch + KEYS
    )
    if element > FLOAT32 and words[TABLE_VALIDITY] == 0:
        return i64(n), source_at
    source = pointer_int64(source_at)
    keys, rows = pointer_int64(scratch + KEYS), pointer_int64(scratch + ROWS)
    m = present_rows(words[TABLE_VALIDITY], bit, n, scratch + ROWS)
    if element <= FLOAT32:
        n_values = i64(0)
        for j in range(m):
            key = key_of_float(source[rows[j]])
            keys[n_values], rows[n_values] = key, rows[j]
            n_values += i64(not is_nan(key))
        return n_values, scratch + KEYS
    for j in range(m):
        keys[j] = source[rows[j]]
    return m, scratch + KEYS


@njit(**SEPARATE_OPTIONS)
def hash_keys(words, m, keys_at, hashes_at):
    """Write the hashes of m keys, and prefetch the lines of the first ones."""
    keys, hashes = pointer_int64(keys_at), pointer_int64(hashes_at)
    for j in range(m):
        hashes[j] = hash_key(keys[j])
    lines, last = words[TABLE_SLOTS], last_line(words)
    for j in range(smaller(m, N_AHEAD)):
        prefetch_line(lines, last, hashes[j])


@njit(**SEPARATE_OPTIONS)
def learn_rows(words, row, n):
    """Count the keys of n rows, as far as there is room."""
    state, scratch = pointer_int64(words[TABLE_STATE]), words[TABLE_SCRATCH]
    done = i64(0)
    while done < n and state[STATE_IS_FULL] == 0:
        if state[STATE_N_KEYS] + BATCH > words[TABLE_LIMIT]:
            state[STATE_IS_FULL] = 1
        else:
            k = smaller(n - done, BATCH)
            m, keys_at = present_keys(words, row + done, k, scratch)
            hash_keys(words, m, keys_at, scratch + HASHES)
            places_at = scratch + FOUND
            if m == k and words[TABLE_ROWS] != 0:
                places_at = words[TABLE_ROWS] + 4 * (row + done)
            learn_keys(words, m, keys_at, scratch + HASHES, places_at)
            count_places(words, row + done, m, scratch + ROWS, places_at)
            record_learnt(words, row + done, k, m, scratch + ROWS, places_at)
            done += k


@njit(**SEPARATE_OPTIONS)
def widen_lines(words, first, n):
    """Insert the keys of n lines of a smaller table into this one, each with its place."""
    smaller_lines = words[TABLE_VALUES]
    lines, last = words[TABLE_SLOTS], last_line(words)
    for line in range(first, first + n):
        source = smaller_lines + (line << LOG_LINE_BYTES)
        keys, places = pointer_int64(source), pointer_int32(source)
        for j in range(i64(places[N_KEYS])):
            target = hash_key(keys[j]) & last
            at = lines + (target << LOG_LINE_BYTES)
            while pointer_int32(at)[N_KEYS] == N_LINE_KEYS:
                target = (target + 1) & last
                at = lines + (target << LOG_LINE_BYTES)
            put(at, i64(pointer_int32(at)[N_KEYS]), keys[j], i64(places[PLACES + j]))


@njit(**SEPARATE_OPTIONS)
def scatter_rows(words, row, n, cursors_at):
    """Copy the key of each of n rows to the next place of its partition."""
    element = words[TABLE_ELEMENT]
    source = pointer_int64(
        read_words(
            element,
            words[TABLE_VALUES],
            words[TABLE_VALUE_BIT_OFFSET],
            row,
            n,
            words[TABLE_SCRATCH] + KEYS,
        )
    )
    numbers = pointer_uint8(words[TABLE_NUMBERS] + words[TABLE_CHUNK_START] + row)
    target_at = words[TABLE_SCATTERED]
    cursors, target = pointer_int64(cursors_at), pointer_int64(target_at)
    if element <= FLOAT32:
        for i in range(n):
            at = cursors[i64(numbers[i])]
            prefetch(target_at + 8 * at + N_BYTES_AHEAD)
            target[at] = key_of_float(source[i])
            cursors[i64(numbers[i])] = at + 1
    else:
        for i in range(n):
            at = cursors[i64(numbers[i])]
            prefetch(target_at + 8 * at + N_BYTES_AHEAD)
            target[at] = source[i]
            cursors[i64(numbers[i])] = at + 1


@njit(**SEPARATE_OPTIONS)
def deal_out(words, row, n, starts_at):
    """Write the partition numbers of a block of rows, and copy its keys in partition order."""
    scratch = words[TABLE_SCRATCH]
    clear(starts_at, partition_bytes(words))
    for start in range(0, n, BATCH):
        k = smaller(n - start, BATCH)
        m, keys_at = present_keys(words, row + start, k, scratch)
        keys, hashes = pointer_int64(keys_at), pointer_int64(scratch + HASHES)
        for j in range(m):
            hashes[j] = hash_key(keys[j])
        count_partitions(words, row + start, k, m, scratch + ROWS, scratch + HASHES, starts_at)
    begin_partitions(words, row, starts_at, scratch + CURSORS)
    for start in range(0, n, BATCH):
        scatter_rows(words, row + start, smaller(n - start, BATCH), scratch + CURSORS)


@njit(**SEPARATE_OPTIONS)
def learn_range(words, row, n):
    """Record the range of the keys of n rows, until it is too wide."""
    done = i64(0)
    while done < n and pointer_int64(words[TABLE_STATE])[STATE_IS_FULL] == 0:
        k = smaller(n - done, BATCH)
        m, keys_at = present_keys(words, row + done, k, words[TABLE_SCRATCH])
        widen_range(words, k, m, keys_at)
        done += k


@njit(**SEPARATE_OPTIONS)
def check(words, row, n):
    """Report in the state if any of n rows does not have the number of its key."""
    state, scratch = pointer_int64(words[TABLE_STATE]), words[TABLE_SCRATCH]
    done = i64(0)
    while done < n and state[STATE_IS_FULL] == 0:
        k = smaller(n - done, BATCH)
        m, keys_at = present_keys(words, row + done, k, scratch)
        if not are_numbers(words, row + done, k, m, scratch + ROWS, keys_at):
            state[STATE_IS_FULL] = 1
        done += k


@njit(**SEPARATE_OPTIONS)
def look_up(words, row, n):
    """Write the number of the key of each of n rows."""
    scratch = words[TABLE_SCRATCH]
    for start in range(0, n, BATCH):
        k = smaller(n - start, BATCH)
        m, keys_at = present_keys(words, row + start, k, scratch)
        places_at = scratch + FOUND
        if m == k:
            places_at = words[TABLE_ROWS] + 4 * (row + start)
        if words[TABLE_ROUND] == DIRECT:
            find_directly(words, m, keys_at, places_at)
        else:
            hash_keys(words, m, keys_at, scratch + HASHES)
            find_keys(words, m, keys_at, scratch + HASHES, places_at)
        record_found(words, row + start, k, m, scratch + ROWS, places_at)


def numbers(table, first, n):
    """Execute the table's operation on rows [first, first + n) of its chunk."""
    saved = enter_ieee()
    words = pointer_int64(opaque(table))
    scratch = words[TABLE_SCRATCH]
    present_rows(i64(0), i64(0), BATCH, scratch + ROWS)
    if words[TABLE_ROUND] == LEARN:
        if words[TABLE_CLEARS] != 0:
            clear_lines(words)
        if words[TABLE_RUNS] == 0:
            learn_rows(words, first, n)
        else:
            n_taken = words[TABLE_N_TAKEN]
            for block in range(first, first + n):
                start, size = rest_of_run(words, block, n_taken)
                n_taken -= size_of_run(words, block) - size
                prefetch_run(words, block + 1, first + n, 8)
                learn_rows(words, start, size)
    elif words[TABLE_ROUND] == DEAL_OUT:
        starts_at, done = words[TABLE_BLOCK_STARTS], i64(0)
        while done < n:
            size = smaller(n - done, words[TABLE_BLOCK_ROWS])
            deal_out(words, first + done, size, starts_at)
            starts_at += partition_bytes(words)
            done += size
    elif words[TABLE_ROUND] == BUILD:
        clear_region(words)
        for start in range(0, n, BATCH):
            k = smaller(n - start, BATCH)
            m, keys_at = present_keys(words, first + start, k, scratch)
            keys, hashes = pointer_int64(keys_at), pointer_int64(scratch + HASHES)
            for j in range(m):
                hashes[j] = hash_key(keys[j])
            build_keys(words, first + start, m, keys_at, scratch + HASHES, scratch + FOUND)
    elif words[TABLE_ROUND] == WIDEN:
        clear_lines(words)
        widen_lines(words, first, n)
    elif words[TABLE_ROUND] == RANGE:
        learn_range(words, first, n)
    elif words[TABLE_ROUND] == TALLY:
        for start in range(0, n, BATCH):
            k = smaller(n - start, BATCH)
            m, keys_at = present_keys(words, first + start, k, scratch)
            tally_keys(words, m, keys_at)
    elif words[TABLE_ROUND] == CHECK:
        check(words, first, n)
    else:
        look_up(words, first, n)
    leave_ieee(saved)
    return 0
