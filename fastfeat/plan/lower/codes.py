"""Codes of keys: the vocabulary from which an encoding step numbers keys, and its categories.

A vocabulary is learned, or listed by the user. Codes are 0 for a missing key, then one or more for
unseen keys, then one per key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates import is_vocabulary
from fastfeat.aggregates import keys as learnt_keys
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.io.arrow import Array, call, index_in, pa
from fastfeat.io.columns import keys as column_keys
from fastfeat.io.columns import row_values
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, GroupFrame, Literal, Node, postorder
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import LearntConstant, NodeTypes
from fastfeat.scalars import SCALARS
from fastfeat.steps.keys import rows as key_rows

if TYPE_CHECKING:
    from fastfeat.aggregates.keys import Vocabulary


def in_any_order(roots: Iterable[Node]) -> frozenset[Node]:
    """Return the vocabularies that may be learned in any order, since their codes only group rows.

    `roots` must hold all features that are learned for: any other reader of a vocabulary reads its
    order.
    """
    order = postorder(list(roots))
    found = {
        node
        for node in order
        if isinstance(node, Aggregate) and node.function == "vocabulary" and _keeps_all(node)
    }
    codes = {node for node in order if _numbers_groups(node) and node.args[-1] in found}
    read = set(roots)
    for node in order:
        is_of_groups = isinstance(node, Aggregate) and isinstance(node.frame, GroupFrame)
        args = node.args[:1] + node.args[2:] if is_of_groups else node.args
        read.update(args[:-1] if node in codes else args)
    codes -= read
    read.update(node.args[-1] for node in order if _numbers_groups(node) and node not in codes)
    return frozenset(found - read)


def visible_codes(roots: Iterable[Node]) -> list[Call]:
    """Return the encoding steps whose code values affect features, arguments first.

    Codes that only group rows are left out: features do not depend on their values.
    """
    read = set(features := list(roots))
    order = postorder(features)
    for node in order:
        if isinstance(node, Aggregate) and isinstance(node.frame, GroupFrame):
            read.update(node.args[:1])
        elif not _is_of_keys(node):
            read.update(node.args)
    return [node for node in order if isinstance(node, Call) and are_codes(node) and node in read]


def are_codes(node: Node) -> bool:
    """Return whether a node is an encoding step, for rows or for elements of lists."""
    return isinstance(node, Call) and node.function in ("encode", "list.encode")


def _is_of_keys(node: Node) -> bool:
    """Return whether a function only counts rows per code, whatever the values of the codes."""
    row = SCALARS.get(node.function) if isinstance(node, Call) else None
    return row is not None and row.of_keys


def _keeps_all(vocabulary: Aggregate) -> bool:
    """Return whether every key has its own code, with none dropped as rare."""
    params = dict(vocabulary.params)
    return params["min_frequency"] is None and params["max_categories"] is None


def _numbers_groups(node: Node) -> bool:
    """Return whether a node is an encoding step of the kind that numbers groups."""
    return (
        isinstance(node, Call) and node.function == "encode" and dict(node.params)["n_unseen"] == 1
    )


def in_order_of_codes(learnt: Mapping[Node, LearntConstant]) -> Mapping[Node, LearntConstant]:
    """Return the learned values with the keys of vocabularies and groups in the order of codes."""
    orders = {
        node: value.order()
        for node, value in learnt.items()
        if is_vocabulary(value) and value.order is not None
    }
    if not orders:
        return learnt
    found = dict(learnt)
    for node, value in learnt.items():
        if is_vocabulary(value) and node in orders:
            found[node] = learnt_keys.reorder_keys(orders[node], value)
        elif isinstance(value, learnt_keys.Groups):
            places = orders.get(node.args[1].args[-1])
            found[node] = value if places is None else learnt_keys.reorder_keys(places, value)
    return found


def n_codes(codes: Node, learnt: Mapping[Node, LearntConstant]) -> int:
    """Return the number of codes of an encoding step: for missing, unseen and known keys."""
    assert isinstance(codes, Call)
    known = codes.args[-1]
    n_keys = len(known.value) if isinstance(known, Literal) else _n_keys(learnt[known])
    return 1 + int(dict(codes.params)["n_unseen"]) + n_keys


def _n_keys(found: LearntConstant) -> int:
    assert is_vocabulary(found)
    return len(found)


def vocabulary_of_codes(
    codes: Node, learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> Vocabulary:
    """Return the vocabulary of an encoding step, learned or listed by the user."""
    assert isinstance(codes, Call)
    known = codes.args[-1]
    if isinstance(known, Literal):
        return listed_vocabulary(known, types[codes.args[0]])
    found = learnt[known]
    assert is_vocabulary(found)
    return found


def categories_of(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> dict[str, Array]:
    """Return the categories of each ordinal encoding, in the order of its codes from 1 on.

    Categories are always text: unseen and rare values have no number, and models reject categories
    that mix numbers and text.
    """
    return {
        name: category_names(node, learnt, types)
        for name, node in nodes.items()
        if isinstance(node, Call) and node.function == "encode"
    }


def category_names(codes: Call, learnt: Mapping[Node, LearntConstant], types: NodeTypes) -> Array:
    """Return the text of each code from 1 on; a repeated text gets another "_" at its end."""
    n_unseen = int(dict(codes.params)["n_unseen"])
    others = [f"__other_{k}" for k in range(1, n_unseen + 1)] if n_unseen > 1 else ["__other"]
    vocabulary = vocabulary_of_codes(codes, learnt, types)
    texts = dict.fromkeys(others)
    for text in key_rows.category_texts(vocabulary, [types[key] for key in codes.args[:-1]]):
        while text in texts:
            text += "_"
        texts[text] = None
    return pa.array(list(texts), pa.utf8())


@lru_cache(maxsize=128)
def listed_vocabulary(listed: Literal, dtype: DType) -> Vocabulary:
    """Return the vocabulary of categories that a user has listed, in the order of their codes."""
    values = [row_values.stored_literal(value, dtype) for value in listed.value]
    keys = column_keys.key_array(values, dtype)
    if not are_keys([keys], "key"):
        odd = "one category is missing" if keys.null_count else "two categories are equal"
        raise InvalidPlan(
            f"ordinal_encode(vocabulary={list(listed.value)!r}): as {dtype}, {odd}. List each "
            "category once, and leave out missing values"
        )
    return learnt_keys.Vocabulary((keys,), np.zeros(len(values), np.int64), 0)


def check_given_vocabularies(roots: Sequence[Node], types: NodeTypes) -> None:
    """Raise TypeMismatch if a listed category is not a value of its column's type."""
    for node in postorder(roots):
        if isinstance(node, Call) and node.function == "encode":
            known = node.args[-1]
            if isinstance(known, Literal):
                try:
                    listed_vocabulary(known, types[node.args[0]])
                except TypeMismatch as error:
                    told = str(error).partition(": ")[2]
                    raise TypeMismatch(f"{show(node)}: a listed category: {told}") from None


