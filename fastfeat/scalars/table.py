"""Tables in kernels: sorted edges or keys, searched without a branch, so that the search vectorizes.

A search over 2**k - 1 elements takes k steps of load, compare and select; short tables are compared whole.
Tables are padded to that length, so a refit that learns other elements compiles nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fastfeat.scalars import op
from fastfeat.scalars.op import Op

COMPARED_WHOLE = 15


def padded_length(n_elements: int) -> int:
    """Return the smallest 2**k - 1 that holds the elements."""
    length = 1
    while length < n_elements:
        length = 2 * length + 1
    return length


def count_not_above(table: Op, length: int, x: Op) -> Op:
    """Return how many elements of a sorted, padded table are <= x.

    Args:
        table: address of 2**k - 1 sorted elements, of the type of `x`.
        length: that number.
        x: the value; for NaN the count is 0.
    """
    load: Callable[[Op, Op | int], Op] = op.load_f64 if x.physical == "f64" else op.load_i64
    if length <= COMPARED_WHOLE:
        count = op.literal(0, "i64")
        for k in range(length):
            count = count + op.from_bool(load(table, k) <= x)
        return count
    position = op.literal(0, "i64")
    step = (length + 1) // 2
    while step:
        probe = load(table, position + (step - 1))
        position = op.select(probe <= x, position + step, position)
        step //= 2
    return position


def edges(elements: Sequence[float], length: int) -> list[float]:
    """Return the distinct edges in order, then NaN, which no value reaches."""
    known = sorted({0.0 if e == 0 else float(e) for e in elements if e == e})
    return [*known, *[math.nan] * (length - len(known))]


def keys(elements: Sequence[Any], length: int) -> list[Any]:
    """Return sorted keys, then the last one again: finding it twice finds the same value."""
    known = sorted(elements)
    return [*known, *[known[-1]] * (length - len(known))]


def mapping_keys(pairs: Sequence[tuple[Any, Any]], length: int) -> list[Any]:
    """Return the sorted keys of a mapping, padded as `keys`."""
    return keys([key for key, _ in pairs], length)


def mapping_values(pairs: Sequence[tuple[Any, Any]], length: int) -> list[Any]:
    """Return the values of a mapping in the order of `mapping_keys`."""
    known = [value for _, value in sorted(pairs, key=lambda pair: pair[0])]
    return [*known, *[known[-1]] * (length - len(known))]


def plain(elements: Sequence[Any], length: int) -> list[Any]:
    """Return the elements as they are."""
    return list(elements)


LAYOUTS: dict[str, Callable[[Any, int], list[Any]]] = {
    "edges": edges,
    "keys": keys,
    "mapping_keys": mapping_keys,
    "mapping_values": mapping_values,
    "plain": plain,
}
