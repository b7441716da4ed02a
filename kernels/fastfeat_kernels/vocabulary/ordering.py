"""The final order of distinct keys: count descending, then key ascending, text by its bytes."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Call, Run
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import Integers, Keys, TextKeys

Ids = npt.NDArray[np.int32]

COMMON: Final = 1 << 16  # counts from here on are sorted apart from the others
N_WORDS_SORTED: Final = 8  # of text, in arrays; keys that agree further are sorted one by one
_SIGN: Final = np.uint64(1 << 63)


def final_order(keys: Keys, counts: Integers, run: Run, n_parts: int = 1) -> Ids:
    """Return the places of distinct keys in their final order.

    Args:
        keys: in any order.
        counts: int64 per key.
        run: runs sequences of calls of `cpu.ENTRIES`.
        n_parts: into how many runs of keys to divide the work.
    """
    order = _descending(counts)
    counts = counts[order]
    if not isinstance(keys, TextKeys):
        _sort_runs(keys[order], order, counts, run, n_parts)
        return order
    sizes = np.diff(keys.offsets)
    padded = np.concatenate([keys.data, np.zeros(8, np.uint8)])
    words = _word_of(padded, keys.offsets[:-1], sizes, 0)[order]
    words = (words ^ _SIGN).view(np.int64)
    _sort_runs(words, order, counts, run, n_parts)
    _sort_tied(keys, padded, order, (counts[1:] == counts[:-1]) & (words[1:] == words[:-1]))
    return order


def _descending(counts: Integers) -> Ids:
    """Return an order of counts, the greatest first.

    NumPy sorts integers of 16 bits by their digits: 1M counts take 8 ms, as int64 80.
    """
    is_common = counts >= COMMON
    common, others = np.flatnonzero(is_common), np.flatnonzero(~is_common)
    common = common[np.argsort(-counts[common])]
    negated = (COMMON - 1 - counts[others]).astype(np.uint16)
    by_count = others[np.argsort(negated, kind="stable")]
    return np.concatenate([common, by_count]).astype(np.int32)


def _sort_runs(words: Integers, order: Ids, counts: Integers, run: Run, n_parts: int) -> None:
    """Sort words, with their places, in each run of equal counts, which are descending."""
    n = len(words)
    spare_words, spare_order = np.empty_like(words), np.empty_like(order)
    at = np.linspace(0, n, n_parts + 1).astype(np.int64)
    inner = np.searchsorted(-counts, -counts[at[1:-1]]) if n else at[1:-1]
    calls: list[list[Call]] = []
    for first, end in pairwise([0, *inner.tolist(), n]):
        digits = np.empty(layout.N_SORT_DIGITS, np.int64)
        table = np.zeros(layout.N_SORT_WORDS, np.int64)
        table[layout.SORT_KEYS], table[layout.SORT_IDS] = words.ctypes.data, order.ctypes.data
        table[layout.SORT_COUNTS] = counts.ctypes.data
        table[layout.SORT_SPARE_KEYS] = spare_words.ctypes.data
        table[layout.SORT_SPARE_IDS] = spare_order.ctypes.data
        table[layout.SORT_DIGITS] = digits.ctypes.data
        owners = (words, order, counts, spare_words, spare_order, digits)
        calls.append([Call(table, first, end - first, owners)])
    run("sort", calls)


def _sort_tied(
    keys: TextKeys, padded: npt.NDArray[np.uint8], order: Ids, same: npt.NDArray[np.bool_]
) -> None:
    """Sort the keys that are the same in their first word as the one before, by what follows."""
    sizes = np.diff(keys.offsets)
    at, group = _tied(np.arange(len(order)), same)
    for depth in range(1, N_WORDS_SORTED):
        if len(at) == 0:
            return
        tied = order[at]
        word = _word_of(padded, keys.offsets[tied], sizes[tied], depth)
        left = np.minimum(sizes[tied] - 8 * depth, 9)  # tells what has ended from what goes on
        again = np.lexsort((left, word, group))
        order[at] = tied[again]
        parts = [part[again] for part in (left, word, group)]
        equal = [part[1:] == part[:-1] for part in parts]
        at, group = _tied(at, equal[0] & equal[1] & equal[2])
    if len(at):
        _sort_one_by_one(keys, order, np.split(at, np.flatnonzero(np.diff(group)) + 1))


def _sort_one_by_one(keys: TextKeys, order: Ids, groups: list[Integers]) -> None:
    content = keys.data.tobytes()
    for at in groups:
        ids = order[at].tolist()
        bounds = [(int(keys.offsets[i]), int(keys.offsets[i + 1])) for i in ids]
        texts = [content[start:end] for start, end in bounds]
        order[at] = [ids[k] for k in sorted(range(len(ids)), key=texts.__getitem__)]


def _tied(at: Integers, same: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """Return those places that are the same as the one before or behind, and a number per run."""
    is_tied = np.zeros(len(at), np.bool_)
    is_tied[1:] |= same
    is_tied[:-1] |= same
    run = np.zeros(len(at), np.int64)
    np.cumsum(~same, out=run[1:])
    return at[is_tied], run[is_tied]


def _word_of(
    padded: npt.NDArray[np.uint8], starts: Integers, sizes: Integers, depth: int
) -> npt.NDArray[np.uint64]:
    """Return 8 bytes of each key as a number that orders them, zeros behind the end."""
    words = np.ndarray((len(padded) - 7,), "<u8", padded, strides=(1,))
    left = sizes - 8 * depth
    found = words[np.where(left > 0, starts + 8 * depth, 0)].astype(np.uint64).byteswap()
    shift = (8 * (8 - np.clip(left, 1, 8))).astype(np.uint64)
    return np.where(left > 0, found >> shift << shift, np.uint64(0))
