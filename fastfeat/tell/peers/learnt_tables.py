"""Learnt values and constants for pandas or Polars code: values by key, sets, edges of bins.

A site is a call to write, with the code of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastfeat.aggregates.keys import Groups, Vocabulary
from fastfeat.execute.fitted import Fitted
from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.ir.node import Aggregate, Call, Literal, Node
from fastfeat.plan.lower import codes as code_plans
from fastfeat.scalars.table import edges
from fastfeat.tell.fitted_tables import column_of_keys
from fastfeat.tell.peers.code_writer import CallSite, NotSupported, kind_of

MOST_KEYS = 100_000
"""Limit on the keys that are written into a module."""


_EXACT = 2**53
"""Whole numbers below this size are exact as floats."""


class KeyedValues(NamedTuple):
    """Values by key.

    Args:
        values: Value by key, with tuples for keys of several parts; None is missing.
        missing: Value of a missing key.
        unseen: Value of a key that is not in `values`.
    """

    values: Mapping[Any, Any]
    missing: Any
    unseen: Any


def keyed_code(site: CallSite) -> str:
    """Return code that looks up a row's key, and gives the key's code, count or learnt value."""
    node, fitted = site.node, site.scribe.fitted
    found = values_of_keys(node, fitted)
    return site.scribe.peer.keyed(site, found.values, found.missing, found.unseen)


def values_of_keys(node: Call | Aggregate, fitted: Fitted) -> KeyedValues:
    """Return the value of each learnt key: its code, its count, or the learnt value of its group.

    Raises:
        Unwritable: There are more than `MOST_KEYS` keys, or codes of unseen keys are hashes.
    """
    codes = _codes_of(node)
    params = dict(codes.params)
    if params["n_unseen"] != 1:
        raise NotSupported(
            "unseen keys are encoded by the hash XXH64, which pandas and Polars lack"
        )
    vocabulary = code_plans.vocabulary_of_codes(codes, fitted.learnt, fitted.types)
    if len(vocabulary) > MOST_KEYS:
        raise NotSupported(
            f"exported code lists at most {MOST_KEYS:,} keys, but fit learned {len(vocabulary):,}"
        )
    keys = _keys(codes, vocabulary, fitted)
    missing, unseen, *known = _values(node, vocabulary, fitted)
    if params["missing"] == "value":  # a missing part is a value like others
        missing = unseen
    return KeyedValues(dict(zip(keys, known, strict=True)), missing, unseen)


def _codes_of(node: Call | Aggregate) -> Call:
    """Return the call that encodes the keys by which a node finds its values."""
    codes: Node = node
    if isinstance(node, Aggregate):
        codes = node.args[1]
    elif node.function in ("category_count", "category_share"):
        codes = node.args[0]
    if not isinstance(codes, Call) or codes.function != "encode":
        raise NotSupported("encodings of list columns are not supported")
    return codes


def _keys(codes: Call, vocabulary: Vocabulary, fitted: Fitted) -> Sequence[Any]:
    parts: list[list[Any]] = []
    for key, stored in zip(codes.args[:-1], vocabulary.parts, strict=True):
        dtype = fitted.types[key]
        if kind_of(dtype) not in ("f", "i", "b", "s") or dtype.name == "binary":
            raise NotSupported(f"keys of {dtype} are not supported")
        parts.append(column_of_keys(stored, dtype).to_pylist())
    return parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))


def _values(node: Call | Aggregate, vocabulary: Vocabulary, fitted: Fitted) -> Sequence[Any]:
    """Return a list: the value for missing keys, for unseen keys, then for each learnt key."""
    if isinstance(node, Aggregate):
        groups = fitted.learnt[node]
        assert isinstance(groups, Groups)
        dtype = fitted.types[node]
        if kind_of(dtype) not in ("f", "i", "b"):
            raise NotSupported(f"learned values of {dtype} are not supported")
        is_bool = dtype.name == "bool"
        pairs = zip(groups.values.tolist(), groups.present.tolist(), strict=True)
        found = [value if there else None for value, there in pairs]
        return [None if v is None else bool(v) for v in found] if is_bool else found
    if node.function == "encode":
        return range(2 + len(vocabulary))
    counts = vocabulary.counts_of_codes.tolist()
    if node.function == "category_count":
        return counts
    return [count / vocabulary.n_rows for count in counts]


def equal_members(dtype: DType, elements: Sequence[Any]) -> list[Any]:
    """Return the elements that a value of a numeric type can equal, converted to that type."""
    if kind_of(dtype) == "f":
        return [float(e) for e in elements if float(e) == e]
    if kind_of(dtype) == "b":
        return [bool(e) for e in elements if e in (0, 1)]
    low, high = INTEGER_RANGE["uint64" if dtype.name == "uint64" else "int64"]
    return [int(e) for e in elements if low <= e <= high and e == int(e)]


def bins_of(site: CallSite, cut: Callable[[Sequence[float], int], list[float]]) -> list[float]:
    """Return the ascending edges of bins; `cut` picks them from the user's or the learnt table.

    Raises:
        Unwritable: There are no edges, or a user's edges would be compared with integers that
            floats cannot represent.
    """
    elements: Sequence[float] = (site.args[1].value or ((),))[0] or ()
    if isinstance(site.node.args[1], Literal):
        is_whole = site.args[0].kind == "i"
        if any(abs(e) >= _EXACT and (is_whole or type(e) is int) for e in elements):
            raise NotSupported(
                "bin edges beyond 2**53 would be compared as rounded floats, not exactly"
            )
    if not elements or not edges(elements, 0):
        raise NotSupported("fit found no values, so there are no bins")
    return cut(elements, 0)
