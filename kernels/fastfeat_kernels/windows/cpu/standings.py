# pyright: basic
"""The rank of a row's own value among the values of its window: counts in a tree over ranks."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import NAN_BITS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    bits_of,
    pointer_int32,
    pointer_int64,
    select,
)
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.cpu.ranks import ADDED, ENTITY, REMOVED, add_rank, leaves_for
from fastfeat_kernels.windows.statistic import RANK_METHODS
from fastfeat_kernels.windows.statistics import PERCENTILE

i64 = types.int64
MIN_RANK, MAX_RANK = RANK_METHODS.index("min"), RANK_METHODS.index("max")


@njit(**INNER_OPTIONS)
def count_below(tree, leaf):
    """Return the number of values before a leaf of a tree of sums."""
    total, node = i64(0), leaf
    while node > 1:
        total += select(node & 1 != 0, i64(tree[node - 1]), i64(0))
        node >>= 1
    return total


@njit(**SEPARATE_OPTIONS)
def read_ranks(words, column, output, begins_at, ends_at, n, target):
    """Write ranks, or ranks divided by the number of values including the own one."""
    scratch, method = words[layout.TABLE_SCRATCH], output[layout.OUTPUT_PARAMETER]
    is_share = output[layout.OUTPUT_STATISTIC] == PERCENTILE
    ranks = pointer_int32(scratch + column[layout.COLUMN_MERGED_RANKS])
    tree = pointer_int32(scratch + output[layout.OUTPUT_MEMORY])
    begins, ends, results = pointer_int32(begins_at), pointer_int32(ends_at), pointer_int64(target)
    places = pointer_int32(scratch + layout.PLACES)
    starts, stops = (
        pointer_int32(scratch + layout.ENTITY_STARTS),
        pointer_int32(scratch + layout.ENTITY_ENDS),
    )
    state = pointer_int64(scratch + output[layout.OUTPUT_STATE])
    entity, added, removed = state[ENTITY], state[ADDED], state[REMOVED]
    for j in range(n):
        begin, end, n_leaves = i64(begins[j]), i64(ends[j]), leaves_for(i64(stops[j] - starts[j]))
        if entity != starts[j]:
            entity = i64(starts[j])
            added, removed = entity, entity
            for node in range(2 * n_leaves):
                tree[node] = types.int32(0)
        while added < end:
            if ranks[added] >= 0:
                add_rank(tree, n_leaves + ranks[added], i64(1))
            added += 1
        while removed < begin:
            if ranks[removed] >= 0:
                add_rank(tree, n_leaves + ranks[removed], i64(-1))
            removed += 1
        own, n_values = i64(places[j]), i64(tree[1])
        found = i64(NAN_BITS)
        if ranks[own] >= 0 and n_values > 0:
            leaf = n_leaves + ranks[own]
            is_inside = (own >= begin) & (own < end)
            n_peers = i64(tree[leaf]) - i64(is_inside)
            rank = types.float64(count_below(tree, leaf) + 1)
            if method == MAX_RANK:
                rank += types.float64(n_peers)
            elif method != MIN_RANK:
                rank += types.float64(n_peers) / 2.0
            if is_share:
                rank = rank / types.float64(n_values + i64(not is_inside))
            found = bits_of(rank)
        results[j] = found
        if stops[j] == starts[j]:  # the next entity begins at the end of this one
            entity = i64(-1)
    state[ENTITY], state[ADDED], state[REMOVED] = entity, added, removed
