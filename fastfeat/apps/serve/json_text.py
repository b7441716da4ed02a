"""JSON of a server as bytes to values and back; `fastfeat.io.sources.json_text` has the rules."""

from __future__ import annotations

from typing import Any, cast

from fastfeat.apps.serve.refusals import Refusal
from fastfeat.io.sources import json_text
from fastfeat.io.sources.json_text import orjson


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        Refusal: it is not JSON, or an object in it has a key twice.
    """
    try:
        return json_text.read_json(body)
    except json_text.NotJson as error:
        raise Refusal(400, "NotJson", str(error), column=error.column) from None


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
