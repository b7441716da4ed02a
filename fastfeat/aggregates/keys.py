"""vocabulary, mode, n_unique: aggregates that count distinct keys. Also the values of groups.

A key is a value that identifies an entity or category; it can have several parts (`ff.cross`, or
several columns in `by=`). A vocabulary lists the keys of the training rows, and an encoder gives
each of them an integer code. Code 0 is a missing key, code 1 (or several) an unseen or rare one.
A group consists of the rows with one code; an indicator is a one-hot column of one code.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int32Array, Int64Array
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.aggregates.definition import AggregateColumn, drop_missing
from fastfeat.aggregates.function import (
    AggregateFunction,
    AggregateNumber,
    ColumnSummary,
    LearntValue,
    any_to_integer,
)
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

RowKeyNumbering = Callable[[Int32Array, int], Any]
"""Function `(numbers, missing) -> number of each row's key`.

`numbers` holds a number for each distinct key, such as its code; `missing` is the number for rows
without a key. The result is a NumPy array or a DeviceArray, shape (n_rows,).
"""

KeyOrder = Callable[[], NDArray[np.int64]]
"""Function that returns the positions of the keys in order: of the first, the second, and so on."""


CODES_OF_ROWS = "codes of rows"
_COUNTS_OF_CODES = "counts of codes"
_MIN_KEYS = 1 << 15  # fewer keys are looked up as fast as codes are compared
_CODES_PER_KEY = 8  # at most: then codes take as much memory as a look-up table of the keys


class KeyCounts(NamedTuple):
    """The distinct keys of some rows, and how often each occurs.

    Args:
        parts: One Arrow array for each part of the key, shape (n_keys,), in the order of codes.
        counts: Number of rows with each key, shape (n_keys,).
        n_missing: Number of rows without a key.
        of_rows: Function that returns the position of each row's key among the distinct keys; None
            if the caller did not ask for it, or the positions are not known.
        order: Function that returns the positions of the keys, sorted by count and value; None if
            the keys are already sorted.
    """

    parts: tuple[Array, ...]
    counts: Int64Array
    n_missing: int
    of_rows: RowKeyNumbering | None = None
    order: KeyOrder | None = None


class EarlierLayout(NamedTuple):
    """The codes and indicator columns that a vocabulary keeps from an earlier fit's vocabulary.

    Args:
        n_keys: The first n_keys keys keep their earlier codes.
        n_columns: Number of indicator columns of the first fit, before `drop=` left any out.
        has_rare: Whether one of these columns was for rare keys.
        n_least: Least number of training rows with which a new key would get a code. An earlier key
            with fewer rows keeps its code, but counts and groups treat it as unseen.
    """

    n_keys: int
    n_columns: int
    has_rare: bool
    n_least: int


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The keys of the training rows that have a code of their own, with their counts.

    Args:
        parts: One Arrow array for each part of the key, shape (n_keys,), in the order of codes.
        counts: Number of training rows with each key, shape (n_keys,).
        n_missing: Number of training rows with a missing key.
        n_rare: Number of training rows with a key that is too rare to have a code.
        cache: Look-up structures that backends build from the keys.
        order: Function that returns the positions of the keys, sorted by count and value; None if
            the keys are already sorted. Keys that only separate groups are sorted when somebody
            first reads them.
        held: Layout kept from the vocabulary of an earlier fit; None without an earlier fit.
    """

    parts: tuple[Array, ...]
    counts: Int64Array
    n_missing: int
    n_rare: int = 0
    cache: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    order: KeyOrder | None = field(default=None, repr=False)
    held: EarlierLayout | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.counts)

    @property
    def n_rows(self) -> int:
        """The number of training rows."""
        return int(self.counts.sum()) + self.n_missing + self.n_rare

    @property
    def is_too_rare(self) -> NDArray[np.bool_]:
        """Whether a key keeps its code but has too few rows to be used, shape (n_keys,)."""
        return self.counts < (0 if self.held is None else max(self.held.n_least, 1))

    @property
    def has_rare(self) -> bool:
        """Whether indicators have a column for rare keys."""
        return self.n_rare > 0 or (self.held is not None and self.held.has_rare)

    @property
    def n_initial_columns(self) -> int:
        """The number of indicator columns before `drop=` leaves any out."""
        return len(self) + self.has_rare if self.held is None else self.held.n_columns

    @property
    def counts_of_codes(self) -> Int64Array:
        """The number of training rows for each code, shape (2 + n_keys,); cached.

        Code 0 is a missing key. Code 1, all unseen keys, has the count 0.
        """
        found = self.cache.get(_COUNTS_OF_CODES)
        if found is None:
            counts = np.where(self.is_too_rare, 0, self.counts)
            made = np.concatenate([[self.n_missing, 0], counts], dtype=np.int64)
            found = self.cache.setdefault(_COUNTS_OF_CODES, made)
        return found


