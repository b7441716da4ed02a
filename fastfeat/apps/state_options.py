"""Rows of options that a server and a stream share: those of the state of past rows."""

from __future__ import annotations

from typing import Annotated

from fastfeat.calls.options import TEXT, AnyPath, FilePath, Option, TimeSpan

Keep = Annotated[
    str | int | None,
    Option(
        "How long rows are kept, for late rows, after windows no longer need them: a duration such "
        'as "2d", a whole number for integer clocks, or "everything". By default an existing state '
        "keeps its setting, and a new state that accepts late rows keeps rows twice as long as "
        "windows need.",
        TimeSpan(),
        example='"2d"',
    ),
]
MaxAhead = Annotated[
    str | None,
    Option(
        'How far the time of an added row may be ahead of this machine\'s clock; "any" sets no '
        'limit. By default an existing state keeps its setting, and a new state takes "1h" if it '
        'has times with a zone and late is not "insert". Rows that only request features are not '
        "limited.",
        TEXT,
        example='"1h"',
    ),
]
MaxJump = Annotated[
    str | int | None,
    Option(
        "How far the time of an added row may be ahead of the latest row before it: a duration "
        'such as "1d", or a whole number for integer clocks. By default there is no limit.',
        TimeSpan(),
        example='"7d"',
    ),
]
Archive = Annotated[
    AnyPath | None,
    Option(
        "Folder that keeps recorded changes when a snapshot of the state replaces them, for "
        "`replay`.",
        FilePath(),
        example='"archive"',
        placeholder="FOLDER",
    ),
]
KeepAudit = Annotated[
    str | None,
    Option(
        'How long the archive is kept, such as "90d". By default it is kept for ever.',
        TEXT,
        example='"90d"',
    ),
]
