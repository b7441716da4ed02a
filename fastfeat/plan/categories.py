"""Codes of ordinal encodings as categories, which have the text of what the codes stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.bits import array_of_values
from fastfeat.ir.node import Call, Node
from fastfeat.plan.key_state import vocabulary_of_codes
from fastfeat.plan.lower import Constant, Types
from fastfeat.steps.encode import category_texts


def categories_of(
    nodes: Mapping[str, Node], learnt: Mapping[Node, Constant], types: Types
) -> dict[str, Array]:
    """Return the categories of each ordinal encoding, in the order of its codes from 1 on.

    They are text in every frame: what stands for unseen and rare values has no number, and
    models refuse categories that are numbers and text.

    Args:
        nodes: the features.
        learnt: what fit has learnt.
        types: of every node.
    """
    return {
        name: pa.array(_texts(node, learnt, types), pa.utf8())
        for name, node in nodes.items()
        if isinstance(node, Call) and node.function == "encode"
    }


def _texts(codes: Call, learnt: Mapping[Node, Constant], types: Types) -> list[str]:
    """Return the text of each code from 1 on; one that is taken gets a "_" more."""
    n_unseen = int(dict(codes.params)["n_unseen"])
    others = [f"__other_{k}" for k in range(1, n_unseen + 1)] if n_unseen > 1 else ["__other"]
    vocabulary = vocabulary_of_codes(codes, learnt, types)
    texts = dict.fromkeys(others)
    for text in category_texts(vocabulary, [types[key] for key in codes.args[:-1]]):
        while text in texts:
            text += "_"
        texts[text] = None
    return list(texts)


def with_categories(features: Table, categories: Mapping[str, Array]) -> Table:
    """Return features of which the codes are dictionaries; the code 0 is missing.

    Args:
        features: with the codes, int32, none missing.
        categories: of each ordinal encoding, by its name.
    """
    for name, texts in categories.items():
        at = features.schema.get_field_index(name)
        column: Any = features.column(at)
        pieces = [_dictionary(piece, texts) for piece in column.chunks]
        kind = pa.dictionary(pa.int32(), texts.type)
        features = features.set_column(at, pa.field(name, kind), pa.chunked_array(pieces, kind))
    return features


def _dictionary(codes: Any, texts: Array) -> Array:
    """Return codes as places in the list of categories, missing where they are 0."""
    numbers = codes.to_numpy(zero_copy_only=False)
    places = np.maximum(numbers - 1, 0, dtype=np.int32)  # nobody reads a place outside of the list
    indices = array_of_values(places, numbers > 0, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, texts)
