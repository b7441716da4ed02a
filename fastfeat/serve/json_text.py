"""JSON of a server as bytes to values and back.

What JSON lets through and a row must not hold is refused: a key that stands twice, NaN and
infinities (which are no JSON, but which many write), and text that is not UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from fastfeat.io.libraries import orjson_module
from fastfeat.serve.refusals import Refusal

orjson = orjson_module("serve")
_NO_NUMBERS = (b"NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"-inf")
_USE_ARROW = (
    "JSON has no NaN and no infinities. Write null for a missing value; send rows with ±inf as an "
    "Arrow stream"
)


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        Refusal: it is not JSON, or an object in it has a key twice.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_json(body, error) from None
    if _may_repeat_keys(body, value):
        _check_keys(body)
    return value


def write_json(value: Any) -> bytes:
    """Return a value as JSON text; NaN is null, arrays of NumPy are lists."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def ready_json(value: Any) -> Any:
    """Return a value that `write_json` puts into others as it is, written once."""
    return orjson.Fragment(orjson.dumps(value))


def as_object(value: Any, message: str) -> dict[str, Any]:
    """Return a value that is an object of JSON.

    Raises:
        Refusal: it is none; told by the message.
    """
    if type(value) is not dict:
        raise Refusal(400, "InvalidRequest", message)
    return cast("dict[str, Any]", value)


def as_list(value: Any, message: str) -> list[Any]:
    """Return a value that is a list of JSON.

    Raises:
        Refusal: it is none; told by the message.
    """
    if type(value) is not list:
        raise Refusal(400, "InvalidRequest", message)
    return cast("list[Any]", value)


def as_bool(value: Any, message: str) -> bool:
    """Return a value that is true or false.

    Raises:
        Refusal: it is neither; told by the message.
    """
    if type(value) is not bool:
        raise Refusal(400, "InvalidRequest", message)
    return value


def _not_json(body: bytes, error: json.JSONDecodeError) -> Refusal:
    at = len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
    rest = bytes(body[max(at - 1, 0) : at + 10])
    if "infinity" in error.msg or any(word in rest for word in _NO_NUMBERS):
        return Refusal(400, "NotJson", f"{_USE_ARROW} (at byte {at})")
    return Refusal(400, "NotJson", f"the body is not JSON: {error.msg}, at byte {at}")


def _may_repeat_keys(body: bytes, value: Any) -> bool:
    """Whether a text has more colons than its keys and texts explain, or hides some of them."""
    n_keys, n_in_texts = _colons([value])
    return body.count(b":") != n_keys + n_in_texts or b"\\u003" in body


def _colons(values: Iterable[Any]) -> tuple[int, int]:
    """Return the number of keys in some values, and of colons in their texts."""
    n_keys = n_in_texts = 0
    for value in values:
        match value:
            case str():
                n_in_texts += value.count(":")
            case dict():
                pairs = cast("dict[str, Any]", value)
                inside = _colons(pairs.values())
                n_keys += len(pairs) + inside[0]
                n_in_texts += "".join(pairs).count(":") + inside[1]
            case list():
                inside = _colons(cast("list[Any]", value))
                n_keys, n_in_texts = n_keys + inside[0], n_in_texts + inside[1]
            case _:
                pass
    return n_keys, n_in_texts


def _check_keys(body: bytes) -> None:
    """Raise where an object of a JSON text has a key twice."""

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise Refusal(400, "NotJson", f"an object has the key {twice!r} twice", column=twice)
        return found

    try:
        json.loads(body, object_pairs_hook=checked)
    except RecursionError:
        raise Refusal(400, "NotJson", "the JSON is nested too deeply") from None
