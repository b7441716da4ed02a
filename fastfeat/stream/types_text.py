"""Types of columns as a configuration writes them."""

from __future__ import annotations

import re
from typing import cast

from fastfeat.dtypes import UTF8, DType, Unit, timestamp
from fastfeat.errors import InvalidConfig

_NAMES = {
    "string": UTF8,
    **{name: DType(name) for name in ("int32", "int64", "float64", "bool", "date32")},
    "timestamp": timestamp("us", "UTC"),
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:,\s*([^\]\s]+))?\]")


def typed(text: str, key: str) -> DType:
    """Return the type of a text.

    Args:
        text: "string", "int32", "int64", "float64", "bool", "date32", "timestamp", which is that of
            microseconds in UTC, or "timestamp[ms, Europe/Berlin]".
        key: of the configuration, for the message.

    Raises:
        InvalidConfig: it is none of these.

    Example:
        >>> str(typed("timestamp[ms]", "events.types.t"))
        'timestamp[ms]'
    """
    if text in _NAMES:
        return _NAMES[text]
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise InvalidConfig(
            f"{key}: is {', '.join(map(repr, _NAMES))} or 'timestamp[ms, UTC]', got {text!r}"
        )
    return timestamp(cast(Unit, found[1]), found[2])
