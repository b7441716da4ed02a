"""Keys that several fits of the same rows share: numbered once, counted anew for the rows of each.

What is counted of some rows, and in which order, is as if they were looked at alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates.vocabulary import KeyCounts, Vocabulary
from fastfeat.io.arrow import call, pa
from fastfeat.io.bits import array_of_values
from fastfeat.io.device import DeviceArray
from fastfeat.ir.node import Aggregate, Call
from fastfeat.ir.parameters import MAX_MEMORY
from fastfeat.plan.batch import Batch, KeyOf, NumberedKeys, Source

Codes = NDArray[np.int32]
_CODES = "codes of numbered keys"


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


def _at(of_rows: NDArray[np.intp], source: Source) -> NDArray[np.intp]:
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
