"""vocabulary_of, mode, n_unique: distinct values, their counts and codes; values of groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.definition import Values, present
from fastfeat.aggregates.function import AggregateFunction, Learnt, Number, Summary, any_to_integer
from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.columns import keys as columns
from fastfeat.io.columns.bits import array_of_values
from fastfeat.ir.dtypes import FLOAT64, UTF8, VOCABULARY, DType
from fastfeat.ir.node import Params
from fastfeat.ir.parameters import (
    MAX_MEMORY,
    MISSING_PARTS,
    Either,
    Parameter,
    Real,
    Whole,
)

Counts = NDArray[np.int64]

Codes = NDArray[np.int32]

OfRows = Callable[[Codes, int], Any]
"""Gives rows the number of their key: takes those of the keys, in order, and that of no key.

They come as a NumPy array, or as a DeviceArray."""

Order = Callable[[], NDArray[np.int64]]
"""Gives the order of codes: the place of the first key, of the second, and so on."""


CODES_OF_ROWS = "codes of rows"
_COUNTS_OF_CODES = "counts of codes"
_MIN_KEYS = 1 << 15  # fewer are found as fast as codes are compared with them
_CODES_PER_KEY = 8  # at most: a table in which keys are looked up takes as much


class KeyCounts(NamedTuple):
    """The distinct keys of some rows.

    Args:
        parts: an Arrow array a part of the key, shape (n_keys,), in the order of codes.
        counts: how many rows have each key, shape (n_keys,).
        n_missing: how many rows have none.
        of_rows: what gives each row the number of its key, if that was asked for and is at hand.
        order: what puts the keys in order, where they are in none yet.
    """

    parts: tuple[Array, ...]
    counts: Counts
    n_missing: int
    of_rows: OfRows | None = None
    order: Order | None = None


class HeldLayout(NamedTuple):
    """The part of a layout that a vocabulary keeps of an earlier one.

    Args:
        n_keys: how many keys, the first ones, have the codes that they had there.
        n_columns: how many columns its indicators had at first, before any was left out.
        has_rare: whether one of them was that of rare keys.
        n_least: how many rows a key needs that had no code: one of fewer is as an unseen key to
            what counts or groups, for which it would have none.
    """

    n_keys: int
    n_columns: int
    has_rare: bool
    n_least: int


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The keys that have a code of their own.

    Args:
        parts: an Arrow array a part of the key, shape (n_keys,), in the order of codes.
        counts: how many training rows have each key, shape (n_keys,).
        n_missing: how many have a missing key.
        n_rare: how many have a key that was left out.
        cache: what backends make of the keys to look them up in.
        order: what puts the keys in the order by count and value; None where they are in it. Codes
            that only tell groups apart need no order before somebody looks at them.
        held: what it keeps of the vocabulary of an earlier fit; None where it is a fit's own.
    """

    parts: tuple[Array, ...]
    counts: Counts
    n_missing: int
    n_rare: int = 0
    cache: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    order: Order | None = field(default=None, repr=False)
    held: HeldLayout | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.counts)

    @property
    def n_rows(self) -> int:
        """The number of training rows."""
        return int(self.counts.sum()) + self.n_missing + self.n_rare

    @property
    def is_as_unseen(self) -> NDArray[np.bool_]:
        """Whether a key has nothing but the code that it keeps, shape (n_keys,)."""
        return self.counts < (0 if self.held is None else max(self.held.n_least, 1))

    @property
    def has_rare(self) -> bool:
        """Whether indicators have a column of rare keys."""
        return self.n_rare > 0 or (self.held is not None and self.held.has_rare)

    @property
    def n_columns_at_first(self) -> int:
        """The number of columns of indicators by which it was decided which are left out."""
        return len(self) + self.has_rare if self.held is None else self.held.n_columns

    @property
    def counts_of_codes(self) -> Counts:
        """The training rows of each code, kept once made; one is of all that is unseen."""
        found = self.cache.get(_COUNTS_OF_CODES)
        if found is None:
            counts = np.where(self.is_as_unseen, 0, self.counts)
            made = np.concatenate([[self.n_missing, 0], counts], dtype=np.int64)
            found = self.cache.setdefault(_COUNTS_OF_CODES, made)
        return found


