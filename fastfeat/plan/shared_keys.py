"""Keys that several fits of the same rows share: numbered once, counted anew for the rows of each.

What is counted of some rows, and in which order, is as if they were looked at alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.vocabulary import KeyCounts, Vocabulary
from fastfeat.io.arrow import Array, call, pa
from fastfeat.io.bits import array_of_values
from fastfeat.io.device import DeviceArray
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.parameters import MAX_MEMORY

if TYPE_CHECKING:
    from fastfeat.plan.batch import Batch, Source

Codes = NDArray[np.int32]
Numbers = NDArray[np.intp]
KeyOf = tuple[tuple[Node, ...], str, int]
"""The parts of a key, what a missing part makes of it, and how many bytes the keys may take."""
_CODES = "codes of numbered keys"


class NumberedKeys(NamedTuple):
    """The distinct keys of all rows.

    Args:
        parts: an Arrow array a part of the key, shape (n_keys,), in the order of values.
        of_rows: the number of the key of each row, n_keys where it has none, shape (n_rows,).
            As wide as an address: NumPy counts and gathers by these at once, others it converts.
    """

    parts: tuple[Array, ...]
    of_rows: Numbers

    @property
    def n_keys(self) -> int:
        """How many keys there are."""
        return len(self.parts[0])


class ChosenKeys(NamedTuple):
    """The keys of some of the rows.

    Args:
        counts: of these rows, as a backend counts them.
        order: the number among all keys of each of theirs, in the order of codes, shape (n_keys,).
    """

    counts: KeyCounts
    order: NDArray[np.int64]


def key_of(aggregate: Aggregate) -> KeyOf:
    """Return the key that an aggregate counts."""
    params = dict(aggregate.params)
    room = params.get("max_memory", MAX_MEMORY)
    return tuple(aggregate.args), params.get("missing", "key"), room


def numbered(found: KeyCounts, by_value: KeyCounts) -> NumberedKeys | None:
    """Return the keys of all rows, numbered; None where a backend does not number them in the host.

    Args:
        found: the keys of all rows, counted with rows.
        by_value: the same of those keys themselves, each of which is there once: in their order.
    """
    if found.of_rows is None or by_value.of_rows is None:
        return None
    n_keys = len(found.counts)
    numbers = by_value.of_rows(np.arange(n_keys, dtype=np.int32), 0)
    if isinstance(numbers, DeviceArray):
        return None
    of_rows = found.of_rows(numbers, n_keys)
    if isinstance(of_rows, DeviceArray):
        return None
    return NumberedKeys(by_value.parts, of_rows.astype(np.intp))


def among(keys: NumberedKeys, source: Source) -> ChosenKeys:
    """Return the keys of some rows, in the order of codes: by count, then by value."""
    n_keys, of_rows = keys.n_keys, _at(keys.of_rows, source)
    counts = np.bincount(of_rows, minlength=n_keys + 1)
    there = np.flatnonzero(counts[:n_keys])
    order = there[np.argsort(-counts[there], kind="stable")]
    places = pa.array(order)
    parts = tuple(call("array_take", part, places) for part in keys.parts)

    def numbers_of(codes: Codes, missing: int) -> Codes:
        by_key = np.full(n_keys + 1, missing, np.int32)
        by_key[order] = codes
        return by_key[of_rows]

    return ChosenKeys(KeyCounts(parts, counts[order], int(counts[n_keys]), numbers_of), order)


def _at(of_rows: Numbers, source: Source) -> Numbers:
    """Return the numbers of chosen rows."""
    if source.runs is None:
        return of_rows[source.numbers]
    return np.concatenate([of_rows[a : a + n] for a, n in source.runs] or [of_rows[:0]])


def keep_codes(vocabulary: Vocabulary, keys: NumberedKeys, chosen: ChosenKeys) -> None:
    """Keep beside a vocabulary which code each key of all rows has by it, were it unseen code 1."""
    codes = np.ones(keys.n_keys + 1, np.int32)
    codes[chosen.order[: len(vocabulary)]] = np.arange(2, 2 + len(vocabulary), dtype=np.int32)
    codes[keys.n_keys] = 0
    vocabulary.cache[_CODES] = codes


def encoded(batch: Batch, step: Call) -> Any:
    """Return the codes of chosen rows by a vocabulary of other rows of the same source.

    None where they are to be looked up: keys are not numbered, or rare ones share several codes.
    """
    if batch.source is None or step.function != "encode":
        return None
    *parts, aggregate = step.args
    params, vocabulary = dict(step.params), batch.learnt.get(aggregate)
    if not isinstance(aggregate, Aggregate) or not isinstance(vocabulary, Vocabulary):
        return None
    key = key_of(aggregate)
    keys, codes = batch.source.rows.keys.get(key), vocabulary.cache.get(_CODES)
    is_alike = key[:2] == (tuple(parts), params["missing"]) and params["n_unseen"] == 1
    if keys is None or codes is None or not is_alike:
        return None
    return array_of_values(codes[_at(keys.of_rows, batch.source)], None, pa.int32())
