"""Strict parsing of JSON text, for the server and the stream.

Some JSON readers accept more. This one refuses a key that occurs twice in an object, NaN and
infinities (which many programs write), text after the value, and bytes that are not UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fastfeat.io.libraries import library

orjson = library(
    "orjson", "orjson is not installed: pip install 'fastfeat[serve]' or 'fastfeat[kafka]'"
)
Object = dict[str, Any]
_NO_NUMBERS = (b"NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"-inf", b"-Inf")
NO_INFINITY = (
    "JSON has no NaN and no infinities. Write null for a missing value; send rows with ±inf as an "
    "Arrow stream"
)


class NotJson(ValueError):
    """Bytes that cannot be read as JSON.

    Args:
        message: The reason, with the byte where reading stopped.
        column: The key that occurs twice; None for other reasons.
    """

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        NotJson: It is not JSON, or an object in it has a key twice.
    """
    value = _loaded(body)
    if _may_repeat_keys(body, [value]):
        _check_keys(body)
    return value


def read_objects(texts: Sequence[bytes]) -> list[Object]:
    """Return the values of JSON texts, each of which must be one object.

    Raises:
        NotJson: A text is not JSON or not an object, or an object in it has a key twice.
    """
    values = list(map(_loaded, texts))
    for value in values:
        if type(value) is not dict:
            raise NotJson(f"the JSON is {_kind(value)}, not one object with a value per column")
    if _may_repeat_keys(b" ".join(texts), values):
        for text in texts:
            _check_keys(text)
    return values


def _loaded(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _not_json(text, error) from None


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case list():
            return "a list"
        case _:
            return f"the value {str(value)[:40]!r}"


def _not_json(body: bytes, error: json.JSONDecodeError) -> NotJson:
    at = len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
    rest = bytes(body[max(at - 1, 0) : at + 10])
    if "infinity" in error.msg:
        return NotJson(f"a number is beyond float64, 1.8e308 at most (at byte {at})")
    if any(word in rest for word in _NO_NUMBERS):
        return NotJson(f"{NO_INFINITY} (at byte {at})")
    return NotJson(f"the text is not JSON: {error.msg}, at byte {at}")


def _may_repeat_keys(text: bytes, values: Iterable[Any]) -> bool:
    """Return whether an object in a JSON text may have a key twice.

    True if the text has escaped colons, or more colons than its keys and strings account for.
    """
    n_keys, n_in_texts = _colons(values)
    return text.count(b":") != n_keys + n_in_texts or b"\\u003" in text


def _colons(values: Iterable[Any]) -> tuple[int, int]:
    """Return the number of keys in some values, and of colons in their strings."""
    n_keys = n_in_texts = 0
    texts: list[str] = []
    for value in values:
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]  # any value of JSON
        if kind is str:
            texts.append(value)
        elif kind is dict:
            n_keys += len(value)
            texts += value
            inside = _colons(value.values())
            n_keys, n_in_texts = n_keys + inside[0], n_in_texts + inside[1]
        elif kind is list:
            inside = _colons(value)
            n_keys, n_in_texts = n_keys + inside[0], n_in_texts + inside[1]
    return n_keys, n_in_texts + "".join(texts).count(":")


def _check_keys(text: bytes) -> None:
    """Raise NotJson if an object of a JSON text has a key twice."""

    def checked(pairs: list[tuple[str, Any]]) -> Object:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise NotJson(f"an object has the key {twice!r} twice", twice)
        return found

    try:
        json.loads(text, object_pairs_hook=checked)
    except RecursionError:
        raise NotJson("the JSON is nested too deeply") from None