def without_rare(found: KeyCounts, params: Params) -> Vocabulary:
    """Return the vocabulary of keys, without those that are too rare, of keys that are in order."""
    if found.order is not None:
        return Vocabulary(found.parts, found.counts, found.n_missing, order=found.order)
    n_kept = _n_kept(found, dict(params))
    parts = tuple(columns.first_keys(part, n_kept) for part in found.parts)
    n_rare = int(found.counts[n_kept:].sum())
    return Vocabulary(parts, found.counts[:n_kept], found.n_missing, n_rare)


def with_codes_of(found: KeyCounts, params: Params, old: Vocabulary) -> Vocabulary:
    """Return the vocabulary of keys in which those of an earlier one keep their codes.

    These stand first, in their order, whether rows still have them or not. Then come those that are
    new, as `without_rare` keeps them, as many as there is room for.

    Args:
        found: the keys, in order.
        params: of the aggregate.
        old: keys of the same types, with codes.
    """
    assert found.order is None
    places = columns.places_in(found.parts, old.parts)
    new, known = np.flatnonzero(places < 0), np.flatnonzero(places >= 0)
    kept = new[: _n_kept_of(found, dict(params), len(old), new)]
    n_least = math.ceil(_least(found, dict(params)))
    held = HeldLayout(len(old), old.n_columns_at_first, old.has_rare, n_least)
    plain = without_rare(found, params)
    if len(known) == len(old) and len(old) + len(kept) == len(plain):
        in_order = (places[: len(old)] == np.arange(len(old))).all()
        if in_order and (plain.n_columns_at_first, plain.has_rare) == held[1:3]:
            return plain  # which has these codes by itself
    counts = np.zeros(len(old) + len(kept), np.int64)
    counts[places[known]] = found.counts[known]
    counts[len(old) :] = found.counts[kept]
    at = array_of_values(kept.astype(np.int64), None, pa.int64())
    parts = tuple(
        pa.concat_arrays([before, call("take", now, at)])
        for before, now in zip(old.parts, found.parts, strict=True)
    )
    n_rare = int(found.counts.sum()) - int(counts.sum())
    return Vocabulary(parts, counts, found.n_missing, n_rare, held=held)


def _n_kept_of(
    found: KeyCounts, params: Mapping[str, Any], n_old: int, new: NDArray[np.int64]
) -> int:
    """Return how many of the new keys have a code, beside those that have one already."""
    n_kept = int((found.counts[new] >= _least(found, params)).sum())
    most = params.get("max_categories")
    if most is None:
        return n_kept
    n_categories = n_old + n_kept + (n_kept < len(new))
    return n_kept if n_categories <= most else max(most - 1 - n_old, 0)


def remember_codes(vocabulary: Vocabulary, codes: Codes, n_unseen: int) -> None:
    """Keep the codes of training rows, by which the same rows are found again without a look-up.

    They are no more than a guess: whoever takes them compares the keys. Kept they are where they
    take no more memory than the table would in which keys are looked up.

    Args:
        vocabulary: of the rows; takes the codes.
        codes: shape (n_rows,), none of which is that of unseen keys.
        n_unseen: how many codes stand for these.
    """
    n_keys = len(vocabulary)
    if len(vocabulary.parts) == 1 and n_keys >= _MIN_KEYS and len(codes) <= _CODES_PER_KEY * n_keys:
        vocabulary.cache[CODES_OF_ROWS] = n_unseen, codes


def _n_kept(found: KeyCounts, params: Mapping[str, Any]) -> int:
    """Return how many of the most frequent keys have a code of their own."""
    n_kept = int((found.counts >= _least(found, params)).sum())
    most = params.get("max_categories")
    if most is None:
        return n_kept
    n_all = len(found.counts)
    n_categories = n_all if n_kept == n_all else n_kept + 1  # one is that of the keys left out
    return n_kept if n_categories <= most else max(most - 1, 0)


def _least(found: KeyCounts, params: Mapping[str, Any]) -> float:
    """Return how many rows a key has at least that has a code of its own."""
    least = params.get("min_frequency") or 0
    if isinstance(least, float):
        return least * (int(found.counts.sum()) + found.n_missing)
    return least


def least_rows(params: Params) -> int:
    """Return the number of rows that a key must have come in to be kept at all.

    Args:
        params: of a vocabulary.

    Returns:
        1 where every key is kept, or a share of the rows decides.
    """
    least = dict(params).get("min_frequency")
    return least if isinstance(least, int) else 1


def _vocabulary_result(dtype: DType, params: Params) -> DType:
    if dtype.holds_bytes or dtype.is_number or dtype.is_temporal:
        return VOCABULARY
    raise TypeMismatch(f"needs a key: text, bytes, a number, a bool, a date or time, got {dtype}")


