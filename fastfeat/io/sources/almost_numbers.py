"""Text that was meant to be numbers: one "unknown" makes text of a whole column of a CSV file."""

from __future__ import annotations

from typing import Any

from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.columns.decode import decoded, is_text
from fastfeat.io.columns.types import column_text

_LOOKED_AT = 1_000_000


def almost_numbers(column: ChunkedArray, name: str) -> str:
    """Return a message about the first text among a column of numbers, or nothing.

    Args:
        column: the column, of any type.
        name: its name.
    """
    if not is_text(column.type):
        return ""
    texts: list[Any] = decoded(column.slice(0, _LOOKED_AT)).to_pylist()
    odd = [row for row, text in enumerate(texts) if text is not None and not _is_number(text)]
    n_numbers = sum(text is not None for text in texts) - len(odd)
    if not odd or n_numbers < len(odd):
        return ""
    return (
        f"{column_text(name)} is text because of {texts[odd[0]][:60]!r} in row {odd[0]}. Leave "
        "such fields empty, or read the file by pandas.read_csv(..., na_values=...)"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
