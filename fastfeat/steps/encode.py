"""encode: the code of each row's key in a vocabulary: missing 0, unseen 1 to k, then the keys.

Where k is above 1, an unseen key has 1 + the bucket of its hash among k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.hashing.reference import canonical_bytes, canonical_row, xxh64

from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.dtypes import CROSS, INT32, UTF8, DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.strings import content_of, contents_of
from fastfeat.io.times import time_text
from fastfeat.ir.node import TRAINING, Aggregate, Call, Literal, Node
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars.hashing import bucket_of
from fastfeat.steps.hashing import bytes_of
from fastfeat.steps.step import Argument, StepFunction

Key = tuple[Any, ...]


def rows_of_keys(columns: Sequence[Sequence[Any]], missing: str) -> list[Key | None]:
    """Return the key of each row, None where it is missing.

    Args:
        columns: the parts, as `io.keys` stores them, None where missing.
        missing: "key" where one missing part makes the key missing, "value" where it is a value.
    """
    rows = zip(*columns, strict=True)
    return [None if missing == "key" and None in row else row for row in rows]


def places_of(vocabulary: Vocabulary) -> Mapping[Key, int]:
    """Return the place of each key of a vocabulary, which keeps it."""
    places: Mapping[Key, int] | None = vocabulary.cache.get("places")
    if places is None:
        columns = [contents_of(part) for part in vocabulary.parts]
        places = {key: place for place, key in enumerate(zip(*columns, strict=True))}
        vocabulary.cache["places"] = places
    return places


def category_texts(vocabulary: Vocabulary, dtypes: Sequence[DType]) -> list[str]:
    """Return each category as text, for the names of columns; the parts of a cross by " ".

    Args:
        vocabulary: the categories.
        dtypes: the types of their parts.
    """
    columns = [
        [_text(value, dtype) for value in contents_of(part)]
        for part, dtype in zip(vocabulary.parts, dtypes, strict=True)
    ]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _text(value: Any, dtype: DType) -> str:
    if value is None:
        return "missing"
    if dtype.name == "bool":
        return "true" if value else "false"
    if dtype.is_temporal:
        return time_text(value, dtype)
    return content_of(value).decode(errors="backslashreplace") if dtype == UTF8 else str(value)


def _result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    for dtype in types[:-1]:
        if dtype == CROSS:
            raise TypeMismatch("a cross is a key of its own. Give its parts instead: by=['a', 'b']")
        if not (dtype.holds_bytes or dtype.is_number or dtype.is_temporal):
            raise TypeMismatch(f"needs text, bytes, a number, a bool, a date or time, got {dtype}")
    return INT32


def _encode(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    *columns, learnt = [argument.values for argument in args]
    places, n_unseen = places_of(learnt), params["n_unseen"]
    is_cross = params["missing"] == "value"
    codes: list[int] = []
    for key in rows_of_keys(columns, params["missing"]):
        if key is None:
            codes.append(0)
        elif key in places:
            codes.append(1 + n_unseen + places[key])
        else:
            codes.append(1 if n_unseen == 1 else 1 + bucket_of(_hash(key, is_cross), n_unseen))
    return codes


def _hash(key: Key, is_cross: bool) -> int:
    """Return the hash of a key, as `hash` gives it."""
    parts = [bytes_of(part) for part in key]
    return xxh64(canonical_row(parts) if is_cross else canonical_bytes(parts[0]))


def _is_encode(call: Call) -> bool:
    """Return whether codes count in a vocabulary of the same parts, or in a given one."""
    *parts, known = call.args or (None,)
    is_cross = dict(call.params)["missing"] == "value"
    match known:
        case Literal(value):
            return isinstance(value, tuple) and value != () and len(parts) == 1 and not is_cross
        case Aggregate("vocabulary", args, params, frame) if frame == TRAINING:
            same_rule = dict(params)["missing"] == dict(call.params)["missing"]
            return same_rule and (args == tuple(parts) or _are_elements(parts, args))
        case _:
            return False


def _are_elements(parts: list[Any], of_vocabulary: tuple[Node, ...]) -> bool:
    """Return whether an element of a list is encoded in a vocabulary of all its elements."""
    match parts, of_vocabulary:
        case [Call("list.get", lists)], (Call("list.explode", exploded),):
            return lists == exploded
        case _:
            return False


ENCODE = StepFunction(
    _result,
    _encode,
    always_present=True,
    of_keys=True,
    narrow=True,
    n_args=None,
    written=PLAIN,
    belongs=_is_encode,
)
