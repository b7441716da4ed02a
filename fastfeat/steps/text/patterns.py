"""Regular expressions and dates in text: computed by Arrow's RE2 on the host, for every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastfeat.io.arrow import Array, ChunkedArray, call, options_of, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.dates import date_format, parse_dates
from fastfeat.io.columns.keys import key_array
from fastfeat.io.columns.regex import grouped_pattern, groups_of_replacement, matches_nothing
from fastfeat.io.columns.strings import contents_of
from fastfeat.ir.dtypes import BOOL, INT64, UTF8, DType, timestamp
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import (
    FARTHEST,
    MAX_MEMORY,
    Belongs,
    BoolChoice,
    FreeText,
    Parameter,
    Parameters,
    ParameterValues,
    Whole,
)
from fastfeat.ir.writing import Texts, Writer, method_text
from fastfeat.steps.entries import content_column, over_entries
from fastfeat.steps.step import Argument, StepFailed, StepFunction, StepReference
from fastfeat.steps.text.growth import check_growth, replace_matches
from fastfeat.steps.text.replacement import is_plain_replacement, replaced_texts
from fastfeat.steps.text.rows import NOT_UTF8, STRICT, not_parseable, of_text

PatternFunction = Callable[..., Array]


class PlainPattern(NamedTuple):
    """The definition of a step for plain text.

    Args:
        is_plain: Returns whether a call's pattern is plain text.
        reference: The definition.
    """

    is_plain: Callable[[ParameterValues], bool]
    reference: StepReference


def _step(
    dtype: DType,
    work: PatternFunction,
    belongs: Belongs,
    parameters: Parameters,
    written: Writer | None = None,
    plain: PlainPattern | None = None,
) -> StepFunction:
    """Return a step that the host computes, unless its pattern is plain text, as `plain` says.

    `work` gets the column of text and the parameters.
    """

    def host(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Any:
        def of_texts(column: ChunkedArray) -> Array:
            _require_utf8(column)
            found = work(column, **params)
            return found if isinstance(found, pa.Array) else _whole(found)

        return over_entries(content_column(args[0]), of_texts)

    def reference(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> list[Any]:
        if plain is not None and plain.is_plain(params):
            return plain.reference(args, params, n_rows)
        column = pa.chunked_array([key_array(args[0].values, UTF8)])
        found = host([Argument(column, UTF8)], params, n_rows)
        if dtype.is_temporal:
            found = found.view(pa.int64())
        return contents_of(found)

    return StepFunction(
        of_text(dtype),
        reference,
        host=host,
        by_kernel=None if plain is None else plain.is_plain,
        parameters=parameters,
        belongs=belongs,
        written=written,
    )


def _whole(column: ChunkedArray) -> Array:
    """Return a column of several chunks as one array."""
    if column.num_chunks == 1:  # without a copy
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _require_utf8(column: ChunkedArray) -> None:
    """Raise StepFailed for the first row that is not UTF-8."""
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


def _find(column: ChunkedArray, pattern: str) -> Array:
    """Return the byte position of the first match in each row, -1 without a match."""
    found = call("find_substring_regex", column, options=_matching(pattern))
    return _whole(found).cast(pa.int64())


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
    return replace_matches(column, pattern, value, n, literal)


def _to_datetime(column: ChunkedArray, format: str, strict: bool) -> Array:
    known = date_format(format)
    ticks, is_parsed, present = parse_dates(_whole(column), known)
    if strict and not is_parsed[present].all():
        row = int(np.flatnonzero(present & ~is_parsed)[0])
        text = str(column[row]).encode()
        raise not_parseable(row, text, f"a time in the format {format!r}")
    return array_of_values(ticks, present & is_parsed, pa.timestamp("us"))


def _replace_text(node: Call, texts: Texts) -> str | None:
    functions = {1: "str.replace", -1: "str.replace_all"}
    function = functions.get(dict(node.params).get("n", 1))
    return function and method_text(function, node.args, texts.options(node), texts)


def _is_pattern(call: Call) -> bool:
    """Return whether a call's pattern is a regular expression with the groups that it refers to.

    Raises InvalidPlan if the pattern is not a regular expression.
    """
    params = dict(call.params)
    pattern, value = params["pattern"], params.get("value")
    if params.get("literal", False):
        return pattern != ""
    n_groups = len(grouped_pattern(pattern).names)
    if call.function == "str.count_matches":
        return not matches_nothing(pattern)
    return params.get("group_index", 0) < n_groups and (
        value is None or all(k < n_groups for k in groups_of_replacement(value))
    )


def _has_format(call: Call) -> bool:
    """Return True if a call has a valid format of times; raise InvalidPlan otherwise."""
    date_format(dict(call.params)["format"])
    return True


_PATTERN = Parameter("pattern", FreeText(), "Regular expression in the syntax of RE2")

STEPS: dict[str, StepFunction] = {
    "str.contains": _step(BOOL, _contains, _is_pattern, (_PATTERN,)),
    "str.count_matches": _step(INT64, _count_matches, _is_pattern, (_PATTERN,)),
    "str.extract": _step(
        UTF8,
        _extract,
        _is_pattern,
        (
            _PATTERN,
            Parameter(
                "group_index",
                Whole(0, FARTHEST),
                "Number of the group, from 1; 0 is the whole match",
                1,
            ),
        ),
    ),
    "str.find": _step(INT64, _find, _is_pattern, (_PATTERN,)),
    "str.replace": _step(
        UTF8,
        _replace,
        _is_pattern,
        (
            _PATTERN,
            Parameter("value", FreeText(), "Replacement for a match"),
            Parameter(
                "literal",
                BoolChoice(),
                "Whether `pattern` and `value` are plain text",
                False,
                hidden=True,
            ),
            Parameter(
                "max_memory",
                Whole(1),
                "Maximum memory of the text while it grows, in bytes",
                MAX_MEMORY,
                is_optional=True,
            ),
            Parameter("n", Whole(-1, FARTHEST), default=1, hidden=True, user_name=None),
        ),
        _replace_text,
        PlainPattern(is_plain_replacement, replaced_texts),
    ),
    "str.to_datetime": _step(
        timestamp("us"),
        _to_datetime,
        _has_format,
        (
            Parameter("format", FreeText(), "Format of the text, in directives of `strptime`"),
            STRICT,
        ),
    ),
}