def learnt_from_keys(summary: Summary, params: Params) -> Learnt:
    """Stand where moments are finalized: what counts keys is not learnt from moments."""
    raise AssertionError("this is learnt from keys, not from moments")


def _vocabulary_reference(values: Sequence[Any], params: Params, dtype: DType) -> Learnt:
    raise AssertionError("a vocabulary is learnt from keys, not from one column")


MIN_FREQUENCY = Parameter(
    "min_frequency",
    Either((Whole(1), Real(0.0, 1.0, above=True, below=True))),
    "categories with fewer training rows are rare: a number, or a share as a float below 1",
    None,
    or_none=True,
    hidden=True,
)


@dataclass(frozen=True, eq=False)
class Groups:
    """The values of an aggregate per group.

    Args:
        values: float64, or int64 of integers, bools and times, shape (n_groups,); NaN or 0 where
            missing.
        present: whether a group has a value, shape (n_groups,).
    """

    values: NDArray[Any]
    present: NDArray[np.bool_]


def in_order_of(places: NDArray[np.int64], of: Vocabulary | Groups) -> Vocabulary | Groups:
    """Return a vocabulary, or what is learnt of its groups, with the keys in another order.

    Args:
        places: of the first key, the second, and so on, shape (n_keys,).
        of: the vocabulary, or values whose last n_keys are of its keys.
    """
    if isinstance(of, Vocabulary):
        at = pa.array(places)
        parts = tuple(call("array_take", part, at) for part in of.parts)
        return Vocabulary(parts, of.counts[places], of.n_missing, of.n_rare)
    first = len(of.values) - len(places)
    order = np.concatenate([np.arange(first), places + first])
    return Groups(of.values[order], of.present[order])


def groups_of(values: Sequence[Any], dtype: DType) -> Groups:
    """Return Python values by group as they are learnt; None and NaN are missing."""
    present = np.array([v is not None and v == v for v in values], dtype=bool)
    if dtype.physical == "f64":
        floats = [v if there else np.nan for v, there in zip(values, present, strict=True)]
        return Groups(np.array(floats, np.float64), present)
    wide = [(int(v or 0) + (1 << 63)) % (1 << 64) - (1 << 63) for v in values]
    return Groups(np.array(wide, dtype=np.int64), present)


def _mode_result(dtype: DType, params: Params) -> DType:
    if dtype == UTF8 or dtype.is_number or dtype.is_temporal:
        return FLOAT64 if dtype.name == "decimal" else dtype
    raise TypeMismatch(f"needs a number, text, a date or time, got {dtype}")


def _mode_reference(values: Values, params: Params, dtype: DType) -> Number | str | None:
    counts = Counter(_plain(v, dtype) for v in values if v is not None and v == v)
    return min(counts, key=lambda v: (-counts[v], _order(v)), default=None)


def _plain(value: Number | str, dtype: DType) -> Number | str:
    """Return the value that stands for its equals: 0.0 for -0.0; uint64 may be a signed pattern."""
    if isinstance(value, str):
        return value
    return value % (1 << 64) if dtype.name == "uint64" else value or type(value)(0)


def _order(value: Number | str) -> object:
    return value.encode() if isinstance(value, str) else value


def _n_unique_reference(values: Values, params: Params, dtype: DType) -> int:
    return len(set(present(values, dtype)))


FUNCTIONS = (
    AggregateFunction(
        "vocabulary",
        frozenset({"keys"}),
        _vocabulary_result,
        learnt_from_keys,
        _vocabulary_reference,
        is_of_parts=True,
        called="categories",
        parameters=(
            MIN_FREQUENCY,
            Parameter(
                "max_categories",
                Whole(1),
                "how many categories there may be, that of the rare included",
                None,
                or_none=True,
                hidden=True,
            ),
            Parameter(
                "max_memory",
                Whole(1),
                "bytes that fit may need for the categories, beyond which it fails",
                MAX_MEMORY,
            ),
            Parameter("missing", MISSING_PARTS, written_as=None),
        ),
    ),
    AggregateFunction("mode", frozenset({"keys"}), _mode_result, learnt_from_keys, _mode_reference),
    AggregateFunction(
        "n_unique",
        frozenset({"keys"}),
        any_to_integer,
        learnt_from_keys,
        _n_unique_reference,
        grows=True,
    ),
)
