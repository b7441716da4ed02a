"""Tables in kernels: arrays of sorted edges or keys that a kernel searches, and of learnt values.

A search over 2**k - 1 elements takes k steps of load, compare and select, without branches, so that
the loop over rows vectorizes. Short tables are compared element by element. Longer tables are
padded to the next length 2**k - 1, so a refit with other elements compiles nothing.

A layout is a function from the elements (or another learnt value) and the length to the array.
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
    """Return the length of a searched table: unchanged if short, else the next 2**k - 1.

    A short table is compared element by element, so each element saved is a comparison saved.
    """
    if n_elements <= COMPARED_WHOLE:
        return n_elements
    length = 1
    while length < n_elements:
        length = 2 * length + 1
    return length


def count_not_above(table: Op, length: int, x: Op) -> Op:
    """Return the number of elements <= x in a sorted, padded table; 0 if x is NaN.

    `table` is the address of `length` elements of the type of x; see `padded_length`.
    """
    return _count_before(table, length, x, lambda element: element <= x)


def count_below(table: Op, length: int, x: Op) -> Op:
    """Return the number of elements < x in a sorted, padded table; see `count_not_above`."""
    return _count_before(table, length, x, lambda element: element < x)


def _count_before(table: Op, length: int, x: Op, is_before: Callable[[Op], Op]) -> Op:
    """Return the number of elements for which `is_before` holds.

    The condition holds for all elements up to a position, and for none after.
    """
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
    """Return the distinct edges in order, padded with NaN, which no value reaches."""
    known = sorted({0.0 if e == 0 else float(e) for e in elements if e == e})
    return [*known, *[math.nan] * (length - len(known))]


def inner_edges(elements: Sequence[float], length: int) -> list[float]:
    """Return the distinct edges without the first and the last, padded with NaN."""
    known = edges(elements, 0)[1:-1]
    return [*known, *[math.nan] * (length - len(known))]


def knots(elements: Sequence[float], length: int) -> list[float]:
    """Return the elements in ascending order, equal ones kept, padded with NaN.

    A search never counts the padding, because no value is >= NaN.
    """
    known = list(accumulate((float(e) for e in elements), max))
    return [*known, *[math.nan] * (length - len(known))]


def first_of_ties(elements: Sequence[float], length: int) -> list[float]:
    """Return the position of the first knot equal to each sorted knot, padded with NaN."""
    known = knots(elements, len(elements))
    first = [float(bisect_left(known, knot)) for knot in known]
    return [*first, *[math.nan] * (length - len(first))]


def padded(elements: Sequence[Any], length: int) -> list[Any]:
    """Return the elements, padded by repeating the last one.

    So a search that ends in the padding finds the last element's result.
    """
    return [*elements, *[elements[-1]] * (length - len(elements))]


def bits(elements: Sequence[int], length: int) -> list[int]:
    """Return words with a bit for each integer from the least element on, 1 for an element."""
    words = [0] * length
    for element in elements:
        place = element - elements[0]
        words[place >> 6] |= 1 << (place & 63)
    return [word - (1 << 64) if word >> 63 else word for word in words]


def groups(learnt: Any, length: int) -> Any:
    """Return the learnt value of each group, indexed by group number."""
    return learnt.values


def groups_present(learnt: Any, length: int) -> Any:
    """Return 1 for each group that has a learnt value, 0 for the others, by group number."""
    return learnt.present.astype("int64")


def groups_of_folds(learnt: Any, length: int) -> Any:
    """Return, for each fold, the value of each group, learnt from the rows outside the fold.

    Shape (n_folds * n_groups,).
    """
    return learnt.of_folds


def category_counts(learnt: Any, length: int) -> Any:
    """Return the number of training rows per code: 0 missing, 1 unseen, then one per category."""
    return learnt.counts_of_codes


def category_rows(learnt: Any, length: int) -> list[int]:
    """Return the number of all training rows, as a list with one element."""
    return [learnt.n_rows]


OF_GROUPS = ("groups", "groups_present")
"""The layouts of values learnt per group, indexed by group number."""

LAYOUTS: dict[str, Callable[[Any, int], list[Any]]] = {
    "edges": edges,
    "inner_edges": inner_edges,
    "knots": knots,
    "first_of_ties": first_of_ties,
    "padded": padded,
    "bits": bits,
    "category_counts": category_counts,
    "category_rows": category_rows,
    "groups": groups,
    "groups_of_folds": groups_of_folds,
    "groups_present": groups_present,
}
