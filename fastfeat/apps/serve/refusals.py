"""Refusals: errors that become answers to requests, and the part of an error that a caller may see.

A caller learns about errors in the rows that it sent, and nothing else: no path of the machine, no
stack trace, no row of another caller.
"""

from __future__ import annotations

import re
import sys
import traceback
from typing import Any

from fastfeat.errors import (
    BackendUnavailable,
    FastfeatError,
    KernelFailed,
    OutOfDeviceMemory,
    StateError,
)
from fastfeat.execute.guard import SETS_APART

_OTHERS = (
    (re.compile(r" here and .* there\.", re.DOTALL), " here and another value there."),
    (
        re.compile(r", but (the state has|an earlier outcome says) .*\. To change", re.DOTALL),
        r", but \1 another value. To change",
    ),
)
"""Parts of messages that quote an earlier row with the same id, which may be another caller's."""
_LONGEST_VALUE = 80
_LONGEST_MESSAGE = 600
_OF_SERVER = (StateError, KernelFailed, BackendUnavailable, OutOfDeviceMemory)
_ROW = re.compile(r"\brow (\d[\d,]*)")
_COLUMN = re.compile(r"\bcol(?:umn)?s? ?\(?(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")")


class Refusal(Exception):
    """An error that becomes the answer to a request: an HTTP status and a JSON error document.

    Args:
        status: HTTP status.
        kind: Name of the error.
        message: The problem, and how to solve it.
        row: Number of the faulty row in the request, if it is one row.
        column: Name of the faulty column.
        value: The faulty value.
        retry_after: Seconds after which to try again; None if that does not help.
        more: Further entries of the error document.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        value: Any = None,
        retry_after: int | None = None,
        more: dict[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
        self.headers = headers
        self.error: dict[str, Any] = {
            "kind": kind,
            "message": message[:_LONGEST_MESSAGE],
            "row": row,
            "column": column,
            "value": shown(value),
            **(more or {}),
        }

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document that is the body of the answer."""
        return {"error": self.error}


def shown(value: Any) -> Any:
    """Return a value to show in an answer: JSON values unchanged, others as shortened text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def without_others(message: str) -> str:
    """Return an error message without the values of rows that other callers sent.

    Example:
        >>> without_others("row 0: its id came before, and x is 1 here and 2 there. Write")
        'row 0: its id came before, and x is 1 here and another value there. Write'
    """
    for pattern, told in _OTHERS:
        message = pattern.sub(told, message)
    return message


def refusal_of(error: Exception, route: str) -> Refusal:
    """Return any error as a refusal; errors of the server itself are logged with their details.

    Row and column are parsed from the message of a data error. Of a server error the caller sees
    only the kind. `route` names the request in the log.
    """
    if isinstance(error, Refusal):
        return error
    kind = type(error).__name__
    if isinstance(error, _OF_SERVER):
        print(f"fastfeat serve: {route}: {kind}: {error}", file=sys.stderr, flush=True)
        return Refusal(500, kind, "the server cannot do this now. Its log says why")
    if not isinstance(error, FastfeatError):
        traceback.print_exception(error)
        return Refusal(500, "Internal", "the server failed on this request. Its log says why")
    message = without_others(str(error)).removesuffix(SETS_APART)  # advice for Python users only
    row, column = _ROW.search(message), _COLUMN.search(message)
    return Refusal(
        400,
        kind,
        message,
        row=int(row[1].replace(",", "")) if row else None,
        column=next(filter(None, column.groups()), None) if column else None,
    )
