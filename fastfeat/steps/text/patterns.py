"""Regular expressions and dates in text: host steps, by Arrow's RE2 on every backend alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastfeat.dtypes import BOOL, INT64, UTF8, DType, timestamp
from fastfeat.io.arrow import Array, ChunkedArray, call, options_of, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.dates import date_format, parsed_dates
from fastfeat.io.columns.keys import key_array
from fastfeat.io.columns.regex import grouped_pattern
from fastfeat.io.columns.strings import contents_of
from fastfeat.ir.parameters import (
    MAX_MEMORY,
    ValidParams,
    is_flag,
    is_text,
    takes,
    takes_some,
    whole,
)
from fastfeat.steps.entries import content_column, over_entries
from fastfeat.steps.step import Argument, StepFailed, StepFunction
from fastfeat.steps.text.growth import check_growth, replaced
from fastfeat.steps.text.rows import HAS_PATTERN, NOT_UTF8, not_parseable, of_text

Params = Mapping[str, Any]
Work = Callable[..., Array]


def _step(dtype: DType, work: Work, valid: ValidParams) -> StepFunction:
    """Return a host step: `work` is given a column of text and the parameters."""

    def host(args: Sequence[Argument], params: Params, n_rows: int) -> Any:
        def of_texts(column: ChunkedArray) -> Array:
            _require_utf8(column)
            found = work(column, **params)
            return found if isinstance(found, pa.Array) else _whole(found)

        return over_entries(content_column(args[0]), of_texts)

    def reference(args: Sequence[Argument], params: Params, n_rows: int) -> list[Any]:
        column = pa.chunked_array([key_array(args[0].values, UTF8)])
        found = host([Argument(column, UTF8)], params, n_rows)
        if dtype.is_temporal:
            found = found.view(pa.int64())
        return contents_of(found)

    return StepFunction(of_text(dtype), reference, host=host, valid=valid)


def _whole(column: ChunkedArray) -> Array:
    """Return a column as one array."""
    if column.num_chunks == 1:  # in place
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _require_utf8(column: ChunkedArray) -> None:
    """Raise for the first row that is not UTF-8."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        _raise_for_row(column)


def _raise_for_row(column: ChunkedArray) -> None:
    for row, text in enumerate(contents_of(column)):
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise StepFailed(row, NOT_UTF8) from None


def _contains(column: ChunkedArray, pattern: str) -> Array:
    return call("match_substring_regex", column, options=_matching(pattern))


def _count_matches(column: ChunkedArray, pattern: str) -> Array:
    return call("count_substring_regex", column, options=_matching(pattern))


def _matching(pattern: str) -> Any:
    return options_of("MatchSubstringOptions", pattern)


def _extract(column: ChunkedArray, pattern: str, group_index: int) -> Array:
    named = grouped_pattern(pattern)
    options = options_of("ExtractRegexOptions", named.pattern)
    groups = _whole(call("extract_regex", column, options=options))
    return call("struct_field", groups, options=options_of("StructFieldOptions", [group_index]))


def _replace(
    column: ChunkedArray,
    pattern: str,
    value: str,
    n: int,
    literal: bool,
    max_memory: int = MAX_MEMORY,
) -> Array:
    check_growth(column, pattern, value, n, literal, max_memory)
    return replaced(column, pattern, value, n, literal)


def _to_datetime(column: ChunkedArray, format: str, strict: bool) -> Array:
    known = date_format(format)
    ticks, is_parsed, present = parsed_dates(_whole(column), known)
    if strict and not is_parsed[present].all():
        row = int(np.flatnonzero(present & ~is_parsed)[0])
        text = str(column[row]).encode()
        raise not_parseable(row, text, f"a time written as {format!r}")
    return array_of_values(ticks, present & is_parsed, pa.timestamp("us"))


STEPS: dict[str, StepFunction] = {
    "str.contains": _step(BOOL, _contains, HAS_PATTERN),
    "str.count_matches": _step(INT64, _count_matches, HAS_PATTERN),
    "str.extract": _step(UTF8, _extract, takes(group_index=whole(0), pattern=is_text)),
    "str.replace": _step(
        UTF8,
        _replace,
        takes_some(
            {"max_memory": whole(1, math.inf)},
            literal=is_flag,
            n=whole(-1),
            pattern=is_text,
            value=is_text,
        ),
    ),
    "str.to_datetime": _step(timestamp("us"), _to_datetime, takes(format=is_text, strict=is_flag)),
}
