"""Options of commands for the parameters that messages of the library name."""

from __future__ import annotations

import re

_OPTIONS = (
    (r"\btransform\(data, history=earlier\)", "--history FILE"),
    (r"\bhistory='batch'", "--history batch"),
    (r"\bhistory=", "--history"),
    (r"\btables=\{(['\"])(.+?)\1: table\}", r"--table \2=FILE"),
    (r"\bis not in tables=", "no --table names"),
    (r"\bbackend='(\w+)'", r"--backend \1"),
)
"""A pattern of the text, and what a command has instead; the first ones first."""


def with_options(text: str) -> str:
    """Return a message in which what a user of the command line gives is named by its option.

    Example:
        >>> with_options("history=, row 3: is late. Pass it: tables={'rates': table}")
        '--history, row 3: is late. Pass it: --table rates=FILE'
    """
    for pattern, option in _OPTIONS:
        text = re.sub(pattern, option, text)
    return text
