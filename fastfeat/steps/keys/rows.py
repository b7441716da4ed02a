"""The steps "encode", "hash" and "hash_cross": codes and hashes of keys, with their definitions.

The code of a row is the number of its key in a vocabulary: 0 for a missing key, 1 to k for an
unseen one (k is `n_unseen`), then the keys of the vocabulary in order. Hashes of text, bytes and
crosses (keys of several columns) are XXH64 of the bytes that `fastfeat_kernels.hashing` defines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from fastfeat_kernels.hashing import reference

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.errors import TypeMismatch
from fastfeat.io.columns import strings, times
from fastfeat.ir.dtypes import CROSS, INT32, UTF8, DType
from fastfeat.ir.node import TRAINING, Aggregate, Call, Literal, Node
from fastfeat.ir.parameters import (
    MISSING_PARTS,
    Parameter,
    ParameterValues,
    Whole,
)
from fastfeat.ir.writing import PLAIN, Texts
from fastfeat.scalars.hashing import PARAMETERS, bucket_of, hash_type, largest_bucket
from fastfeat.steps.step import Argument, StepFunction


def bytes_of(value: Any) -> Any:
    """Return text as its bytes, for hashing; other values unchanged."""
    return strings.content_of(value) if isinstance(value, str | bytes) else value


def _type(types: Sequence[DType], params: ParameterValues) -> DType:
    for dtype in types:
        if not (dtype.holds_bytes or dtype.is_number or dtype.is_temporal):
            raise TypeMismatch(f"needs text, bytes, numbers, dates or times, got {dtype}")
    return hash_type(params)


def _hash(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> list[Any]:
    seed, n_buckets = params["seed"], params["n_buckets"]
    hashes = (
        None if v is None else reference.xxh64(strings.content_of(v), seed) for v in args[0].values
    )
    return [None if found is None else bucket_of(found, n_buckets) for found in hashes]


def _hash_cross(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> list[Any]:
    seed, n_buckets = params["seed"], params["n_buckets"]
    rows = zip(*(map(bytes_of, argument.values) for argument in args), strict=True)
    return [
        bucket_of(reference.xxh64(reference.canonical_row(row), seed), n_buckets) for row in rows
    ]


def _hash_cross_text(node: Call, texts: Texts) -> str:
    parts = ", ".join(texts[part] for part in node.args)
    how = ", ".join(texts.options(node))
    return f"ff.cross({parts}).hash({how})"


OF_CONTENT: dict[str, StepFunction] = {
    "hash": StepFunction(
        _type,
        _hash,
        narrow=True,
        parameters=PARAMETERS,
        largest=largest_bucket,
        tells_apart=True,
    )
}


Key = tuple[Any, ...]


def rows_of_keys(columns: Sequence[Sequence[Any]], missing: str) -> list[Key | None]:
    """Return the key of each row, None if missing.

    The columns are in the form of `io.columns.keys`. `missing` is "key" if one missing part makes
    the key missing, "value" if it is a value.
    """
    rows = zip(*columns, strict=True)
    return [None if missing == "key" and None in row else row for row in rows]


def places_of(vocabulary: Vocabulary) -> Mapping[Key, int]:
    """Return the position of each key in a vocabulary, cached in the vocabulary."""
    places: Mapping[Key, int] | None = vocabulary.cache.get("places")
    if places is None:
        columns = [strings.contents_of(part) for part in vocabulary.parts]
        places = {key: place for place, key in enumerate(zip(*columns, strict=True))}
        vocabulary.cache["places"] = places
    return places


def category_texts(vocabulary: Vocabulary, dtypes: Sequence[DType]) -> list[str]:
    """Return each key of a vocabulary as text for column names; a space separates its parts."""
    columns = [
        [_text(value, dtype) for value in strings.contents_of(part)]
        for part, dtype in zip(vocabulary.parts, dtypes, strict=True)
    ]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _text(value: Any, dtype: DType) -> str:
    if value is None:
        return "missing"
    if dtype.name == "bool":
        return "true" if value else "false"
    if dtype.is_temporal:
        return times.time_text(value, dtype)
    return (
        strings.content_of(value).decode(errors="backslashreplace") if dtype == UTF8 else str(value)
    )


def _result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    for dtype in types[:-1]:
        if dtype == CROSS:
            raise TypeMismatch(
                "a cross cannot be part of another key. Pass its parts instead: by=['a', 'b']"
            )
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
            codes.append(1 if n_unseen == 1 else 1 + bucket_of(_key_hash(key, is_cross), n_unseen))
    return codes


def codes_by_key(vocabulary: Vocabulary, params: ParameterValues) -> dict[Any, int]:
    """Return a dict from each key of a vocabulary to its code, cached in the vocabulary.

    A key of several parts is a tuple; a key of one part is the value. A missing key of one part has
    the code 0, unless missing is a value.
    """
    n_unseen, missing = params["n_unseen"], params["missing"]
    kept = f"codes from {1 + n_unseen}, missing is a {missing}"
    codes: dict[Any, int] | None = vocabulary.cache.get(kept)
    if codes is None:
        columns = [strings.contents_of(part) for part in vocabulary.parts]
        keys = columns[0] if len(columns) == 1 else zip(*columns, strict=True)
        codes = dict(zip(keys, count(1 + n_unseen)))
        if len(columns) == 1 and missing == "key":
            codes[None] = 0
        vocabulary.cache[kept] = codes
    return codes


def _encode_of_row(args: Sequence[Argument], params: ParameterValues) -> Callable[..., int]:
    *parts, learnt = args
    n_unseen, is_cross = params["n_unseen"], params["missing"] == "value"
    find = codes_by_key(learnt.values, params).get

    def unseen(key: Key) -> int:
        return 1 if n_unseen == 1 else 1 + bucket_of(_key_hash(key, is_cross), n_unseen)

    def of_one(key: Any) -> int:
        code = find(key)
        return unseen((key,)) if code is None else code

    def of_several(*key: Any) -> int:
        if not is_cross and None in key:
            return 0
        code = find(key)
        return unseen(key) if code is None else code

    def of_one_or_unseen(key: Any) -> int:
        return find(key, 1)

    if len(parts) > 1:
        return of_several
    return of_one if n_unseen > 1 else of_one_or_unseen


def _key_hash(key: Key, is_cross: bool) -> int:
    """Return the hash of a key; it equals the result of the step "hash" or "hash_cross"."""
    parts = [bytes_of(part) for part in key]
    return reference.xxh64(
        reference.canonical_row(parts) if is_cross else reference.canonical_bytes(parts[0])
    )


def _is_encode(call: Call) -> bool:
    """Return whether the last argument of "encode" is a vocabulary that suits the key's parts."""
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
    """Return whether a key is an element of a list column, and the vocabulary of all of them."""
    match parts, of_vocabulary:
        case [Call("list.get", lists)], (Call("list.explode", exploded),):
            return lists == exploded
        case _:
            return False


def _largest_code(call: Call, of_arguments: Sequence[int | None]) -> int | None:
    n_keys = of_arguments[-1]
    return None if n_keys is None else int(dict(call.params)["n_unseen"]) + n_keys


ENCODE = StepFunction(
    _result,
    _encode,
    always_present=True,
    of_keys=True,
    narrow=True,
    n_args=None,
    written=PLAIN,
    belongs=_is_encode,
    of_row=_encode_of_row,
    largest=_largest_code,
    names_categories=True,
    tells_apart=True,
    parameters=(
        Parameter(
            "n_unseen",
            Whole(1, 1 << 24),
            "Number of codes that unseen and rare categories share",
            1,
            hidden=True,
            user_name="n_unseen_buckets",
        ),
        Parameter("missing", MISSING_PARTS, user_name=None),
    ),
)

STEPS: dict[str, StepFunction] = {
    "encode": ENCODE,
    "hash_cross": StepFunction(
        _type,
        _hash_cross,
        always_present=True,
        n_args=None,
        least_args=2,
        parameters=PARAMETERS,
        written=_hash_cross_text,
        largest=largest_bucket,
        tells_apart=True,
    ),
}