def drop_rare_keys(found: KeyCounts, params: Params) -> Vocabulary:
    """Return a vocabulary of the counted keys without those that are too rare by the parameters.

    Keys that are not yet sorted are all kept, because callers sort them if some may be rare.
    """
    if found.order is not None:
        return Vocabulary(found.parts, found.counts, found.n_missing, order=found.order)
    n_kept = _count_coded_keys(found, dict(params))
    parts = tuple(columns.first_keys(part, n_kept) for part in found.parts)
    n_rare = int(found.counts[n_kept:].sum())
    return Vocabulary(parts, found.counts[:n_kept], found.n_missing, n_rare)


def keep_earlier_codes(found: KeyCounts, params: Params, old: Vocabulary) -> Vocabulary:
    """Return a vocabulary of the counted keys in which the keys of `old` keep their codes.

    The keys of `old` come first, in their order, even if no row has them any more. New keys follow,
    by the rules of `drop_rare_keys`, until `max_categories` is reached. `found` is in order, and
    `old` has keys of the same types.
    """
    assert found.order is None
    places = columns.places_in(found.parts, old.parts)
    new, known = np.flatnonzero(places < 0), np.flatnonzero(places >= 0)
    kept = new[: _count_new_codes(found, dict(params), len(old), new)]
    n_least = math.ceil(_least(found, dict(params)))
    held = EarlierLayout(len(old), old.n_initial_columns, old.has_rare, n_least)
    plain = drop_rare_keys(found, params)
    if len(known) == len(old) and len(old) + len(kept) == len(plain):
        in_order = (places[: len(old)] == np.arange(len(old))).all()
        if in_order and (plain.n_initial_columns, plain.has_rare) == held[1:3]:
            return plain  # it has these codes by itself
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


def _count_new_codes(
    found: KeyCounts, params: Mapping[str, Any], n_old: int, new: NDArray[np.int64]
) -> int:
    """Return the number of new keys that get a code; `n_old` keys already have one.

    `new` holds the positions of the new keys in `found`.
    """
    n_kept = int((found.counts[new] >= _least(found, params)).sum())
    most = params.get("max_categories")
    if most is None:
        return n_kept
    n_categories = n_old + n_kept + (n_kept < len(new))
    return n_kept if n_categories <= most else max(most - 1 - n_old, 0)


def remember_codes(vocabulary: Vocabulary, codes: Int32Array, n_unseen: int) -> None:
    """Keep the codes of training rows, so that the same rows can be encoded again without look-ups.

    Before they use these codes, callers must check that the rows have the same keys. The codes are
    kept only if they take no more memory than a look-up table of the keys. All rows must have codes
    of known keys or be missing: none of the `n_unseen` codes for unseen keys may occur.
    """
    n_keys = len(vocabulary)
    if len(vocabulary.parts) == 1 and n_keys >= _MIN_KEYS and len(codes) <= _CODES_PER_KEY * n_keys:
        vocabulary.cache[CODES_OF_ROWS] = n_unseen, codes


def _count_coded_keys(found: KeyCounts, params: Mapping[str, Any]) -> int:
    """Return the number of keys, from the most frequent on, that get a code of their own."""
    n_kept = int((found.counts >= _least(found, params)).sum())
    most = params.get("max_categories")
    if most is None:
        return n_kept
    n_all = len(found.counts)
    n_categories = n_all if n_kept == n_all else n_kept + 1  # one more for the keys left out
    return n_kept if n_categories <= most else max(most - 1, 0)


def _least(found: KeyCounts, params: Mapping[str, Any]) -> float:
    """Return the least number of training rows with which a key gets a code of its own."""
    least = params.get("min_frequency") or 0
    if isinstance(least, float):
        return least * (int(found.counts.sum()) + found.n_missing)
    return least


