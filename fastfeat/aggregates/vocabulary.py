"""vocabulary: the keys of the training rows with their counts, in the order of their codes.

Keys are ordered by count, the most frequent first, then by value: text by its bytes. A key has one
part or several; a part is held as `io.keys` stores it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.function import AggregateFunction, Learnt, Summary
from fastfeat.dtypes import VOCABULARY, DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import Array
from fastfeat.io.keys import first_keys
from fastfeat.ir.node import Params

Counts = NDArray[np.int64]
Codes = NDArray[np.int32]
OfRows = Callable[[Codes, int], Any]
"""Gives rows the number of their key: takes those of the keys, in order, and that of no key.

They come as a NumPy array, or as a DeviceArray."""


class KeyCounts(NamedTuple):
    """The distinct keys of some rows.

    Args:
        parts: an Arrow array a part of the key, shape (n_keys,), in the order of codes.
        counts: how many rows have each key, shape (n_keys,).
        n_missing: how many rows have none.
        of_rows: what gives each row the number of its key, if that was asked for and is at hand.
    """

    parts: tuple[Array, ...]
    counts: Counts
    n_missing: int
    of_rows: OfRows | None = None


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The keys that have a code of their own.

    Args:
        parts: an Arrow array a part of the key, shape (n_keys,), in the order of codes.
        counts: how many training rows have each key, shape (n_keys,).
        n_missing: how many have a missing key.
        n_rare: how many have a key that was left out.
        cache: what backends make of the keys to look them up in.
    """

    parts: tuple[Array, ...]
    counts: Counts
    n_missing: int
    n_rare: int = 0
    cache: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.counts)

    @property
    def n_rows(self) -> int:
        """The number of training rows."""
        return int(self.counts.sum()) + self.n_missing + self.n_rare

    @property
    def counts_of_codes(self) -> Counts:
        """The training rows of each code, where one stands for all that is unseen."""
        return np.concatenate([[self.n_missing, 0], self.counts]).astype(np.int64)


def without_rare(found: KeyCounts, params: Params) -> Vocabulary:
    """Return the vocabulary of keys that are in order, without those that are too rare."""
    n_kept = _n_kept(found, dict(params))
    parts = tuple(first_keys(part, n_kept) for part in found.parts)
    n_rare = int(found.counts[n_kept:].sum())
    return Vocabulary(parts, found.counts[:n_kept], found.n_missing, n_rare)


def _n_kept(found: KeyCounts, params: Mapping[str, Any]) -> int:
    """Return how many of the most frequent keys have a code of their own."""
    least = params.get("min_frequency") or 0
    if isinstance(least, float):
        least = least * (int(found.counts.sum()) + found.n_missing)
    n_kept = int((found.counts >= least).sum())
    most = params.get("max_categories")
    if most is None:
        return n_kept
    n_all = len(found.counts)
    n_categories = n_all if n_kept == n_all else n_kept + 1  # one is that of the keys left out
    return n_kept if n_categories <= most else max(most - 1, 0)


def _result(dtype: DType, params: Params) -> DType:
    if dtype.holds_bytes or dtype.is_number or dtype.is_temporal:
        return VOCABULARY
    raise TypeMismatch(f"needs a key: text, bytes, a number, a bool, a date or time, got {dtype}")


def learnt_from_keys(summary: Summary, params: Params) -> Learnt:
    """Stand where moments are finalized: what counts keys is not learnt from moments."""
    raise AssertionError("this is learnt from keys, not from moments")


def _reference(values: Sequence[Any], params: Params, dtype: DType) -> Learnt:
    raise AssertionError("a vocabulary is learnt from keys, not from one column")


VOCABULARY_OF = AggregateFunction(
    "vocabulary",
    frozenset({"keys"}),
    _result,
    learnt_from_keys,
    _reference,
    is_of_parts=True,
    called="categories",
)