def are_keys(parts: Sequence[Array], missing: str) -> bool:
    """Return whether arrays are parts of distinct keys, as `io.columns.keys` stores them."""
    for part in parts:
        if part.null_count and missing == "key":
            return False
        if part.type == pa.float64():
            floats = part.drop_null().to_numpy(zero_copy_only=False)
            if (np.isnan(floats) | ((floats == 0) & np.signbit(floats))).any():
                return False
    return _are_distinct(parts)


def _are_distinct(parts: Sequence[Array]) -> bool:
    """Return whether every combination of the parts is unique."""
    n_keys, part = len(parts[0]), parts[0]
    if len(parts) == 1 and not part.null_count and pa.types.is_integer(part.type):
        ascending = np.sort(part.to_numpy())  # a tenth of the memory of a hash table
        return not (ascending[1:] == ascending[:-1]).any()
    if len(parts) == 1 and not part.null_count and pa.types.is_large_string(part.type):
        ends = _last_bytes(part)
        own = (part.filter(pa.array(ends == byte)) for byte in np.unique(ends).tolist())
        return all(len(call("unique", some)) == len(some) for some in own)
    values = [call("unique", part) for part in parts]
    if any(len(distinct) == n_keys for distinct in values):
        return True
    keys = np.zeros(n_keys, np.int64)
    for part, distinct in zip(parts, values, strict=True):
        places = index_in(part, distinct).to_numpy(zero_copy_only=False)
        keys = np.unique(keys * len(distinct) + places, return_inverse=True)[1]
    return int(keys.max()) == n_keys - 1


def _last_bytes(texts: Array) -> NDArray[np.uint8]:
    """Return the last byte of each text, 0 if the text is empty, shape (n_texts,).

    The caller compares only texts with the same last byte, which takes less memory.
    """
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    found = np.zeros(len(texts), np.uint8)
    filled = ends[1:] > ends[:-1]
    if content is not None:
        found[filled] = np.frombuffer(content, np.uint8)[ends[1:][filled] - 1]
    return found
