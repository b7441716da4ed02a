# pyright: basic
"""Order statistics of windows: values as ranks within their entity, and trees over the ranks."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST, INFINITE, LOWEST, NAN_BITS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    float_of,
    larger,
    pointer_int32,
    pointer_int64,
    select,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.sorting import sort_with_ids
from fastfeat_kernels.windows.statistic import INTERPOLATIONS
from fastfeat_kernels.windows.statistics import (
    MODE,
    N_UNIQUE,
    QUANTILE,
    WHOLE_QUANTILE,
)

i64 = types.int64
LOWER, HIGHER = INTERPOLATIONS.index("lower"), INTERPOLATIONS.index("higher")
NEAREST, MIDPOINT = INTERPOLATIONS.index("nearest"), INTERPOLATIONS.index("midpoint")
ENTITY, ADDED, REMOVED, FOUND = 0, 1, 2, 3  # words of the state: FOUND counts distinct values


@njit(**SEPARATE_OPTIONS)
def rank_entity(words, column, start, n, is_merged):
    """Write the ranks of the n values of an entity that begins at place `start` of the batch."""
    scratch, is_float = words[layout.TABLE_SCRATCH], column[layout.COLUMN_KIND] == layout.FLOAT
    ranks_of = select(is_merged, column[layout.COLUMN_MERGED_RANKS], column[layout.COLUMN_RANKS])
    keys_of = select(is_merged, column[layout.COLUMN_MERGED_KEYS], column[layout.COLUMN_RANK_KEYS])
    ranks, known = (
        pointer_int32(scratch + ranks_of + 4 * start),
        pointer_int64(scratch + keys_of + 8 * start),
    )
    x = pointer_int64(scratch + column[layout.COLUMN_WORDS] + 8 * start)
    counts = pointer_int32(scratch + column[layout.COLUMN_COUNTS] + 4 * start)
    is_missing = pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0
    keys_at = words[layout.TABLE_SPARE] + 8 * layout.N_DIGITS + 16 * n
    keys, ids = pointer_int64(keys_at), pointer_int32(keys_at + 8 * n)
    magnitude, size = select(is_float, i64(HIGHEST), i64(0)), i64(0)
    for i in range(n):
        key = x[i] ^ ((x[i] >> 63) & magnitude)
        keys[size] = key + i64(is_merged & is_float & (key == -1))
        ids[size], ranks[i] = types.int32(i), types.int32(-1)
        is_there = True
        if is_missing:
            is_there = counts[i + 1] != counts[i]
        size += i64(is_there)
    sort_with_ids(keys_at, keys_at + 8 * n, words[layout.TABLE_SPARE], size)
    rank = i64(-1)
    for i in range(size):
        if i == 0 or keys[i] != keys[i - 1]:
            rank += 1
            known[rank] = keys[i]
        ranks[i64(ids[i])] = types.int32(rank)


@njit(**SEPARATE_OPTIONS)
def rank_column(words, column, first, end):
    """Write the ranks that the request needs, for the values of a batch of entities."""
    starts = pointer_int64(words[layout.TABLE_STARTS])
    base = starts[first]
    if column[layout.COLUMN_RANKS] != 0 or column[layout.COLUMN_MERGED_RANKS] != 0:
        for entity in range(first, end):
            start, n = starts[entity] - base, starts[entity + 1] - starts[entity]
            if n > 0 and column[layout.COLUMN_RANKS] != 0:
                rank_entity(words, column, start, n, False)
            if n > 0 and column[layout.COLUMN_MERGED_RANKS] != 0:
                rank_entity(words, column, start, n, True)


@njit(**INNER_OPTIONS)
def leaves_for(n):
    """Return the smallest power of 2 that is at least n."""
    size = i64(1)
    while size < n:
        size *= 2
    return size


@njit(**INNER_OPTIONS)
def add_rank(tree, leaf, change):
    """Change the count of a rank in a tree of sums."""
    node = leaf
    while node > 0:
        tree[node] += change
        node >>= 1


@njit(**INNER_OPTIONS)
def change_frequency(tree, leaf, change):
    """Change the count of a rank in a tree of maxima."""
    tree[leaf] += change
    node = leaf >> 1
    while node > 0:
        tree[node] = types.int32(larger(i64(tree[2 * node]), i64(tree[2 * node + 1])))
        node >>= 1


@njit(**INNER_OPTIONS)
def rank_at(tree, n_leaves, place):
    """Return the rank of the value at a place in sorted order."""
    node, left = i64(1), place
    while node < n_leaves:
        node *= 2
        is_right = left >= tree[node]
        left -= select(is_right, i64(tree[node]), i64(0))
        node += i64(is_right)
    return node - n_leaves


@njit(**INNER_OPTIONS)
def most_frequent(tree, n_leaves):
    """Return the lowest rank with the highest count."""
    node = i64(1)
    while node < n_leaves:
        is_right = tree[2 * node] != tree[node]
        node = 2 * node + i64(is_right)
    return node - n_leaves


@njit(**INNER_OPTIONS)
def value_of_key(column, key):
    """Return the word of a key."""
    return key ^ select(column[layout.COLUMN_KIND] == layout.FLOAT, (key >> 63) & HIGHEST, i64(0))


@njit(**INNER_OPTIONS)
def number_of_key(column, key):
    """Return the value of a key as float64."""
    if column[layout.COLUMN_KIND] == layout.FLOAT:
        return float_of(value_of_key(column, key))
    if column[layout.COLUMN_KIND] == layout.UNSIGNED:
        return types.float64(types.uint64(key ^ LOWEST))
    return types.float64(key)


@njit(**INNER_OPTIONS)
def between(low, high, share):
    """Return low + (high - low) * share; the difference is halved if it would overflow."""
    step = high - low
    value = low + step * share
    size_of_step, size_low = bits_of(step) & HIGHEST, bits_of(low) & HIGHEST
    size_high = bits_of(high) & HIGHEST
    if (size_of_step == INFINITE) & (size_low < INFINITE) & (size_high < INFINITE):
        value = 2.0 * (low / 2.0 + (high / 2.0 - low / 2.0) * share)
    if (share == 0.0) | (low == high):
        value = low
    return value


@njit(**SEPARATE_OPTIONS)
def quantile_of(column, tree, n_leaves, keys, count, q, interpolation):
    """Return the bits of a quantile of the values in a tree."""
    index = types.float64(count - 1) * q
    low = i64(index)
    share = index - types.float64(low)
    high = low + i64(share > 0.0)
    if interpolation == LOWER:
        high, share = low, 0.0
    elif interpolation == HIGHER:
        low, share = high, 0.0
    elif interpolation == NEAREST:
        is_high = (share > 0.5) | ((share == 0.5) & (low & 1 != 0))
        low, share = select(is_high, high, low), 0.0
        high = low
    elif interpolation == MIDPOINT:
        share = select(low < high, 0.5, 0.0)
    first = number_of_key(column, keys[rank_at(tree, n_leaves, low)])
    second = first
    if high != low:
        second = number_of_key(column, keys[rank_at(tree, n_leaves, high)])
    value = between(first, second, share)
    return select(value == value, bits_of(value), i64(NAN_BITS))


@njit(**INNER_OPTIONS)
def whole_quantile_of(column, tree, n_leaves, keys, count, q, interpolation):
    """Return the word of a quantile that is one of the values in a tree, without interpolation."""
    index = types.float64(count - 1) * q
    place = i64(index)
    share = index - types.float64(place)
    is_high = (share > 0.5) | ((share == 0.5) & (place & 1 != 0))
    if interpolation == HIGHER:
        is_high = share > 0.0
    place += i64(is_high & (interpolation != LOWER))
    return value_of_key(column, keys[rank_at(tree, n_leaves, place)])


@njit(**INNER_OPTIONS)
def change(tree, leaf, by, statistic, found):
    """Add or remove a value; return the number of distinct values, if requested."""
    if statistic == MODE:
        change_frequency(tree, leaf, by)
    elif statistic != N_UNIQUE:
        add_rank(tree, leaf, by)
    else:
        before = i64(tree[leaf])
        tree[leaf] += by
        found += select(before == 0, i64(1), i64(0)) - select(before + by == 0, i64(1), i64(0))
    return found


@njit(**SEPARATE_OPTIONS)
def read_ordered(words, column, output, begins_at, ends_at, n, target):
    """Write quantiles, modes or numbers of distinct values."""
    scratch, statistic = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_STATISTIC]
    is_whole = statistic == WHOLE_QUANTILE
    is_quantile = is_whole | (statistic == QUANTILE)
    ranks_of = select(is_quantile, column[layout.COLUMN_RANKS], column[layout.COLUMN_MERGED_RANKS])
    keys_of = select(
        is_quantile, column[layout.COLUMN_RANK_KEYS], column[layout.COLUMN_MERGED_KEYS]
    )
    ranks, tree = (
        pointer_int32(scratch + ranks_of),
        pointer_int32(scratch + output[layout.OUTPUT_MEMORY]),
    )
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS),
        pointer_int32(scratch + layout.ENTITY_ENDS),
    )
    state, q = (
        pointer_int64(scratch + output[layout.OUTPUT_STATE]),
        float_of(output[layout.OUTPUT_PARAMETER]),
    )
    entity, added, removed, found = state[ENTITY], state[ADDED], state[REMOVED], state[FOUND]
    counts_at = scratch + column[layout.COLUMN_COUNTS]
    nothing = output[layout.OUTPUT_NOTHING]
    for j in range(n):
        begin, end, n_leaves = i64(begins[j]), i64(ends[j]), leaves_for(i64(stops[j] - starts[j]))
        if entity != starts[j]:
            entity = i64(starts[j])
            added, removed, found = entity, entity, i64(0)
            for node in range(2 * n_leaves):
                tree[node] = types.int32(0)
        while added < end:
            if ranks[added] >= 0:
                found = change(tree, n_leaves + ranks[added], i64(1), statistic, found)
            added += 1
        while removed < begin:
            if ranks[removed] >= 0:
                found = change(tree, n_leaves + ranks[removed], i64(-1), statistic, found)
            removed += 1
        keys, count = pointer_int64(scratch + keys_of + 8 * entity), end - begin
        if pointer_int64(scratch + column[layout.COLUMN_STATE])[layout.STATE_MISSING] != 0:
            counts = pointer_int32(counts_at)
            count = i64(counts[end]) - i64(counts[begin])
        value = nothing
        if statistic == N_UNIQUE:
            value = found
        elif count > 0 and is_quantile:
            kind = output[layout.OUTPUT_INTERPOLATION]
            if is_whole:
                value = whole_quantile_of(column, tree, n_leaves, keys, count, q, kind)
            else:
                value = quantile_of(column, tree, n_leaves, keys, count, q, kind)
        elif count > 0:
            value = value_of_key(column, keys[most_frequent(tree, n_leaves)])
        results[j] = value
        if stops[j] == starts[j]:  # the next entity begins at the end of this one
            entity = i64(-1)
    state[ENTITY], state[ADDED], state[REMOVED], state[FOUND] = entity, added, removed, found
