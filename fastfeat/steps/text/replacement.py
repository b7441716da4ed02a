"""Replacement of plain text in text: the definition, and the limit of the new text's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfeat_kernels.text.requests import REQUESTS

from fastfeat.io.columns.strings import content_of
from fastfeat.ir.parameters import MAX_MEMORY, ParameterValues
from fastfeat.steps.step import Argument
from fastfeat.steps.text.growth import check_grown
from fastfeat.steps.text.rows import each, is_plain

_REQUEST = REQUESTS["replace"]


def is_plain_replacement(params: ParameterValues) -> bool:
    """Return whether pattern and value of a replacement are plain text."""
    pattern: str = params["pattern"]
    return params["literal"] or (
        pattern != "" and is_plain(pattern) and "\\" not in params["value"]
    )


def replaced_texts(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> list[Any]:
    """Return the texts of a column with plain text replaced."""
    _check_size(args[0].values, params)
    return each(_REQUEST)(args, params, n_rows)


def _check_size(texts: Sequence[str | None], params: ParameterValues) -> None:
    """Raise StepFailed, before any text is made, if the new texts would be too long."""
    pattern, n = params["pattern"].encode(), params["n"]
    contents = [content_of(text) for text in texts if text is not None]
    counts = [content.count(pattern) for content in contents]
    n_matches = sum(counts if n < 0 else (min(count, n) for count in counts))
    n_bytes = sum(map(len, contents))
    grown = n_bytes + n_matches * (len(params["value"].encode()) - len(pattern))
    check_grown(len(texts), n_bytes, grown, params.get("max_memory", MAX_MEMORY))
