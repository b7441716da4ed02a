# pyright: basic
"""Tables of bytes keys. Up to 16 bytes are compared in registers, within the slot."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import present_rows
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    fold_multiply,
    load_int64,
    pointer_int32,
    pointer_int64,
    pointer_uint8,
    prefetch,
    select,
    shift_logical,
    smaller,
    store_int64,
)
from fastfeat_kernels.vocabulary.cpu.records import (
    N_BYTES_AHEAD,
    begin_partitions,
    clear,
    count_partitions,
    count_places,
    partition_bytes,
    record_found,
    record_learnt,
    rest_of_run,
    size_of_run,
)
from fastfeat_kernels.vocabulary.layout import (
    ALL_ONES,
    BATCH,
    COPY,
    DEAL_OUT,
    LEARN,
    N_INLINE_BYTES,
    N_TEXT_SLOT_WORDS,
    STATE_IS_FULL,
    STATE_N_KEYS,
    TABLE_BIT_OFFSET,
    TABLE_BLOCK_ROWS,
    TABLE_BLOCK_STARTS,
    TABLE_BYTES,
    TABLE_CHUNK_START,
    TABLE_CLEARS,
    TABLE_ENDS,
    TABLE_KEYS,
    TABLE_LIMIT,
    TABLE_N_SLOTS,
    TABLE_N_TAKEN,
    TABLE_NUMBERS,
    TABLE_OFFSET_BYTES,
    TABLE_OFFSETS,
    TABLE_ROUND,
    TABLE_RUNS,
    TABLE_SCATTERED,
    TABLE_SCRATCH,
    TABLE_SLOTS,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUES,
    WIDEN,
)

i64 = types.int64
SPREAD1, SPREAD2 = 0xA0761D6478BD642F - 2**64, 0xE7037ED1A0B428DB - 2**64
LOG_SLOT_BYTES = 5
FIRST, SECOND, SIZES, HASHES, ADDRESSES, ROWS, PLACES, CURSORS = (8 * BATCH * k for k in range(8))


@njit(**SEPARATE_OPTIONS)
def read_rows(words, row, m, scratch):
    """Write the address and the length of m rows; ROWS has their numbers, counted from `row`."""
    rows = pointer_int64(scratch + ROWS)
    addresses, sizes = pointer_int64(scratch + ADDRESSES), pointer_int64(scratch + SIZES)
    data, width = words[TABLE_VALUES], words[TABLE_OFFSET_BYTES]
    start = words[TABLE_OFFSETS] + row * width
    if width == 4:
        narrow = pointer_int32(start)
        for j in range(m):
            begin, end = i64(narrow[rows[j]]), i64(narrow[rows[j] + 1])
            addresses[j], sizes[j] = data + begin, end - begin
    elif width == 8:
        wide = pointer_int64(start)
        for j in range(m):
            begin, end = wide[rows[j]], wide[rows[j] + 1]
            addresses[j], sizes[j] = data + begin, end - begin
    else:
        pairs = pointer_int64(start)
        for j in range(m):
            addresses[j], sizes[j] = pairs[2 * rows[j]], pairs[2 * rows[j] + 1]


@njit(**INNER_OPTIONS)
def lowest_bytes(word, n):
    """Return a word with its lowest n bytes kept, the others 0; none if n < 0, all if n > 8."""
    kept = word & ((i64(1) << (select(n < 0, i64(0), n) << 3 & 63)) - 1)
    return select(n >= 8, word, kept)


@njit(**SEPARATE_OPTIONS)
def few_bytes(address, n):
    """Return up to 8 bytes as a word, without reading others."""
    word, pointer = i64(0), pointer_uint8(address)
    for i in range(n):
        word |= i64(pointer[i]) << (i << 3)
    return word


@njit(**SEPARATE_OPTIONS)
def hash_long(address, n):
    """Return the hash of more than 16 bytes."""
    hashed = n ^ SPREAD2
    for i in range(0, n - 16, 16):
        hashed = fold_multiply(
            load_int64(address + i) ^ SPREAD1, load_int64(address + i + 8) ^ hashed
        )
    last = address + n - 16
    hashed = fold_multiply(load_int64(last) ^ SPREAD1, load_int64(last + 8) ^ hashed)
    return fold_multiply(hashed ^ SPREAD1, n ^ SPREAD2)


@njit(**INNER_OPTIONS)
def hash_batch(words, row, n, scratch):
    """Prepare a batch: the words to compare, row numbers and hashes; prefetch the first slots."""
    bit = words[TABLE_BIT_OFFSET] + row
    m = present_rows(words[TABLE_VALIDITY], bit, n, scratch + ROWS)
    read_rows(words, row, m, scratch)
    first, second = pointer_int64(scratch + FIRST), pointer_int64(scratch + SECOND)
    addresses, sizes = pointer_int64(scratch + ADDRESSES), pointer_int64(scratch + SIZES)
    hashes = pointer_int64(scratch + HASHES)
    slots, last = words[TABLE_SLOTS], words[TABLE_N_SLOTS] - 1
    for j in range(m):
        size, address = sizes[j], addresses[j]
        if size <= N_INLINE_BYTES:
            if (size > 0) & ((address & 4095) <= 4096 - N_INLINE_BYTES):
                # Reads beyond the text, but only within the page in which it begins.
                a = lowest_bytes(load_int64(address), size)
                b = lowest_bytes(load_int64(address + 8), size - 8)
            else:
                a = few_bytes(address, smaller(size, 8))
                b = few_bytes(address + 8, size - 8)
            hashed = fold_multiply(a ^ SPREAD1 ^ (size << 56), b ^ SPREAD2)
            hashed = fold_multiply(hashed ^ SPREAD2, i64(SPREAD1))
        else:
            hashed = hash_long(address, size)
            a, b = hashed, address
        first[j], second[j], hashes[j] = a, b, hashed
        prefetch(slots + ((hashed & last) << LOG_SLOT_BYTES))
    return m


@njit(**SEPARATE_OPTIONS)
def same_bytes(a, b, n):
    """Return whether n > 8 bytes are equal at two addresses."""
    for i in range(0, n - 8, 8):
        if load_int64(a + i) != load_int64(b + i):
            return False
    return load_int64(a + n - 8) == load_int64(b + n - 8)


@njit(**INNER_OPTIONS)
def is_same(slot, first, second, size, words):
    """Return whether a used slot has this key."""
    if (slot[0] != first) | (shift_logical(slot[2], 32) != smaller(size, ALL_ONES)):
        return False
    if size <= N_INLINE_BYTES:
        return slot[1] == second
    key = pointer_int64(words[TABLE_KEYS] + (((slot[2] & ALL_ONES) - 1) << 4))
    return (key[1] == size) and same_bytes(key[0], second, size)


@njit(**SEPARATE_OPTIONS)
def learn_batch(words, m, scratch):
    """Find the place of each key, the next one for a new key."""
    first, second = pointer_int64(scratch + FIRST), pointer_int64(scratch + SECOND)
    addresses, sizes = pointer_int64(scratch + ADDRESSES), pointer_int64(scratch + SIZES)
    hashes, places = pointer_int64(scratch + HASHES), pointer_int32(scratch + PLACES)
    slots, last = words[TABLE_SLOTS], words[TABLE_N_SLOTS] - 1
    state, known = pointer_int64(words[TABLE_STATE]), pointer_int64(words[TABLE_KEYS])
    n_keys = state[STATE_N_KEYS]
    for j in range(m):
        at = hashes[j] & last
        slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        while slot[2] != 0 and not is_same(slot, first[j], second[j], sizes[j], words):
            at = (at + 1) & last
            slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        if slot[2] == 0:
            known[2 * n_keys], known[2 * n_keys + 1] = addresses[j], sizes[j]
            n_keys += 1
            slot[0], slot[1], slot[3] = first[j], second[j], hashes[j]
            slot[2] = (smaller(sizes[j], ALL_ONES) << 32) | n_keys
        places[j] = types.int32((slot[2] & ALL_ONES) - 1)
    state[STATE_N_KEYS] = n_keys


@njit(**SEPARATE_OPTIONS)
def find_batch(words, m, scratch):
    """Find the place of each key; -1 for unknown keys."""
    first, second = pointer_int64(scratch + FIRST), pointer_int64(scratch + SECOND)
    sizes, places = pointer_int64(scratch + SIZES), pointer_int32(scratch + PLACES)
    hashes, slots, last = (
        pointer_int64(scratch + HASHES),
        words[TABLE_SLOTS],
        words[TABLE_N_SLOTS] - 1,
    )
    for j in range(m):
        at = hashes[j] & last
        slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        while slot[2] != 0 and not is_same(slot, first[j], second[j], sizes[j], words):
            at = (at + 1) & last
            slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
        places[j] = types.int32((slot[2] & ALL_ONES) - 1)


@njit(**SEPARATE_OPTIONS)
def scatter_rows(words, row, n, scratch):
    """Copy address and length of each of n rows to the next place of its partition."""
    present_rows(i64(0), i64(0), n, scratch + ROWS)
    read_rows(words, row, n, scratch)
    addresses, sizes = pointer_int64(scratch + ADDRESSES), pointer_int64(scratch + SIZES)
    numbers = pointer_uint8(words[TABLE_NUMBERS] + words[TABLE_CHUNK_START] + row)
    target_at = words[TABLE_SCATTERED]
    cursors, target = pointer_int64(scratch + CURSORS), pointer_int64(target_at)
    for i in range(n):
        number = i64(numbers[i])
        at = cursors[number]
        prefetch(target_at + 16 * at + N_BYTES_AHEAD)
        target[2 * at], target[2 * at + 1] = addresses[i], sizes[i]
        cursors[number] = at + 1


@njit(**SEPARATE_OPTIONS)
def deal_out(words, row, n, starts_at):
    """Write the partition numbers of a block of rows, and copy its keys in partition order."""
    scratch = words[TABLE_SCRATCH]
    clear(starts_at, partition_bytes(words))
    for start in range(0, n, BATCH):
        k = smaller(n - start, BATCH)
        m = hash_batch(words, row + start, k, scratch)
        count_partitions(words, row + start, k, m, scratch + ROWS, scratch + HASHES, starts_at)
    begin_partitions(words, row, starts_at, scratch + CURSORS)
    for start in range(0, n, BATCH):
        scatter_rows(words, row + start, smaller(n - start, BATCH), scratch)


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
            m = hash_batch(words, row + done, k, scratch)
            learn_batch(words, m, scratch)
            count_places(words, row + done, m, scratch + ROWS, scratch + PLACES)
            record_learnt(words, row + done, k, m, scratch + ROWS, scratch + PLACES)
            done += k


@njit(**SEPARATE_OPTIONS)
def widen_slots(words, first, n):
    """Copy n slots of a smaller table into this one; the text itself is not read."""
    smaller_slots, slots = words[TABLE_VALUES], words[TABLE_SLOTS]
    last = words[TABLE_N_SLOTS] - 1
    for k in range(first, first + n):
        source = pointer_int64(smaller_slots + (k << LOG_SLOT_BYTES))
        if source[2] != 0:
            at = source[3] & last
            slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
            while slot[2] != 0:
                at = (at + 1) & last
                slot = pointer_int64(slots + (at << LOG_SLOT_BYTES))
            for j in range(N_TEXT_SLOT_WORDS):
                slot[j] = source[j]


@njit(**SEPARATE_OPTIONS)
def copy_keys(words, first, n):
    """Copy the bytes of n keys to their places in one piece of memory."""
    ends = pointer_int64(words[TABLE_ENDS])
    for k in range(first, first + n):
        key = pointer_int64(words[TABLE_KEYS] + (k << 4))
        source, size = key[0], key[1]
        target = words[TABLE_BYTES] + ends[k] - size
        for i in range(0, size - 7, 8):
            store_int64(target + i, load_int64(source + i))
        if size >= 8:
            store_int64(target + size - 8, load_int64(source + size - 8))
        else:
            of, to = pointer_uint8(source), pointer_uint8(target)
            for i in range(size):
                to[i] = of[i]


def text(table, first, n):
    """Execute the table's operation on rows [first, first + n) of its chunk."""
    words = pointer_int64(table)
    scratch = words[TABLE_SCRATCH]
    if words[TABLE_ROUND] == COPY:
        copy_keys(words, first, n)
    elif words[TABLE_ROUND] == WIDEN:
        clear(words[TABLE_SLOTS], words[TABLE_N_SLOTS] << LOG_SLOT_BYTES)
        widen_slots(words, first, n)
    elif words[TABLE_ROUND] == LEARN:
        if words[TABLE_CLEARS] != 0:
            clear(words[TABLE_SLOTS], words[TABLE_N_SLOTS] << LOG_SLOT_BYTES)
        if words[TABLE_RUNS] == 0:
            learn_rows(words, first, n)
        else:
            n_taken = words[TABLE_N_TAKEN]
            for block in range(first, first + n):
                start, size = rest_of_run(words, block, n_taken)
                n_taken -= size_of_run(words, block) - size
                learn_rows(words, start, size)
    elif words[TABLE_ROUND] == DEAL_OUT:
        starts_at, done = words[TABLE_BLOCK_STARTS], i64(0)
        while done < n:
            size = smaller(n - done, words[TABLE_BLOCK_ROWS])
            deal_out(words, first + done, size, starts_at)
            starts_at += partition_bytes(words)
            done += size
    else:
        for start in range(0, n, BATCH):
            k = smaller(n - start, BATCH)
            m = hash_batch(words, first + start, k, scratch)
            find_batch(words, m, scratch)
            record_found(words, first + start, k, m, scratch + ROWS, scratch + PLACES)
    return 0


assert 8 * N_TEXT_SLOT_WORDS == 1 << LOG_SLOT_BYTES
