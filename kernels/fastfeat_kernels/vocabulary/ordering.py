"""The final order of distinct keys: count descending, then key ascending, text by its bytes."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.column import CallRunner, KernelRowCall
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import Keys, TextKeys

COMMON: Final = 1 << 16  # counts from here on are sorted, smaller ones go to bins
N_WORDS_SORTED: Final = 8  # for text, in arrays; keys that agree further are sorted one by one
_SIGN: Final = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True)
class SortedKeys:
    """Keys in their final order.

    Args:
        words: For numbers the keys, for text a word that orders the first 8 bytes.
        counts: int64 per key.
        ids: int32 per key: its previous place.
        places: int32 per key in the previous order: its final place.
    """

    words: Int64Array
    counts: Int64Array
    ids: Int32Array
    places: Int32Array


def final_order(keys: Keys, counts: Int64Array, run: CallRunner, n_parts: int = 1) -> SortedKeys:
    """Return distinct keys, given in any order, in their final order."""
    if not isinstance(keys, TextKeys):
        found = _descending(keys, counts, run, n_parts)
        _sort_runs(found, run, n_parts, with_places=True)
        return found
    sizes = np.diff(keys.offsets)
    padded = np.concatenate([keys.data, np.zeros(8, np.uint8)])
    words = (_word_of(padded, keys.offsets[:-1], sizes, 0) ^ _SIGN).view(np.int64)
    found = _descending(words, counts, run, n_parts)
    _sort_runs(found, run, n_parts, with_places=False)
    same = found.counts[1:] == found.counts[:-1]
    same &= found.words[1:] == found.words[:-1]
    _sort_tied(keys, padded, found.ids, same)
    found.places[found.ids] = np.arange(len(found.ids), dtype=np.int32)
    return found


def _descending(words: Int64Array, counts: Int64Array, run: CallRunner, n_parts: int) -> SortedKeys:
    """Return keys in descending order of counts, with room for places."""
    n = len(words)
    ids, places = np.empty(n, np.int32), np.empty(n, np.int32)
    found = SortedKeys(np.empty_like(words), np.empty_like(counts), ids, places)
    n_bins = min(int(counts.max(initial=0)), COMMON) + 1
    bins = np.zeros((n_parts, n_bins), np.int64)
    cuts = [n * k // n_parts for k in range(n_parts + 1)]

    def deal(kind_of_round: int) -> None:
        calls: list[list[KernelRowCall]] = []
        for own, (first, end) in zip(bins, pairwise(cuts), strict=True):
            table = np.zeros(layout.N_DEAL_WORDS, np.int64)
            table[layout.DEAL_ROUND] = kind_of_round
            table[layout.DEAL_WORDS], table[layout.DEAL_COUNTS] = (
                words.ctypes.data,
                counts.ctypes.data,
            )
            table[layout.DEAL_NEW_WORDS] = found.words.ctypes.data
            table[layout.DEAL_NEW_COUNTS] = found.counts.ctypes.data
            table[layout.DEAL_NEW_IDS] = found.ids.ctypes.data
            table[layout.DEAL_BINS], table[layout.DEAL_N_BINS] = own.ctypes.data, n_bins
            calls.append([KernelRowCall(table, first, end - first, (words, counts, found, bins))])
        run("descending", calls)

    deal(layout.COUNT_COUNTS)
    ends = np.cumsum(bins.T.ravel()).reshape(n_bins, n_parts).T
    bins = np.ascontiguousarray(ends - bins)
    deal(layout.PUT_IN_ORDER)
    n_common = int(np.searchsorted(-found.counts, -COMMON, side="right")) if n_bins > COMMON else 0
    order = np.argsort(-found.counts[:n_common])
    for part in (found.words, found.counts, found.ids):
        part[:n_common] = part[:n_common][order]
    return found


def _sort_runs(found: SortedKeys, run: CallRunner, n_parts: int, *, with_places: bool) -> None:
    """Sort words, with their ids, in each run of equal counts, which are descending."""
    n = len(found.words)
    spare_words, spare_ids = np.empty_like(found.words), np.empty_like(found.ids)
    shares = [found.counts[n * k // n_parts] for k in range(1, n_parts)] if n else []
    cuts = [bisect_left(found.counts, -count, key=lambda other: -other) for count in shares]
    calls: list[list[KernelRowCall]] = []
    for first, end in pairwise([0, *cuts, n]):
        digits = np.empty(layout.N_SORT_DIGITS, np.int64)
        table = np.zeros(layout.N_SORT_WORDS, np.int64)
        table[layout.SORT_KEYS] = found.words.ctypes.data
        table[layout.SORT_IDS] = found.ids.ctypes.data
        table[layout.SORT_COUNTS] = found.counts.ctypes.data
        table[layout.SORT_SPARE_KEYS] = spare_words.ctypes.data
        table[layout.SORT_SPARE_IDS] = spare_ids.ctypes.data
        table[layout.SORT_DIGITS] = digits.ctypes.data
        table[layout.SORT_PLACES] = found.places.ctypes.data if with_places else 0
        calls.append(
            [KernelRowCall(table, first, end - first, (found, spare_words, spare_ids, digits))]
        )
    run("sort", calls)


def _sort_tied(
    keys: TextKeys, padded: npt.NDArray[np.uint8], order: Int32Array, same: npt.NDArray[np.bool_]
) -> None:
    """Sort keys that equal their predecessor in the first word, by the rest of their bytes."""
    sizes = np.diff(keys.offsets)
    at, group = _tied(np.arange(len(order)), same)
    for depth in range(1, N_WORDS_SORTED):
        if len(at) == 0:
            return
        tied = order[at]
        word = _word_of(padded, keys.offsets[tied], sizes[tied], depth)
        left = np.minimum(sizes[tied] - 8 * depth, 9)  # distinguishes ended keys from longer ones
        again = np.lexsort((left, word, group))
        order[at] = tied[again]
        parts = [part[again] for part in (left, word, group)]
        equal = [part[1:] == part[:-1] for part in parts]
        at, group = _tied(at, equal[0] & equal[1] & equal[2])
    if len(at):
        _sort_one_by_one(keys, order, np.split(at, np.flatnonzero(np.diff(group)) + 1))


def _sort_one_by_one(keys: TextKeys, order: Int32Array, groups: list[Int64Array]) -> None:
    content = keys.data.tobytes()
    for at in groups:
        ids = order[at].tolist()
        bounds = [(int(keys.offsets[i]), int(keys.offsets[i + 1])) for i in ids]
        texts = [content[start:end] for start, end in bounds]
        order[at] = [ids[k] for k in sorted(range(len(ids)), key=texts.__getitem__)]


def _tied(at: Int64Array, same: npt.NDArray[np.bool_]) -> tuple[Int64Array, Int64Array]:
    """Return the places equal to the one before or after, and a run number for each."""
    is_tied = np.zeros(len(at), np.bool_)
    is_tied[1:] |= same
    is_tied[:-1] |= same
    run = np.zeros(len(at), np.int64)
    np.cumsum(~same, out=run[1:])
    return at[is_tied], run[is_tied]


def _word_of(
    padded: npt.NDArray[np.uint8], starts: Int64Array, sizes: Int64Array, depth: int
) -> npt.NDArray[np.uint64]:
    """Return 8 bytes of each key as a number in key order, zeros behind the end."""
    words = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
    left = sizes - 8 * depth
    found = words[np.where(left > 0, starts + 8 * depth, 0)].astype(np.uint64).byteswap()
    shift = (8 * (8 - np.clip(left, 1, 8))).astype(np.uint64)
    return np.where(left > 0, found >> shift << shift, np.uint64(0))