def least_rows(params: Params) -> int:
    """Return the number of training rows below which a vocabulary drops a key.

    The result is 1 if every key is kept, or if `min_frequency` is a share of the rows.
    """
    least = dict(params).get("min_frequency")
    return least if isinstance(least, int) else 1


def _vocabulary_result(dtype: DType, params: Params) -> DType:
    if dtype.holds_bytes or dtype.is_number or dtype.is_temporal:
        return VOCABULARY
    raise TypeMismatch(f"needs a key: text, bytes, a number, a bool, a date or time, got {dtype}")


def refuse_finalize(summary: ColumnSummary, params: Params) -> LearntValue:
    """Raise AssertionError: the `finalize` of aggregates that count keys is never called."""
    raise AssertionError("finalize must not be called: this aggregate counts keys")


def _vocabulary_reference(values: Sequence[Any], params: Params, dtype: DType) -> LearntValue:
    raise AssertionError("must not be called: a vocabulary is learnt by counting keys")


MIN_FREQUENCY = Parameter(
    "min_frequency",
    Either((Whole(1), Real(0.0, 1.0, above=True, below=True))),
    "Categories with fewer training rows are rare: a number of rows, or a share as a float below 1",
    None,
    or_none=True,
    hidden=True,
)


@dataclass(frozen=True, eq=False)
class Groups:
    """The values of an aggregate per group of training rows, by group number.

    Args:
        values: float64, or int64 for integers, bools and times, shape (n_groups,); NaN or 0 if
            missing.
        present: Whether a group has a value, shape (n_groups,).
    """

    values: NDArray[Any]
    present: NDArray[np.bool_]


def reorder_keys(places: NDArray[np.int64], of: Vocabulary | Groups) -> Vocabulary | Groups:
    """Return a vocabulary, or values of its groups, with the keys in another order.

    `places` holds the old position of each key, shape (n_keys,). Only the last n_keys values of
    groups belong to keys; the values of missing and unseen keys, before them, stay in place.
    """
    if isinstance(of, Vocabulary):
        at = pa.array(places)
        parts = tuple(call("array_take", part, at) for part in of.parts)
        return Vocabulary(parts, of.counts[places], of.n_missing, of.n_rare)
    first = len(of.values) - len(places)
    order = np.concatenate([np.arange(first), places + first])
    return Groups(of.values[order], of.present[order])


def groups_of(values: Sequence[Any], dtype: DType) -> Groups:
    """Return Python values per group as `Groups`; None and NaN are missing."""
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


def _mode_reference(
    values: AggregateColumn, params: Params, dtype: DType
) -> AggregateNumber | str | None:
    counts = Counter(_plain(v, dtype) for v in values if v is not None and v == v)
    return min(counts, key=lambda v: (-counts[v], _order(v)), default=None)


def _plain(value: AggregateNumber | str, dtype: DType) -> AggregateNumber | str:
    """Return a value in the form that equal values share: 0.0 for -0.0, unsigned for uint64."""
    if isinstance(value, str):
        return value
    return value % (1 << 64) if dtype.name == "uint64" else value or type(value)(0)


def _order(value: AggregateNumber | str) -> object:
    return value.encode() if isinstance(value, str) else value


def _n_unique_reference(values: AggregateColumn, params: Params, dtype: DType) -> int:
    return len(set(drop_missing(values, dtype)))


FUNCTIONS = (
    AggregateFunction(
        "vocabulary",
        frozenset({"keys"}),
        _vocabulary_result,
        refuse_finalize,
        _vocabulary_reference,
        takes_key_parts=True,
        called="categories",
        parameters=(
            MIN_FREQUENCY,
            Parameter(
                "max_categories",
                Whole(1),
                "Maximum number of categories, the rare ones counted as one; None for no limit",
                None,
                or_none=True,
                hidden=True,
            ),
            Parameter(
                "max_memory",
                Whole(1),
                "Maximum memory of `fit` for the categories, in bytes; more is an error",
                MAX_MEMORY,
            ),
            Parameter("missing", MISSING_PARTS, user_name=None),
        ),
    ),
    AggregateFunction("mode", frozenset({"keys"}), _mode_result, refuse_finalize, _mode_reference),
    AggregateFunction(
        "n_unique",
        frozenset({"keys"}),
        any_to_integer,
        refuse_finalize,
        _n_unique_reference,
        grows_with_rows=True,
    ),
)
