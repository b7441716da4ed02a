"""Decode and encode the server's JSON, by the rules in `fastfeat.io.sources.json_text`."""

from __future__ import annotations

from typing import Any, cast

from fastfeat.apps.serve.refusals import Refusal
from fastfeat.io.sources import json_text
from fastfeat.io.sources.json_text import orjson


def read_json(body: bytes) -> Any:
    """Return the Python value of a JSON text.

    Raises:
        Refusal: It is not JSON, or an object in it has a repeated key.
    """
    try:
        return json_text.read_json(body)
    except json_text.NotJson as error:
        raise Refusal(400, "NotJson", str(error), column=error.column) from None


def write_json(value: Any) -> bytes:
    """Return a value as JSON text; NaN becomes null, NumPy arrays become lists."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def ready_json(value: Any) -> Any:
    """Return the value as encoded JSON, which `write_json` can insert into many answers."""
    return orjson.Fragment(orjson.dumps(value))


def as_object(value: Any, message: str) -> dict[str, Any]:
    """Return `value` if it is a JSON object; otherwise raise Refusal with the message."""
    if type(value) is not dict:
        raise Refusal(400, "InvalidRequest", message)
    return cast("dict[str, Any]", value)


def as_list(value: Any, message: str) -> list[Any]:
    """Return `value` if it is a JSON list; otherwise raise Refusal with the message."""
    if type(value) is not list:
        raise Refusal(400, "InvalidRequest", message)
    return cast("list[Any]", value)


def as_bool(value: Any, message: str) -> bool:
    """Return `value` if it is true or false; otherwise raise Refusal with the message."""
    if type(value) is not bool:
        raise Refusal(400, "InvalidRequest", message)
    return value
