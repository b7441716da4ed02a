"""Tables in kernels: sorted edges or keys, searched without a branch, so that it vectorizes.

A search over 2**k - 1 elements takes k steps of load, compare and select; short tables are compared
whole. Tables are padded to that length, so a refit that learns other elements compiles nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from fastfeat.scalars import op
from fastfeat.scalars.op import Op

COMPARED_WHOLE = 15


def padded_length(n_elements: int) -> int:
    """Return the length of a searched table: as it is if short, else the smallest 2**k - 1 above.

    A short table is compared whole, so every element saved is a comparison saved.
    """
    if n_elements <= COMPARED_WHOLE:
        return n_elements
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
    return _count_before(table, length, x, lambda element: element <= x)


def count_below(table: Op, length: int, x: Op) -> Op:
    """Return how many elements of a sorted, padded table are < x; see `count_not_above`."""
    return _count_before(table, length, x, lambda element: element < x)


def _count_before(table: Op, length: int, x: Op, is_before: Callable[[Op], Op]) -> Op:
    """Return how many elements come before x: a test that holds up to one place and not after."""
    load: Callable[[Op, Op | int], Op] = op.load_f64 if x.physical == "f64" else op.load_i64
    if length <= COMPARED_WHOLE:
        count = op.literal(0, "i64")
        for k in range(length):
            count = op.select(is_before(load(table, k)), op.literal(k + 1, "i64"), count)
        return count
    position = op.literal(0, "i64")
    step = (length + 1) // 2
    while step:
        probe = load(table, position + (step - 1))
        position = op.select(is_before(probe), position + step, position)
        step //= 2
    return position


def edges(elements: Sequence[float], length: int) -> list[float]:
    """Return the distinct edges in order, then NaN, which no value reaches."""
    known = sorted({0.0 if e == 0 else float(e) for e in elements if e == e})
    return [*known, *[math.nan] * (length - len(known))]


def inner_edges(elements: Sequence[float], length: int) -> list[float]:
    """Return the distinct edges without the first and the last, then NaN."""
    known = edges(elements, 0)[1:-1]
    return [*known, *[math.nan] * (length - len(known))]


def knots(elements: Sequence[float], length: int) -> list[float]:
    """Return sorted elements that may be equal, then NaN, which no value reaches."""
    known = list(accumulate((float(e) for e in elements), max))
    return [*known, *[math.nan] * (length - len(known))]


def first_of_ties(elements: Sequence[float], length: int) -> list[float]:
    """Return for each knot the position of the first one that equals it."""
    known = knots(elements, len(elements))
    first = [float(bisect_left(known, knot)) for knot in known]
    return [*first, *[math.nan] * (length - len(first))]


def padded(elements: Sequence[Any], length: int) -> list[Any]:
    """Return the elements, then the last one again: finding a key twice finds the same value."""
    return [*elements, *[elements[-1]] * (length - len(elements))]


def groups(learnt: Any, length: int) -> Any:
    """Return the values that are learnt per group."""
    return learnt.values


def groups_present(learnt: Any, length: int) -> Any:
    """Return 1 for each group that has a value, 0 for the others."""
    return learnt.present.astype("int64")


def groups_of_folds(learnt: Any, length: int) -> Any:
    """Return the values per group of each fold, from the rows outside of it."""
    return learnt.of_folds


def category_counts(learnt: Any, length: int) -> Any:
    """Return the training rows of each code: 0 is missing, 1 unseen, then the categories."""
    return learnt.counts_of_codes


def category_rows(learnt: Any, length: int) -> list[int]:
    """Return the number of training rows."""
    return [learnt.n_rows]


OF_GROUPS = ("groups", "groups_present")
"""The layouts of what is learnt per group, at its number."""

LAYOUTS: dict[str, Callable[[Any, int], list[Any]]] = {
    "edges": edges,
    "inner_edges": inner_edges,
    "knots": knots,
    "first_of_ties": first_of_ties,
    "padded": padded,
    "category_counts": category_counts,
    "category_rows": category_rows,
    "groups": groups,
    "groups_of_folds": groups_of_folds,
    "groups_present": groups_present,
}
